use ignite::prelude::*;

#[ignite::main]
fn handler(_req: Request, _ctx: Context, _state: u8, _more: u8) -> &'static str {
    "hello"
}
