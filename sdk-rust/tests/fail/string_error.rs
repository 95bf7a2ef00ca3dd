use ignite::prelude::*;

fn check() -> Result<(), String> {
    Ok(())
}

#[ignite::main]
async fn handler(_req: Request, _ctx: Context) -> Result<impl IntoResponse> {
    check()?;
    Ok("hello")
}
