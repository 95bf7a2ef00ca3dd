//! Executions that go on beyond their time in every way there is, by path; `/` greets.

use std::time::Duration;

use ignite::prelude::*;

/// Spins at `/spins`, blocks its thread at `/sleeps`, waits again and again at `/naps`, and greets elsewhere.
#[ignite::main]
async fn handler(req: Request, _ctx: Context) -> Result<Response> {
    match req.path() {
        "/spins" => loop {
            std::hint::spin_loop();
        },
        "/sleeps" => std::thread::sleep(Duration::from_secs(3600)),
        "/naps" => loop {
            tokio::time::sleep(Duration::from_millis(1)).await;
        },
        _ => {}
    }
    let name = req.field::<String>("name")?;
    let id = req.field::<String>("id")?;
    Ok(json!({ "greeting": format!("Hello, {name}!"), "id": id }).into_response())
}
