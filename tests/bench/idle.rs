//! A host that has nothing to do: its memory, and how fast it ends. Settings are the host's own.

use std::time::Duration;

use anyhow::{Context as _, Result};

use crate::cold::milliseconds;
use crate::contenders::{Contender, Prepared};
use crate::server::Server;
use crate::tree;

/// What stands in the place of the settings that the loads need.
pub(crate) const DEFAULTS: [(&str, &str); 2] = [("IGNITE_MAX_CONCURRENCY", "16"), ("IGNITE_QUEUE_MAX", "160")];
/// Between the first answer and the look at the memory.
const SETTLE: Duration = Duration::from_millis(300);

/// An idle host.
#[derive(Debug)]
pub(crate) struct Idle {
    /// Of the process tree, by shares, in bytes.
    pub(crate) memory_bytes: u64,
    /// From SIGTERM to the end of the process, in milliseconds, each time.
    pub(crate) drain_ms: Vec<f64>,
}

/// Starts a host `times` times, looks at its memory and ends it.
///
/// # Errors
/// When it does not start or has to be killed.
pub(crate) fn measure(contender: &Contender, prepared: &Prepared, times: usize) -> Result<Idle> {
    let (mut memory_bytes, mut drain_ms) = (Vec::new(), Vec::new());
    for _ in 0..times {
        let mut server = Server::start_with(contender, prepared, &DEFAULTS)?;
        std::thread::sleep(SETTLE);
        memory_bytes.push(tree::memory_bytes(server.pid()));
        drain_ms.push(milliseconds(server.stop().context("it had to be killed")?));
    }
    memory_bytes.sort_unstable();
    Ok(Idle { memory_bytes: memory_bytes[memory_bytes.len() / 2], drain_ms })
}
