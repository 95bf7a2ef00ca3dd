//! The function as a component: the host calls `handle` once in each fresh instance.

#[allow(
    unsafe_code,
    unreachable_pub,
    missing_docs,
    clippy::allow_attributes_without_reason,
    clippy::undocumented_unsafe_blocks,
    clippy::unwrap_used,
    reason = "generated"
)]
pub mod bindings;

use std::future::poll_fn;
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bindings::ignite::function::host::{self, BodyStream, Level};
use bindings::ignite::function::types;
use ignite_core_abi::payload::LogLevel;

use crate::__private::{Asynchronous, Synchronous};
use crate::execution::{Answer, Call, Execution, Outlet, lock};
use crate::outcome::{Outcome, Settled};
use crate::{Closed, Context, Error, Request};

/// A handler, called once.
pub trait Handler {
    /// Runs the handler to its end.
    fn call(&self, request: Request, context: Context) -> Outcome;
}

impl<F: Fn(Request, Context) -> Outcome> Handler for Synchronous<F> {
    fn call(&self, request: Request, context: Context) -> Outcome {
        (self.0)(request, context)
    }
}

impl<F, R> Handler for Asynchronous<F>
where
    F: Fn(Request, Context) -> R,
    R: Future<Output = Outcome>,
{
    fn call(&self, request: Request, context: Context) -> Outcome {
        match tokio::runtime::Builder::new_current_thread().enable_time().build() {
            Ok(runtime) => runtime.block_on(beside_a_timer((self.0)(request, context))),
            Err(error) => Outcome(Err(Error::from(error).context("could not start the runtime of the handler"))),
        }
    }
}

/// Runs `future` while a timer runs that nobody waits for. With no timer at all the runtime would wait for another thread
/// to wake it, which here is a panic: a handler that waits for ever is to be ended by its deadline, as it is natively.
async fn beside_a_timer(future: impl Future<Output = Outcome>) -> Outcome {
    let (mut future, mut timer) = (pin!(future), pin!(tokio::time::sleep(Duration::from_secs(24 * 60 * 60))));
    poll_fn(|cx| {
        let outcome = future.as_mut().poll(cx);
        if outcome.is_pending() {
            let _ = timer.as_mut().poll(cx);
        }
        outcome
    })
    .await
}

/// Answers one request.
///
/// # Errors
/// When the handler fails.
pub fn handle(handler: impl Handler, request: types::Request) -> Result<types::Outcome, types::Failure> {
    let texts = [
        &*request.execution_id,
        &request.function_id,
        &request.organization_id,
        &request.method,
        &request.path,
        &request.query,
    ];
    let deadline = match request.timeout_us {
        0 => None,
        left => Instant::now().checked_add(Duration::from_micros(left)),
    };
    let call = Call::from_parts(texts, request.headers, request.body);
    // The host's `write` returns when there is room: credit of its own would bound nothing.
    let execution = Execution::new(0, call, deadline, u64::MAX, Arc::new(Imports::default()));
    let outcome = handler.call(Request::new(execution.clone()), Context::new(execution.clone()));
    let (before, id) = (execution.end(), request.execution_id);
    if before == Answer::Streamed && outcome.0.is_ok() {
        return Ok(types::Outcome::Streamed);
    }
    let response = match outcome.settle(&id, before != Answer::Open) {
        Ok(Settled::Answered(response)) => response,
        Ok(Settled::Refused(response, error)) => {
            if let Some((message, fields)) = crate::log::refusal(response.status(), &error) {
                execution.outlet.log(&execution, LogLevel::Error, &message, &fields);
            }
            response
        }
        Err(error) => {
            let failure = if execution.signals.is_cancelled() { Error::cancelled() } else { error };
            return Err(types::Failure {
                kind: failure.kind().to_owned(),
                message: failure.chain(),
                trace: failure.trace(),
            });
        }
    };
    let (status, headers, body) = response.into_parts();
    let body = body.into_owned();
    Ok(types::Outcome::Complete(types::Response { status: status.as_u16(), headers, body }))
}

/// What `main` does in a component that was built from a binary target.
#[expect(clippy::exit, clippy::print_stderr, reason = "this is the program's end, said to whoever started it by hand")]
pub fn run(_handler: impl Handler) {
    eprintln!("{}", crate::BY_HAND);
    std::process::exit(2);
}

/// The host's imports.
#[derive(Default)]
struct Imports(Mutex<Option<BodyStream>>);

impl Outlet for Imports {
    fn log(&self, _execution: &Execution, level: LogLevel, message: &str, fields: &str) {
        let level = match level {
            LogLevel::Trace => Level::Trace,
            LogLevel::Debug => Level::Debug,
            LogLevel::Info => Level::Info,
            LogLevel::Warn => Level::Warn,
            LogLevel::Error => Level::Error,
        };
        host::log(level, message, fields);
    }

    fn start(&self, _execution: &Execution, status: u16, headers: &[(String, Vec<u8>)]) {
        *lock(&self.0) = Some(host::start_stream(status, headers));
    }

    fn part(&self, execution: &Execution, bytes: &[u8]) -> Result<(), Closed> {
        let written = lock(&self.0).as_ref().is_some_and(|stream| stream.write(bytes).is_ok());
        if written {
            return Ok(());
        }
        execution.signals.cancel();
        Err(Closed)
    }

    fn finish(&self, _execution: &Execution) {
        if let Some(stream) = lock(&self.0).take() {
            BodyStream::finish(stream);
        }
    }
}
