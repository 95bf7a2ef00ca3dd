//! A served app: `ignite-host` as a process, its address and its log lines.

use std::ffi::OsStr;
use std::io::{BufReader, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use serde_json::Value;
use tempfile::TempDir;

use crate::product::binary;

/// How long a host may take until it says where it listens.
const START_MAX: Duration = Duration::from_secs(30);
/// How long the admin listener may take to answer.
const ADMIN_MAX: Duration = Duration::from_secs(5);

/// A running `ignite-host`. It is killed when this is dropped.
pub struct Host {
    child: Child,
    address: String,
    /// The admin socket.
    admin: PathBuf,
    lines: Arc<Lines>,
    /// Where it unpacks. A host that is killed cannot tidy up after itself.
    work_dir: TempDir,
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
        let mut host = Self::start(artifact, env)?;
        host.wait_ready(START_MAX)?;
        Ok(host)
    }

    /// As [`Host::serve`], but waits only until it listens: the app may never become ready.
    ///
    /// # Errors
    /// When the host cannot be started or does not listen in time.
    pub fn start(artifact: &Path, env: &[(&str, &str)]) -> Result<Self> {
        Self::start_by(&[], &[OsStr::new("--artifact"), artifact.as_os_str()], env)
    }

    /// As [`Host::start`], with these arguments, and by another program, which has to become the host: `by` is its name and
    /// its arguments, after which come the host's.
    ///
    /// # Errors
    /// When the host cannot be started or does not listen in time.
    pub fn start_by(by: &[&str], arguments: &[&OsStr], env: &[(&str, &str)]) -> Result<Self> {
        let work_dir = tempfile::tempdir()?;
        let host = binary("ignite-host")?;
        let mut command = match by {
            [] => Command::new(host),
            [program, words @ ..] => {
                let mut command = Command::new(program);
                command.args(words).arg(host);
                command
            }
        };
        let mut child = command
            .args(arguments)
            .env("PORT", "0")
            .env("IGNITE_LISTEN_HOST", "127.0.0.1")
            .env("IGNITE_WORK_DIR", work_dir.path())
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
        let mut host = Self { child, address: String::new(), admin: PathBuf::new(), lines, work_dir };
        let listening = host.log_line(START_MAX, |line| line["address"].is_string())?;
        host.address = listening["address"].as_str().unwrap_or_default().to_owned();
        host.admin = listening["admin"].as_str().and_then(|at| at.strip_prefix("unix:")).unwrap_or_default().into();
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

    /// Starts a host without an app, for one of this runtime, and waits until it is up.
    ///
    /// # Errors
    /// When it does not come up in time.
    pub fn warm(runtime: &str, env: &[(&str, &str)]) -> Result<Self> {
        let host = Self::start_by(&[], &[OsStr::new("--warm"), OsStr::new(runtime)], env)?;
        host.log_line(START_MAX, |line| line["message"] == "warm")?;
        Ok(host)
    }

    /// Gives a warm host its app; the answer's status and body.
    ///
    /// # Errors
    /// When the host does not answer.
    pub fn specialize(&self, order: &str) -> Result<(u16, Value)> {
        let mut stream = UnixStream::connect(&self.admin).with_context(|| self.admin.display().to_string())?;
        stream.set_read_timeout(Some(START_MAX))?;
        let length = order.len();
        write!(
            stream,
            "POST /specialize HTTP/1.1\r\nhost: admin\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{order}"
        )?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        let (head, body) = answer.split_once("\r\n\r\n").context("an answer has a head")?;
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).context("an answer has a status")?;
        Ok((status, serde_json::from_str(body)?))
    }

    /// A page of the admin listener, head and body.
    ///
    /// # Errors
    /// When it does not answer.
    pub fn admin(&self, path: &str) -> Result<String> {
        let mut stream = UnixStream::connect(&self.admin).with_context(|| self.admin.display().to_string())?;
        stream.set_read_timeout(Some(ADMIN_MAX))?;
        write!(stream, "GET {path} HTTP/1.1\r\nhost: admin\r\nconnection: close\r\n\r\n")?;
        let mut page = String::new();
        stream.read_to_string(&mut page)?;
        Ok(page)
    }

    /// A figure of the metrics page, by all that stands before it; 0 where it was never counted.
    ///
    /// # Errors
    /// When the page cannot be read.
    pub fn metric(&self, name: &str) -> Result<f64> {
        let page = self.admin("/metrics")?;
        let found = page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.trim().parse().ok());
        Ok(found.unwrap_or_default())
    }

    /// Waits until a figure of the metrics page has a value.
    ///
    /// # Errors
    /// When it has not within `wait`.
    pub fn wait_metric(&self, name: &str, wanted: f64, wait: Duration) -> Result<()> {
        let deadline = Instant::now() + wait;
        loop {
            let found = self.metric(name)?;
            if (found - wanted).abs() < 0.5 {
                return Ok(());
            }
            if Instant::now() > deadline {
                bail!("{name} is {found} and not {wanted} after {wait:?}");
            }
            thread::sleep(Duration::from_millis(2));
        }
    }

    /// All log lines so far that `wanted` holds for.
    #[must_use]
    pub fn log_lines(&self, wanted: impl Fn(&Value) -> bool) -> Vec<Value> {
        self.lines.seen.lock().expect("no reader panics").iter().filter(|line| wanted(line)).cloned().collect()
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

    /// Where it unpacks.
    #[must_use]
    pub fn work_dir(&self) -> &Path {
        self.work_dir.path()
    }

    /// Waits until `/healthz` answers 200.
    ///
    /// # Errors
    /// When it ends first, or has not within `wait`.
    pub fn wait_ready(&mut self, wait: Duration) -> Result<()> {
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
