//! A panic in a handler is one failed execution.

use std::any::Any;
use std::backtrace::Backtrace;
use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, PanicHookInfo, catch_unwind};

use crate::Error;

/// Longest backtrace that is kept, in bytes.
const TRACE_BYTES_MAX: usize = 64 * 1024;

thread_local! {
    /// Whether a handler runs on this thread just now.
    static IN_HANDLER: Cell<bool> = const { Cell::new(false) };
    /// Where its last panic happened.
    static TRACE: RefCell<String> = const { RefCell::new(String::new()) };
}

/// Has the traces of panics in handlers kept for their answers; panics elsewhere are printed as before.
pub(super) fn install() {
    let elsewhere = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if IN_HANDLER.get() {
            TRACE.set(trace(panic));
        } else {
            elsewhere(panic);
        }
    }));
}

/// Runs a part of a handler.
pub(super) fn catch<T>(part: impl FnOnce() -> T) -> Result<T, Error> {
    let outer = IN_HANDLER.replace(true);
    // Whatever the part left half done is dropped with its execution.
    let result = catch_unwind(AssertUnwindSafe(part));
    IN_HANDLER.set(outer);
    result.map_err(|payload| Error::panicked(message(payload), TRACE.take()))
}

fn message(payload: Box<dyn Any + Send>) -> String {
    match payload.downcast::<String>() {
        Ok(message) => *message,
        Err(payload) => match payload.downcast::<&'static str>() {
            Ok(message) => (*message).to_owned(),
            Err(_) => "the handler panicked with a value that is no text".to_owned(),
        },
    }
}

fn trace(panic: &PanicHookInfo<'_>) -> String {
    let place = panic.location().map(|place| format!("panicked at {place}\n")).unwrap_or_default();
    let frames = Backtrace::force_capture().to_string();
    let mut trace = place + own_frames(&frames);
    if trace.len() > TRACE_BYTES_MAX {
        trace.truncate(trace.floor_char_boundary(TRACE_BYTES_MAX));
        trace.push('…');
    }
    trace
}

/// The frames between the panic machinery and [`catch`], as far as the program's symbols tell them.
fn own_frames(frames: &str) -> &str {
    let from = ["core::panicking::panic_fmt", "std::panicking::begin_panic", "rust_begin_unwind"]
        .iter()
        .filter_map(|name| frames.rfind(name))
        .filter_map(|at| frames[at..].find("\n  ").map(|line| at + line + 1))
        .max()
        .unwrap_or(0);
    let until = frames[from..].find("ignite::native::panics::catch").map_or(frames.len(), |at| from + at);
    let until = frames[..until].rfind('\n').map_or(until, |line| line + 1);
    let own = &frames[from..until];
    // A stripped program knows addresses only, and those say nothing.
    if own.lines().all(|line| line.contains("<unknown>")) { "" } else { own }
}
