//! Follows the rows of desired state and lets a backend converge towards them.

mod fleet;
mod lines;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ignite_core_model::{FunctionId, InstanceId, VersionNumber};
use ignite_store_meta::{ChangeItem, Changes, Instance, Meta, MetaError, Topic};
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::{Backend, Report, Said};
use fleet::{Fleet, Order};
use lines::Lines;

/// Reports that may wait to be taken.
const REPORTS_WAITING_MAX: usize = 1024;

/// Reports taken together: one write to the store for all of them.
const REPORTS_TAKEN_MAX: usize = 256;

/// Longest time between two looks at the rows, when no signal comes.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Changes read at once.
const CHANGES_MAX: u32 = 256;

/// How long a round that failed waits before it tries again.
const FAILED_WAIT: Duration = Duration::from_secs(1);

/// How long an instance may be starting before the store is told. Most are up sooner, and only that is written: each report is
/// a write to disk that everybody waits for.
const STARTING_TOLD_AFTER: Duration = Duration::from_millis(50);

/// Wakes that may wait to be taken. Who waits for one that was dropped calls again.
const WAKES_WAITING_MAX: usize = 1024;

/// Hears of instances before the store does, in the agent's own process. Must not block.
pub type Hears = Arc<dyn Fn(ChangeItem) + Send + Sync>;

/// Tells an agent in the same process that a request waits for a version without an instance.
///
/// It is a hint, ahead of the row that will say the same: the agent starts what it knows how to start, and ends it again where
/// no such row comes.
#[derive(Debug, Clone)]
pub struct Wakes(mpsc::Sender<(FunctionId, VersionNumber)>);

impl Wakes {
    /// A request waits. Does not block.
    pub fn wake(&self, app: &FunctionId, version: VersionNumber) {
        let _ = self.0.try_send((app.clone(), version));
    }
}

/// How an agent is called and how long it may take to end.
#[derive(Debug, Clone)]
pub struct AgentOptions {
    /// A name that stays the same when the agent is started anew, and that no other has.
    pub name: String,
    /// How long instances may take to drain when the agent ends.
    pub drain_max: Duration,
}

/// What an agent waits for; for probes.
#[derive(Debug, Clone, Default)]
pub struct AgentStatus(Arc<Mutex<Waits>>);

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Waits {
    #[default]
    FirstLook,
    Store,
    End,
    Nothing,
}

impl AgentStatus {
    /// What it waits for, in words; `None` when it converges as it should.
    #[must_use]
    pub fn waits_for(&self) -> Option<&'static str> {
        match *self.0.lock().unwrap_or_else(PoisonError::into_inner) {
            Waits::FirstLook => Some("the rows that say what should run: they were not read yet"),
            Waits::Store => Some("the store of records: what runs goes on"),
            Waits::End => Some("its instances to end: it is shutting down"),
            Waits::Nothing => None,
        }
    }

    fn set(&self, waits: Waits) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = waits;
    }
}

/// Follows desired state and reports instances.
pub struct Agent {
    meta: Meta,
    backend: Arc<dyn Backend>,
    options: AgentOptions,
    fleet: Fleet,
    lines: Lines,
    /// The change that is taken in; `None` before the first look.
    seen: Option<u64>,
    status: AgentStatus,
    wakes: Wakes,
    woken: mpsc::Receiver<(FunctionId, VersionNumber)>,
    hears: Option<Hears>,
    /// Reports that the store has not taken yet.
    dirty: Vec<InstanceId>,
    gone: Vec<InstanceId>,
    /// What was started and is told when there is other news, or at this time.
    starting: Vec<InstanceId>,
    starting_told: Option<Instant>,
}

impl Agent {
    /// An agent for `backend`.
    #[must_use]
    pub fn new(meta: Meta, backend: Arc<dyn Backend>, options: AgentOptions) -> Self {
        let lines = Lines::new(meta.clone());
        let (sender, woken) = mpsc::channel(WAKES_WAITING_MAX);
        Self {
            meta,
            backend,
            options,
            fleet: Fleet::default(),
            lines,
            seen: None,
            status: AgentStatus::default(),
            wakes: Wakes(sender),
            woken,
            hears: None,
            dirty: Vec::new(),
            gone: Vec::new(),
            starting: Vec::new(),
            starting_told: None,
        }
    }

    /// How those who see requests in this process tell it that one waits.
    #[must_use]
    pub fn wakes(&self) -> Wakes {
        self.wakes.clone()
    }

    /// Lets `hears` know at once what the store is told a little later.
    pub fn heard_by(&mut self, hears: Hears) {
        self.hears = Some(hears);
    }

    /// What it waits for, now and while it runs.
    #[must_use]
    pub fn status(&self) -> AgentStatus {
        self.status.clone()
    }

    /// Converges until `stop`, then drains what runs.
    ///
    /// The store may be away for any time: what runs goes on, and is reported when it is back.
    pub async fn run(mut self, stop: CancellationToken) {
        let (sender, mut reports) = mpsc::channel(REPORTS_WAITING_MAX);
        let mut signal = self.meta.subscribe(Topic::Changes);
        let mut taken = Vec::with_capacity(REPORTS_TAKEN_MAX);
        loop {
            let mut wait = LOOK_EVERY;
            let round = self.round(&sender).await;
            let round_failed = round.is_err();
            self.status.set(if round_failed { Waits::Store } else { Waits::Nothing });
            if let Err(error) = round {
                let error = &error as &dyn std::error::Error;
                tracing::warn!(agent = self.options.name, error, "what should run could not be read or reported");
                wait = FAILED_WAIT;
            }
            let now = Instant::now();
            let turns = [self.fleet.next_turn(now), self.lines.due(), self.starting_told];
            let next = turns.into_iter().flatten().min().map(|at| at.saturating_duration_since(now));
            // What is due and was not done has failed, and is tried again after the wait for that.
            let wait = if round_failed { wait } else { next.map_or(wait, |next| wait.min(next)) };
            tokio::select! {
                () = stop.cancelled() => break,
                Some((app, version)) = self.woken.recv() => {
                    // What has failed is told before it is started again.
                    if self.dirty.is_empty() && self.fleet.wake(&app, version, Instant::now()) {
                        self.order(&sender);
                    }
                }
                () = signal.wait(wait) => {}
                _ = reports.recv_many(&mut taken, REPORTS_TAKEN_MAX) => self.take(&mut taken),
            }
        }
        self.status.set(Waits::End);
        self.end(&mut reports).await;
    }

