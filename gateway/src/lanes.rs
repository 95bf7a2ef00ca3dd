//! The threads that serve callers. A connection stays on one of them, and with it all that its requests use: their tasks, the
//! connections to instances, the timers. So nobody has to be woken on another core to pass a request on.

use std::cell::Cell;
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread;

use tokio::runtime::{Builder, Handle};
use tokio_util::sync::CancellationToken;

/// Most threads.
const LANES_MAX: usize = 64;

thread_local! {
    static OWN: Cell<usize> = const { Cell::new(0) };
}

/// How many there are: as many as processors.
pub(crate) fn count() -> usize {
    static COUNT: OnceLock<usize> = OnceLock::new();
    *COUNT.get_or_init(|| thread::available_parallelism().map_or(1, usize::from).min(LANES_MAX))
}

/// The number of the lane that this thread is, below [`count`].
pub(crate) fn own() -> usize {
    OWN.get()
}

/// All lanes of a gateway. Dropped, they end with whatever they have in hand.
pub(crate) struct Lanes {
    lanes: Vec<Lane>,
    stop: CancellationToken,
}

struct Lane {
    handle: Handle,
    connections: AtomicUsize,
}

impl Lanes {
    /// Starts the threads.
    pub(crate) fn start() -> io::Result<Self> {
        let stop = CancellationToken::new();
        let mut lanes = Self { lanes: Vec::with_capacity(count()), stop };
        for number in 0..count() {
            let runtime = Builder::new_current_thread().enable_all().build()?;
            let (handle, stop) = (runtime.handle().clone(), lanes.stop.clone());
            thread::Builder::new().name(format!("gateway-{number}")).spawn(move || {
                OWN.set(number);
                runtime.block_on(stop.cancelled());
            })?;
            lanes.lanes.push(Lane { handle, connections: AtomicUsize::new(0) });
        }
        Ok(lanes)
    }

    /// The lane with the fewest connections, which has one more until what is returned is dropped.
    pub(crate) fn pick(self: &Arc<Self>) -> Picked {
        let few = |(_, lane): &(usize, &Lane)| lane.connections.load(Ordering::Relaxed);
        let number = self.lanes.iter().enumerate().min_by_key(few).map_or(0, |(number, _)| number);
        self.lanes[number].connections.fetch_add(1, Ordering::Relaxed);
        Picked { lanes: Arc::clone(self), number }
    }

    /// Ends them, with whatever they have in hand.
    pub(crate) fn end(&self) {
        self.stop.cancel();
    }
}

impl Drop for Lanes {
    fn drop(&mut self) {
        self.end();
    }
}

/// The lane of a connection.
pub(crate) struct Picked {
    lanes: Arc<Lanes>,
    number: usize,
}

impl Picked {
    pub(crate) fn handle(&self) -> &Handle {
        &self.lanes.lanes[self.number].handle
    }
}

impl Drop for Picked {
    fn drop(&mut self) {
        self.lanes.lanes[self.number].connections.fetch_sub(1, Ordering::Relaxed);
    }
}
