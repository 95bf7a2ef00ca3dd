//! Requests that are sent ahead to a worker that runs one at a time, so that it need not sleep between two.
//!
//! A worker that answers in microseconds would spend more time on going to sleep and being woken than on its handler. So,
//! where handlers are quick, a busy worker is sent its next requests already. What was sent cannot be called back from a
//! socket, and the execution before it may turn out to be slow; so the worker has to take a token before it begins one
//! that was sent ahead. The token is a count that both hold, an eventfd, and whoever takes it first has the execution:
//! the worker begins it, or this executor gives it to another. No handler runs twice, none waits long behind a slow one,
//! and the death of a worker costs only what it had begun.

use std::os::fd::{AsFd as _, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use ignite_core_abi::HEADER_BYTES;
use ignite_core_model::ExecutionId;
use ignite_runtimes_executor::Slot;
use rustix::event::{EventfdFlags, eventfd};
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::shared::Shared;

/// Handlers are quick when they take less than this on average.
const QUICK: Duration = Duration::from_millis(1);
/// Most executions that are sent ahead to one worker. Several leave in one write and are read in one; twice as many gain nothing
/// more, and are badly shared out when one of them is slow.
const DEPTH_MAX: u32 = 4;
/// Executions without a printed line after which requests are sent ahead: while two executions are on a worker nobody can
/// tell whose line it is.
const QUIET_MIN: u32 = 64;
/// A request that was sent ahead is taken back when the execution before it goes on for longer.
const PATIENCE: Duration = Duration::from_millis(3);
/// Between two looks at those that were sent ahead.
const LOOK: Duration = Duration::from_millis(1);
/// Longest payload that is sent ahead, in bytes: it is kept until its execution begins.
pub(crate) const PAYLOAD_BYTES_MAX: usize = 16 * 1024;

/// What is known of an app's handlers, and whether anything is ahead.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    /// Moving average of the time a worker took for one execution, in nanoseconds.
    average_ns: AtomicU64,
    /// Executions since a line was printed, as far as [`QUIET_MIN`].
    quiet: AtomicU32,
    watching: AtomicBool,
    bell: Notify,
}

impl Pace {
    /// A worker took so long for an execution, and has or has not printed since the one before.
    pub(crate) fn note(&self, took: Duration, printed: bool) {
        let took = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        // Two workers that write at once lose one of the figures, which does not matter.
        let average = self.average_ns.load(Ordering::Relaxed);
        self.average_ns.store(average - average / 8 + took / 8, Ordering::Relaxed);
        let quiet = self.quiet.load(Ordering::Relaxed);
        if printed {
            self.quiet.store(0, Ordering::Relaxed);
        } else if quiet < QUIET_MIN {
            self.quiet.store(quiet + 1, Ordering::Relaxed);
        }
    }

    /// Whether requests are to be sent ahead.
    pub(crate) fn is_quick(&self) -> bool {
        self.quiet.load(Ordering::Relaxed) >= QUIET_MIN
            && u128::from(self.average_ns.load(Ordering::Relaxed)) <= QUICK.as_nanos()
    }

    /// How many executions are sent ahead to one worker: so many that the last waits for about as long as one that is just
    /// quick enough takes.
    pub(crate) fn depth(&self) -> u32 {
        let average_ns = self.average_ns.load(Ordering::Relaxed).max(1);
        let within = QUICK.as_nanos() / u128::from(average_ns);
        u32::try_from(within).unwrap_or(DEPTH_MAX).clamp(1, DEPTH_MAX)
    }

    /// As if the last handlers had all been quick and quiet.
    #[cfg(test)]
    pub(crate) fn assume_quick(&self) {
        self.average_ns.store(1, Ordering::Relaxed);
        self.quiet.store(QUIET_MIN, Ordering::Relaxed);
    }

    /// Something was sent ahead: somebody has to look whether it waits for long.
    pub(crate) fn watch(&self) {
        if !self.watching.load(Ordering::Relaxed) && !self.watching.swap(true, Ordering::AcqRel) {
            self.bell.notify_one();
        }
    }
}

/// Takes back, until the executor ends, what was sent ahead to workers that turned out to be busy.
pub(crate) async fn watch(shared: Arc<Shared>) {
    loop {
        shared.pace.bell.notified().await;
        loop {
            tokio::time::sleep(LOOK).await;
            if !look(&shared) {
                shared.pace.watching.store(false, Ordering::Release);
                // Whoever sent something ahead before this line did not ring.
                if !look(&shared) || shared.pace.watching.swap(true, Ordering::AcqRel) {
                    break;
                }
            }
        }
    }
}

