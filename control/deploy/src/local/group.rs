//! Control groups of hosts, where this user may make them: the kernel then holds memory, processor share and number of
//! processes of a host and of all that it starts, and ends them together.
//!
//! They live as long as a host, which is given its bounds when it is given its app.

use std::path::Path;
use std::sync::OnceLock;
use std::time::Duration;
use std::{io, mem, thread};

use ignite_cgroups::{Controller, Lacking, Left, MemoryLimit, Places, Purpose, Tries};
use ignite_core_model::Resources;

/// Memory of the host itself, beside that of the app. The host watches the app's own: this is the second line.
const HOST_MEMORY_MB: u64 = 128;

/// Processes and threads of one host and its app.
const PROCESSES_MAX: u64 = 2048;

/// Hosts drain when their agent has ended, and may have requests in hand.
const PURPOSE: Purpose = Purpose { word: "host", left: Left::Ending };

/// For what is killed: it takes a moment to go.
const REMOVE_TRIES: Tries = Tries { max: 200, wait: Duration::from_millis(5) };

/// Where groups can be made; looked for once in this process. What killed agents left there is removed.
fn places() -> &'static Places {
    static PLACES: OnceLock<Places> = OnceLock::new();
    PLACES.get_or_init(|| Places::find(&Controller::ALL, PURPOSE))
}

/// Controllers that are not to be had.
pub(super) fn lacking() -> &'static [Lacking] {
    places().lacking()
}

/// Removes groups of agents that have ended, once their hosts have.
pub(super) fn sweep() {
    places().sweep();
}

/// The groups of one host. Dropped, what is in them is killed, and they are removed.
#[derive(Debug)]
pub(super) struct Group(ignite_cgroups::Group);

impl Group {
    /// Groups for the process `pid`, which has started nothing yet, and for all it starts from now on.
    pub(super) fn around(pid: u32) -> Self {
        let mut group = places().make();
        told("a host could not be put into its control group", group.join(pid));
        if group.has(Controller::Pids) {
            told("the number of a host's processes is not held", group.hold_pids(PROCESSES_MAX));
        }
        Self(group)
    }

    /// Holds memory to what an app may use.
    pub(super) fn hold_memory(&self, resources: Resources) {
        if self.0.has(Controller::Memory) {
            let bytes = (u64::from(resources.memory_mb) + HOST_MEMORY_MB) << 20;
            // The host outlives a worker that is ended, and says why it was.
            let limit = MemoryLimit { bytes, end_together: false };
            told("the memory of a host is not held", self.0.hold_memory(limit));
        }
    }

    /// Holds the processor share, with bursts of what was left unused.
    pub(super) fn hold_cpu(&self, resources: Resources) {
        if self.0.has(Controller::Cpu) {
            told("the processor share of a host is not held", self.0.hold_cpu(resources.cpu_millicores));
        }
    }

    /// Whether the kernel ended a process because memory was used up.
    pub(super) fn was_out_of_memory(&self) -> bool {
        self.0.was_out_of_memory()
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let Err(left) = mem::take(&mut self.0).remove(Tries::ONE) else { return };
        // Nobody has to wait for what is killed now.
        left.kill();
        let removing = move || {
            if let Err(left) = left.kill_and_remove(REMOVE_TRIES) {
                let folders: Vec<&Path> = left.folders().collect();
                tracing::warn!(?folders, "control groups of a host could not be removed");
            }
        };
        let _ = thread::Builder::new().name("group-removal".into()).spawn(removing);
    }
}

/// A host runs without: its own watch holds its app.
fn told(what: &str, done: io::Result<()>) {
    if let Err(error) = done {
        tracing::warn!(%error, "{what}");
    }
}
