use ignite::prelude::*;

#[ignite::main]
async fn greet(req: &Request) {
    let _ = req;
}
