//! One `ignite serve` on this machine, and the command line that speaks to it.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use crate::process::{end, output, stream, terminate, wait};
use crate::workspace::Workspace;

/// Longest time until the platform says where it serves.
const START_MAX: Duration = Duration::from_secs(60);
/// Longer than the platform's own grace period.
const STOP_MAX: Duration = Duration::from_secs(60);
/// Longest time of a command; the first compile of a language may download and build much.
const COMMAND_MAX: Duration = Duration::from_secs(10 * 60);
/// Longest time until an app that nobody calls has no instance.
const IDLE_MAX: Duration = Duration::from_secs(60);
/// Pause between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// A platform with a folder of its own, until it is stopped or dropped.
pub(super) struct Platform<'a> {
    workspace: &'a Workspace,
    child: Child,
    /// Where apps are served.
    pub(super) gateway: SocketAddr,
    /// The token of whoever started it.
    pub(super) token: String,
    config: PathBuf,
}

impl<'a> Platform<'a> {
    /// Starts one with an empty folder. What it says goes to a file beside the folder.
    pub(super) fn start(workspace: &'a Workspace, folder: &Path) -> Result<Self> {
        if folder.exists() {
            std::fs::remove_dir_all(folder)?;
        }
        let config = folder.join("config");
        std::fs::create_dir_all(&config)?;
        let mut command = workspace.command(workspace.release().join("ignite"));
        command.args(["serve", "--api-port", "0", "--gateway-port", "0", "--data"]).arg(folder.join("data"));
        command.env("IGNITE_CONFIG_DIR", &config);
        let mut log = File::create(folder.join("log"))?;
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().context("could not start `ignite serve`")?;
        let (sender, lines) = channel();
        if let Some(stderr) = child.stderr.take() {
            thread::spawn(move || {
                for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                    let _ = writeln!(log, "{line}");
                    // Nobody listens after the first few.
                    let _ = sender.send(line);
                }
            });
        }
        let mut platform =
            Self { workspace, child, gateway: SocketAddr::from(([127, 0, 0, 1], 0)), token: String::new(), config };
        let apps = said(&lines, "apps")?;
        let port = apps.rsplit(':').next().and_then(|port| port.parse().ok()).context("it names no port for apps")?;
        platform.gateway.set_port(port);
        platform.token = said(&lines, "token")?.split(' ').next().unwrap_or_default().to_owned();
        // The last it says at its start: the configuration is written.
        said(&lines, "config")?;
        Ok(platform)
    }

    fn ignite(&self, arguments: &[&str]) -> Command {
        let mut command = self.workspace.command(self.workspace.release().join("ignite"));
        command.args(arguments).env("IGNITE_CONFIG_DIR", &self.config);
        command
    }

    /// A command whose lines are shown.
    pub(super) fn run(&self, arguments: &[&str]) -> Result<()> {
        let status = stream(self.ignite(arguments), COMMAND_MAX, &mut |line| eprintln!("    {line}"))?;
        ensure!(status.success(), "`ignite {}` ended with {status}", arguments.join(" "));
        Ok(())
    }

    /// A command's result.
    pub(super) fn ask(&self, arguments: &[&str]) -> Result<Value> {
        let mut command = self.ignite(arguments);
        command.args(["-o", "json"]);
        let text = output(command, COMMAND_MAX)?;
        serde_json::from_str(&text).with_context(|| format!("`ignite {}` gives no JSON", arguments.join(" ")))
    }

    /// Waits until an app has no instance.
    pub(super) fn wait_idle(&self, app: &str) -> Result<()> {
        let deadline = Instant::now() + IDLE_MAX;
        loop {
            let state = self.ask(&["app", "state", app])?;
            if state["deploymentState"] == "DEPLOYMENT_STATE_IDLE" {
                return Ok(());
            }
            ensure!(Instant::now() < deadline, "{app} still has instances: {state}");
            thread::sleep(LOOK_EVERY);
        }
    }

    /// Ends it as a person does, and expects it to end well.
    pub(super) fn stop(mut self) -> Result<()> {
        terminate(&self.child);
        let status = wait(&mut self.child, STOP_MAX).context("`ignite serve` did not end")?;
        ensure!(status.success(), "`ignite serve` ended with {status}");
        Ok(())
    }
}

impl Drop for Platform<'_> {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            end(&mut self.child);
        }
    }
}

/// What follows a word at the beginning of a line.
fn said(lines: &Receiver<String>, word: &str) -> Result<String> {
    let deadline = Instant::now() + START_MAX;
    let mut others = Vec::new();
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let Ok(line) = lines.recv_timeout(left) else {
            bail!("`ignite serve` does not say its `{word}` but:\n{}", others.join("\n"));
        };
        if let Some(rest) = line.strip_prefix(word) {
            return Ok(rest.trim().to_owned());
        }
        others.push(line);
    }
}
