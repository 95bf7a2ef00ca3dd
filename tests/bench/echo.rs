//! The limit to measure against: a bare axum handler that answers with the request's body, at `/wait` after 10 ms.

use std::net::Ipv4Addr;
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::routing::post;

/// How long `/wait` waits.
const WAIT: Duration = Duration::from_millis(10);

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let port = std::env::var("PORT").ok().and_then(|port| port.parse().ok()).unwrap_or(8080);
    let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
    let app = Router::new().route("/", post(echo)).route("/echo", post(echo)).route("/wait", post(wait));
    axum::serve(axum::serve::ListenerExt::tap_io(listener, |stream| drop(stream.set_nodelay(true))), app).await
}

async fn echo(body: Bytes) -> Bytes {
    body
}

async fn wait(body: Bytes) -> Bytes {
    tokio::time::sleep(WAIT).await;
    body
}
