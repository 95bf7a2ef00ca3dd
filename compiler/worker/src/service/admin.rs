//! Metrics and probes, on a listener of their own.

use std::future::ready;
use std::sync::Arc;

use http::StatusCode;
use ignite_probes::{Answer, words};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::metrics::Metrics;
use crate::status::Status;

/// Serves until `stop`.
pub(crate) async fn serve(listener: TcpListener, metrics: Arc<Metrics>, status: Arc<Status>, stop: CancellationToken) {
    ignite_probes::serve(listener, stop, move |request| ready(answer(request.uri().path(), &metrics, &status))).await;
}

fn answer(path: &str, metrics: &Metrics, status: &Status) -> Answer {
    match path {
        "/metrics" => ignite_probes::metrics(metrics.text()),
        "/livez" => words(StatusCode::OK, "live\n"),
        "/readyz" => match status.not_ready() {
            None => words(StatusCode::OK, "ready\n"),
            Some(why) => words(StatusCode::SERVICE_UNAVAILABLE, why),
        },
        _ => words(StatusCode::NOT_FOUND, "there are /metrics, /readyz and /livez\n"),
    }
}
