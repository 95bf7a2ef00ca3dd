//! The workers that can be invoked, and who waits for one.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::shared::{Event, Shared};
use crate::worker::Worker;

/// Workers and waiters. Whoever comes gets the worker that became free last: its memory is warm, and the others can go
/// when they are idle for long.
#[derive(Default)]
pub(crate) struct Pool {
    /// Workers that take executions.
    workers: Vec<Arc<Worker>>,
    /// Those among them with room for one more; the last one is next.
    free: Vec<Arc<Worker>>,
    waiters: VecDeque<Waiter>,
    /// A worker that was forked before anybody needed it. Whoever would wait for a new one has it at once.
    spare: Option<Arc<Worker>>,
    /// The spare one is taken without asking while there are fewer workers than this, as the supervisor last said.
    pub(crate) spare_below: usize,
    /// Whether more workers may be started, as the supervisor last said.
    pub(crate) may_grow: bool,
    /// The supervisor knows that somebody waits, and will look at it by itself.
    pub(crate) told: bool,
    /// There are as many workers as are started as soon as somebody waits: only now are they sent anything ahead.
    pub(crate) has_eager: bool,
}

struct Waiter {
    sender: oneshot::Sender<Lease>,
    since: Instant,
    may_go_ahead: bool,
}

/// Room for one execution on a worker. Dropping it gives the room back.
pub(crate) struct Lease(Option<Arc<Worker>>);

impl Lease {
    /// The worker.
    pub(crate) fn worker(&self) -> &Arc<Worker> {
        self.0.as_ref().expect("a lease has its worker until `keep` consumes it")
    }

    /// Keeps the room after this value is gone; [`release`] gives it back.
    pub(crate) fn keep(mut self) -> Option<Arc<Worker>> {
        self.0.take()
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if let Some(worker) = self.0.take() {
            release(&worker);
        }
    }
}

/// What [`acquire`] found.
pub(crate) enum Acquired {
    /// Room.
    Now(Lease),
    /// A place in the line.
    Later(oneshot::Receiver<Lease>),
}

/// Finds room for one execution, or a place in the line for it. One that `may_go_ahead` is also given to a busy worker
/// whose handlers are quick. One that was taken back goes to the front of the line.
pub(crate) fn acquire(shared: &Shared, may_go_ahead: bool, to_front: bool) -> Acquired {
    let mut pool = shared.pool();
    if pool.free.is_empty() && pool.workers.len() < pool.spare_below && pool.use_spare() {
        // The supervisor sees to the next one.
        let _ = shared.events.send(Event::Demand);
    }
    if let Some(worker) = pool.free.last().cloned() {
        if worker.in_use.fetch_add(1, Ordering::Relaxed) + 1 >= worker.capacity {
            pool.free.pop();
        }
        return Acquired::Now(Lease(Some(worker)));
    }
    if may_go_ahead
        && pool.sends_ahead(shared)
        && let Some(worker) = pool.least_ahead()
    {
        worker.in_use.fetch_add(1, Ordering::Relaxed);
        return Acquired::Now(Lease(Some(worker)));
    }
    let (sender, receiver) = oneshot::channel();
    pool.waiters.retain(|waiter| !waiter.sender.is_closed());
    let waiter = Waiter { sender, since: Instant::now(), may_go_ahead };
    if to_front {
        pool.waiters.push_front(waiter);
    } else {
        pool.waiters.push_back(waiter);
    }
    if (pool.may_grow || pool.workers.is_empty()) && !pool.told {
        pool.told = true;
        drop(pool);
        let _ = shared.events.send(Event::Demand);
    }
    Acquired::Later(receiver)
}

/// Gives room on `worker` to whoever waits, or back to the pool.
pub(crate) fn release(worker: &Arc<Worker>) {
    let mut pool = worker.shared.pool();
    if !worker.pooled.load(Ordering::Relaxed) {
        worker.in_use.fetch_sub(1, Ordering::Relaxed);
        return;
    }
    if worker.in_doubt.load(Ordering::Relaxed) > 0 {
        worker.in_use.fetch_sub(1, Ordering::Relaxed);
        return;
    }
    let has_ahead = worker.in_use.load(Ordering::Relaxed) > worker.capacity;
    if !has_ahead && pool.hand_over(worker, false) {
        pool.send_ahead(worker);
        return;
    }
    if worker.in_use.fetch_sub(1, Ordering::Relaxed) == worker.capacity {
        pool.free.push(Arc::clone(worker));
    } else if has_ahead {
        pool.send_ahead(worker);
    }
}

/// An execution on `worker` did not end in time: until it has, or the worker is retired, the worker gets no more. Were it
/// stuck, what is sent to it now would be lost as well.
pub(crate) fn doubt(worker: &Arc<Worker>) {
    let mut pool = worker.shared.pool();
    worker.in_doubt.fetch_add(1, Ordering::Relaxed);
    pool.free.retain(|known| !Arc::ptr_eq(known, worker));
}

