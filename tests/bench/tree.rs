//! What a process and everything it started uses, from `/proc`.

use std::fs;

/// Clock ticks in a second, as in `/proc/PID/stat` (`USER_HZ`, fixed on Linux).
const TICKS_PER_SECOND: f64 = 100.0;

/// A process's memory, in bytes.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Memory {
    /// Pages it shares count by their share.
    pub(crate) proportional: u64,
    /// Pages that are its own.
    pub(crate) private: u64,
}

/// `root` and all its descendants, parents before children.
pub(crate) fn tree(root: u32) -> Vec<u32> {
    let mut pids = vec![root];
    let mut next = 0;
    while next < pids.len() {
        pids.extend(children(pids[next]));
        next += 1;
    }
    pids
}

/// The children of `pid`.
pub(crate) fn children(pid: u32) -> Vec<u32> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let lists = tasks.map(|task| fs::read_to_string(task.path().join("children")).unwrap_or_default());
    lists.flat_map(|list| list.split_whitespace().filter_map(|pid| pid.parse().ok()).collect::<Vec<_>>()).collect()
}

/// Processor time so far, in seconds.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Cpu {
    /// Of the first process alone.
    pub(crate) first: f64,
    /// Of all; children that have ended and were reaped are in it.
    pub(crate) all: f64,
}

impl std::ops::Sub for Cpu {
    type Output = Self;

    fn sub(self, before: Self) -> Self {
        Self { first: self.first - before.first, all: self.all - before.all }
    }
}

impl std::ops::AddAssign for Cpu {
    fn add_assign(&mut self, more: Self) {
        self.first += more.first;
        self.all += more.all;
    }
}

/// Processor time of the tree below `root`.
pub(crate) fn cpu(root: u32) -> Cpu {
    let all = tree(root).iter().filter_map(|pid| ticks(*pid, 4)).sum::<f64>() / TICKS_PER_SECOND;
    Cpu { first: ticks(root, 2).unwrap_or_default() / TICKS_PER_SECOND, all }
}

/// Memory of the tree below `root`, by shares, in bytes.
pub(crate) fn memory_bytes(root: u32) -> u64 {
    tree(root).iter().filter_map(|pid| memory(*pid)).map(|memory| memory.proportional).sum()
}

/// Memory of one process; `None` when it has ended.
pub(crate) fn memory(pid: u32) -> Option<Memory> {
    let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?;
    let line = |name: &str| {
        let value = rollup.lines().find_map(|line| line.strip_prefix(name))?;
        Some(value.split_whitespace().next()?.parse::<u64>().ok()? * 1024)
    };
    Some(Memory { proportional: line("Pss:")?, private: line("Private_Clean:")? + line("Private_Dirty:")? })
}

/// User and system time of a process, and with four `fields` of its reaped children too.
fn ticks(pid: u32, fields: usize) -> Option<f64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The command's name may hold spaces; fields are counted from the closing parenthesis: 14 to 17 of proc(5).
    let fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11).take(fields);
    fields.map(|field| field.parse::<f64>().ok()).sum()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test")]
    use std::process::Command;

    use super::*;

    #[test]
    fn a_reaped_childs_time_counts() {
        let own = std::process::id();
        let before = cpu(own);
        let script = "i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done";
        assert!(Command::new("sh").args(["-c", script]).status().unwrap().success());
        let used = cpu(own) - before;
        assert!(used.all > used.first && used.all > 0.0, "{used:?}");
        assert!(memory(own).unwrap().private > 0 && memory_bytes(own) > 0);
        assert_eq!(tree(own)[0], own);
    }
}
