//! One app version that is being served, and the requests it has in hand.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use http::HeaderMap;
use ignite_core_model::{ExecutionId, FunctionId, Limits, OrganizationId};
use ignite_runtimes_executor::Executor;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::admission::Admission;
use crate::artifact::App;
use crate::clocks::Clock;
use crate::logs::Logs;
use crate::metrics::Metrics;
use crate::multi::Counts;
use crate::traces::Noted;

/// An executor with its limits and slots.
pub(crate) struct Serving {
    pub(crate) executor: Box<dyn Executor>,
    pub(crate) limits: Limits,
    pub(crate) admission: Admission,
    pub(crate) expose_errors: bool,
    pub(crate) identity: Identity,
    /// What is counted of this app by itself, where the host has many.
    pub(crate) counts: Option<Arc<Counts>>,
    /// Requests that have chosen this version and are not finished.
    requests: AtomicUsize,
    finished: Notify,
    /// Keeps the unpacked files as long as they may be run.
    _app: Option<App>,
}

/// Whose app it is, where no gateway says.
pub(crate) struct Identity {
    pub(crate) function: FunctionId,
    pub(crate) organization: OrganizationId,
}

impl Serving {
    pub(crate) fn new(
        executor: Box<dyn Executor>,
        limits: Limits,
        expose_errors: bool,
        identity: Identity,
        app: Option<App>,
    ) -> Self {
        let admission = Admission::new(&limits);
        let (requests, finished) = (AtomicUsize::new(0), Notify::new());
        Self { executor, limits, admission, expose_errors, identity, counts: None, requests, finished, _app: app }
    }

    /// One app of many.
    pub(crate) fn of_many(
        executor: Box<dyn Executor>,
        limits: Limits,
        admission: Admission,
        expose_errors: bool,
        identity: Identity,
        counts: Option<Arc<Counts>>,
    ) -> Self {
        Self { admission, counts, ..Self::new(executor, limits, expose_errors, identity, None) }
    }

    /// Counts a request as in hand. Whoever does sees to it that no [`Serving::drain`] can have begun, and makes a
    /// [`Request`] of it.
    pub(crate) fn begin_request(&self) {
        self.requests.fetch_add(1, Ordering::SeqCst);
    }

    /// Lets the requests in hand finish, then drains the executor; all by `deadline`.
    pub(crate) async fn drain(&self, deadline: Instant) {
        let idle = async {
            loop {
                let finished = self.finished.notified();
                if self.requests.load(Ordering::SeqCst) == 0 {
                    return;
                }
                finished.await;
            }
        };
        let _ = tokio::time::timeout_at(deadline, idle).await;
        self.executor.drain(deadline).await;
    }

    /// Requests in hand.
    pub(crate) fn requests(&self) -> usize {
        self.requests.load(Ordering::Relaxed)
    }
}

/// A request in the hands of one app version, until its answer is sent.
pub(crate) struct Request {
    pub(crate) serving: Arc<Serving>,
    pub(crate) execution_id: ExecutionId,
    logs: Arc<Logs>,
    metrics: Arc<Metrics>,
    /// Its lines name its trace until it is finished.
    traced: Option<Noted>,
}

impl Request {
    /// Lets the lines of the execution name the trace that `headers` name.
    pub(crate) fn trace(&mut self, headers: &HeaderMap) {
        self.traced = self.logs.trace(self.execution_id, headers);
    }

    /// Chooses the version that `current` names. It is chosen only when it is still the current one after it was marked
    /// as in use: then whoever replaces it sees the mark, and waits.
    pub(crate) fn begin(
        current: &arc_swap::ArcSwap<Serving>,
        execution_id: ExecutionId,
        logs: &Arc<Logs>,
        metrics: &Arc<Metrics>,
    ) -> Self {
        loop {
            let serving = current.load_full();
            serving.requests.fetch_add(1, Ordering::SeqCst);
            let request = Self::begun(serving, execution_id, logs, metrics);
            if Arc::ptr_eq(&request.serving, &current.load()) {
                return request;
            }
        }
    }

    /// A request that [`Serving::begin_request`] has counted.
    pub(crate) fn begun(
        serving: Arc<Serving>,
        execution_id: ExecutionId,
        logs: &Arc<Logs>,
        metrics: &Arc<Metrics>,
    ) -> Self {
        Self { serving, execution_id, logs: Arc::clone(logs), metrics: Arc::clone(metrics), traced: None }
    }

    /// A clock ran out after the answer's head was sent.
    pub(crate) fn ran_out(&self, clock: Clock, why: &str) {
        self.metrics.expired(clock);
        self.broke_off(why);
    }

    /// The answer broke off after its head was sent.
    pub(crate) fn broke_off(&self, why: &str) {
        self.metrics.broken_answers.inc();
        let function = self.serving.counts.is_some().then_some(&self.serving.identity.function);
        self.logs.about("warn", function, self.execution_id, &format!("the answer was broken off: {why}"));
    }
}

impl Drop for Request {
    fn drop(&mut self) {
        if self.serving.requests.fetch_sub(1, Ordering::SeqCst) == 1 {
            self.serving.finished.notify_waiters();
        }
    }
}
