use ignite::prelude::*;

#[ignite::main]
async fn handler(_req: impl Send, _ctx: Context) -> &'static str {
    "hello"
}
