use ignite::prelude::*;

#[ignite::main]
async fn handler(_req: Request, _ctx: Context) -> &'static str {
    let counter = std::rc::Rc::new(0);
    std::future::ready(()).await;
    drop(counter);
    "hello"
}
