//! Processes that workers started and left behind. They become children of this process, which is their reaper.
//!
//! They are told apart from the other children of whoever embeds an executor by a variable in their environment, which the
//! kernel keeps as it was when the worker's program began, whatever the function does to its own copy.

use std::fs;
use std::hash::{BuildHasher as _, RandomState};

use rustix::process::{Pid, Signal, WaitOptions, getpid, kill_process, waitpid};

use crate::child::{children, descendants};

/// The variable by which an executor knows its own.
pub(crate) const ENV_MARK: &str = "IGNITE_WORKER_MARK";

/// Longest environment that is looked through, in bytes; the mark stands near its front.
const ENVIRON_BYTES_MAX: usize = 1024 * 1024;

/// What one executor's processes carry.
#[derive(Debug, Clone)]
pub(crate) struct Mark(String);

impl Mark {
    /// A mark nobody else has.
    pub(crate) fn new() -> Self {
        let state = RandomState::new();
        Self(format!("{:016x}{:016x}", state.hash_one(0), state.hash_one(1)))
    }

    /// The value of [`ENV_MARK`].
    pub(crate) fn value(&self) -> &str {
        &self.0
    }

    /// Children of this process that carry the mark and are none of `known`. Those that have ended are reaped.
    pub(crate) fn orphans(&self, known: &[Pid]) -> Vec<Pid> {
        let strangers = children(getpid()).into_iter().filter(|pid| !known.contains(pid));
        strangers.filter(|pid| self.carries(*pid)).filter(|pid| !reap(*pid)).collect()
    }

    /// Ends all orphans and what they started.
    pub(crate) fn end_orphans(&self, known: &[Pid]) {
        for orphan in self.orphans(known) {
            for pid in descendants(orphan).into_iter().chain([orphan]) {
                let _ = kill_process(pid, Signal::KILL);
            }
            // Where it takes a moment to go, whoever reaps this process's children later does it.
            reap(orphan);
        }
    }

    fn carries(&self, pid: Pid) -> bool {
        let environ = fs::read(format!("/proc/{}/environ", pid.as_raw_nonzero())).unwrap_or_default();
        let environ = &environ[..environ.len().min(ENVIRON_BYTES_MAX)];
        environ.split(|byte| *byte == 0).any(|variable| {
            variable.strip_prefix(ENV_MARK.as_bytes()).and_then(|rest| rest.strip_prefix(b"=")) == Some(self.0.as_bytes())
        })
    }
}

/// Whether the process has ended, and is no more.
fn reap(pid: Pid) -> bool {
    matches!(waitpid(Some(pid), WaitOptions::NOHANG), Ok(Some(_)))
}
