//! A served app: `ignite-host` as a process, its address and its log lines.

use std::io::BufReader;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use crate::product::binary;

/// How long a host may take until it says where it listens.
const START_MAX: Duration = Duration::from_secs(30);

/// A running `ignite-host`. It is killed when this is dropped.
pub struct Host {
    child: Child,
    address: String,
    lines: Arc<Lines>,
}

/// Log lines so far, and a bell for each new one.
#[derive(Default)]
struct Lines {
    seen: Mutex<Vec<Value>>,
    more: Condvar,
}

impl Host {
    /// Serves `artifact` on a free port, with further environment variables.
    ///
    /// # Errors
    /// When the host cannot be started or does not listen in time.
    pub fn serve(artifact: &Path, env: &[(&str, &str)]) -> Result<Self> {
        let mut child = Command::new(binary("ignite-host")?)
            .arg("--artifact")
            .arg(artifact)
            .env("PORT", "0")
            .env("IGNITE_LISTEN_HOST", "127.0.0.1")
            .envs(env.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .context("`ignite-host` could not be started")?;
        let lines = Arc::new(Lines::default());
        let stdout = child.stdout.take().context("stdout is a pipe")?;
        thread::spawn({
            let lines = Arc::clone(&lines);
            move || lines.read(BufReader::new(stdout))
        });
        let mut host = Self { child, address: String::new(), lines };
        let listening = host.log_line(START_MAX, |line| line["address"].is_string())?;
        host.address = listening["address"].as_str().unwrap_or_default().to_owned();
        host.wait_ready(START_MAX)?;
        Ok(host)
    }

    /// `127.0.0.1:PORT`
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }

    /// The process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The first log line that `wanted` holds for, waiting at most `wait`.
    ///
    /// # Errors
    /// When there is none in time; the error shows the lines there were.
    pub fn log_line(&self, wait: Duration, wanted: impl Fn(&Value) -> bool) -> Result<Value> {
        let deadline = Instant::now() + wait;
        let mut seen = self.lines.seen.lock().expect("no reader panics");
        loop {
            if let Some(line) = seen.iter().find(|line| wanted(line)) {
                return Ok(line.clone());
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                let lines: Vec<String> = seen.iter().map(Value::to_string).collect();
                bail!("no such log line within {wait:?}; there were:\n{}", lines.join("\n"));
            }
            seen = self.lines.more.wait_timeout(seen, left).expect("no reader panics").0;
        }
    }

    /// Waits until `/healthz` answers 200.
    fn wait_ready(&mut self, wait: Duration) -> Result<()> {
        let deadline = Instant::now() + wait;
        let url = format!("http://{}/healthz", self.address);
        loop {
            let answer = agent().get(&url).call();
            if answer.as_ref().is_ok_and(|answer| answer.status() == 200) {
                return Ok(());
            }
            if let Some(status) = self.child.try_wait()? {
                bail!("the host ended with {status} before it was ready");
            }
            if Instant::now() > deadline {
                let body = answer.map(|mut answer| answer.body_mut().read_to_string().unwrap_or_default());
                bail!("the host is not ready after {wait:?}: {body:?}");
            }
            thread::sleep(Duration::from_millis(2));
        }
    }

    /// Asks the host to end, as an orchestrator does, and waits for it.
    ///
    /// # Errors
    /// When it has not ended within `wait`.
    pub fn terminate(&mut self, wait: Duration) -> Result<ExitStatus> {
        self.signal("-TERM")?;
        self.wait(wait)
    }

    /// Sends a signal by its name, as in `-TERM`.
    ///
    /// # Errors
    /// When `kill` refuses.
    pub fn signal(&self, name: &str) -> Result<()> {
        let status = Command::new("kill").arg(name).arg(self.pid().to_string()).status()?;
        if status.success() { Ok(()) } else { bail!("kill {name} ended with {status}") }
    }

    /// Waits for the host to end by itself.
    ///
    /// # Errors
    /// When it has not ended within `wait`.
    pub fn wait(&mut self, wait: Duration) -> Result<ExitStatus> {
        let deadline = Instant::now() + wait;
        loop {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status);
            }
            if Instant::now() > deadline {
                bail!("the host has not ended within {wait:?}");
            }
            thread::sleep(Duration::from_millis(2));
        }
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Lines {
    fn read(&self, lines: impl std::io::BufRead) {
        for line in lines.lines().map_while(Result::ok) {
            let value = serde_json::from_str(&line).unwrap_or(Value::String(line));
            self.seen.lock().expect("no reader panics").push(value);
            self.more.notify_all();
        }
    }
}

/// A client that takes every status as an answer and follows nothing.
#[must_use]
pub fn agent() -> ureq::Agent {
    ureq::Agent::config_builder()
        .http_status_as_error(false)
        .allow_non_standard_methods(true)
        .max_redirects(0)
        .timeout_global(Some(Duration::from_secs(60)))
        .build()
        .into()
}
