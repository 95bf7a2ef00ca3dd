//! Keeps the processes there should be: one worker always, more while executions wait, none after the end.

use std::hash::{BuildHasher as _, RandomState};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use ignite_runtimes_executor::Health;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior};

use crate::backoff::Backoff;
use crate::life::{self, Ended, Role};
use crate::process::KillReason;
use crate::shared::{Event, Shared};
use crate::worker::Worker;
use crate::zygote::Zygote;

/// A worker beyond the first goes after it has had nothing to do for this long.
const IDLE_MAX: Duration = Duration::from_secs(60);

/// Between two looks for idle workers.
const TICK: Duration = Duration::from_secs(5);

/// Workers a core that are started as soon as somebody waits: that many keep it busy.
const WORKERS_PER_CORE: usize = 4;

/// Further ones are started for those who have waited this long, at most as many as there are: where handlers are short, more
/// processes only take turns on the same cores.
const PATIENCE: Duration = Duration::from_millis(10);

/// A zygote forks one worker before anybody needs it, this long after it was last busy with one that was: a fork copies
/// page tables and makes the first answers of its siblings slower.
const SPARE_PAUSE: Duration = Duration::from_millis(10);

/// After a crash loop a worker must live this long before the app counts as healthy again.
const PROBATION: Duration = Duration::from_secs(1);

/// How long a zygote may take to go.
const ZYGOTE_LEAVE_MAX: Duration = Duration::from_secs(1);

/// Runs until [`Event::Stop`] was sent and all processes have ended.
pub(crate) async fn supervise(shared: Arc<Shared>, mut events: mpsc::UnboundedReceiver<Event>) {
    let mut supervisor = Supervisor {
        shared,
        tasks: JoinSet::new(),
        zygote: None,
        by_zygote: false,
        capacity: None,
        bases: Counter::default(),
        forks: Counter::default(),
        spares: Counter::default(),
        spare_at: None,
        backoff: Backoff::default(),
        not_before: None,
        look_again: None,
        eager_max: WORKERS_PER_CORE * cores(),
        probation_ends: None,
        failed: None,
        stopping: false,
    };
    let mut tick = tokio::time::interval(TICK);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    supervisor.step();
    while !(supervisor.stopping && supervisor.tasks.is_empty()) {
        let wake_at = supervisor.wake_at();
        tokio::select! {
            Some(event) = events.recv() => supervisor.on_event(event),
            Some(ended) = supervisor.tasks.join_next() => supervisor.on_task_end(ended),
            () = until(wake_at) => {}
            _ = tick.tick() => supervisor.dismiss_idle(),
        }
        supervisor.step();
    }
}

/// Cores this process may use, as they were when somebody first asked.
pub(crate) fn cores() -> usize {
    static CORES: LazyLock<usize> = LazyLock::new(|| std::thread::available_parallelism().map_or(1, usize::from));
    *CORES
}

async fn until(moment: Option<Instant>) {
    match moment {
        Some(moment) => tokio::time::sleep_until(moment).await,
        None => std::future::pending().await,
    }
}

struct Supervisor {
    shared: Arc<Shared>,
    tasks: JoinSet<Ended>,
    zygote: Option<Arc<Zygote>>,
    /// This runtime forks its workers; known once the first process is ready.
    by_zygote: bool,
    /// Executions each worker can run at once, once known.
    capacity: Option<u32>,
    /// Programs that have not become ready.
    bases: Counter,
    /// Forks that have not become workers.
    forks: Counter,
    /// The fork that nobody needs yet, where it has not become a worker.
    spares: Counter,
    /// When that one is to be made.
    spare_at: Option<Instant>,
    backoff: Backoff,
    not_before: Option<Instant>,
    /// When those who wait now will have waited long enough for another worker.
    look_again: Option<Instant>,
    /// Workers that are started as soon as somebody waits.
    eager_max: usize,
    probation_ends: Option<Instant>,
    failed: Option<String>,
    stopping: bool,
}

