//! The smallest function there is.

use ignite::prelude::*;

#[ignite::main]
async fn handler(req: Request, ctx: Context) -> Result<impl IntoResponse> {
    let name = req.field::<Option<String>>("name")?.unwrap_or_else(|| "world".to_owned());
    Ok(json!({ "hello": name, "execution_id": ctx.execution_id() }))
}
