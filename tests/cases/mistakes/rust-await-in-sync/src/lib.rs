use ignite::prelude::*;

#[ignite::main]
fn handler(req: Request, ctx: Context) -> Result<impl IntoResponse> {
    let name: String = req.field("name")?;
    tokio::time::sleep(std::time::Duration::from_millis(1)).await;
    Ok(format!("hello {name}, {}", ctx.execution_id()))
}
