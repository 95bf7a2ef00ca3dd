//! Looks, while a step runs, whether it keeps to its bounds, as far as the kernel does not hold it to them.

use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use crate::cgroup::Group;
use crate::disk::Disk;
use crate::processes::{self, Usage};
use crate::step::{Bound, StepLimits};

/// How often memory, processes and disk are looked at.
const LOOK_EVERY: Duration = Duration::from_millis(100);

pub(crate) struct Watch {
    pub(crate) group: Group,
    /// The `/proc` of the sandbox.
    pub(crate) processes: OwnedFd,
    pub(crate) disk: Disk,
    pub(crate) limits: StepLimits,
    pub(crate) look_at: Instant,
}

impl Watch {
    pub(crate) fn new(group: Group, processes: OwnedFd, disk: Disk, limits: StepLimits) -> Self {
        Self { group, processes, disk, limits, look_at: Instant::now() + LOOK_EVERY }
    }

    /// Which bound is reached, if it is time to look.
    pub(crate) fn look(&mut self, now: Instant) -> Option<Bound> {
        if now < self.look_at {
            return None;
        }
        let reached = self.use_of_processes().or_else(|| self.disk.look());
        self.look_at = Instant::now() + LOOK_EVERY;
        reached
    }

    /// Which bound the step had reached when it ended, so that its end is not taken for its own doing.
    pub(crate) fn last_look(&mut self) -> Option<Bound> {
        if self.group.was_out_of_memory() {
            return Some(Bound::Memory(self.limits.memory_bytes_max));
        }
        self.disk.last_look()
    }

    fn use_of_processes(&self) -> Option<Bound> {
        let usage = match self.group.processes() {
            Some(tasks) if self.group.holds_memory() => Usage { tasks, memory: 0 },
            _ => processes::usage(&self.processes),
        };
        // Where the kernel holds memory, it has ended one process and leaves the others waiting for it.
        if usage.memory > self.limits.memory_bytes_max || self.group.was_out_of_memory() {
            return Some(Bound::Memory(self.limits.memory_bytes_max));
        }
        // At the bound the kernel refuses further ones, and whoever wants them tries for ever.
        (usage.tasks >= self.limits.processes_max).then_some(Bound::Processes(self.limits.processes_max))
    }
}
