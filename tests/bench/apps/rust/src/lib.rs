//! The three handlers of the bench, by path.

use std::time::Duration;

use ignite::prelude::*;

/// Greets at `/`, gives back what it was sent at `/echo`, and greets after 10 ms at `/wait`.
#[ignite::main]
async fn handler(req: Request, _ctx: Context) -> Result<Response> {
    match req.path() {
        "/echo" => return Ok(req.raw().to_vec().into_response()),
        "/wait" => tokio::time::sleep(Duration::from_millis(10)).await,
        _ => {}
    }
    let name = req.field::<String>("name")?;
    let id = req.field::<String>("id")?;
    Ok(json!({ "greeting": format!("Hello, {name}!"), "id": id }).into_response())
}
