//! Requests to stop: Ctrl-C, or SIGTERM from the system.

use tokio::runtime::Runtime;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use crate::exit::{CliError, Exit};

/// Counts the requests to stop from the moment it is made, so that none is lost between two waits.
#[derive(Clone)]
pub(crate) struct Stops(watch::Receiver<u32>);

impl Stops {
    /// Listens from now on; `on_first` runs at the first request.
    pub(crate) fn listen(runtime: &Runtime, on_first: impl FnOnce() + Send + 'static) -> Result<Self, CliError> {
        let _inside = runtime.enter();
        let refused =
            |error: std::io::Error| CliError::new(Exit::Internal, "could not listen for signals").caused_by(&error);
        let mut interrupts = signal(SignalKind::interrupt()).map_err(refused)?;
        let mut terminations = signal(SignalKind::terminate()).map_err(refused)?;
        let (count, counted) = watch::channel(0);
        runtime.spawn(async move {
            let mut on_first = Some(on_first);
            loop {
                tokio::select! {
                    _ = interrupts.recv() => (),
                    _ = terminations.recv() => (),
                }
                count.send_modify(|count| *count += 1);
                if let Some(on_first) = on_first.take() {
                    on_first();
                }
            }
        });
        Ok(Self(counted))
    }

    /// Resolves when the person or the system has asked to stop.
    pub(crate) async fn first(&self) {
        self.reached(1).await;
    }

    /// Resolves when it was asked for again: at once, then.
    pub(crate) async fn second(&self) {
        self.reached(2).await;
    }

    async fn reached(&self, wanted: u32) {
        // The sender ends with the runtime, and so does whoever waits here.
        let _ = self.0.clone().wait_for(|count| *count >= wanted).await;
    }
}
