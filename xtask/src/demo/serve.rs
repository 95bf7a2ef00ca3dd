//! One `ignite-host` on this machine.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Stdio};
use std::sync::mpsc::channel;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::process::{end, terminate, wait};
use crate::workspace::Workspace;

/// Longest time until a host says where it listens; the first start of a component may compile it.
const START_MAX: Duration = Duration::from_secs(60);
/// Longer than a host's own grace period.
const STOP_MAX: Duration = Duration::from_secs(40);

/// A host that serves one artifact, until it is stopped or dropped.
pub(super) struct Host {
    child: Child,
    /// Where it listens.
    pub(super) address: SocketAddr,
    /// When it was started.
    pub(super) started: Instant,
}

impl Host {
    /// Starts a host on a free port. Its lines go to the file `log`.
    pub(super) fn start(workspace: &Workspace, artifact: &Path, log: &Path) -> Result<Self> {
        let mut log_file = File::create(log).with_context(|| format!("could not make {}", log.display()))?;
        let mut command = workspace.command(workspace.release().join("ignite-host"));
        command.arg("--artifact").arg(artifact).env("PORT", "0").env("IGNITE_LISTEN_HOST", "127.0.0.1");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log_file.try_clone()?);
        let started = Instant::now();
        let mut child = command.spawn().context("could not start ignite-host")?;
        let (sender, receiver) = channel();
        if let Some(stdout) = child.stdout.take() {
            thread::spawn(move || {
                for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                    let line_json: Option<Value> = serde_json::from_str(&line).ok();
                    if let Some(address) = line_json.and_then(|line| line["address"].as_str()?.parse().ok()) {
                        // Nobody listens after the first.
                        let _ = sender.send(address);
                    }
                    let _ = writeln!(log_file, "{line}");
                }
            });
        }
        let Ok(address) = receiver.recv_timeout(START_MAX) else {
            end(&mut child);
            return Err(anyhow::anyhow!("ignite-host did not say where it listens: {}", super::log_end(log)));
        };
        Ok(Self { child, address, started })
    }

    /// Ends it as an orchestrator does, and expects it to end well.
    pub(super) fn stop(mut self) -> Result<()> {
        terminate(&self.child);
        let status = wait(&mut self.child, STOP_MAX).context("ignite-host did not end")?;
        ensure!(status.success(), "ignite-host ended with {status}");
        Ok(())
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            end(&mut self.child);
        }
    }
}
