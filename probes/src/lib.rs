//! A listener for operators: metrics and probes, apart from what a service serves.
//!
//! Each service has one, and each means something else by "ready"; what is the same is how such a listener holds out: a bound
//! on connections, one on the time for a request's head, and an end. [`serve`] is that. What is answered to which path is the
//! service's own.
//!
//! The host has a listener of its own instead, which takes orders as well.

use std::convert::Infallible;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

/// Open connections; further ones wait to be accepted.
pub const CONNECTIONS_MAX: usize = 64;

/// Longest time for a request's head; an idle connection is closed after it too.
pub const HEADER_TIMEOUT: Duration = Duration::from_secs(5);

/// Pause after an accept that failed, as when there are no descriptors left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(20);

/// What a page of metrics is in.
const METRICS: HeaderValue = HeaderValue::from_static("application/openmetrics-text; version=1.0.0; charset=utf-8");

/// What is answered.
pub type Answer = Response<Full<Bytes>>;

/// Answers with what `answer` makes of a request, until `stop`; connections end with it.
pub async fn serve<A, F>(listener: TcpListener, stop: CancellationToken, answer: A)
where
    A: Fn(Request<Incoming>) -> F + Clone + Send + 'static,
    F: Future<Output = Answer> + Send + 'static,
{
    let serving = accept(listener, stop.clone(), answer);
    tokio::select! {
        () = serving => {}
        () = stop.cancelled() => {}
    }
}

async fn accept<A, F>(listener: TcpListener, stop: CancellationToken, answer: A)
where
    A: Fn(Request<Incoming>) -> F + Clone + Send + 'static,
    F: Future<Output = Answer> + Send + 'static,
{
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(ACCEPT_PAUSE).await;
            continue;
        };
        let (answer, stop) = (answer.clone(), stop.clone());
        tokio::spawn(async move {
            let service = service_fn(move |request| {
                let answered = answer(request);
                async move { Ok::<_, Infallible>(answered.await) }
            });
            let mut builder = http1::Builder::new();
            builder.timer(TokioTimer::new()).header_read_timeout(HEADER_TIMEOUT);
            tokio::select! {
                // A client that goes away needs no answer.
                _ = builder.serve_connection(TokioIo::new(stream), service) => {}
                () = stop.cancelled() => {}
            }
            drop(place);
        });
    }
}

/// Some words for people.
#[must_use]
pub fn words(status: StatusCode, words: impl Into<Bytes>) -> Answer {
    page(status, HeaderValue::from_static("text/plain; charset=utf-8"), words.into())
}

/// A page of metrics, in the text format of OpenMetrics.
#[must_use]
pub fn metrics(text: impl Into<Bytes>) -> Answer {
    page(StatusCode::OK, METRICS, text.into())
}

fn page(status: StatusCode, kind: HeaderValue, text: Bytes) -> Answer {
    let mut answer = Response::new(Full::new(text));
    *answer.status_mut() = status;
    answer.headers_mut().insert(header::CONTENT_TYPE, kind);
    answer
}
