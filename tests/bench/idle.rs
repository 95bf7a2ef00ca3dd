//! A host that has nothing to do: its memory, and how fast it ends. Settings are the host's own.

use std::time::Duration;

use anyhow::{Context as _, Result};

use crate::cold::milliseconds;
use crate::contenders::{Contender, Prepared};
use crate::server::Server;
use crate::tree;

/// What stands in the place of the settings that the loads need.
pub(crate) const DEFAULTS: [(&str, &str); 2] = [("IGNITE_MAX_CONCURRENCY", "16"), ("IGNITE_QUEUE_MAX", "160")];
/// Between the first answer and the first look at the memory.
const SETTLE: Duration = Duration::from_millis(300);
/// From then on until a host is at rest and has let go what it can; see `runtimes/host/src/rest.rs`.
const REST: Duration = Duration::from_secs(16);

/// An idle host.
#[derive(Debug)]
pub(crate) struct Idle {
    /// Of the process tree, by shares, in bytes, right after its first answer; the middle of all.
    pub(crate) answered_bytes: u64,
    /// The same at rest, of one.
    pub(crate) rest_bytes: u64,
    /// From SIGTERM to the end of the process, in milliseconds, each time.
    pub(crate) drain_ms: Vec<f64>,
}

/// Starts a host `times` times, looks at its memory and ends it.
///
/// # Errors
/// When it does not start or has to be killed.
pub(crate) fn measure(contender: &Contender, prepared: &Prepared, times: usize) -> Result<Idle> {
    let (mut answered_bytes, mut rest_bytes, mut drain_ms) = (Vec::new(), 0, Vec::new());
    for time in 0..times {
        let mut server = Server::start_with(contender, prepared, &DEFAULTS)?;
        std::thread::sleep(SETTLE);
        answered_bytes.push(tree::memory_bytes(server.pid()));
        if time == 0 {
            std::thread::sleep(REST);
            rest_bytes = tree::memory_bytes(server.pid());
        }
        drain_ms.push(milliseconds(server.stop().context("it had to be killed")?));
    }
    answered_bytes.sort_unstable();
    Ok(Idle { answered_bytes: answered_bytes[answered_bytes.len() / 2], rest_bytes, drain_ms })
}
