// BIN
use ignite::prelude::*;

#[ignite::main]
async fn main(_req: Request, _ctx: Context) -> Result<impl IntoResponse> {
    Ok("hello")
}
