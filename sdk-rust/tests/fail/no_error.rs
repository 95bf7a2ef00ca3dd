use ignite::prelude::*;

#[ignite::main]
fn handler(_req: Request, _ctx: Context) -> Result<String, u8> {
    Err(7)
}
