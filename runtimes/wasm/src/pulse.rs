//! The clock of guests: one thread per process that advances the epoch of each engine with work.
//!
//! Guests look at the epoch of their engine at each loop and call; when it has moved they come out and may be put aside.
//! The thread sleeps for good while nothing runs.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock, Mutex, PoisonError, Weak};
use std::thread::Thread;
use std::time::Duration;

use wasmtime::Engine;

/// Time between two beats.
pub(crate) const TICK: Duration = Duration::from_millis(2);

/// Beats without work before the thread goes to sleep. Waking it costs a system call, so it stays up between requests that
/// follow each other closely.
const IDLE_TICKS_MAX: u32 = 50;

static CLOCK: LazyLock<Clock> = LazyLock::new(Clock::start);

struct Clock {
    pulses: Mutex<Vec<Weak<Pulse>>>,
    asleep: AtomicBool,
    thread: Option<Thread>,
}

impl Clock {
    fn start() -> Self {
        let spawned = std::thread::Builder::new().name("ignite-wasm-clock".into()).spawn(|| CLOCK.run());
        let thread = spawned.ok().map(|handle| handle.thread().clone());
        Self { pulses: Mutex::new(Vec::new()), asleep: AtomicBool::new(false), thread }
    }

    fn run(&self) {
        let mut idle = 0;
        loop {
            std::thread::sleep(TICK);
            if self.beat() {
                idle = 0;
                continue;
            }
            idle += 1;
            if idle < IDLE_TICKS_MAX {
                continue;
            }
            // Sleep is announced before the last look at the work: whoever begins after that look sees the announcement
            // and wakes this thread.
            self.asleep.store(true, Ordering::SeqCst);
            if self.beat() {
                self.asleep.store(false, Ordering::SeqCst);
            }
            while self.asleep.load(Ordering::SeqCst) {
                std::thread::park();
            }
            idle = 0;
        }
    }

    /// Advances each engine with work; whether there was one.
    fn beat(&self) -> bool {
        let mut busy = false;
        let mut pulses = self.pulses.lock().unwrap_or_else(PoisonError::into_inner);
        pulses.retain(|pulse| {
            let Some(pulse) = pulse.upgrade() else { return false };
            if pulse.running.load(Ordering::SeqCst) > 0 {
                busy = true;
                pulse.engine.increment_epoch();
            }
            true
        });
        busy
    }

    fn wake(&self) {
        if self.asleep.load(Ordering::SeqCst)
            && self.asleep.swap(false, Ordering::SeqCst)
            && let Some(thread) = &self.thread
        {
            thread.unpark();
        }
    }
}

/// The beat of one engine.
pub(crate) struct Pulse {
    engine: Engine,
    running: AtomicUsize,
}

impl Pulse {
    /// A pulse for `engine`; `None` when the clock's thread cannot be started.
    pub(crate) fn new(engine: &Engine) -> Option<Arc<Self>> {
        CLOCK.thread.as_ref()?;
        let pulse = Arc::new(Self { engine: engine.clone(), running: AtomicUsize::new(0) });
        CLOCK.pulses.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::downgrade(&pulse));
        Some(pulse)
    }

    /// Keeps the epoch moving until the beat is dropped.
    pub(crate) fn begin(&self) -> Beat<'_> {
        self.running.fetch_add(1, Ordering::SeqCst);
        CLOCK.wake();
        Beat(self)
    }

    /// Executions that run or wait inside this engine.
    pub(crate) fn running(&self) -> usize {
        self.running.load(Ordering::Relaxed)
    }
}

/// One execution for which the epoch moves.
pub(crate) struct Beat<'a>(&'a Pulse);

impl Drop for Beat<'_> {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, Ordering::SeqCst);
    }
}
