//! The end of groups: what is in them is killed, and their folders are removed.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

/// Processes killed by number in one go; where there are more, the next try takes them.
const KILLED_AT_ONCE_MAX: usize = 256;

/// Groups in groups that are looked into. A deeper one is left, and so is what it is in.
const DEPTH_MAX: u32 = 8;

/// How often the removal of a group is tried, whose last process may be about to go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tries {
    /// At most so often.
    pub max: u32,
    /// The time between two tries.
    pub wait: Duration,
}

impl Tries {
    /// Once.
    pub const ONE: Self = Self { max: 1, wait: Duration::ZERO };
    /// For processes that have ended or were killed just now: 50 times in 50 ms.
    pub const BRIEF: Self = Self { max: 50, wait: Duration::from_millis(1) };
}

/// Removes these folders; those that could not be are left in the list.
pub(crate) fn remove(folders: &mut Vec<PathBuf>, tries: Tries) {
    each_try(folders, tries, |folder| removed(folder, DEPTH_MAX));
}

/// Kills what is in these folders and removes them; those that could not be are left in the list.
pub(crate) fn kill_and_remove(folders: &mut Vec<PathBuf>, tries: Tries) {
    each_try(folders, tries, |folder| {
        kill(folder);
        removed(folder, DEPTH_MAX)
    });
}

fn each_try(folders: &mut Vec<PathBuf>, tries: Tries, mut removed: impl FnMut(&Path) -> io::Result<()>) {
    // What is refused for another reason than processes will be refused again.
    let mut refused = Vec::new();
    for tried in 1..=tries.max {
        folders.retain(|folder| match removed(folder) {
            Ok(()) => false,
            Err(error) if error.kind() == io::ErrorKind::ResourceBusy => true,
            Err(_) => {
                refused.push(folder.clone());
                false
            }
        });
        if folders.is_empty() {
            break;
        }
        if tried < tries.max {
            thread::sleep(tries.wait);
        }
    }
    folders.append(&mut refused);
}

/// Removes a group and those that were made in it.
fn removed(folder: &Path, depth: u32) -> io::Result<()> {
    match fs::remove_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::ResourceBusy && depth > 0 => {
            let mut inner = inner(folder).peekable();
            if inner.peek().is_none() {
                return Err(error);
            }
            inner.try_for_each(|folder| removed(&folder, depth - 1))?;
            fs::remove_dir(folder)
        }
        done => done,
    }
}

/// Kills every process in a group and in those in it.
pub(crate) fn kill(folder: &Path) {
    // In v2 since Linux 5.14: all at once, and what is being started too.
    if !kill_as_a_whole(folder) {
        kill_by_number(folder, DEPTH_MAX);
    }
}

fn kill_as_a_whole(folder: &Path) -> bool {
    fs::write(folder.join("cgroup.kill"), "1").is_ok()
}

fn kill_by_number(folder: &Path, depth: u32) {
    // Where the number of processes is held: so that none of them starts another meanwhile.
    let max = folder.join("pids.max");
    if max.exists() {
        let _ = fs::write(max, "0");
    }
    // A number may go to a stranger between the look and the signal. A handle stays with its process, and what is still in the
    // group after the handle was made is no stranger.
    let handles: Vec<_> = processes(folder)
        .into_iter()
        .take(KILLED_AT_ONCE_MAX)
        .filter_map(|pid| Some((pid, pidfd_open(pid, PidfdFlags::empty()).ok()?)))
        .collect();
    let still = if handles.is_empty() { Vec::new() } else { processes(folder) };
    for (_, handle) in handles.iter().filter(|(pid, _)| still.contains(pid)) {
        let _ = pidfd_send_signal(handle, Signal::KILL);
    }
    if depth > 0 {
        inner(folder).for_each(|folder| kill_by_number(&folder, depth - 1));
    }
}

fn processes(folder: &Path) -> Vec<Pid> {
    let listed = fs::read_to_string(folder.join("cgroup.procs")).unwrap_or_default();
    // Those of another process namespace are told as 0.
    listed.lines().filter_map(|line| line.parse().ok()).filter_map(Pid::from_raw).collect()
}

/// The groups in a group.
fn inner(folder: &Path) -> impl Iterator<Item = PathBuf> + use<> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())).map(|entry| entry.path())
}

#[cfg(test)]
mod tests;
