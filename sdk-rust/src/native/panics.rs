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
    let mut trace = place + &own_frames(&frames);
    if trace.len() > TRACE_BYTES_MAX {
        trace.truncate(trace.floor_char_boundary(TRACE_BYTES_MAX));
        trace.push('…');
    }
    trace
}

/// The frames between the panic machinery and [`catch`], as far as the program's symbols tell them.
fn own_frames(frames: &str) -> String {
    let mut groups: Vec<String> = Vec::new();
    for line in frames.lines() {
        let begins = line.trim_start().split_once(": ").is_some_and(|(number, _)| number.parse::<u32>().is_ok());
        match groups.last_mut() {
            Some(group) if !begins => *group = format!("{group}\n{line}"),
            _ => groups.push(line.to_owned()),
        }
    }
    let has = |group: &String, names: &[&str]| names.iter().any(|name| group.contains(name));
    let until = groups
        .iter()
        .position(|group| has(group, &["/native/handler.rs", "__rust_try", "catch_unwind", "AssertUnwindSafe"]));
    groups.truncate(until.unwrap_or(groups.len()));
    let machinery = ["rust_begin_unwind", "panicking::", "/src/panicking.rs", "rt::begin_panic"];
    let from = groups.iter().rposition(|group| has(group, &machinery)).map_or(0, |last| last + 1);
    groups.drain(..from);
    // A stripped program knows addresses only, and those say nothing.
    if groups.iter().all(|group| group.contains("<unknown>")) { String::new() } else { groups.join("\n") }
}
