//! Calls on the admin socket of a host.

use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;

/// Longest answer that is read, in bytes.
const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// One call; the answer's status and body.
///
/// # Errors
/// When the host does not answer within `at_most`, in a sentence.
pub(super) async fn call(
    socket: &Path,
    method: Method,
    path: &str,
    body: Vec<u8>,
    at_most: Duration,
) -> Result<(StatusCode, Bytes), String> {
    let answered = tokio::time::timeout(at_most, exchange(socket, method, path, body)).await;
    match answered {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(error)) => Err(format!("the host did not answer: {error}")),
        Err(_) => Err(format!("the host did not answer within {} ms", at_most.as_millis())),
    }
}

async fn exchange(
    socket: &Path,
    method: Method,
    path: &str,
    body: Vec<u8>,
) -> Result<(StatusCode, Bytes), Box<dyn std::error::Error + Send + Sync>> {
    let stream = UnixStream::connect(socket).await?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let connection = tokio::spawn(connection);
    let request =
        Request::builder().method(method).uri(path).header("host", "host").body(Full::new(Bytes::from(body)))?;
    let answer = async {
        let response = sender.send_request(request).await?;
        let status = response.status();
        let body = Limited::new(response.into_body(), ANSWER_BYTES_MAX).collect().await?.to_bytes();
        Ok((status, body))
    }
    .await;
    connection.abort();
    answer
}
