//! A worker process with what it prints and why it was killed.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use ignite_runtimes_executor::{InvokeError, LogSink};

use crate::child::{Child, End};
use crate::launch::OutputPipes;
use crate::output::Output;

/// How long a process that closed its socket may take to exit by itself, so that its exit code is seen.
const EXIT_MAX: Duration = Duration::from_millis(250);

/// How long to wait for the zygote's word about how a forked process ended.
const WORD_MAX: Duration = Duration::from_millis(250);

/// Why this executor ended a process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum KillReason {
    /// The app's memory limit was reached.
    Memory {
        /// The limit, in MiB.
        memory_mb: u32,
    },
    /// Cancelled work went on beyond the grace.
    Overdue,
    /// It did not keep to the protocol.
    Fault(String),
    /// It did not say READY in time.
    StartTimeout(Duration),
    /// It is not needed any more and did not go by itself.
    Surplus,
}

/// How a process ended, and why as far as it is known.
#[derive(Debug, Clone)]
pub(crate) struct Obituary {
    pub(crate) end: End,
    pub(crate) reason: Option<KillReason>,
    /// A sentence for callers.
    pub(crate) told: String,
    /// The last lines of its stderr, joined.
    pub(crate) last_words: String,
    /// Both, for logs.
    pub(crate) cause: String,
}

impl Obituary {
    /// The answer for an execution that the process left unanswered.
    pub(crate) fn error(&self) -> InvokeError {
        match &self.reason {
            Some(KillReason::Memory { memory_mb }) => InvokeError::MemoryLimit { memory_mb: *memory_mb },
            Some(KillReason::Fault(what)) => {
                InvokeError::BadReply(format!("the worker broke the protocol and was replaced: {what}"))
            }
            _ => InvokeError::WorkerLost { cause: self.told.clone(), last_words: self.last_words.clone() },
        }
    }

    /// The word for it in metrics.
    pub(crate) fn label(&self) -> &'static str {
        match (&self.reason, self.end) {
            (Some(KillReason::Memory { .. }), _) => "memory",
            (Some(KillReason::Overdue), _) => "overdue",
            (Some(KillReason::Fault(_)), _) => "protocol",
            (Some(KillReason::StartTimeout(_)), _) => "start_timeout",
            (Some(KillReason::Surplus), _) => "surplus",
            (None, End::Code(_)) => "exit",
            (None, End::Signal(_)) => "signal",
            (None, End::Unknown) => "unknown",
        }
    }
}

/// A process of this executor.
pub(crate) struct Process {
    pub(crate) child: Child,
    pub(crate) output: Output,
    reason: OnceLock<KillReason>,
}

impl Process {
    pub(crate) fn new(child: Child, pipes: OutputPipes, logs: Arc<dyn LogSink>, line_bytes_max: usize) -> Self {
        Self { child, output: Output::new(pipes, logs, line_bytes_max), reason: OnceLock::new() }
    }

    /// Ends it at once; the first reason counts.
    pub(crate) fn kill(&self, reason: KillReason) {
        let _ = self.reason.set(reason);
        self.child.kill();
    }

    /// Waits for its end, kills it if that does not come by itself, reads what it printed last and reaps it.
    pub(crate) async fn bury(&self) -> Obituary {
        if tokio::time::timeout(EXIT_MAX, self.child.ended()).await.is_err() {
            self.kill(KillReason::Fault("it closed its socket without exiting".into()));
            self.child.ended().await;
        }
        if self.child.awaits_word() {
            // The zygote reaps it and tells. One that is stuck leaves the end unknown.
            let _ = tokio::time::timeout(WORD_MAX, self.child.told()).await;
        }
        let end = self.child.reap();
        self.output.read_now();
        self.output.finish_lines();
        let reason = self.reason.get().cloned();
        let told = told(end, reason.as_ref());
        let last_words = if reason.is_none() { self.output.tail().join(" | ") } else { String::new() };
        let cause = cause(&told, &last_words);
        Obituary { end, reason, told, last_words, cause }
    }
}

fn cause(told: &str, last_words: &str) -> String {
    if last_words.is_empty() { told.to_owned() } else { format!("{told}; last on stderr: {last_words}") }
}

fn told(end: End, reason: Option<&KillReason>) -> String {
    match reason {
        Some(KillReason::Memory { memory_mb }) => format!("killed at the memory limit of {memory_mb} MiB"),
        Some(KillReason::Overdue) => "killed because cancelled work in it did not stop".into(),
        Some(KillReason::Fault(what)) => format!("killed for breaking the worker protocol: {what}"),
        Some(KillReason::StartTimeout(limit)) => {
            format!("the handler was not loaded within {} ms (IGNITE_START_MS)", limit.as_millis())
        }
        Some(KillReason::Surplus) => "ended because it was not needed any more".into(),
        None => end.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cause_names_the_end_and_the_last_words() {
        assert_eq!(cause(&told(End::from_wait_status(3 << 8), None), ""), "exited with code 3");
        assert_eq!(
            cause(&told(End::from_wait_status(9), None), "out | of luck"),
            "killed by signal 9 (SIGKILL); last on stderr: out | of luck"
        );
    }
}
