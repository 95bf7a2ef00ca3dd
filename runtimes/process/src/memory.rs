//! Watches how much memory the workers use, and ends the one that is too large.
//!
//! `RLIMIT_AS` would be exact, but it counts addresses: Go and V8 reserve far more of them than they use. So resident
//! memory is looked at, often enough that a worker which allocates for ever is caught within a few dozen megabytes.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tokio::time::Instant;

use crate::child::{descendants, descendants_without};
use crate::process::{KillReason, Process};
use crate::shared::Shared;

/// Between two looks when nothing runs.
const IDLE_INTERVAL: Duration = Duration::from_millis(250);
/// Between two looks when something runs.
const INTERVAL: Duration = Duration::from_millis(50);
/// Between two looks when more than half of the limit is used.
const CLOSE_INTERVAL: Duration = Duration::from_millis(10);

/// Looks until the executor ends.
pub(crate) async fn watch(shared: Arc<Shared>) {
    let limit = u64::from(shared.config.limits.memory_mb) * 1024 * 1024;
    let mut interval = INTERVAL;
    loop {
        tokio::time::sleep(interval).await;
        // The process table is read for up to a millisecond: not on a thread on which requests wait.
        let looking = tokio::task::spawn_blocking({
            let shared = Arc::clone(&shared);
            move || {
                let processes = shared.processes().clone();
                let known: Vec<Pid> = processes.iter().map(|process| process.child.pid()).collect();
                let orphans = shared.orphans().look(&known);
                look(&processes, &orphans, limit, shared.config.limits.memory_mb)
            }
        });
        // An error means that the runtime ends.
        let Ok(used) = looking.await else { return };
        shared.stats.resident_bytes.store(used, Ordering::Relaxed);
        let workers = shared.all_workers();
        let busy = workers.iter().any(|worker| worker.in_flight() > 0);
        interval = match (used > limit / 2, busy) {
            (true, _) => CLOSE_INTERVAL,
            (false, true) => INTERVAL,
            (false, false) => IDLE_INTERVAL,
        };
        // The host ends what is late by itself; this holds for callers that do not.
        if let Some(moment) = Instant::now().checked_sub(shared.config.limits.cancel_grace) {
            for worker in workers {
                worker.time_out(moment);
            }
        }
    }
}

/// Adds up what all use; kills the largest where that is too much, and what was left behind first.
fn look(processes: &[Arc<Process>], orphans: &[Pid], limit: u64, memory_mb: u32) -> u64 {
    // Forked workers descend from their zygote: were they counted with it too, each byte would count twice, and it would
    // be the largest whatever its workers use.
    let own: Vec<Pid> = processes.iter().map(|process| process.child.pid()).collect();
    let measure = |size: fn(Pid) -> u64| -> Vec<u64> { own.iter().map(|pid| family(*pid, &own, size)).collect() };
    let left_behind: u64 = orphans.iter().map(|pid| family(*pid, &own, resident_bytes)).sum();
    let resident: u64 = measure(resident_bytes).iter().sum::<u64>() + left_behind;
    if resident > limit && left_behind > 0 {
        for orphan in orphans {
            for pid in descendants(*orphan).into_iter().chain([*orphan]) {
                let _ = kill_process(pid, Signal::KILL);
            }
        }
        return resident;
    }
    if resident <= limit {
        return resident;
    }
    // Forked workers share pages with their zygote, and each counts them. Only now is the exact figure worth its price.
    let exact = measure(proportional_bytes);
    let used = exact.iter().sum();
    if used > limit
        && let Some((largest, _)) = processes.iter().zip(&exact).max_by_key(|(_, bytes)| **bytes)
    {
        largest.kill(KillReason::Memory { memory_mb });
    }
    used
}

/// What a process and all it started use together, without the `others` and what they started.
fn family(pid: Pid, others: &[Pid], size: fn(Pid) -> u64) -> u64 {
    size(pid) + descendants_without(pid, others).into_iter().map(size).sum::<u64>()
}

/// Pages in memory, shared ones in full. 0 for a process that has ended.
fn resident_bytes(pid: Pid) -> u64 {
    let statm = fs::read_to_string(format!("/proc/{}/statm", pid.as_raw_nonzero())).unwrap_or_default();
    let pages: u64 = statm.split_ascii_whitespace().nth(1).and_then(|word| word.parse().ok()).unwrap_or(0);
    pages * rustix::param::page_size() as u64
}

/// Pages in memory, shared ones divided by who shares them. Where the system does not tell, all of them.
fn proportional_bytes(pid: Pid) -> u64 {
    let Ok(rollup) = fs::read_to_string(format!("/proc/{}/smaps_rollup", pid.as_raw_nonzero())) else {
        return resident_bytes(pid);
    };
    let line = rollup.lines().find_map(|line| line.strip_prefix("Pss:"));
    let kilobytes: Option<u64> = line.and_then(|rest| rest.split_ascii_whitespace().next()?.parse().ok());
    kilobytes.map_or_else(|| resident_bytes(pid), |kilobytes| kilobytes * 1024)
}
