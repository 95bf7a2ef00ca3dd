//! How an error of the engine is told: as the handler's own failure, a limit, or a broken contract.

use ignite_runtimes_executor::InvokeError;
use wasmtime::{Trap, WasmBacktrace};
use wasmtime_wasi::I32Exit;

use crate::state::State;

/// An answer the host refused while the guest was still running. Ends the guest.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Refused(pub(crate) InvokeError);

/// What the bounds were that `error` may have met.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    pub(crate) memory_mb: u32,
    pub(crate) response_bytes_max: usize,
}

/// A failure in full, for the log: a handler's own with its class and trace.
pub(crate) fn describe(error: &InvokeError) -> String {
    match error {
        InvokeError::Handler { kind, message, trace } => match trace.trim_end() {
            "" => format!("{kind}: {message}"),
            // What a panic prints has its message already.
            trace if trace.contains(message.as_str()) => trace.to_owned(),
            trace => format!("{kind}: {message}\n{trace}"),
        },
        other => other.to_string(),
    }
}

/// What was going on when an error came that no guest code raised.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    /// An instance was made, or its request handed over.
    Begin,
    /// The guest ran, or its answer was read.
    Answer,
}

/// Tells why the guest of `state` ended with `error`.
pub(crate) fn explain(error: wasmtime::Error, stage: Stage, state: &State, bounds: Bounds) -> InvokeError {
    let printed = state.printed();
    let error = match error.downcast::<Refused>() {
        Ok(Refused(refused)) => return refused,
        Err(error) => error,
    };
    if let Some(I32Exit(code)) = error.downcast_ref() {
        let cause = format!("the handler ended its process with exit code {code}");
        return InvokeError::WorkerLost { cause, last_words: printed };
    }
    if state.memory.was_denied() {
        return InvokeError::MemoryLimit { memory_mb: bounds.memory_mb };
    }
    let backtrace = error.downcast_ref::<WasmBacktrace>();
    match error.downcast_ref::<Trap>() {
        Some(Trap::UnreachableCodeReached) => panicked(&printed, backtrace),
        Some(trap) => trapped(trap.to_string(), &printed, backtrace),
        None if backtrace.is_some() => trapped(root(&error), &printed, backtrace),
        None if stage == Stage::Begin => {
            let last_words = format!("{error:#}");
            InvokeError::WorkerLost { cause: "the host could not begin the execution".into(), last_words }
        }
        // The answer was being read. A malformed one is reported as text, and one that is larger than the engine was told
        // to copy as a type that the engine keeps to itself.
        None if is_text(&error) => InvokeError::BadReply(root(&error)),
        None => InvokeError::ResponseTooLarge { response_bytes_max: bounds.response_bytes_max },
    }
}

/// A panic aborts: the guest says why on stderr and runs into an instruction that traps.
fn panicked(printed: &str, backtrace: Option<&WasmBacktrace>) -> InvokeError {
    let message = match panic_message(printed) {
        Some(message) => message,
        None if printed.is_empty() => "the handler aborted without a message".to_owned(),
        None => printed.lines().last().unwrap_or_default().to_owned(),
    };
    InvokeError::Handler { kind: "panic".into(), message, trace: trace(printed, backtrace) }
}

fn trapped(message: String, printed: &str, backtrace: Option<&WasmBacktrace>) -> InvokeError {
    InvokeError::Handler { kind: "trap".into(), message, trace: trace(printed, backtrace) }
}

fn is_text(error: &wasmtime::Error) -> bool {
    error.downcast_ref::<&'static str>().is_some()
        || error.downcast_ref::<String>().is_some()
        || error.downcast_ref::<std::str::Utf8Error>().is_some()
}

fn root(error: &wasmtime::Error) -> String {
    error.root_cause().to_string()
}

/// What the guest printed last, then where it was.
fn trace(printed: &str, backtrace: Option<&WasmBacktrace>) -> String {
    let mut trace = printed.to_owned();
    if let Some(backtrace) = backtrace {
        if !trace.is_empty() {
            trace.push('\n');
        }
        trace.push_str(&backtrace.to_string());
    }
    trace
}

/// The message of the last panic that Rust's standard library reported:
/// ``thread 'x' panicked at src/lib.rs:5:9:``, the message on the following lines, and a note on backtraces.
fn panic_message(printed: &str) -> Option<String> {
    let lines: Vec<&str> = printed.lines().collect();
    let head = lines.iter().rposition(|line| line.starts_with("thread '") && line.contains("panicked at "))?;
    let message: Vec<&str> = lines[head + 1..].iter().copied().take_while(|line| !line.starts_with("note: ")).collect();
    let message = message.join("\n").trim_end().to_owned();
    (!message.is_empty()).then_some(message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rust_panic_is_told_in_its_own_words() {
        let printed = "before\n\nthread '<unnamed>' (1) panicked at src/lib.rs:5:9:\nindex out of bounds:\nthe len is 0\nnote: run \
                       with `RUST_BACKTRACE=1`";
        assert_eq!(panic_message(printed).as_deref(), Some("index out of bounds:\nthe len is 0"));
        assert_eq!(panic_message("panic: something else"), None);
        assert_eq!(panic_message("thread 'main' panicked at src/lib.rs:1:1:\nnote: x"), None);
    }
}
