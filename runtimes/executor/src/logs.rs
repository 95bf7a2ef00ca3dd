//! Where lines go that a function prints or logs.

use ignite_core_model::ExecutionId;

/// Where a line came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogSource {
    /// The function's standard output.
    Stdout,
    /// The function's standard error.
    Stderr,
    /// A record of the SDK's logger.
    Logger,
    /// The host itself, about the function: a traceback, a worker's end.
    Host,
}

/// One line or record.
#[derive(Debug, Clone, Copy)]
pub struct LogLine<'a> {
    /// Where it came from.
    pub source: LogSource,
    /// `trace`, `debug`, `info`, `warn` or `error`.
    pub level: &'static str,
    /// The execution, where it can be known.
    pub execution_id: Option<ExecutionId>,
    /// The text; records may have several lines.
    pub message: &'a str,
    /// A JSON object with further fields, or empty.
    pub fields: &'a str,
}

/// Takes lines. Must not wait: a function's prints pass through here. Length and rate are bounded behind it.
pub trait LogSink: Send + Sync + 'static {
    /// Takes one line.
    fn line(&self, line: LogLine<'_>);
}

/// Takes lines and forgets them.
#[derive(Debug, Clone, Copy, Default)]
pub struct DiscardLogs;

impl LogSink for DiscardLogs {
    fn line(&self, _line: LogLine<'_>) {}
}
