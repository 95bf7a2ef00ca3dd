#[ignite::main]
async fn handler() -> &'static str {
    "hello"
}
