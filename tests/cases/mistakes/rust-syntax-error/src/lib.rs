use ignite::prelude::*;

#[ignite::main]
async fn handler(req: Request, ctx: Context) -> Result<impl IntoResponse> {
    let name: String = req.field("name")?;
    Ok(format("hello {name}, {}", ctx.execution_id()))
