//! Starts: from `exec` to the first right answer, split into phases where the server tells them.

use std::fs::{self, File};
use std::path::Path;
use std::time::{Duration, UNIX_EPOCH};

use anyhow::Result;
use rustix::fs::{Advice, fadvise};

use crate::contenders::{Contender, Prepared};
use crate::options::Options;
use crate::server::Server;

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

/// Starts it once.
///
/// # Errors
/// When it gives no right answer.
pub(crate) fn start(contender: &Contender, prepared: &Prepared, cold: bool) -> Result<Start> {
    if cold {
        for file in &prepared.files {
            forget(file);
        }
    }
    let server = Server::start(contender, prepared)?;
    Ok(Start { total_ms: milliseconds(server.first_answer), phases: phases(&server) })
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
        // Pages that are not written back cannot be dropped. What fails leaves a file warm.
        let _ = file.sync_data();
        let _ = fadvise(&file, 0, None, Advice::DontNeed);
    }
}

/// The phases of a host of ours, as its log line "ready" tells them, and what lies before and after them.
fn phases(server: &Server) -> Vec<(String, f64)> {
    let text = fs::read_to_string(&server.output).unwrap_or_default();
    let lines = text.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    let Some(told) = lines.map(|mut line| line["phases"].take()).find(|phases| phases.is_object()) else {
        return Vec::new();
    };
    let Some(main_us) = told["main_unix_us"].as_f64() else { return Vec::new() };
    let exec_us = server.started_at.duration_since(UNIX_EPOCH).unwrap_or_default().as_micros() as f64;
    let mut phases = vec![("process".to_owned(), (main_us - exec_us) / 1e3)];
    for (name, key) in [("engine or interpreter", "engine_us"), ("unpack", "unpack_us"), ("load", "load_us")] {
        phases.push((name.to_owned(), told[key].as_f64().unwrap_or_default() / 1e3));
    }
    let known: f64 = phases.iter().map(|(_, ms)| ms).sum();
    phases.push(("first call".to_owned(), (milliseconds(server.first_answer) - known).max(0.0)));
    phases
}

/// In milliseconds, with their parts.
pub(crate) fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}
