//! A host at rest takes no more memory than it needs for being there.
//!
//! Pages of the program that were touched once stay mapped for as long as the process lives and count as its memory, though most were
//! of use at its start alone, and of the rest none is while nobody asks. They lie in the page cache as well, so a host that
//! has had nothing to do lets them go, and finds what it needs there when the next request comes.

use std::sync::Arc;
use std::time::Duration;

use ignite_runtimes_executor::Health;
use serde_json::json;

use crate::host::Shared;
use crate::mapped::unmap_program;

/// Between two looks.
const LOOK_PAUSE: Duration = Duration::from_secs(5);

/// Looks that find nothing done before a host is at rest, which is 10 to 15 s after its last answer.
const LOOKS: u32 = 2;

/// Looks for as long as the host lives, and lets the memory go once in each rest.
pub(crate) async fn watch(shared: Arc<Shared>) {
    let (mut answered, mut quiet) = (0, 0_u32);
    loop {
        tokio::time::sleep(LOOK_PAUSE).await;
        let now = shared.metrics.answered_so_far();
        // One that still waits for its app is there to be quick, and shares its memory with all others that wait.
        let idle = now == answered && shared.requests() == 0 && shared.health() == Health::Ready;
        quiet = if idle { quiet.saturating_add(1) } else { 0 };
        answered = now;
        if quiet != LOOKS {
            continue;
        }
        // One madvise(2) of some tens of microseconds: not worth another thread.
        if let Err(error) = unmap_program() {
            let error = json!({ "error": error.to_string() });
            shared.logs.host("warn", "this host keeps all its memory while nobody asks", &error);
            return;
        }
    }
}
