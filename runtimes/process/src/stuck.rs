//! Whether the one thread that all executions of a worker share is stuck in one of them.
//!
//! Where executions take turns on one thread, as those of Deno and of asynchronous Python do, one that spins is the last that thread
//! ever runs. Its limit passes, it is cancelled, it goes on; the others can neither end nor be taken elsewhere, and would all wait for
//! their own limits. So a worker that keeps that thread busy and answers nobody is ended although others are in it.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::Instant;

use crate::config::ProcessRuntime;
use crate::process::KillReason;
use crate::worker::Worker;

/// Between two looks at a worker in which cancelled work goes on.
const LOOK: Duration = Duration::from_millis(250);
/// Share of that time in which its thread ran or wanted to, above which it did nothing else.
const BUSY_MIN: f64 = 0.9;

/// Whether executions of a worker take turns on its first thread.
pub(crate) fn share_one_thread(runtime: &ProcessRuntime) -> bool {
    match runtime {
        ProcessRuntime::Python { .. } | ProcessRuntime::Deno { .. } | ProcessRuntime::BinaryBySocket => true,
        ProcessRuntime::Binary => false,
    }
}

/// Ends `worker` if it is stuck, while the execution `id`, which did not end in time, goes on in it.
pub(crate) async fn end_if(worker: Arc<Worker>, id: u64) {
    let pid = worker.process.child.pid().as_raw_nonzero();
    while worker.has(id) {
        let (since, moved) = (Instant::now(), worker.moved_ns.load(Ordering::Relaxed));
        // Where the system does not tell, the others wait for their limits.
        let Some(before) = wanted(pid.get()) else { return };
        tokio::time::sleep(LOOK).await;
        let Some(after) = wanted(pid.get()) else { return };
        let busy = after.saturating_sub(before) >= since.elapsed().mul_f64(BUSY_MIN);
        if busy && moved == worker.moved_ns.load(Ordering::Relaxed) && worker.has(id) {
            return worker.process.kill(KillReason::Overdue);
        }
    }
}

/// How long the first thread of a process has run, or waited for a processor, so far (proc_pid_schedstat(5)).
fn wanted(pid: i32) -> Option<Duration> {
    let text = fs::read_to_string(format!("/proc/{pid}/task/{pid}/schedstat")).ok()?;
    let mut fields = text.split(' ').map(|field| field.parse::<u64>().ok());
    Some(Duration::from_nanos(fields.next()?? + fields.next()??))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test")]
    use super::*;

    #[test]
    fn a_thread_that_waits_wants_nothing() {
        let mut sleeping = std::process::Command::new("sleep").arg("10").spawn().unwrap();
        let pid = i32::try_from(sleeping.id()).unwrap();
        std::thread::sleep(Duration::from_millis(50));
        let before = wanted(pid).unwrap();
        std::thread::sleep(Duration::from_millis(50));
        assert!(wanted(pid).unwrap() - before < Duration::from_millis(25));
        sleeping.kill().unwrap();
        sleeping.wait().unwrap();
        assert_eq!(wanted(pid), None);
    }
}
