//! Follows the rows of desired state and lets a backend converge towards them.

mod fleet;
mod lines;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ignite_core_model::InstanceId;
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
    /// Reports that the store has not taken yet.
    dirty: Vec<InstanceId>,
    gone: Vec<InstanceId>,
}

impl Agent {
    /// An agent for `backend`.
    #[must_use]
    pub fn new(meta: Meta, backend: Arc<dyn Backend>, options: AgentOptions) -> Self {
        let lines = Lines::new(meta.clone());
        Self {
            meta,
            backend,
            options,
            fleet: Fleet::default(),
            lines,
            seen: None,
            status: AgentStatus::default(),
            dirty: Vec::new(),
            gone: Vec::new(),
        }
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
            self.status.set(if round.is_ok() { Waits::Nothing } else { Waits::Store });
            if let Err(error) = round {
                let error = &error as &dyn std::error::Error;
                tracing::warn!(agent = self.options.name, error, "what should run could not be read or reported");
                wait = FAILED_WAIT;
            }
            let now = Instant::now();
            let wait = self.fleet.next_start(now).map_or(wait, |at| wait.min(at.saturating_duration_since(now)));
            tokio::select! {
                () = stop.cancelled() => break,
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
        for order in self.fleet.orders(Instant::now(), now_ms()) {
            match order {
                Order::Start(id, spec) => {
                    self.dirty.push(id);
                    self.backend.start(id, spec, reports.clone());
                }
                Order::Drain(id) => {
                    self.dirty.push(id);
                    self.backend.drain(id);
                }
                Order::Forget(id) => self.gone.push(id),
            }
        }
        self.report().await?;
        self.lines.write(now_ms()).await
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
            self.dirty.push(report.id);
        }
    }

    /// Tells the store what is different.
    async fn report(&mut self) -> Result<(), MetaError> {
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
