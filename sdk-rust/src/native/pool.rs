//! Threads for handlers, which may block.
//!
//! A thread for each job would be simple, and waking one costs more than a quick handler does. So jobs are measured:
//! while they are quick, as many threads work as there are processors, and one takes job after job without sleeping in
//! between. Once they take their time, every job has a thread at once. A watch looks after the case between: quick jobs
//! of which some block all threads.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use tokio::runtime::Handle;

use crate::execution::lock;

/// A job that takes this long on average has a thread of its own at once.
const SLOW: Duration = Duration::from_micros(100);

/// How long quick jobs may stand still before all that wait get a thread.
const STALL: Duration = Duration::from_millis(1);

/// A thread that found nothing to do for this long ends.
const IDLE: Duration = Duration::from_secs(10);

type Job = Box<dyn FnOnce() + Send>;

/// The threads and what waits for them.
pub(super) struct Pool {
    state: Mutex<State>,
    work: Condvar,
    threads_max: usize,
    /// Threads that work side by side while jobs are quick.
    processors: usize,
    runtime: Handle,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<Job>,
    threads: usize,
    /// Threads that wait for work and were not woken yet.
    idle: usize,
    /// Jobs that threads were woken or started for and have not taken yet.
    called: usize,
    /// Jobs taken so far: tells the watch whether there is progress.
    taken: u64,
    watched: bool,
    /// Moving average of the time a job takes, in nanoseconds.
    average_ns: u64,
}

impl Pool {
    /// A pool that runs up to `threads_max` jobs at once, each as if within `runtime`. It starts no thread before there is
    /// work.
    pub(super) fn new(threads_max: usize, runtime: Handle) -> Arc<Self> {
        let processors = thread::available_parallelism().map_or(1, |count| count.get());
        Arc::new(Self { state: Mutex::default(), work: Condvar::new(), threads_max, processors, runtime })
    }

    /// Runs `job` on a thread it may block.
    pub(super) fn run(self: &Arc<Self>, job: Job) {
        let mut state = lock(&self.state);
        state.waiting.push_back(job);
        // Until a job was measured they count as slow: nothing is known of them.
        let is_slow = state.taken == 0 || state.average_ns > SLOW.as_nanos() as u64;
        let busy = state.threads - state.idle;
        if is_slow || busy < self.processors {
            self.call_thread(&mut state);
        } else if !state.watched {
            state.watched = true;
            self.runtime.spawn(self.clone().watch());
        }
    }

    /// Wakes or starts a thread for one waiting job, unless all there may be are at work.
    fn call_thread(self: &Arc<Self>, state: &mut State) {
        if state.called >= state.waiting.len() {
            return;
        }
        if state.idle > 0 {
            state.idle -= 1;
            state.called += 1;
            self.work.notify_one();
        } else if state.threads < self.threads_max {
            let pool = self.clone();
            // Where the machine has no more threads, those at work take the job in their turn.
            if thread::Builder::new().name("ignite-handler".to_owned()).spawn(move || pool.work()).is_ok() {
                state.threads += 1;
                state.called += 1;
            }
        }
    }

    fn work(&self) {
        let _runtime = self.runtime.enter();
        let mut state = lock(&self.state);
        state.called = state.called.saturating_sub(1);
        loop {
            while let Some(job) = state.waiting.pop_front() {
                state.taken += 1;
                drop(state);
                let start = Instant::now();
                job();
                let took = u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX);
                state = lock(&self.state);
                state.average_ns = state.average_ns - state.average_ns / 8 + took / 8;
            }
            state.idle += 1;
            let (woken, timeout) = match self.work.wait_timeout(state, IDLE) {
                Ok(woken) => woken,
                Err(poisoned) => poisoned.into_inner(),
            };
            state = woken;
            if state.called > 0 {
                // `call_thread` counted this one, or another that takes its place, as busy.
                state.called -= 1;
            } else if timeout.timed_out() {
                state.idle -= 1;
                state.threads -= 1;
                return;
            } else {
                state.idle -= 1;
            }
        }
    }

    /// Calls threads for all waiting jobs when none of them is taken for a while.
    async fn watch(self: Arc<Self>) {
        let mut taken = None;
        loop {
            {
                let mut state = lock(&self.state);
                if state.waiting.is_empty() {
                    state.watched = false;
                    return;
                }
                if taken.replace(state.taken) == Some(state.taken) {
                    for _ in 0..state.waiting.len() {
                        self.call_thread(&mut state);
                    }
                }
            }
            tokio::time::sleep(STALL).await;
        }
    }
}

#[cfg(test)]
mod tests;