    async fn round(&mut self, reports: &mpsc::Sender<Report>) -> Result<(), MetaError> {
        self.follow().await?;
        // What failed is told before it is started again.
        self.report().await?;
        self.order(reports);
        self.report().await?;
        if self.lines.due().is_some_and(|due| due <= Instant::now()) {
            self.lines.write(now_ms()).await?;
        }
        Ok(())
    }

    /// Lets the backend do what brings the instances in line with the rows.
    fn order(&mut self, reports: &mpsc::Sender<Report>) {
        let now = Instant::now();
        for order in self.fleet.orders(now, now_ms()) {
            match order {
                Order::Start(id, spec) => {
                    self.starting.push(id);
                    self.starting_told.get_or_insert(now + STARTING_TOLD_AFTER);
                    self.backend.start(id, spec, reports.clone());
                }
                Order::Drain(id) => {
                    self.dirty.push(id);
                    self.tell(id);
                    self.backend.drain(id);
                }
                Order::Forget(id) => self.gone.push(id),
            }
        }
    }

    /// Tells of an instance who hears of it in this process.
    fn tell(&self, id: InstanceId) {
        if let Some(hears) = &self.hears {
            let row = self.fleet.row(id, &self.options.name, now_ms());
            hears(row.map_or(ChangeItem::InstanceRemoved(id), ChangeItem::InstanceSet));
        }
    }

    /// Takes in what changed since the last look.
    async fn follow(&mut self) -> Result<(), MetaError> {
        let Some(mut after) = self.seen else { return self.begin().await };
        loop {
            match self.meta.changes_since(after, CHANGES_MAX).await? {
                Changes::TooOld => return self.begin().await,
                Changes::Since { upto, items } => {
                    let done = upto == after;
                    for item in items {
                        match item {
                            ChangeItem::DesiredSet(row) => self.fleet.want(row),
                            ChangeItem::DesiredRemoved(app, version) => self.fleet.want_no_more(&app, version),
                            _ => {}
                        }
                    }
                    after = upto;
                    self.seen = Some(upto);
                    if done {
                        return Ok(());
                    }
                }
            }
        }
    }

    /// Reads all there is. What a former life of this agent has left died with it, as backends promise.
    async fn begin(&mut self) -> Result<(), MetaError> {
        let snapshot = self.meta.snapshot().await?;
        self.fleet.want_only(snapshot.desired);
        for old in self.meta.list_agent_instances(&self.options.name).await? {
            if !self.fleet.has(old.id) {
                self.gone.push(old.id);
            }
        }
        self.seen = Some(snapshot.sequence);
        Ok(())
    }

    fn take(&mut self, reports: &mut Vec<Report>) {
        for report in reports.drain(..) {
            if let Said::Line(line) = report.said {
                if let Some(app) = self.fleet.app_of(report.id) {
                    self.lines.push(app, now_ms(), line);
                }
                continue;
            }
            if matches!(report.said, Said::Ended { .. }) && !self.fleet.stays(report.id, &report.said) {
                self.gone.push(report.id);
            }
            self.fleet.take(report.id, report.said, Instant::now());
            self.tell(report.id);
            self.dirty.push(report.id);
        }
    }

    /// Tells the store what is different.
    async fn report(&mut self) -> Result<(), MetaError> {
        let told = self.starting_told.is_some_and(|at| at <= Instant::now());
        if told || !self.dirty.is_empty() || !self.gone.is_empty() {
            self.dirty.append(&mut self.starting);
            self.starting_told = None;
        }
        if self.dirty.is_empty() && self.gone.is_empty() {
            return Ok(());
        }
        self.dirty.sort_unstable();
        self.dirty.dedup();
        let now_ms = now_ms();
        let instances: Vec<Instance> =
            self.dirty.iter().filter_map(|id| self.fleet.row(*id, &self.options.name, now_ms)).collect();
        self.meta.report_instances(&self.options.name, &instances, &self.gone).await?;
        self.dirty.clear();
        self.gone.clear();
        Ok(())
    }

    async fn end(&mut self, reports: &mut mpsc::Receiver<Report>) {
        for id in self.fleet.all() {
            self.backend.drain(id);
        }
        let deadline = Instant::now() + self.options.drain_max;
        let mut taken = Vec::new();
        while !self.fleet.is_empty() {
            let received = tokio::time::timeout_at(deadline, reports.recv_many(&mut taken, REPORTS_TAKEN_MAX)).await;
            if received.is_err() {
                tracing::warn!(agent = self.options.name, "instances did not drain in time and are ended");
                break;
            }
            self.take(&mut taken);
        }
        let written = async {
            self.report().await?;
            self.lines.write(now_ms()).await
        };
        if let Err(error) = written.await {
            let error = &error as &dyn std::error::Error;
            tracing::warn!(agent = self.options.name, error, "the end of instances could not be reported");
        }
    }
}

fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
