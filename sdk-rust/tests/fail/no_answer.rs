// BIN
use ignite::prelude::*;

#[ignite::main]
async fn handler(req: Request, _ctx: Context) {
    drop(req);
}
