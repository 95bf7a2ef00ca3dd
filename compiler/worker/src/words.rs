//! What a compile says, as lines of a log, and why it failed, as an author is told.

use std::error::Error;

use ignite_compiler_builder::{CompileError, CompileEvent, Compiled, Stream};
use ignite_core_model::LogLine;

use crate::queue::LINE_TEXT_BYTES_MAX;

/// The stream of what the platform itself says.
const HOST: &str = "host";

/// The lines of an event. A line that is too long for the log goes on in the next.
pub(crate) fn of_event(event: &CompileEvent<'_>) -> Vec<LogLine> {
    match event {
        CompileEvent::Started { step } => said(HOST, step),
        CompileEvent::Line { stream: Stream::Stdout, line, .. } => said("stdout", line),
        CompileEvent::Line { line, .. } => said("stderr", line),
        CompileEvent::Finished { step, elapsed, cached } => {
            let how = if *cached { " (cached)" } else { "" };
            said(HOST, &format!("{step}: {} ms{how}", elapsed.as_millis()))
        }
    }
}

/// The last lines of a compile that went well.
pub(crate) fn of_success(compiled: &Compiled) -> Vec<LogLine> {
    said(HOST, &format!("{} bytes in {} ms, {}", compiled.bytes, compiled.elapsed.as_millis(), compiled.digest))
}

/// Lines of the platform's own.
pub(crate) fn of_platform(text: &str) -> Vec<LogLine> {
    text.lines().flat_map(|line| said(HOST, line)).collect()
}

fn said(stream: &str, text: &str) -> Vec<LogLine> {
    pieces(text)
        .map(|text| LogLine { stream: stream.to_owned(), text: text.to_owned(), ..LogLine::default() })
        .collect()
}

/// The text in pieces that fit, cut between characters; an empty text is one piece.
fn pieces(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = Some(text);
    std::iter::from_fn(move || {
        let text = rest.take()?;
        if text.len() <= LINE_TEXT_BYTES_MAX {
            return Some(text);
        }
        let end = (0..=LINE_TEXT_BYTES_MAX).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
        let (piece, after) = text.split_at(end);
        rest = Some(after);
        Some(piece)
    })
}

/// Whose affair it is that a compile failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Failure {
    /// The author's: told, and final.
    Author(String),
    /// The platform's: another attempt may go well. The author is told that much, the log of the builder more.
    Platform(&'static str),
}

/// Sorts a failure. What an author is told has no paths of this machine.
pub(crate) fn failure(error: &CompileError) -> Failure {
    match error {
        CompileError::Mistakes(_) => Failure::Author(error.report()),
        CompileError::Step { hint, .. } => Failure::Author(with_hint(in_full(error), hint.as_deref())),
        CompileError::Exceeded { bound: ignite_compiler_builder::StepBound::DiskFull, .. } => {
            Failure::Platform("the builder's disk is full")
        }
        CompileError::Exceeded { .. } => Failure::Author(error.to_string()),
        CompileError::TimedOut { .. } => Failure::Author(error.to_string()),
        CompileError::Archive { cause, .. } => {
            let what = format!("the archive cannot be taken as a source: {}", in_full(cause.as_ref()));
            Failure::Author(with_hint(what, cause.next()))
        }
        CompileError::Tool(tool) => Failure::Author(format!("this platform has no {} {}", tool.tool, tool.needed)),
        // It would be so the next time too.
        CompileError::Unprotected { .. } => Failure::Author(error.report()),
        CompileError::Run { .. } => Failure::Platform("a tool could not be run"),
        CompileError::Answer { .. } => Failure::Platform("a tool of the compiler gave no answer that can be read"),
        CompileError::Pack(cause) => match cause.fault() {
            ignite_core_model::Fault::Caller => Failure::Author(in_full(error)),
            _ => Failure::Platform("the artifact could not be put together"),
        },
        CompileError::Cancelled => Failure::Platform("the compile was stopped"),
        CompileError::NoSource { .. }
        | CompileError::Source { .. }
        | CompileError::Changed { .. }
        | CompileError::Output { .. }
        | CompileError::Cache { .. } => Failure::Platform("the builder could not use its disk"),
    }
}

/// An error and all its causes.
pub(crate) fn in_full(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text.push_str(&format!(": {error}"));
        source = error.source();
    }
    text
}

fn with_hint(mut text: String, hint: Option<&str>) -> String {
    if let Some(hint) = hint {
        text.push_str(&format!("\nhint: {hint}"));
    }
    text
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test")]
    use super::*;

    #[test]
    fn a_long_line_goes_on_in_the_next() {
        let text = "ä".repeat(LINE_TEXT_BYTES_MAX);
        let lines = said("stdout", &text);
        assert_eq!(lines.len(), 2);
        assert_eq!(lines.iter().map(|line| line.text.as_str()).collect::<String>(), text);
        assert_eq!(said("stdout", "").len(), 1);
    }

    /// Whatever it holds: each byte can become six.
    #[test]
    fn the_longest_line_fits_in_the_store() {
        let line = said("stdout", &"\u{1}".repeat(LINE_TEXT_BYTES_MAX)).remove(0);
        assert!(serde_json::to_string(&line).unwrap().len() <= ignite_store_meta::LINE_BYTES_MAX);
    }
}
