//! Warm hosts waiting for apps.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use super::host::{HostProcess, NotStarted, Start};
use super::{Confine, LocalOptions, remove};

/// How long after a warm host was used another is started: the first request of the app is served meanwhile.
const REFILL_AFTER: Duration = Duration::from_millis(10);

/// Hosts that are up and have no app.
#[derive(Clone)]
pub(super) struct Pool(Arc<State>);

struct State {
    options: LocalOptions,
    /// The folder of this life of the backend.
    folder: PathBuf,
    warm: Mutex<Warm>,
    next: AtomicU64,
    /// The machine has no user namespace for hosts; found out by the first.
    no_own_user: AtomicBool,
}

#[derive(Default)]
struct Warm {
    runtimes: HashMap<&'static str, Kept>,
    /// No more are kept.
    closed: bool,
}

#[derive(Default)]
struct Kept {
    ready: Vec<HostProcess>,
    starting: usize,
}

impl Pool {
    pub(super) fn new(options: LocalOptions, folder: PathBuf) -> Self {
        Self(Arc::new(State {
            options,
            folder,
            warm: Mutex::default(),
            next: AtomicU64::new(0),
            no_own_user: AtomicBool::new(false),
        }))
    }

    /// A warm host, if one is ready. See [`Pool::refill_after`].
    pub(super) fn take(&self, runtime: &'static str) -> Option<HostProcess> {
        loop {
            let mut host = self.warm().runtimes.entry(runtime).or_default().ready.pop()?;
            // One that has died meanwhile is no use.
            if host.is_alive() {
                // What it said before it had an app is no line of that app.
                while host.lines.try_recv().is_ok() {}
                return Some(host);
            }
        }
    }

    /// Starts as many warm hosts as are missing, a moment after what is returned is dropped.
    pub(super) fn refill_after(&self, runtime: &'static str) -> Refill {
        Refill { state: Arc::downgrade(&self.0), runtime }
    }

    /// Starts as many warm hosts as are missing.
    pub(super) fn refill(&self, runtime: &'static str) {
        let mut warm = self.warm();
        if warm.closed {
            return;
        }
        let kept = warm.runtimes.entry(runtime).or_default();
        while kept.ready.len() + kept.starting < self.0.options.warm_per_runtime {
            kept.starting += 1;
            let pool = self.clone();
            tokio::spawn(async move {
                let started = pool.start(runtime, &[]).await;
                let mut warm = pool.warm();
                let closed = warm.closed;
                let kept = warm.runtimes.entry(runtime).or_default();
                kept.starting -= 1;
                match started {
                    Ok(host) if !closed => kept.ready.push(host),
                    Ok(_) => {}
                    Err(reason) => tracing::warn!(runtime, reason, "a warm host did not start"),
                }
            });
        }
    }

    /// Warm hosts that are ready.
    pub(super) fn ready(&self, runtime: &str) -> usize {
        self.warm().runtimes.get(runtime).map_or(0, |kept| kept.ready.len())
    }

    /// Ends the warm hosts, and keeps none from now on.
    pub(super) fn close(&self) {
        let ended = {
            let mut warm = self.warm();
            warm.closed = true;
            std::mem::take(&mut warm.runtimes)
        };
        drop(ended);
    }

    /// Starts a host and waits until it can be given its app.
    pub(super) async fn start(
        &self,
        runtime: &'static str,
        limits: &[(String, String)],
    ) -> Result<HostProcess, String> {
        let State { options, folder, next, no_own_user, .. } = &*self.0;
        let folder = || folder.join(next.fetch_add(1, Ordering::Relaxed).to_string());
        let own_user = options.confine == Confine::WherePossible && !no_own_user.load(Ordering::Relaxed);
        let start = Start { folder: folder(), runtime, limits, own_user };
        let started = match HostProcess::start(options, start).await {
            Err(NotStarted::NoOwnUser(reason)) => {
                if !no_own_user.swap(true, Ordering::Relaxed) {
                    tracing::warn!(reason, "hosts run without a user namespace of their own");
                }
                HostProcess::start(options, Start { folder: folder(), runtime, limits, own_user: false }).await
            }
            started => started,
        };
        started.map_err(|not| match not {
            NotStarted::NoOwnUser(reason) | NotStarted::Other(reason) => reason,
        })
    }

    /// Whether a host was refused a user namespace.
    pub(super) fn lacks_own_user(&self) -> bool {
        self.0.no_own_user.load(Ordering::Relaxed)
    }

    fn warm(&self) -> MutexGuard<'_, Warm> {
        self.0.warm.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Fills a pool when it is dropped, however what it was taken for has ended.
pub(super) struct Refill {
    state: Weak<State>,
    runtime: &'static str,
}

impl Drop for Refill {
    fn drop(&mut self) {
        // Where no task can be made any more, all ends.
        let Ok(here) = tokio::runtime::Handle::try_current() else { return };
        let (state, runtime) = (Weak::clone(&self.state), self.runtime);
        here.spawn(async move {
            tokio::time::sleep(REFILL_AFTER).await;
            if let Some(state) = state.upgrade() {
                Pool(state).refill(runtime);
            }
        });
    }
}

impl Drop for State {
    fn drop(&mut self) {
        remove(&self.folder);
    }
}
