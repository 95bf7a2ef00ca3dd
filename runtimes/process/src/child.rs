//! A process that was started or forked for this executor: watching it, killing it, learning how it ended.

use std::fmt;
use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::process::{
    Pid, PidfdFlags, Resource, Rlimit, Signal, WaitOptions, getpgid, kill_process, kill_process_group, pidfd_open,
    pidfd_send_signal, prlimit, waitpid,
};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::sync::Notify;

/// Files a worker may have open. Far above what a handler needs, far below what would hurt the machine.
const OPEN_FILES_MAX: u64 = 4096;

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// It exited with a code.
    Code(i32),
    /// A signal ended it.
    Signal(i32),
    /// It is gone, and whoever reaped it did not say how.
    Unknown,
}

impl End {
    /// Reads a wait status as `waitpid(2)` reports it.
    pub(crate) fn from_wait_status(status: u32) -> Self {
        match status & 0x7f {
            0 => Self::Code(((status >> 8) & 0xff) as i32),
            signal => Self::Signal(signal as i32),
        }
    }
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code(code) => write!(f, "exited with code {code}"),
            Self::Signal(number) => match signal_name(*number) {
                Some(name) => write!(f, "killed by signal {number} ({name})"),
                None => write!(f, "killed by signal {number}"),
            },
            Self::Unknown => f.write_str("ended"),
        }
    }
}

fn signal_name(number: i32) -> Option<&'static str> {
    // The numbers are those of Linux on x86-64 and arm64.
    const NAMES: [(i32, &str); 14] = [
        (1, "SIGHUP"),
        (2, "SIGINT"),
        (3, "SIGQUIT"),
        (4, "SIGILL"),
        (5, "SIGTRAP"),
        (6, "SIGABRT"),
        (7, "SIGBUS"),
        (8, "SIGFPE"),
        (9, "SIGKILL"),
        (11, "SIGSEGV"),
        (13, "SIGPIPE"),
        (15, "SIGTERM"),
        (24, "SIGXCPU"),
        (31, "SIGSYS"),
    ];
    NAMES.iter().find(|(known, _)| *known == number).map(|(_, name)| *name)
}

/// A living or just ended process.
#[derive(Debug)]
pub(crate) struct Child {
    pid: Pid,
    pidfd: AsyncFd<OwnedFd>,
    /// Set for processes whose zygote lives: it reaps them, and tells how they ended.
    has_zygote: AtomicBool,
    told: OnceLock<End>,
    word: Notify,
}

impl Child {
    /// Watches a child of this process and bounds what it may use.
    pub(crate) fn started(pid: u32) -> io::Result<Self> {
        let child = Self::watch(pid, false)?;
        let bound = |resource, most| {
            // A bound below the wished one stays; a process that has just ended needs none.
            let _ = prlimit(Some(child.pid), resource, Rlimit { current: Some(most), maximum: Some(most) });
        };
        bound(Resource::Core, 0);
        bound(Resource::Nofile, OPEN_FILES_MAX);
        Ok(child)
    }

    /// Watches a process that a zygote forked.
    pub(crate) fn forked(pid: u32) -> io::Result<Self> {
        Self::watch(pid, true)
    }

    fn watch(pid: u32, forked: bool) -> io::Result<Self> {
        let pid = i32::try_from(pid).ok().and_then(Pid::from_raw).ok_or(io::ErrorKind::InvalidInput)?;
        let pidfd = Self::watcher(pid)?;
        Ok(Self { pid, pidfd, has_zygote: AtomicBool::new(forked), told: OnceLock::new(), word: Notify::new() })
    }

    /// A watch of the process `pid`, which has not been reaped yet, for somebody else: it becomes readable at its end.
    pub(crate) fn watcher(pid: Pid) -> io::Result<AsyncFd<OwnedFd>> {
        let pidfd = pidfd_open(pid, PidfdFlags::empty())?;
        #[expect(deprecated, reason = "the safe successor does not exist yet; an OwnedFd keeps its descriptor open")]
        AsyncFd::with_interest(pidfd, Interest::READABLE)
    }

    /// The process id.
    pub(crate) fn pid(&self) -> Pid {
        self.pid
    }

