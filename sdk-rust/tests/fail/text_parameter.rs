use ignite::prelude::*;

#[ignite::main]
fn handler(_name: String, _ctx: Context) -> &'static str {
    "hello"
}
