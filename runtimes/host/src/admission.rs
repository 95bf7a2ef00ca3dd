//! Who may run now, who waits, and who is refused.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use ignite_core_model::Limits;
use ignite_runtimes_executor::Slot;
use tokio::sync::Semaphore;
use tokio::time::Instant;

use crate::errors::HostError;
use crate::metrics::Metrics;
use crate::multi::Gate;

/// The slots of one app version and the queue before them.
pub(crate) struct Admission {
    slots: Arc<Semaphore>,
    waiting: AtomicU32,
    max_concurrency: u32,
    queue_max: u32,
    queue_timeout: Duration,
    /// Where the host has many apps: the places for all of them, and the number of this one.
    gate: Option<(Arc<Gate>, u64)>,
}

impl Admission {
    pub(crate) fn new(limits: &Limits) -> Self {
        Self {
            slots: Arc::new(Semaphore::new(limits.max_concurrency as usize)),
            waiting: AtomicU32::new(0),
            max_concurrency: limits.max_concurrency,
            queue_max: limits.queue_max,
            queue_timeout: limits.queue_timeout,
            gate: None,
        }
    }

    /// The same for app number `app` of many, which takes turns with the others for the places of `gate`.
    pub(crate) fn behind(self, gate: Arc<Gate>, app: u64) -> Self {
        Self { gate: Some((gate, app)), ..self }
    }

    /// A slot, at once or after waiting in the queue, but never beyond `deadline`.
    pub(crate) async fn admit(&self, deadline: Instant, metrics: &Metrics) -> Result<Slot, HostError> {
        let since = Instant::now();
        let slot = self.admit_to_app(deadline, metrics).await?;
        let Some((gate, app)) = &self.gate else { return Ok(slot) };
        // The app's own queue bounds how many of it come here, and both waits have one limit.
        let patience = deadline.min(since + self.queue_timeout);
        match tokio::time::timeout_at(patience, gate.enter(*app)).await {
            Ok(pass) => Ok(Slot::new((slot, pass))),
            Err(_) => Err(HostError::QueueTimeout { queue_timeout_ms: since.elapsed().as_millis() }),
        }
    }

    async fn admit_to_app(&self, deadline: Instant, metrics: &Metrics) -> Result<Slot, HostError> {
        if let Ok(permit) = Arc::clone(&self.slots).try_acquire_owned() {
            return Ok(Slot::new(permit));
        }
        let _place = self.enter()?;
        let since = Instant::now();
        let patience = since + self.queue_timeout;
        let waited = tokio::time::timeout_at(patience.min(deadline), Arc::clone(&self.slots).acquire_owned()).await;
        metrics.queued(since.elapsed());
        match waited {
            Ok(Ok(permit)) => Ok(Slot::new(permit)),
            // Waiting is not running: even where the execution's own time ends first, it never began.
            _ => Err(HostError::QueueTimeout { queue_timeout_ms: since.elapsed().as_millis() }),
        }
    }

    /// Takes a place in the queue, if there is one.
    fn enter(&self) -> Result<Place<'_>, HostError> {
        let take = |waiting| (waiting < self.queue_max).then_some(waiting + 1);
        match self.waiting.fetch_update(Ordering::AcqRel, Ordering::Acquire, take) {
            Ok(_) => Ok(Place(&self.waiting)),
            Err(_) => {
                Err(HostError::ConcurrencyLimit { max_concurrency: self.max_concurrency, queue_max: self.queue_max })
            }
        }
    }

    /// Executions that run or are not yet known to have stopped.
    pub(crate) fn in_flight(&self) -> usize {
        self.max_concurrency as usize - self.slots.available_permits()
    }

    /// Executions that wait.
    pub(crate) fn waiting(&self) -> u32 {
        self.waiting.load(Ordering::Relaxed)
    }
}

/// A place in the queue; left when dropped.
struct Place<'a>(&'a AtomicU32);

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test")]
    use super::*;

    fn limits() -> Limits {
        Limits { max_concurrency: 1, queue_max: 1, queue_timeout: Duration::from_millis(100), ..Limits::default() }
    }

    #[tokio::test(start_paused = true)]
    async fn one_runs_one_waits_and_the_third_is_refused() {
        let (admission, metrics) = (Admission::new(&limits()), Metrics::default());
        let far = Instant::now() + Duration::from_secs(30);
        let first = admission.admit(far, &metrics).await.unwrap();
        let (second, third) = tokio::join!(admission.admit(far, &metrics), admission.admit(far, &metrics));
        assert!(matches!(second, Err(HostError::QueueTimeout { queue_timeout_ms: 100 })), "{second:?}");
        assert_eq!(third.unwrap_err().kind(), "concurrency_limit");
        assert_eq!((admission.in_flight(), admission.waiting()), (1, 0));
        let (_, second) = tokio::join!(async { drop(first) }, admission.admit(far, &metrics));
        assert!(second.is_ok());
    }
}
