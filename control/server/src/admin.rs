//! Metrics of the control plane, on a listener of their own that is never public.

use std::net::SocketAddr;

use http::StatusCode;
use ignite_probes::{Answer, words};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::api::ApiStartError;
use crate::executions::Executions;

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
        let task = tokio::spawn(ignite_probes::serve(listener, stop.clone(), move |request| {
            let executions = executions.clone();
            async move { answer(request.uri().path(), &executions).await }
        }));
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

async fn answer(path: &str, executions: &Executions) -> Answer {
    match path {
        "/metrics" => ignite_probes::metrics(executions.metrics().await),
        _ => words(StatusCode::NOT_FOUND, "there is /metrics; probes are on the listener of the API\n"),
    }
}