/// An execution that did not end in time has ended.
pub(crate) fn trust(worker: &Arc<Worker>) {
    let mut pool = worker.shared.pool();
    if worker.in_doubt.fetch_sub(1, Ordering::Relaxed) > 1 || !worker.pooled.load(Ordering::Relaxed) {
        return;
    }
    while worker.in_use.load(Ordering::Relaxed) < worker.capacity {
        if !pool.hand_over(worker, false) {
            pool.free.push(Arc::clone(worker));
            return;
        }
        worker.in_use.fetch_add(1, Ordering::Relaxed);
    }
}

impl Pool {
    /// Adds a worker that has become ready, and gives its room to those who wait.
    pub(crate) fn add(&mut self, worker: &Arc<Worker>) {
        worker.pooled.store(true, Ordering::Relaxed);
        self.workers.push(Arc::clone(worker));
        let mut used = 0;
        while used < worker.capacity && self.hand_over(worker, false) {
            used += 1;
        }
        worker.in_use.store(used, Ordering::Relaxed);
        if used < worker.capacity {
            self.free.push(Arc::clone(worker));
        }
    }

    /// Keeps a worker that has become ready for when one is needed.
    pub(crate) fn keep_spare(&mut self, worker: &Arc<Worker>) {
        self.spare = Some(Arc::clone(worker));
    }

    /// Adds the spare worker. Whether there was one.
    pub(crate) fn use_spare(&mut self) -> bool {
        let spare = self.spare.take();
        if let Some(worker) = &spare {
            self.add(worker);
        }
        spare.is_some()
    }

    /// Whether there is one.
    pub(crate) fn has_spare(&self) -> bool {
        self.spare.is_some()
    }

    /// Whether anything is sent ahead at all now.
    fn sends_ahead(&self, shared: &Shared) -> bool {
        self.has_eager && shared.pace.is_quick()
    }

    /// Gives a busy worker its next executions, where somebody waits whose execution may be sent ahead.
    fn send_ahead(&mut self, worker: &Arc<Worker>) {
        while self.sends_ahead(&worker.shared) && worker.takes_ahead() && self.hand_over(worker, true) {
            worker.in_use.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// The busy worker with the fewest executions among those that take one ahead.
    fn least_ahead(&self) -> Option<Arc<Worker>> {
        let takers = self.workers.iter().filter(|worker| worker.takes_ahead());
        takers.min_by_key(|worker| worker.in_use.load(Ordering::Relaxed)).cloned()
    }

    /// Gives room on `worker`, which the caller counts, to the first who still waits; where it is `ahead`, only if that
    /// one may be sent ahead. Whether anybody took it.
    fn hand_over(&mut self, worker: &Arc<Worker>, ahead: bool) -> bool {
        while let Some(waiter) = self.waiters.pop_front() {
            if ahead && !waiter.may_go_ahead && !waiter.sender.is_closed() {
                self.waiters.push_front(waiter);
                return false;
            }
            match waiter.sender.send(Lease(Some(Arc::clone(worker)))) {
                Ok(()) => return true,
                // Not by dropping it: that would give the room back.
                Err(mut back) => back.0 = None,
            }
        }
        false
    }

    /// Takes a worker out: it gets no more executions. Whether it was in.
    pub(crate) fn remove(&mut self, worker: &Arc<Worker>) -> bool {
        self.spare.take_if(|spare| Arc::ptr_eq(spare, worker));
        self.free.retain(|known| !Arc::ptr_eq(known, worker));
        self.workers.retain(|known| !Arc::ptr_eq(known, worker));
        worker.pooled.swap(false, Ordering::Relaxed)
    }

    /// Everybody who waits is told that no worker will come.
    pub(crate) fn dismiss(&mut self) {
        self.waiters.clear();
    }

    /// How many wait.
    pub(crate) fn waiting(&self) -> usize {
        self.waiters.iter().filter(|waiter| !waiter.sender.is_closed()).count()
    }

    /// Since when each of those who wait does, the longest first.
    pub(crate) fn waiting_since(&self) -> impl Iterator<Item = Instant> {
        self.waiters.iter().filter(|waiter| !waiter.sender.is_closed()).map(|waiter| waiter.since)
    }

    /// The workers that take executions.
    pub(crate) fn workers(&self) -> &[Arc<Worker>] {
        &self.workers
    }

    /// Forgets all workers and waiters.
    pub(crate) fn clear(&mut self) -> Vec<Arc<Worker>> {
        self.waiters.clear();
        self.free.clear();
        self.spare = None;
        std::mem::take(&mut self.workers)
    }
}
