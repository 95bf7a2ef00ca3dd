//! One app of many: what is known of it while it is idle, and its executor while it is not.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use ignite_core_artifact::DeclaredLimits;
use ignite_core_model::{Digest, FunctionId, HostLabel};
use tokio::sync::watch;

use super::folder::Entry;
use crate::serving::Serving;

/// How long an app whose code did not load is not tried again.
const AGAIN_AFTER: Duration = Duration::from_secs(5);

/// An app of the folder, in one version.
pub(crate) struct App {
    pub(crate) label: HostLabel,
    pub(crate) function: FunctionId,
    pub(crate) entry: Entry,
    pub(crate) component: Component,
    pub(crate) declared: DeclaredLimits,
    /// Counted over all versions of the app.
    pub(crate) counts: Arc<Counts>,
    /// When it was used last, as a number that grows.
    pub(crate) used: AtomicU64,
    state: Mutex<State>,
}

/// Where its code is.
#[derive(Debug, Clone)]
pub(crate) struct Component {
    /// Its path within the artifact.
    pub(crate) path: PathBuf,
    pub(crate) digest: Digest,
}

enum State {
    /// Known, and nothing more.
    Idle,
    /// Somebody loads it. The channel closes when that has ended.
    Loading(watch::Receiver<()>),
    Loaded(Arc<Serving>),
    /// Its code did not load.
    Failed {
        reason: String,
        at: Instant,
    },
    /// It was removed or replaced.
    Gone,
}

/// What [`App::enter`] found.
pub(crate) enum Entered {
    /// It is loaded; a request is counted.
    Now(Arc<Serving>),
    /// Somebody loads it; this resolves when that has ended.
    Wait(watch::Receiver<()>),
    /// The caller has to load it, and drops the sender when it has.
    Load(watch::Sender<()>),
    /// Its code does not load.
    Failed(String),
    /// It is not this version that is served any more.
    Gone,
}

impl App {
    pub(crate) fn new(
        label: HostLabel,
        function: FunctionId,
        entry: Entry,
        component: Component,
        declared: DeclaredLimits,
        counts: Arc<Counts>,
    ) -> Self {
        let (used, state) = (AtomicU64::new(0), Mutex::new(State::Idle));
        Self { label, function, entry, component, declared, counts, used, state }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins a request, where it is loaded. Under the lock, so that nobody unloads it in between.
    pub(crate) fn enter(&self) -> Entered {
        let mut state = self.state();
        match &*state {
            State::Loaded(serving) => {
                serving.begin_request();
                Entered::Now(Arc::clone(serving))
            }
            State::Loading(done) => Entered::Wait(done.clone()),
            State::Failed { reason, at } if at.elapsed() < AGAIN_AFTER => Entered::Failed(reason.clone()),
            State::Idle | State::Failed { .. } => {
                let (sender, receiver) = watch::channel(());
                *state = State::Loading(receiver);
                Entered::Load(sender)
            }
            State::Gone => Entered::Gone,
        }
    }

    /// How the load ended. Gives back what nobody may use, because the app has gone meanwhile.
    pub(crate) fn loaded(&self, result: Result<Arc<Serving>, String>) -> Option<Arc<Serving>> {
        let mut state = self.state();
        let next = match (&*state, result) {
            (State::Gone, result) => return result.ok(),
            (_, Ok(serving)) => State::Loaded(serving),
            (_, Err(reason)) => State::Failed { reason, at: Instant::now() },
        };
        *state = next;
        None
    }

    /// Lets go of its executor, unless a request is in hand.
    pub(crate) fn unload(&self) -> Option<Arc<Serving>> {
        let mut state = self.state();
        match &*state {
            State::Loaded(serving) if serving.requests() == 0 => {}
            _ => return None,
        }
        match std::mem::replace(&mut *state, State::Idle) {
            State::Loaded(serving) => Some(serving),
            _ => None,
        }
    }

    /// Takes no request any more. Gives its executor, which has to be drained.
    pub(crate) fn retire(&self) -> Option<Arc<Serving>> {
        match std::mem::replace(&mut *self.state(), State::Gone) {
            State::Loaded(serving) => Some(serving),
            _ => None,
        }
    }

    pub(crate) fn is_loaded(&self) -> bool {
        matches!(&*self.state(), State::Loaded(_))
    }

    /// Executions that run and that wait.
    pub(crate) fn busy(&self) -> (usize, u32) {
        match &*self.state() {
            State::Loaded(serving) => (serving.admission.in_flight(), serving.admission.waiting()),
            _ => (0, 0),
        }
    }
}

/// What is counted of one app.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    /// Answers by class of status, from 2xx to 5xx.
    answers: [AtomicU64; 4],
    /// Times it was loaded.
    pub(crate) loads: AtomicU64,
    /// Log lines dropped because they were too many.
    pub(crate) lines_dropped: AtomicU64,
}

/// The classes, as metrics name them.
pub(crate) const CLASSES: [&str; 4] = ["2xx", "3xx", "4xx", "5xx"];

impl Counts {
    pub(crate) fn answered(&self, status: u16) {
        self.answers[usize::from(status / 100).clamp(2, 5) - 2].fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn by_class(&self) -> [u64; 4] {
        [0, 1, 2, 3].map(|class| self.answers[class].load(Ordering::Relaxed))
    }
}
