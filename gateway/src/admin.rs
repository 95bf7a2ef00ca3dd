//! Metrics and probes, on a listener of their own.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use http::{Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::body::{Body, whole};
use crate::serve::Shared;

/// Open connections.
const CONNECTIONS_MAX: usize = 64;

/// Longest time for a request's headers.
const HEADER_TIMEOUT: Duration = Duration::from_secs(5);

/// Pause after an accept that failed.
const ACCEPT_PAUSE: Duration = Duration::from_millis(20);

pub(crate) async fn serve(listener: TcpListener, shared: Arc<Shared>, stop: CancellationToken) {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stop.cancelled() => return,
        };
        let Ok((stream, _)) = accepted else {
            tokio::time::sleep(ACCEPT_PAUSE).await;
            continue;
        };
        let (shared, stop) = (Arc::clone(&shared), stop.clone());
        tokio::spawn(async move {
            let service = service_fn(|request: Request<Incoming>| {
                let answer = answer(&request, &shared);
                async move { Ok::<_, Infallible>(answer) }
            });
            let mut builder = hyper::server::conn::http1::Builder::new();
            builder.timer(TokioTimer::new()).header_read_timeout(HEADER_TIMEOUT);
            tokio::select! {
                _ = builder.serve_connection(TokioIo::new(stream), service) => {}
                () = stop.cancelled() => {}
            }
            drop(place);
        });
    }
}

fn answer(request: &Request<Incoming>, shared: &Shared) -> Response<Body> {
    let (status, text) = match request.uri().path() {
        "/metrics" => (StatusCode::OK, shared.metrics.text()),
        "/livez" => (StatusCode::OK, "live\n".to_owned()),
        "/readyz" if shared.ready.load(Ordering::Acquire) => (StatusCode::OK, "ready\n".to_owned()),
        "/readyz" => (StatusCode::SERVICE_UNAVAILABLE, "waits for the routes: the store was not read yet\n".to_owned()),
        _ => (StatusCode::NOT_FOUND, "there are /metrics, /readyz and /livez\n".to_owned()),
    };
    let mut answer = Response::new(whole(text));
    *answer.status_mut() = status;
    answer
}
