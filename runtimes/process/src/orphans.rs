//! Processes that workers started and left behind. They become children of this process, which is their reaper.
//!
//! Those that stayed in their worker's process group are killed with it and only have to be reaped. Those that left it are
//! told apart from the other children of whoever embeds an executor by a variable in their environment, which the kernel
//! keeps as it was when the worker's program began, whatever the function does to its own copy. Their memory counts, and
//! they end with the executor.

use std::collections::HashSet;
use std::fs;
use std::hash::{BuildHasher as _, RandomState};
use std::path::PathBuf;
use std::time::Duration;

use rustix::process::{Pid, Signal, WaitOptions, getpid, kill_process, kill_process_group, waitpgid, waitpid};
use tokio::time::Instant;

use crate::child::{children, descendants};

/// The variable by which an executor knows its own.
pub(crate) const ENV_MARK: &str = "IGNITE_WORKER_MARK";

/// How long members of an ended worker's group may turn up as children of this process: each does when its own parent has
/// been killed.
const GROUP_KEPT: Duration = Duration::from_secs(2);

/// Descriptors of one process that are looked at: those that were there first have the lowest numbers.
const DESCRIPTORS_MAX: usize = 256;

/// What one executor's workers left behind.
#[derive(Debug, Clone)]
pub(crate) struct Orphans {
    mark: String,
    /// Groups of workers that have ended.
    groups: Vec<(Pid, Instant)>,
    /// Orphans that were seen alive; once they have ended, their environment cannot be read any more.
    alive: HashSet<Pid>,
}

impl Orphans {
    pub(crate) fn new() -> Self {
        let state = RandomState::new();
        let mark = format!("{:016x}{:016x}", state.hash_one(0), state.hash_one(1));
        Self { mark, groups: Vec::new(), alive: HashSet::new() }
    }

    /// The value of [`ENV_MARK`].
    pub(crate) fn mark(&self) -> &str {
        &self.mark
    }

    /// A worker has ended, and what it left in its group was killed.
    pub(crate) fn bereave(&mut self, worker: Pid) {
        self.groups.push((worker, Instant::now()));
    }

    /// Reaps what has ended. Returns those that live; `known` are this executor's own processes.
    pub(crate) fn look(&mut self, known: &[Pid]) -> Vec<Pid> {
        self.groups.retain(|(group, since)| {
            while matches!(waitpgid(*group, WaitOptions::NOHANG), Ok(Some(_))) {}
            let young = since.elapsed() < GROUP_KEPT;
            if !young {
                let _ = kill_process_group(*group, Signal::KILL);
            }
            young
        });
        let mine: Vec<Pid> = children(getpid());
        self.alive.retain(|pid| mine.contains(pid) && !known.contains(pid));
        for pid in mine.into_iter().filter(|pid| !known.contains(pid)) {
            if self.alive.contains(&pid) {
                if !matches!(waitpid(Some(pid), WaitOptions::NOHANG), Ok(None)) {
                    self.alive.remove(&pid);
                }
            } else if carries(pid, &self.mark) {
                self.alive.insert(pid);
            }
        }
        self.alive.iter().copied().collect()
    }

    /// Ends what a worker that has ended left behind, in its group or out of it: out of it are those that still have one of
    /// its pipes, which `links` are as `/proc` shows them. Whether any of it is still there; a process that was killed takes
    /// a moment to go.
    pub(crate) fn end_those_of(&mut self, worker: Pid, links: &[PathBuf], known: &[Pid]) -> bool {
        let mut left = false;
        for orphan in self.look(known) {
            for pid in descendants(orphan).into_iter().chain([orphan]).filter(|pid| holds(*pid, links)) {
                left = true;
                let _ = kill_process(pid, Signal::KILL);
            }
        }
        loop {
            match waitpgid(worker, WaitOptions::NOHANG) {
                Ok(Some(_)) => {}
                Ok(None) => {
                    let _ = kill_process_group(worker, Signal::KILL);
                    return true;
                }
                Err(_) => return left,
            }
        }
    }

    /// Ends all orphans and what they started. It may take them a moment to go.
    pub(crate) fn end(&mut self, known: &[Pid]) {
        for orphan in self.look(known) {
            for pid in descendants(orphan).into_iter().chain([orphan]) {
                let _ = kill_process(pid, Signal::KILL);
            }
            // A thread waits for that moment; the executor may be gone by then.
            std::thread::spawn(move || waitpid(Some(orphan), WaitOptions::empty()));
        }
        self.alive.clear();
    }
}

/// Whether a descriptor of the process leads to one of `links`.
fn holds(pid: Pid, links: &[PathBuf]) -> bool {
    let descriptors = fs::read_dir(format!("/proc/{}/fd", pid.as_raw_nonzero())).into_iter().flatten().flatten();
    descriptors.take(DESCRIPTORS_MAX).any(|entry| fs::read_link(entry.path()).is_ok_and(|link| links.contains(&link)))
}

fn carries(pid: Pid, mark: &str) -> bool {
    let environ = fs::read(format!("/proc/{}/environ", pid.as_raw_nonzero())).unwrap_or_default();
    environ.split(|byte| *byte == 0).any(|variable| {
        variable.strip_prefix(ENV_MARK.as_bytes()).and_then(|rest| rest.strip_prefix(b"=")) == Some(mark.as_bytes())
    })
}
