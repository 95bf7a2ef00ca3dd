//! Where guests run: at first on the thread that asked, and when they hog it, among themselves.
//!
//! A guest that answers in microseconds is fastest where its request was read: no other thread has to wake. One that
//! computes for long must not stay there, because that thread also serves probes, timers and other requests. So a guest
//! is moved the first time it has computed for a slice without waiting: its future goes to a few threads that do nothing
//! but run such guests, each a slice at a time. While guests of an app were seen to hog, the next ones start over there.

use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use ignite_runtimes_executor::InvokeError;
use rustix::process::nice;
use tokio::runtime::{Handle, Runtime};
use tokio::task::JoinHandle;
use wasmtime::UpdateDeadline;

use crate::execution::Ended;

/// Longest time a guest computes before others have their turn. A beat of the clock later than that it is interrupted.
const SLICE: Duration = Duration::from_millis(1);

/// Guests that start among themselves after one of their app was seen to hog, and at most after many were. One alone may
/// only have been held up by a busy machine.
const WARY_AFTER_ONE: u32 = 8;
const WARY_MAX: u32 = 64;

/// Threads for guests that compute for long: one per processor. Made when first needed and kept: most apps never do.
static CROWD: LazyLock<Option<Runtime>> = LazyLock::new(|| {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder.worker_threads(threads).thread_name("ignite-wasm").on_thread_start(|| {
        // It runs as well where that is refused.
        let _ = nice(NICE);
    });
    builder.build().ok()
});

/// How much less of a busy processor these threads get than those that read requests and keep limits: about a tenth, where
/// both want all of it.
const NICE: i32 = 10;

/// How long such a thread leaves its processor after each slice. Threads of the host that were woken meanwhile wait for that, since
/// they take no processor from others; and only an idle processor fetches at once what waits elsewhere: one that is busy, if with
/// the least of work, does so after some thirty milliseconds, while all of the host's threads share what is left.
const PAUSE: Duration = Duration::from_micros(50);

/// How one guest uses the thread it is on. The guest's store and whoever polls it share it.
pub(crate) struct Slice {
    born: Instant,
    /// Nanoseconds from `born` to the moment the guest was let in last.
    entered: AtomicU64,
    hogged: AtomicBool,
}

impl Slice {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self { born: Instant::now(), entered: AtomicU64::new(0), hogged: AtomicBool::new(false) })
    }

    /// When the guest was begun.
    pub(crate) fn born(&self) -> Instant {
        self.born
    }

    /// What the guest does when the epoch has moved while it computed.
    pub(crate) fn on_beat(&self) -> UpdateDeadline {
        if self.now().saturating_sub(self.entered.load(Ordering::Relaxed)) < as_nanos(SLICE) {
            return UpdateDeadline::Continue(1);
        }
        self.hogged.store(true, Ordering::Relaxed);
        UpdateDeadline::Yield(1)
    }

    fn enter(&self) {
        self.entered.store(self.now(), Ordering::Relaxed);
    }

    fn now(&self) -> u64 {
        as_nanos(self.born.elapsed())
    }
}

fn as_nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// What is known of an app's guests.
#[derive(Debug, Default)]
pub(crate) struct Habit {
    wary: AtomicU32,
    moved: AtomicU64,
}

impl Habit {
    /// Guests that were moved, ever.
    pub(crate) fn moved(&self) -> u64 {
        self.moved.load(Ordering::Relaxed)
    }

    /// A guest hogged.
    fn warn(&self) {
        let more = |wary: u32| Some(wary.saturating_add(WARY_AFTER_ONE).min(WARY_MAX));
        let _ = self.wary.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more);
    }

    /// Whether the next guest starts among the crowd.
    fn is_wary(&self) -> bool {
        self.wary.load(Ordering::Relaxed) > 0
            && self.wary.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |wary| wary.checked_sub(1)).is_ok()
    }
}

type Work = Pin<Box<dyn Future<Output = Ended> + Send>>;

/// One running guest. Dropping it stops the guest, at the latest after its slice.
pub(crate) struct Guest {
    place: Place,
    slice: Arc<Slice>,
    habit: Arc<Habit>,
}

enum Place {
    Here(Work),
    Away(JoinHandle<Ended>),
    Gone,
}

impl Guest {
    pub(crate) fn new(work: Work, slice: Arc<Slice>, habit: Arc<Habit>) -> Self {
        let mut guest = Self { place: Place::Here(work), slice, habit };
        if guest.habit.is_wary() {
            guest.send_away();
        }
        guest
    }

    /// Moves the guest to the crowd; leaves it where it is when there is none.
    fn send_away(&mut self) {
        let Some(crowd) = CROWD.as_ref() else { return };
        match std::mem::replace(&mut self.place, Place::Gone) {
            Place::Here(work) => {
                let home = Handle::current();
                self.place = Place::Away(crowd.spawn(Away { work, home, slice: Arc::clone(&self.slice) }));
            }
            other => self.place = other,
        }
    }
}

impl Future for Guest {
    type Output = Ended;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Ended> {
        let guest = &mut *self;
        if let Place::Here(work) = &mut guest.place {
            guest.slice.enter();
            // A panic of the host's own code in here must cost this execution and no other.
            match std::panic::catch_unwind(AssertUnwindSafe(|| work.as_mut().poll(cx))) {
                Ok(Poll::Ready(ended)) => {
                    guest.place = Place::Gone;
                    return Poll::Ready(ended);
                }
                Ok(Poll::Pending) if guest.slice.hogged.swap(false, Ordering::Relaxed) => {
                    guest.habit.warn();
                    guest.habit.moved.fetch_add(1, Ordering::Relaxed);
                    guest.send_away();
                }
                Ok(Poll::Pending) => return Poll::Pending,
                Err(_) => {
                    guest.place = Place::Gone;
                    return Poll::Ready(host_failed());
                }
            }
        }
        match &mut guest.place {
            Place::Away(task) => Pin::new(task).poll(cx).map(|ended| {
                if guest.slice.hogged.load(Ordering::Relaxed) {
                    guest.habit.warn();
                }
                guest.place = Place::Gone;
                ended.unwrap_or_else(|_| host_failed())
            }),
            // There is no crowd: the guest has asked to be polled again itself.
            Place::Here(_) => Poll::Pending,
            Place::Gone => Poll::Ready(host_failed()),
        }
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        if let Place::Away(task) = &self.place {
            task.abort();
        }
    }
}

fn host_failed() -> Ended {
    let cause = "the host failed while it ran the handler".into();
    Ended::Failed(InvokeError::WorkerLost { cause, last_words: String::new() })
}

/// A guest among the crowd. Timers and wake-ups stay with the runtime it came from, which is never held up by guests.
struct Away {
    work: Work,
    home: Handle,
    slice: Arc<Slice>,
}

impl Future for Away {
    type Output = Ended;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Ended> {
        let away = &mut *self;
        let _home = away.home.enter();
        away.slice.enter();
        let ended = away.work.as_mut().poll(cx);
        if ended.is_pending() && away.slice.hogged.load(Ordering::Relaxed) {
            std::thread::sleep(PAUSE);
        }
        ended
    }
}

impl Drop for Away {
    fn drop(&mut self) {
        // Work that is cancelled may stop timers and tasks, which must find their runtime.
        let _home = self.home.enter();
        self.work = Box::pin(std::future::pending());
    }
}
