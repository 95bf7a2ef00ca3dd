//! Metrics and probes, on a listener of their own.

use std::future::ready;
use std::sync::Arc;

use http::StatusCode;
use ignite_probes::{Answer, words};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::serve::Shared;

pub(crate) async fn serve(listener: TcpListener, shared: Arc<Shared>, stop: CancellationToken) {
    ignite_probes::serve(listener, stop, move |request| ready(answer(request.uri().path(), &shared))).await;
}

fn answer(path: &str, shared: &Shared) -> Answer {
    match path {
        "/metrics" => ignite_probes::metrics(shared.metrics.text()),
        "/livez" => words(StatusCode::OK, "live\n"),
        "/readyz" if *shared.ready.borrow() => words(StatusCode::OK, "ready\n"),
        "/readyz" => words(StatusCode::SERVICE_UNAVAILABLE, "waits for the routes: the store was not read yet\n"),
        _ => words(StatusCode::NOT_FOUND, "there are /metrics, /readyz and /livez\n"),
    }
}
