//! Metrics of the control plane, on a listener of their own that is never public.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::api::ApiStartError;
use crate::executions::Executions;

/// Open connections.
const CONNECTIONS_MAX: usize = 64;

/// Longest time for a request's headers.
const HEADER_TIMEOUT: Duration = Duration::from_secs(5);

/// Pause after an accept that failed.
const ACCEPT_PAUSE: Duration = Duration::from_millis(20);

/// A page of metrics that is served until it is dropped.
pub struct AdminServer {
    address: SocketAddr,
    stop: CancellationToken,
    _task: JoinHandle<()>,
}

impl AdminServer {
    /// Begins to serve the metrics of these executions at `/metrics`. Probes are the API's.
    ///
    /// # Errors
    /// When the address cannot be used.
    pub async fn start(address: SocketAddr, executions: Executions) -> Result<Self, ApiStartError> {
        let failed = |error| ApiStartError::Listen(address, error);
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        let bound = listener.local_addr().map_err(failed)?;
        let stop = CancellationToken::new();
        let task = tokio::spawn(serve(listener, executions, stop.clone()));
        Ok(Self { address: bound, stop, _task: task })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for AdminServer {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

async fn serve(listener: TcpListener, executions: Executions, stop: CancellationToken) {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let place = tokio::select! {
            place = Arc::clone(&places).acquire_owned() => place,
            () = stop.cancelled() => return,
        };
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stop.cancelled() => return,
        };
        let (Ok((stream, _)), Ok(place)) = (accepted, place) else {
            tokio::time::sleep(ACCEPT_PAUSE).await;
            continue;
        };
        let (executions, stop) = (executions.clone(), stop.clone());
        tokio::spawn(async move {
            let service = service_fn(|request: Request<Incoming>| {
                let executions = executions.clone();
                async move { Ok::<_, Infallible>(answer(request.uri().path(), &executions).await) }
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

async fn answer(path: &str, executions: &Executions) -> Response<Full<Bytes>> {
    let (status, kind, text) = match path {
        "/metrics" => {
            let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
            (StatusCode::OK, kind, executions.metrics().await)
        }
        _ => {
            let words = "there is /metrics; probes are on the listener of the API\n";
            (StatusCode::NOT_FOUND, "text/plain", words.to_owned())
        }
    };
    let mut answer = Response::new(Full::new(Bytes::from(text)));
    *answer.status_mut() = status;
    answer.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    answer
}
