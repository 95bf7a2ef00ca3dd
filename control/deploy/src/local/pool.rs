//! Host processes: warm ones waiting, and cold ones started when none is.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, BufReader};
use tokio::process::{Child, ChildStdin, Command};
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::LocalOptions;
use super::output::{self, Meaning, OUTPUT_LINE_BYTES_MAX};
use crate::InstanceLine;

/// Lines of one host that wait to be taken. Beyond it the host's own bound holds: it drops and counts.
const LINES_WAITING_MAX: usize = 256;

/// A host process that listens.
pub(super) struct HostProcess {
    pub(super) child: Child,
    /// Held: the host drains when it is closed.
    pub(super) stdin: Option<ChildStdin>,
    pub(super) admin: PathBuf,
    pub(super) address: SocketAddr,
    pub(super) lines: mpsc::Receiver<InstanceLine>,
}

/// Why a host process does not listen.
pub(super) struct NotStarted(pub(super) String);

#[derive(Clone)]
pub(super) struct Pool(Arc<State>);

struct State {
    options: LocalOptions,
    warm: Mutex<HashMap<&'static str, Warm>>,
    next: AtomicU64,
}

#[derive(Default)]
struct Warm {
    ready: Vec<HostProcess>,
    starting: usize,
}

impl Pool {
    pub(super) fn new(options: LocalOptions) -> Self {
        Self(Arc::new(State { options, warm: Mutex::default(), next: AtomicU64::new(0) }))
    }

    /// A warm host, if one is ready. Another is started in its place.
    pub(super) fn take(&self, runtime: &'static str) -> Option<HostProcess> {
        let taken = loop {
            let mut warm = self.0.warm.lock().unwrap_or_else(PoisonError::into_inner);
            let Some(mut host) = warm.entry(runtime).or_default().ready.pop() else { break None };
            drop(warm);
            // One that has died meanwhile is no use.
            if matches!(host.child.try_wait(), Ok(None)) {
                break Some(host);
            }
        };
        self.refill(runtime);
        taken
    }

    /// Starts as many warm hosts as are missing.
    pub(super) fn refill(&self, runtime: &'static str) {
        let mut warm = self.0.warm.lock().unwrap_or_else(PoisonError::into_inner);
        let entry = warm.entry(runtime).or_default();
        while entry.ready.len() + entry.starting < self.0.options.warm_per_runtime {
            entry.starting += 1;
            let pool = self.clone();
            tokio::spawn(async move {
                let started = pool.start(&["--warm".to_owned(), runtime.to_owned()], &[]).await;
                let mut warm = pool.0.warm.lock().unwrap_or_else(PoisonError::into_inner);
                let entry = warm.entry(runtime).or_default();
                entry.starting -= 1;
                match started {
                    Ok(host) => entry.ready.push(host),
                    Err(NotStarted(reason)) => tracing::warn!(runtime, reason, "a warm host did not start"),
                }
            });
        }
    }

    /// Starts a host process and waits until it listens.
    pub(super) async fn start(&self, args: &[String], env: &[(String, String)]) -> Result<HostProcess, NotStarted> {
        let options = &self.0.options;
        let number = self.0.next.fetch_add(1, Ordering::Relaxed);
        let folder = options.work_dir.join(format!("host-{number}"));
        let unpacked = folder.join("work");
        std::fs::create_dir_all(&unpacked)
            .map_err(|error| NotStarted(format!("could not make {}: {error}", unpacked.display())))?;
        let admin = folder.join("admin.sock");
        let mut command = Command::new(&options.host_program);
        command
            .args(args)
            .args(["--host", "127.0.0.1", "--port", "0", "--stop-with-stdin"])
            .arg("--admin")
            .arg(format!("unix:{}", admin.display()))
            .arg("--work-dir")
            .arg(&unpacked)
            .arg("--cache-dir")
            .arg(&options.cache_dir)
            .env_clear()
            .envs(options.env.iter().map(|(name, value)| (name, value)))
            .env("IGNITE_DRAIN_MS", options.drain_max.as_millis().to_string())
            .envs(env.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true);
        let mut child = command
            .spawn()
            .map_err(|error| NotStarted(format!("could not start {}: {error}", options.host_program.display())))?;
        let (sender, lines) = mpsc::channel(LINES_WAITING_MAX);
        let (listens, mut address) = mpsc::channel(1);
        if let Some(stdout) = child.stdout.take() {
            tokio::spawn(follow(stdout, sender.clone(), Some(listens)));
        }
        if let Some(stderr) = child.stderr.take() {
            tokio::spawn(follow(stderr, sender, None));
        }
        let stdin = child.stdin.take();
        match timeout(options.start_max, address.recv()).await {
            Ok(Some(address)) => Ok(HostProcess { child, stdin, admin, address, lines }),
            Ok(None) => Err(NotStarted(last_words(child, lines).await)),
            Err(_) => Err(NotStarted(format!("the host did not listen within {} s", options.start_max.as_secs()))),
        }
    }
}

/// Why a process ended: its exit and what it said last.
async fn last_words(mut child: Child, mut lines: mpsc::Receiver<InstanceLine>) -> String {
    let mut words = Vec::new();
    while let Some(line) = lines.recv().await {
        words.push(line.text);
    }
    let status = child.wait().await.map_or_else(|error| error.to_string(), |status| status.to_string());
    words.push(format!("the host ended with {status}"));
    words.join("\n")
}

/// Reads lines until the stream ends.
async fn follow(
    stream: impl AsyncRead + Unpin,
    lines: mpsc::Sender<InstanceLine>,
    mut listens: Option<mpsc::Sender<SocketAddr>>,
) {
    let mut reader = BufReader::new(stream);
    let mut line = Vec::new();
    loop {
        line.clear();
        match (&mut reader).take(OUTPUT_LINE_BYTES_MAX as u64).read_until(b'\n', &mut line).await {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
        while line.last().is_some_and(|byte| matches!(byte, b'\n' | b'\r')) {
            line.pop();
        }
        match output::read(&line) {
            Meaning::Listening(address) => {
                if let Some(listens) = listens.take() {
                    let _ = listens.send(address).await;
                }
            }
            Meaning::Line(line) => {
                // The instance is gone, or nobody waits for this one: the stream is read to its end all the same, so that the host
                // never stands still.
                let _ = lines.send(line).await;
            }
        }
    }
}
