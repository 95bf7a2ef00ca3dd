use ignite::prelude::*;

#[ignite::main]
fn handler(_req: Request, _ctx: Context) -> u64 {
    7
}