impl Supervisor {
    fn on_event(&mut self, event: Event) {
        match event {
            Event::Demand => {}
            Event::Zygote(zygote, _on_its_way) => {
                self.by_zygote = true;
                self.capacity = Some(zygote.capacity);
                self.zygote = Some(zygote);
            }
            Event::Stop => self.stop(),
        }
    }

    fn stop(&mut self) {
        self.stopping = true;
        if let Some(zygote) = &self.zygote {
            zygote.leave();
            let process = Arc::clone(&zygote.process);
            // Bounded by the wait; the zygote's own task sees the end.
            self.shared.handle.spawn(async move {
                if tokio::time::timeout(ZYGOTE_LEAVE_MAX, process.child.ended()).await.is_err() {
                    process.kill(KillReason::Surplus);
                }
            });
        }
        if self.bases.get() > 0 || self.forks.get() > 0 || self.spares.get() > 0 {
            // Nobody will use what is being loaded. Workers that are ready were asked to go before.
            let serving = self.shared.all_workers();
            for process in self.shared.processes().iter() {
                let is_worker = serving.iter().any(|worker| Arc::ptr_eq(&worker.process, process));
                let is_zygote = self.zygote.as_ref().is_some_and(|zygote| Arc::ptr_eq(&zygote.process, process));
                if !is_worker && !is_zygote {
                    process.kill(KillReason::Surplus);
                }
            }
        }
    }

    fn on_task_end(&mut self, ended: Result<Ended, tokio::task::JoinError>) {
        let ended = ended.unwrap_or_else(|error| {
            let cause = format!("internal error while serving a worker: {error}");
            Ended { role: Role::Starting, cause, expected: false, conclusive: false }
        });
        if ended.role == Role::Zygote {
            self.zygote = None;
        }
        if self.shared.served.swap(false, Ordering::Relaxed) {
            self.backoff.served();
        }
        if ended.expected || self.stopping {
            return;
        }
        let wait = self.backoff.ended(dice());
        self.not_before = Some(Instant::now() + wait);
        let again = match wait.as_millis() {
            0 => "starting again at once".to_owned(),
            wait_ms => format!("starting again in {wait_ms} ms"),
        };
        self.shared.log("error", None, &format!("{}; {again}", ended.cause), "");
        if ended.conclusive {
            self.failed = Some(ended.cause);
        } else if self.backoff.is_crash_loop() {
            let ends = self.backoff.ends();
            self.failed = Some(format!("crash loop, {ends} ends without a served request: {}", ended.cause));
        }
        self.probation_ends = None;
    }

    /// Starts what is missing and says how things stand.
    fn step(&mut self) {
        if self.not_before.is_some_and(|moment| moment <= Instant::now()) {
            self.not_before = None;
        }
        if !self.stopping && self.not_before.is_none() {
            self.fill();
        }
        self.say_health();
    }

    fn fill(&mut self) {
        let now = Instant::now();
        let mut pool = self.shared.pool();
        if let Some(worker) = pool.workers().first() {
            self.capacity = Some(worker.capacity);
        }
        let capacity = self.capacity.unwrap_or(u32::MAX);
        let workers_max = self.shared.config.limits.max_concurrency.div_ceil(capacity).max(1) as usize;
        let workers = pool.workers().len();
        let places = |waiting: usize| workers + waiting.div_ceil(capacity as usize);
        let at_once = places(pool.waiting()).min(self.eager_max);
        let patient = pool.waiting_since().take_while(|since| now.duration_since(*since) >= PATIENCE).count();
        let later = places(patient).min(workers * 2);
        let wanted = at_once.max(later).clamp(1, workers_max);
        pool.may_grow = wanted < workers_max;
        pool.has_eager = workers >= self.eager_max.min(workers_max);
        // Those who have just come are looked at again when they have waited long enough.
        self.look_again = pool
            .waiting_since()
            .next()
            .filter(|_| pool.may_grow)
            .map(|since| (since + PATIENCE).max(now + PATIENCE / 4));
        pool.told = self.look_again.is_some();
        pool.spare_below = if self.by_zygote { self.eager_max.min(workers_max) } else { 0 };
        let workers = workers + usize::from(workers < wanted && pool.use_spare());
        let (has_spare, waiting) = (pool.has_spare(), pool.waiting());
        drop(pool);
        match (self.by_zygote, &self.zygote) {
            (true, Some(zygote)) => {
                // A spare one on its way is used when it arrives.
                for _ in workers + self.forks.get() + self.spares.get()..wanted {
                    let task = life::fork(Arc::clone(&self.shared), Arc::clone(zygote), self.forks.add());
                    self.tasks.spawn(task);
                }
                let on_their_way = self.forks.get() + self.spares.get();
                let wants_spare = workers > 0 && !has_spare && waiting == 0 && on_their_way == 0;
                self.spare_at = match self.spare_at {
                    _ if !wants_spare => None,
                    None => Some(now + SPARE_PAUSE),
                    Some(moment) if moment > now => Some(moment),
                    Some(_) => {
                        let way = self.spares.add().into_spare();
                        self.tasks.spawn(life::fork(Arc::clone(&self.shared), Arc::clone(zygote), way));
                        None
                    }
                };
            }
            (true, None) if self.bases.get() > 0 => {}
            (true, None) => self.start_base(),
            (false, _) => {
                for _ in workers + self.bases.get()..wanted {
                    self.start_base();
                }
            }
        }
    }

