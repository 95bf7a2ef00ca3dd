//! The `ignite` command as its users meet it: run to its end, or serving until it is asked to stop.

use std::io::{BufRead as _, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use crate::product::binary;

/// What a command said and how it ended.
#[derive(Debug)]
pub struct Said {
    /// The exit code; -1 when a signal ended it.
    pub code: i32,
    /// Results, as they came.
    pub stdout: Vec<u8>,
    /// Everything else.
    pub stderr: String,
}

impl Said {
    /// The results as text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }
}

/// `ignite` in `dir`, not started yet, with no input.
///
/// # Errors
/// When it has not been built.
pub fn command(dir: &Path, words: &[&str]) -> Result<Command> {
    let mut command = Command::new(binary("ignite")?);
    command.args(words).current_dir(dir).env_remove("PORT").stdin(Stdio::null());
    Ok(command)
}

/// Runs `ignite` in `dir` to its end.
///
/// # Errors
/// When it cannot be started.
pub fn ignite(dir: &Path, words: &[&str]) -> Result<Said> {
    Ok(said(command(dir, words)?.output()?))
}

/// What a finished process said.
#[must_use]
pub fn said(output: Output) -> Said {
    Said {
        code: output.status.code().unwrap_or(-1),
        stdout: output.stdout,
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// `ignite run` or `ignite dev`, until it is dropped.
pub struct Serving {
    child: Child,
    lines: Arc<Lines>,
    address: String,
}

/// Lines so far, and a bell for each new one.
#[derive(Default)]
struct Lines {
    seen: Mutex<Vec<String>>,
    more: Condvar,
}

impl Serving {
    /// Starts the command and reads along.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn spawn(mut command: Command) -> Result<Self> {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
        let lines = Arc::new(Lines::default());
        Lines::follow(&lines, child.stderr.take().context("stderr is a pipe")?);
        Lines::follow(&lines, child.stdout.take().context("stdout is a pipe")?);
        Ok(Self { child, lines, address: String::new() })
    }

    /// Starts the command and waits until it serves.
    ///
    /// # Errors
    /// When it does not serve within `wait`.
    pub fn start(command: Command, wait: Duration) -> Result<Self> {
        let mut serving = Self::spawn(command)?;
        serving.wait_serving(wait)?;
        Ok(serving)
    }

    /// Waits until it says where it serves.
    ///
    /// # Errors
    /// When it does not within `wait`.
    pub fn wait_serving(&mut self, wait: Duration) -> Result<()> {
        let line = self.line(0, wait, |line| line.starts_with("serving http://"))?;
        self.address = line.trim_start_matches("serving http://").to_owned();
        Ok(())
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

    /// How many lines were said.
    #[must_use]
    pub fn said(&self) -> usize {
        self.lines.seen.lock().expect("no reader panics").len()
    }

    /// How many lines `wanted` holds for, of those after the first `skip`.
    #[must_use]
    pub fn count(&self, skip: usize, wanted: impl Fn(&str) -> bool) -> usize {
        self.lines.seen.lock().expect("no reader panics").iter().skip(skip).filter(|line| wanted(line)).count()
    }

    /// The first line `wanted` holds for, of those after the first `skip`.
    ///
    /// # Errors
    /// When there is none within `wait`; the error shows what was said.
    pub fn line(&self, skip: usize, wait: Duration, wanted: impl Fn(&str) -> bool) -> Result<String> {
        let deadline = Instant::now() + wait;
        let mut seen = self.lines.seen.lock().expect("no reader panics");
        loop {
            if let Some(line) = seen.iter().skip(skip).find(|line| wanted(line)) {
                return Ok(line.clone());
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                bail!("no such line within {wait:?}; said were:\n{}", seen.join("\n"));
            }
            seen = self.lines.more.wait_timeout(seen, left).expect("no reader panics").0;
        }
    }

    /// Asks it to end as Ctrl-C does, and waits for it.
    ///
    /// # Errors
    /// When it has not ended within `wait`.
    pub fn interrupt(&mut self, wait: Duration) -> Result<ExitStatus> {
        let sent = Command::new("kill").arg("-INT").arg(self.pid().to_string()).status()?;
        if !sent.success() {
            bail!("kill ended with {sent}");
        }
        let deadline = Instant::now() + wait;
        loop {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status);
            }
            if Instant::now() > deadline {
                bail!("it has not ended within {wait:?}");
            }
            thread::sleep(Duration::from_millis(2));
        }
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Lines {
    fn follow(lines: &Arc<Self>, pipe: impl Read + Send + 'static) {
        let lines = Arc::clone(lines);
        thread::spawn(move || {
            for line in BufReader::new(pipe).lines().map_while(Result::ok) {
                lines.seen.lock().expect("no reader panics").push(line);
                lines.more.notify_all();
            }
        });
    }
}
