//! The protocol under random interleavings: executions that are invoked, cancelled, given up and read at random, and workers
//! in this process that answer them late, out of order, twice, in pieces, wrongly or never, and end at any moment.
//!
//! What must hold, whatever happens, is checked by [`World`]. A run is repeated by its seed, which a failure names; the
//! operating system still has its say in the order of things, so one seed is a family of interleavings.

mod caller;
mod worker;

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ignite_core_model::Limits;
use ignite_runtimes_executor::{DiscardLogs, Health};
use tokio::runtime::Handle;
use tokio::sync::{Notify, mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::config::{AppDir, ProcessConfig, ProcessRuntime};
use crate::executor::ProcessExecutor;
use crate::orphans::Orphans;
use crate::pool::Pool;
use crate::process::Process;
use crate::shared::{Shared, Stats};
use crate::worker::Worker;

/// Interleavings in one run of the tests.
const SEEDS: u64 = 300;
/// Those that run at once: others would only wait for a processor.
const AT_ONCE: usize = 6;
/// Executions of one interleaving.
const EXECUTIONS: u64 = 40;
/// How long one may take, whatever it does.
const RUN_MAX: Duration = Duration::from_secs(60);
/// What cancelled work may still take.
const GRACE: Duration = Duration::from_millis(30);

/// Numbers that look random, from a seed (SplitMix64).
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % sides
    }

    /// Another sequence, as random as this one.
    pub(crate) fn split(&mut self) -> Self {
        Self(self.roll(u64::MAX))
    }

    /// A short while, often none at all.
    pub(crate) async fn pause(&mut self, micros_max: u64) {
        match self.roll(3) {
            0 => {}
            1 => tokio::task::yield_now().await,
            _ => tokio::time::sleep(Duration::from_micros(self.roll(micros_max))).await,
        }
    }
}

/// What the callers and the workers of one interleaving know, and what is checked of it.
pub(crate) struct World {
    state: Mutex<State>,
    /// Slots that were given back.
    pub(crate) freed: AtomicU64,
    /// Workers shall end, and no more be started.
    pub(crate) over: AtomicBool,
}

#[derive(Default)]
struct State {
    /// Executions a worker has and has not ended, and the worker's process.
    running: HashMap<u64, Arc<Process>>,
    /// What was done with each execution by its number.
    fates: HashMap<u64, Fate>,
    /// Times a worker broke the protocol or ended.
    troubles: u64,
}

/// What a worker did with an execution.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It was given to a worker, which has not ended it, or ended before it did.
    Given,
    /// Whole, and before anything was sent that breaks the protocol.
    Answered,
    /// An error of the handler, in the same way.
    Failed,
    /// An answer that HTTP cannot carry.
    Odd,
    /// A streamed answer that was broken off by the handler.
    BrokenOff,
}

impl World {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A worker was given an execution.
    pub(crate) fn given(&self, number: u64, process: &Arc<Process>) {
        let mut state = self.state();
        let before = state.running.insert(number, Arc::clone(process));
        assert!(before.is_none(), "execution {number} was given to two workers");
        let before = state.fates.insert(number, Fate::Given);
        assert!(before.is_none(), "execution {number} was given twice");
    }

    /// A worker is about to say that an execution has ended.
    pub(crate) fn ended(&self, number: u64, fate: Fate) {
        let mut state = self.state();
        state.running.remove(&number);
        state.fates.insert(number, fate);
    }

    /// A worker has ended, and with it all it had.
    pub(crate) fn lost(&self, process: &Arc<Process>) {
        let mut state = self.state();
        state.running.retain(|_, of| !Arc::ptr_eq(of, process));
    }

    /// A worker is about to break the protocol, or to end.
    pub(crate) fn trouble(&self) {
        self.state().troubles += 1;
    }

    pub(crate) fn fate(&self, number: u64) -> Option<Fate> {
        self.state().fates.get(&number).cloned()
    }

    pub(crate) fn had_trouble(&self) -> bool {
        self.state().troubles > 0
    }

    /// A slot was given back. Its work must have stopped: a worker that still runs it has to be gone.
    fn freed(&self, number: u64) {
        self.freed.fetch_add(1, Ordering::Relaxed);
        if let Some(process) = self.state().running.get(&number) {
            let pid = process.child.pid();
            // Reaped before anything it had is let go of.
            let runs = std::path::Path::new(&format!("/proc/{}", pid.as_raw_nonzero())).exists();
            assert!(!runs, "the slot of execution {number} is free while its worker still runs it");
        }
    }
}

/// The right to run, which tells when it is given back.
pub(crate) struct Right(pub(crate) Arc<World>, pub(crate) u64);

impl Drop for Right {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.0.freed(self.1);
        }
    }
}

fn shared(capacity_of_all: u32) -> (Arc<Shared>, mpsc::UnboundedReceiver<crate::shared::Event>) {
    let (events, received) = mpsc::unbounded_channel();
    let limits = Limits { cancel_grace: GRACE, max_concurrency: capacity_of_all, ..Limits::default() };
    let config = ProcessConfig {
        app: AppDir { path: "/".into(), entrypoint: "chaos".into() },
        runtime: ProcessRuntime::Binary,
        limits,
        env: Vec::new(),
        logs: Arc::new(DiscardLogs),
    };
    let shared = Shared {
        config,
        pool: Mutex::new(Pool::default()),
        health: watch::Sender::new(Health::Ready),
        events,
        handle: Handle::current(),
        processes: Mutex::default(),
        workers: Mutex::default(),
        draining: AtomicBool::new(false),
        leaving: AtomicBool::new(false),
        idle: Notify::new(),
        served: AtomicBool::new(false),
        stats: Stats::default(),
        pace: crate::ahead::Pace::default(),
        orphans: Mutex::new(Orphans::new()),
        warm: Mutex::default(),
        oom_kills: AtomicU64::new(u64::MAX),
    };
    (Arc::new(shared), received)
}

