//! Suites: named, timed, counted; none can bring down the others.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use super::counts::Counts;
use crate::log::{human, say};
use crate::process::stream;

/// How many failures of one suite are named again at the end.
const FAILURES_MAX: usize = 50;

/// What became of one suite.
pub(crate) struct Suite {
    /// Its name, as in the table.
    pub(crate) name: String,
    /// Its tests.
    pub(crate) counts: Counts,
    /// How long it took.
    pub(crate) elapsed: Duration,
    /// Why it could not be run, if so.
    pub(crate) note: Option<String>,
    /// Names of the tests that failed.
    pub(crate) failures: Vec<String>,
}

/// What a suite says of itself while it runs.
#[derive(Default)]
pub(crate) struct Log {
    failures: Vec<String>,
}

impl Log {
    /// Names something that failed.
    pub(crate) fn failure(&mut self, name: impl Into<String>) {
        if self.failures.len() < FAILURES_MAX {
            self.failures.push(name.into());
        }
    }
}

/// The run of all suites.
pub(super) struct Run {
    words: Vec<String>,
    suites: Vec<Suite>,
}

impl Run {
    /// Only suites whose name begins with one of `words`; all, if there are none.
    pub(super) fn new(words: &[String]) -> Self {
        Self { words: words.to_vec(), suites: Vec::new() }
    }

    /// Whether the suite is asked for.
    pub(super) fn wants(&self, name: &str) -> bool {
        self.words.is_empty() || self.words.iter().any(|word| name.starts_with(word.as_str()))
    }

    /// Whether any suite whose name begins with `prefix` may be asked for.
    pub(super) fn wants_some(&self, prefix: &str) -> bool {
        self.wants(prefix) || self.words.iter().any(|word| word.starts_with(prefix))
    }

    /// Runs one suite, if it is asked for.
    pub(super) fn suite(&mut self, name: &str, body: impl FnOnce(&mut Log) -> Result<Counts>) {
        if !self.wants(name) {
            return;
        }
        let (started, result, log) = perform(name, body);
        let result = result.and_then(|counts| match counts {
            Counts { passed: 0, failed: 0, skipped } => bail!("no test was run, {skipped} were skipped"),
            counts => Ok(counts),
        });
        self.add(name, started, result, log);
    }

    /// Like [`Run::suite`], for what may well have no tests; then it is not listed.
    pub(super) fn suite_if_any(&mut self, name: &str, body: impl FnOnce(&mut Log) -> Result<Counts>) {
        if !self.wants(name) {
            return;
        }
        let (started, result, log) = perform(name, body);
        if !matches!(result, Ok(Counts { passed: 0, failed: 0, skipped: 0 })) {
            self.add(name, started, result, log);
        }
    }

    /// Does what the other suites need; it counts as one test.
    pub(super) fn step<T>(&mut self, name: &str, body: impl FnOnce() -> Result<T>) -> Option<T> {
        say(&format!("== {name}"));
        let started = Instant::now();
        let (value, result) = match body() {
            Ok(value) => (Some(value), Ok(Counts::check(true))),
            Err(error) => (None, Err(error)),
        };
        self.add(name, started, result, Log::default());
        value
    }

    /// What became of the suites. A word that named none is a failure: a misspelt one must not look like success.
    pub(super) fn finish(mut self) -> Vec<Suite> {
        for word in &self.words {
            if !self.suites.iter().any(|suite| suite.name.starts_with(word.as_str())) {
                self.suites.push(Suite {
                    name: word.clone(),
                    counts: Counts::check(false),
                    elapsed: Duration::ZERO,
                    note: Some("there is no such suite".into()),
                    failures: Vec::new(),
                });
            }
        }
        self.suites
    }

    fn add(&mut self, name: &str, started: Instant, result: Result<Counts>, log: Log) {
        let elapsed = started.elapsed();
        let (counts, note) = match result {
            Ok(counts) => (counts, None),
            // What could not be run has not passed.
            Err(error) => (Counts::check(false), Some(format!("{error:#}"))),
        };
        let Counts { passed, failed, .. } = counts;
        let note_text = note.as_deref().map(|note| format!(": {note}")).unwrap_or_default();
        say(&format!("== {name}: {passed} passed, {failed} failed in {}{note_text}", human(elapsed)));
        let note = note.map(|note| note.lines().next().unwrap_or_default().to_string());
        self.suites.push(Suite { name: name.into(), counts, elapsed, note, failures: log.failures });
    }
}

fn perform(name: &str, body: impl FnOnce(&mut Log) -> Result<Counts>) -> (Instant, Result<Counts>, Log) {
    say(&format!("== {name}"));
    let started = Instant::now();
    let mut log = Log::default();
    let result = body(&mut log);
    (started, result, log)
}

/// A check that is a program's exit code: its lines are shown, and it counts as one test.
pub(super) fn check(command: std::process::Command, wall_max: Duration) -> Result<Counts> {
    let status = stream(command, wall_max, &mut |line| println!("{line}"))?;
    Ok(Counts::check(status.success()))
}

/// Joins a runner's exit code with what it counted: each must agree with the other.
pub(super) fn agree(status: std::process::ExitStatus, counts: Option<Counts>) -> Result<Counts> {
    match counts {
        None => bail!("it ended ({status}) without saying how many tests were run"),
        Some(counts) if !status.success() && counts.failed == 0 => bail!("it failed ({status}), but no test did"),
        Some(counts) if status.success() && counts.failed > 0 => bail!("tests failed, but it ended well"),
        Some(counts) => Ok(counts),
    }
}
