//! Control groups of steps, where this user may make them: the kernel then holds memory and processes of a step together,
//! however they come about. Where it may not, the watch in `watch.rs` stands in.

use std::mem;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use ignite_cgroups::{Controller, Left, MemoryLimit, Places, Purpose, Tries};

/// Whether a process could not be moved into a group.
static REFUSED: AtomicBool = AtomicBool::new(false);

/// The processes of a step die with the compiler, which may have been a moment ago.
const PURPOSE: Purpose = Purpose { word: "step", left: Left::Killed };

/// The groups of one step. They are removed when this is dropped, which is after its last process.
#[derive(Debug)]
pub(crate) struct Group(ignite_cgroups::Group);

impl Group {
    /// Makes groups for these bounds, as far as this user may.
    pub(crate) fn make(memory_bytes_max: u64, processes_max: u64) -> Self {
        if REFUSED.load(Ordering::Relaxed) {
            return Self(ignite_cgroups::Group::default());
        }
        let mut group = places().make();
        // Without one of its processes a step is of no use.
        let memory = MemoryLimit { bytes: memory_bytes_max, end_together: true };
        if group.hold_memory(memory).is_err() {
            group.release(Controller::Memory);
        }
        if group.hold_pids(processes_max).is_err() {
            group.release(Controller::Pids);
        }
        Self(group)
    }

    /// The groups with a process in them, before it starts others. A user may be allowed to make a group and not to move
    /// a process into it; that is found out once, and from then on there are none.
    pub(crate) fn joined_by(mut self, pid: u32) -> Self {
        if self.0.join(pid).is_err() {
            REFUSED.store(true, Ordering::Relaxed);
        }
        self
    }

    /// Whether the kernel holds memory.
    pub(crate) fn holds_memory(&self) -> bool {
        self.0.has(Controller::Memory)
    }

    /// Whether the kernel holds the number of processes.
    pub(crate) fn holds_processes(&self) -> bool {
        self.0.has(Controller::Pids)
    }

    /// Whether a process was killed because memory was used up.
    pub(crate) fn was_out_of_memory(&self) -> bool {
        self.0.was_out_of_memory()
    }

    /// Processes and threads that there are now.
    pub(crate) fn processes(&self) -> Option<u64> {
        self.0.processes()
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // What is left is swept when this process has ended.
        let _ = mem::take(&mut self.0).remove(Tries::BRIEF);
    }
}

/// Removes the groups that killed compilers have left.
pub fn sweep_all() {
    places().sweep();
}

/// Where groups can be made; looked for once.
fn places() -> &'static Places {
    static PLACES: OnceLock<Places> = OnceLock::new();
    PLACES.get_or_init(|| Places::find(&[Controller::Memory, Controller::Pids], PURPOSE))
}