/// Whether anything is ahead.
fn look(shared: &Shared) -> bool {
    let now = Instant::now();
    let mut any = false;
    for worker in shared.all_workers() {
        any |= worker.take_back_late(now, PATIENCE);
    }
    any
}

/// The tokens of one worker.
#[derive(Debug)]
pub(crate) struct Tokens {
    count: OwnedFd,
    /// Executions it takes ahead.
    pub(crate) ahead_max: u32,
}

impl Tokens {
    /// None yet, for a worker that takes so many executions ahead.
    ///
    /// # Errors
    /// When there are too few descriptors.
    pub(crate) fn new(ahead_max: u32) -> std::io::Result<Self> {
        // As a semaphore, each read takes one.
        let flags = EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK | EventfdFlags::SEMAPHORE;
        Ok(Self { count: eventfd(0, flags)?, ahead_max })
    }

    /// The descriptor that the worker is given too.
    pub(crate) fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.count.as_fd()
    }

    /// Adds one, for an execution that is about to be sent. Whether it could.
    pub(crate) fn add(&self) -> bool {
        rustix::io::write(&self.count, &1_u64.to_ne_bytes()).is_ok()
    }

    /// Takes one back. The worker has it where this fails.
    pub(crate) fn take(&self) -> bool {
        rustix::io::read(&self.count, &mut [0; 8]).is_ok_and(|read| read == 8)
    }
}

/// A request that was sent ahead and never begun, to be sent to another worker.
pub(crate) struct Again {
    /// Its INVOKE, whose id and time left are of the past.
    pub(crate) frame: Vec<u8>,
    pub(crate) slot: Slot,
    pub(crate) execution_id: ExecutionId,
    pub(crate) deadline: Instant,
    pub(crate) head_by: Instant,
}

impl Again {
    /// Writes the id and the time that is left into the frame.
    pub(crate) fn renew(&mut self, id: u64, timeout_us: u64) {
        // As `core/abi` writes them: the id at the end of the header, the time at the beginning of the payload.
        let (header, payload) = self.frame.split_at_mut(HEADER_BYTES);
        header[HEADER_BYTES - 8..].copy_from_slice(&id.to_le_bytes());
        payload[..8].copy_from_slice(&timeout_us.to_le_bytes());
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test")]
    use ignite_core_abi::payload::Invoke;
    use ignite_core_abi::{FrameHeader, Headers};

    use super::*;

    #[test]
    fn a_token_is_taken_once() {
        let tokens = Tokens::new(1).unwrap();
        assert!(!tokens.take());
        assert!(tokens.add() && tokens.add());
        assert!(tokens.take() && tokens.take());
        assert!(!tokens.take());
    }

    #[test]
    fn quick_and_quiet_handlers_are_sent_ahead() {
        let pace = Pace::default();
        let note = |times: u32, took_us: u64, printed: bool| {
            (0..times).for_each(|_| pace.note(Duration::from_micros(took_us), printed));
            pace.is_quick()
        };
        assert!(!note(QUIET_MIN - 1, 100, false));
        assert!(note(1, 100, false));
        assert!(!note(1, 100, true));
        assert!(note(QUIET_MIN, 100, false));
        assert!(!note(10, 20_000, false));
        assert!(note(100, 100, false));
    }

    #[test]
    fn the_slower_they_are_the_fewer_wait_behind_one() {
        let depth = |took_us: u64| {
            let pace = Pace::default();
            (0..200).for_each(|_| pace.note(Duration::from_micros(took_us), false));
            pace.depth()
        };
        assert_eq!([10, 200, 400, 900, 5000].map(depth), [DEPTH_MAX, DEPTH_MAX, 2, 1, 1]);
    }

    #[test]
    fn a_renewed_frame_is_as_if_it_were_written_anew() {
        let invoke = |timeout_us, id| {
            let invoke = Invoke {
                timeout_us,
                execution_id: "e",
                function_id: "f",
                organization_id: "o",
                method: "POST",
                path: "/p",
                query: "q",
                headers: Headers::default(),
                body: b"body",
            };
            let mut frame = Vec::new();
            invoke.encode_from(id, [("a", b"b")], &mut frame);
            frame
        };
        let (slot, execution_id) = (Slot::unlimited(), ExecutionId::from_parts(0, 0));
        let now = Instant::now();
        let mut again = Again { frame: invoke(7, 1 << 63), slot, execution_id, deadline: now, head_by: now };
        again.renew(12, 3);
        assert_eq!(again.frame, invoke(3, 12));
        let header = FrameHeader::decode(again.frame.first_chunk().unwrap(), u32::MAX).unwrap();
        assert_eq!((header.id, header.length as usize), (12, again.frame.len() - HEADER_BYTES));
    }
}
