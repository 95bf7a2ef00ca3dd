use ignite::prelude::*;

/// Greets whoever the JSON payload names.
#[ignite::main]
async fn handler(req: Request, ctx: Context) -> Result<impl IntoResponse> {
    let name = if req.raw().is_empty() { "world".to_owned() } else { req.field::<String>("name")? };
    Ok(ignite::json!({ "greeting": format!("Hello, {name}!"), "execution_id": ctx.execution_id() }))
}
