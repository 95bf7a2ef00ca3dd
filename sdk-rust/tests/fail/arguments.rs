#[ignite::main(timeout = 30)]
async fn handler(_req: ignite::Request, _ctx: ignite::Context) -> &'static str {
    "hello"
}