/// One interleaving; how many executions were sent ahead, and how many of those taken back.
async fn run(seed: u64) -> (u64, u64) {
    let mut dice = Dice(seed);
    let workers = 1 + dice.roll(3) as u32;
    let capacity = [1, 2, 8][dice.roll(3) as usize];
    // Executions that a worker of one at a time is sent ahead: none, or a few.
    let ahead = if capacity == 1 { [0, 1, 4][dice.roll(3) as usize] } else { 0 };
    // How often workers misbehave: never, now and then, most of the time.
    let wildness = [0, 10, 60][dice.roll(3) as usize];
    let (shared, events) = shared(workers * capacity);
    let world = Arc::new(World { state: Mutex::default(), freed: AtomicU64::new(0), over: AtomicBool::new(false) });
    // How many of a hundred callers are in a hurry.
    let hurry = [20, 90][dice.roll(2) as usize];
    let mut lives = JoinSet::new();
    for _ in 0..workers {
        lives.spawn(worker::keep(Arc::clone(&shared), Arc::clone(&world), (capacity, ahead), wildness, dice.split()));
    }
    shared.pool().has_eager = true;
    let watch = tokio::spawn(crate::ahead::watch(Arc::clone(&shared)));
    let executor = Arc::new(ProcessExecutor::of(Arc::clone(&shared)));
    let mut callers = JoinSet::new();
    for number in 0..EXECUTIONS {
        callers.spawn(caller::call(
            Arc::clone(&executor),
            Arc::clone(&shared),
            Arc::clone(&world),
            number,
            hurry,
            dice.split(),
        ));
    }
    while let Some(done) = callers.join_next().await {
        if let Err(error) = done {
            std::panic::resume_unwind(error.into_panic());
        }
    }
    settle(&shared, &world).await;
    world.over.store(true, Ordering::SeqCst);
    while !lives.is_empty() {
        // One may have been on its way.
        for worker in shared.all_workers() {
            worker.process.child.kill();
        }
        if let Ok(Some(Err(error))) = tokio::time::timeout(Duration::from_millis(5), lives.join_next()).await {
            std::panic::resume_unwind(error.into_panic());
        }
    }
    assert_eq!(shared.pool().workers().len(), 0, "the pool has a worker that has ended");
    watch.abort();
    drop(events);
    let count = |of: &AtomicU64| of.load(Ordering::Relaxed);
    (count(&shared.stats.sent_ahead), count(&shared.stats.taken_back))
}

/// All slots come back, all tables are empty, and the pool counts nothing that is not there.
async fn settle(shared: &Arc<Shared>, world: &World) {
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        let in_flight: usize = shared.all_workers().iter().map(|worker| worker.in_flight()).sum();
        let pool_is_idle = {
            let pool = shared.pool();
            let is_zero = |of: &AtomicU32| of.load(Ordering::Relaxed) == 0;
            let is_idle = |worker: &Arc<Worker>| {
                is_zero(&worker.in_use) && is_zero(&worker.in_doubt) && is_zero(&worker.taken_back)
            };
            pool.waiting() == 0 && pool.workers().iter().all(is_idle)
        };
        if in_flight == 0 && pool_is_idle && world.freed.load(Ordering::Relaxed) == EXECUTIONS {
            return;
        }
        let freed = world.freed.load(Ordering::Relaxed);
        assert!(
            Instant::now() < deadline,
            "{in_flight} in flight, {freed} of {EXECUTIONS} slots free, idle: {pool_is_idle}"
        );
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

#[test]
fn the_protocol_holds_under_random_interleavings() {
    let wished = std::env::var("IGNITE_CHAOS_SEED").ok().and_then(|text| text.parse::<u64>().ok());
    let (first, count) = wished.map_or((1, SEEDS), |seed| (seed, 1));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(4).enable_all().build();
    runtime.expect("a runtime").block_on(async {
        let mut seeds = first..first + count;
        let mut running = JoinSet::new();
        let (mut sent_ahead, mut taken_back) = (0, 0);
        loop {
            while running.len() < AT_ONCE
                && let Some(seed) = seeds.next()
            {
                running.spawn(async move {
                    let run = tokio::spawn(tokio::time::timeout(RUN_MAX, run(seed)));
                    let failed = |what: &str| panic!("{what}; IGNITE_CHAOS_SEED={seed} repeats it");
                    match run.await {
                        Ok(Ok(counts)) => counts,
                        Ok(Err(_)) => failed("an interleaving hangs"),
                        Err(_) => failed("an interleaving failed, as told above"),
                    }
                });
            }
            match running.join_next().await {
                Some(Ok((sent, taken))) => (sent_ahead, taken_back) = (sent_ahead + sent, taken_back + taken),
                Some(Err(error)) => std::panic::resume_unwind(error.into_panic()),
                None => break,
            }
        }
        assert!(
            wished.is_some() || (sent_ahead > 0 && taken_back > 0),
            "{sent_ahead} ahead, {taken_back} of them back"
        );
    });
}
