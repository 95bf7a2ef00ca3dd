//! Starts: from `exec` to the first right answer, split into phases where the server tells them.

use std::fs::{self, File};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant, UNIX_EPOCH};

use anyhow::{Context as _, Result, ensure};
use rustix::fs::{Advice, fadvise};

use crate::contenders::{Contender, Prepared};
use crate::options::Options;
use crate::rounds::median;
use crate::server::Server;

/// How long the log line of a host that has answered may take to be written.
const LINE_MAX: Duration = Duration::from_secs(2);
const LINE_PAUSE: Duration = Duration::from_millis(1);

/// How often.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Times {
    pub(crate) warm: usize,
    pub(crate) cold: usize,
}

impl Times {
    pub(crate) fn new(options: &Options) -> Self {
        if options.quick { Self { warm: 2, cold: 1 } } else { Self { warm: 7, cold: 3 } }
    }
}

/// One start.
#[derive(Debug, Clone, Default)]
pub(crate) struct Start {
    /// From `exec` to the first right answer, in milliseconds.
    pub(crate) total_ms: f64,
    /// Of it, where the server tells its phases: name and milliseconds, in order.
    pub(crate) phases: Vec<(String, f64)>,
}

/// All starts of one contender.
#[derive(Debug, Default)]
pub(crate) struct Starts {
    /// Its files in the page cache.
    pub(crate) warm: Vec<Start>,
    /// Its files dropped from the page cache before each.
    pub(crate) cold: Vec<Start>,
}

impl Starts {
    /// The middle start.
    pub(crate) fn middle(starts: &[Start]) -> Option<&Start> {
        let mut sorted: Vec<&Start> = starts.iter().collect();
        sorted.sort_by(|a, b| a.total_ms.total_cmp(&b.total_ms));
        sorted.get(sorted.len() / 2).copied()
    }
}

/// Starts it once. `bare_ms` is what its interpreter alone takes, where it has one.
///
/// # Errors
/// When it gives no right answer.
pub(crate) fn start(contender: &Contender, prepared: &Prepared, cold: bool, bare_ms: Option<f64>) -> Result<Start> {
    if cold {
        for file in &prepared.files {
            forget(file);
        }
    }
    let server = Server::start(contender, prepared)?;
    Ok(Start {
        total_ms: milliseconds(server.first_answer),
        phases: phases(&server, prepared.artifact.is_some(), bare_ms),
    })
}

/// Drops a file, or a folder's files, from the page cache. What another process has mapped stays.
fn forget(path: &Path) {
    if path.is_dir() {
        for entry in fs::read_dir(path).into_iter().flatten().flatten() {
            // Links lead out of the folder, or to what is in it anyway.
            if entry.file_type().is_ok_and(|kind| !kind.is_symlink()) {
                forget(&entry.path());
            }
        }
    } else if let Ok(file) = File::open(path) {
        // Pages that are not written back stay; nothing here was written lately. What fails leaves a file warm.
        let _ = fadvise(&file, 0, None, Advice::DontNeed);
    }
}

/// The phases of a host of ours, as its log line "ready" tells them, and what lies before and after them.
fn phases(server: &Server, ours: bool, bare_ms: Option<f64>) -> Vec<(String, f64)> {
    // The line is written beside the answer, by a thread of its own.
    let asked = Instant::now();
    let told = loop {
        let text = fs::read_to_string(&server.output).unwrap_or_default();
        let mut lines = text.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
        match lines.find_map(|mut line| line["phases"].is_object().then(|| line["phases"].take())) {
            Some(told) => break told,
            None if !ours || asked.elapsed() > LINE_MAX => return Vec::new(),
            None => std::thread::sleep(LINE_PAUSE),
        }
    };
    let Some(main_us) = told["main_unix_us"].as_f64() else { return Vec::new() };
    let exec_us = server.started_at.duration_since(UNIX_EPOCH).unwrap_or_default().as_micros() as f64;
    let part = |key: &str| told[key].as_f64().unwrap_or_default() / 1e3;
    let waited = part("executor_us") + part("load_us");
    let engine = if told["engine_us"].is_u64() { part("engine_us") } else { bare_ms.unwrap_or_default() };
    // A start of the bare interpreter may have been slower than the one of the host.
    let engine = engine.min(waited);
    let mut phases = vec![
        ("process", (main_us - exec_us) / 1e3 + part("prepare_us")),
        ("unpack", part("unpack_us")),
        ("engine or interpreter", engine),
        ("load", waited - engine),
    ];
    let known: f64 = phases.iter().map(|(_, ms)| ms).sum();
    phases.push(("first call", (milliseconds(server.first_answer) - known).max(0.0)));
    phases.into_iter().map(|(name, ms)| (name.to_owned(), ms)).collect()
}

/// The middle time of an interpreter with an empty program, in milliseconds.
///
/// # Errors
/// When it does not run.
pub(crate) fn bare_ms(command: &dyn Fn() -> Command, times: usize) -> Result<f64> {
    let mut all = Vec::new();
    for _ in 0..times {
        let started = Instant::now();
        let status = command().stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status()?;
        ensure!(status.success(), "it ended with {status}");
        all.push(milliseconds(started.elapsed()));
    }
    median(&all).context("it was not started")
}

/// In milliseconds, with their parts.
pub(crate) fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}