    /// Resolves when the process has ended. It may not be reaped yet.
    pub(crate) async fn ended(&self) {
        // An error means that the reactor is gone, and with it everybody who waits here.
        let _ = self.pidfd.readable().await;
    }

    /// The zygote told how it ended.
    pub(crate) fn tell_end(&self, end: End) {
        let _ = self.told.set(end);
        self.word.notify_one();
    }

    /// The zygote is gone, and the process is this one's own to reap.
    pub(crate) fn adopt(&self) {
        self.has_zygote.store(false, Ordering::Release);
        self.word.notify_one();
    }

    /// Resolves when the zygote has told, or is gone.
    pub(crate) async fn told(&self) {
        while self.awaits_word() {
            self.word.notified().await;
        }
    }

    /// How it ended; reaps it where that is this process's duty. Call it once [`Child::ended`] has resolved.
    pub(crate) fn reap(&self) -> End {
        if self.has_zygote.load(Ordering::Acquire) {
            // Its zygote may have reaped it, and then nobody can say which group it was in; none but its own has its id.
            let _ = kill_process_group(self.pid, Signal::KILL);
        } else {
            self.kill_group();
        }
        if let Some(end) = self.told.get() {
            return *end;
        }
        // A forked process becomes this process's child when its zygote dies first; otherwise this fails, harmlessly.
        let end = match waitpid(Some(self.pid), WaitOptions::NOHANG) {
            Ok(Some((_, status))) => match (status.exit_status(), status.terminating_signal()) {
                (Some(code), _) => End::Code(code),
                (None, Some(signal)) => End::Signal(signal),
                (None, None) => End::Unknown,
            },
            Ok(None) | Err(_) => return End::Unknown,
        };
        let _ = self.told.set(end);
        end
    }

    /// Whether a zygote will tell how it ended, and has not yet.
    pub(crate) fn awaits_word(&self) -> bool {
        self.has_zygote.load(Ordering::Acquire) && self.told.get().is_none()
    }

    /// Ends the process and everything it started, at once.
    pub(crate) fn kill(&self) {
        let family = descendants(self.pid);
        self.kill_group();
        let _ = pidfd_send_signal(&self.pidfd, Signal::KILL);
        for pid in family {
            let _ = kill_process(pid, Signal::KILL);
        }
    }

    fn kill_group(&self) {
        // Only its own group: a forked worker that has not made one yet is still in its zygote's.
        if getpgid(Some(self.pid)).is_ok_and(|group| group == self.pid) {
            let _ = kill_process_group(self.pid, Signal::KILL);
        }
    }
}

impl Drop for Child {
    /// Nothing outlives its executor, whatever way it was dropped.
    fn drop(&mut self) {
        if self.told.get().is_none() {
            self.kill();
            let pid = self.pid;
            // Nobody is left to wait for it: a thread does, for the moment that a killed process takes to go.
            std::thread::spawn(move || waitpid(Some(pid), WaitOptions::empty()));
        }
    }
}

/// Processes below `pid`, as far as they can be seen, at most [`FAMILY_MAX`].
pub(crate) fn descendants(pid: Pid) -> Vec<Pid> {
    descendants_without(pid, &[])
}

/// As [`descendants`], without `others` and what is below them.
pub(crate) fn descendants_without(pid: Pid, others: &[Pid]) -> Vec<Pid> {
    let mut found = Vec::new();
    let mut next = vec![pid];
    while let Some(parent) = next.pop() {
        for child in children(parent).into_iter().filter(|child| !others.contains(child)) {
            if found.len() >= FAMILY_MAX {
                return found;
            }
            found.push(child);
            next.push(child);
        }
    }
    found
}

/// A bound for one look at the process table.
const FAMILY_MAX: usize = 1024;

/// Children of `pid`, as far as they can be seen.
pub(crate) fn children(pid: Pid) -> Vec<Pid> {
    let Ok(threads) = fs::read_dir(format!("/proc/{}/task", pid.as_raw_nonzero())) else { return Vec::new() };
    let mut found = Vec::new();
    for thread in threads.flatten() {
        let listed = fs::read_to_string(thread.path().join("children")).unwrap_or_default();
        found.extend(listed.split_ascii_whitespace().filter_map(|word| word.parse().ok()).filter_map(Pid::from_raw));
    }
    found
}