    fn start_base(&mut self) {
        self.tasks.spawn(life::start(Arc::clone(&self.shared), self.bases.add()));
    }

    fn say_health(&mut self) {
        let ready = !self.shared.pool().workers().is_empty();
        if ready && self.backoff.is_crash_loop() && !self.shared.served.load(Ordering::Relaxed) {
            // It looked ready before, and ended.
            let ends = *self.probation_ends.get_or_insert_with(|| Instant::now() + PROBATION);
            if ends <= Instant::now() {
                self.failed = None;
            }
        } else if ready {
            self.failed = None;
        }
        let health = match (&self.failed, ready) {
            _ if self.shared.is_draining() => Health::Draining,
            (Some(reason), _) => Health::Failed(reason.clone()),
            (None, true) => Health::Ready,
            (None, false) => Health::Starting,
        };
        if matches!(health, Health::Failed(_)) && !ready {
            self.shared.pool().dismiss();
        }
        self.shared.health.send_if_modified(|known| {
            let changed = *known != health;
            *known = health;
            changed
        });
    }

    /// When there is something to do without an event.
    fn wake_at(&self) -> Option<Instant> {
        let probation = self.probation_ends.filter(|_| self.failed.is_some());
        // Nothing is started before that moment, whoever waits.
        let start = self.not_before.or(self.look_again);
        let spare = self.spare_at.filter(|_| self.not_before.is_none());
        [start, spare, probation].into_iter().flatten().min()
    }

    fn dismiss_idle(&self) {
        let workers: Vec<Arc<Worker>> = self.shared.pool().workers().to_vec();
        for worker in workers.iter().skip(1) {
            if worker.idle_for().is_some_and(|idle| idle > IDLE_MAX) {
                worker.retire();
            }
        }
    }
}

/// Counts things that are on their way.
#[derive(Debug, Clone, Default)]
pub(crate) struct Counter(Arc<AtomicUsize>);

/// One of the things counted; dropping it says that it has arrived, or never will.
#[derive(Debug)]
pub(crate) struct OnItsWay {
    counter: Counter,
    spare: bool,
}

impl Counter {
    fn get(&self) -> usize {
        self.0.load(Ordering::Acquire)
    }

    pub(crate) fn add(&self) -> OnItsWay {
        self.0.fetch_add(1, Ordering::AcqRel);
        OnItsWay { counter: self.clone(), spare: false }
    }
}

impl OnItsWay {
    /// As a worker that nobody needs yet.
    fn into_spare(mut self) -> Self {
        self.spare = true;
        self
    }

    /// Whether nobody needs it yet.
    pub(crate) fn is_spare(&self) -> bool {
        self.spare
    }
}

impl Drop for OnItsWay {
    fn drop(&mut self) {
        self.counter.0.fetch_sub(1, Ordering::AcqRel);
    }
}

/// A byte of chance. The keys of a new hasher are random; nothing here needs better.
fn dice() -> u8 {
    RandomState::new().hash_one(0) as u8
}
