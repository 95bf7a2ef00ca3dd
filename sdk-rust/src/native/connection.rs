//! What the reader, the writer and the executions of one connection share.

use std::collections::HashMap;
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex};

use ignite_core_abi::payload::{Failure, Hello, Log, LogLevel, Reply, encode_chunk};
use ignite_core_abi::{FRAME_BYTES_MAX, HEADER_BYTES, flags};
use tokio::runtime::Handle;

use super::outbox::Outbox;
use super::pool::Pool;
use crate::execution::{Answer, Execution, Outlet, lock};
use crate::outcome::{Outcome, Settled};
use crate::{Closed, Error, Response};

/// One connection with a host.
pub(crate) struct Connection {
    pub(super) outbox: Outbox,
    /// For handlers that are not `async`.
    pub(super) pool: Arc<Pool>,
    /// Runs `async` handlers.
    pub(super) runtime: Handle,
    running: Mutex<HashMap<u64, Arc<Execution>>>,
    /// Longest payload the host accepts, in bytes.
    frame_bytes_max: u32,
    /// Bytes of a streamed answer that may be under way.
    pub(super) stream_window_bytes: u32,
    /// Most executions at once.
    max_concurrency: usize,
}

impl Connection {
    pub(super) fn new(hello: &Hello, socket: UnixStream, runtime: Handle) -> Arc<Self> {
        let max_concurrency = usize::try_from(hello.max_concurrency.max(1)).unwrap_or(usize::MAX);
        Arc::new(Self {
            outbox: Outbox::new(socket),
            pool: Pool::new(max_concurrency, runtime.clone()),
            runtime,
            running: Mutex::default(),
            frame_bytes_max: hello.frame_bytes_max.min(FRAME_BYTES_MAX),
            stream_window_bytes: hello.stream_window_bytes,
            max_concurrency,
        })
    }

    /// Takes up an execution.
    ///
    /// # Errors
    /// What the host did wrong, in words.
    pub(super) fn begin(&self, execution: Arc<Execution>) -> Result<(), String> {
        let mut running = lock(&self.running);
        if running.len() >= self.max_concurrency {
            return Err(format!("more than {} executions at once", self.max_concurrency));
        }
        let id = execution.id;
        if running.insert(id, execution).is_some() {
            return Err(format!("execution {id} is running already"));
        }
        drop(running);
        if self.outbox.expect() { Ok(()) } else { Err(format!("execution {id} came after DRAIN")) }
    }

    /// The execution with this id, if it has not been answered yet.
    pub(super) fn find(&self, id: u64) -> Option<Arc<Execution>> {
        lock(&self.running).get(&id).cloned()
    }

    /// Answers an execution, which is over with this.
    fn answer(&self, execution: &Arc<Execution>, outcome: Outcome) {
        let before = execution.end();
        // Forgotten before the answer is sent: the host may send the next one as soon as it has this.
        lock(&self.running).remove(&execution.id);
        let id = execution.id;
        if before == Answer::Streamed {
            // The last CHUNK was the answer; what the handler did after it can only be logged.
            if let Outcome(Err(error)) = outcome {
                self.put_log(0, LogLevel::Error, &error.chain(), "");
            }
            return self.outbox.answer(0, |_| ());
        }
        let execution_id = execution.call.text(crate::execution::Text::ExecutionId);
        match outcome.settle(execution_id, before != Answer::Open) {
            Ok(Settled::Answered(response)) => self.put_response(id, response),
            Ok(Settled::Refused(response, error)) => {
                if let Some((message, fields)) = crate::log::refusal(response.status(), &error) {
                    self.put_log(id, LogLevel::Error, &message, &fields);
                }
                self.put_response(id, response);
            }
            Err(_) if execution.signals.is_cancelled() => self.put_error(id, &Error::cancelled()),
            Err(error) => self.put_error(id, &error),
        }
    }

    fn put_response(&self, id: u64, response: Response) {
        let (status, headers, body) = response.into_parts();
        let head: usize = headers.iter().map(|(name, value)| name.len() + value.len() + 4).sum();
        let bytes = HEADER_BYTES + 6 + head + body.len();
        if bytes - HEADER_BYTES > self.frame_bytes_max as usize {
            let max = self.frame_bytes_max;
            let message = format_args!(
                "the answer has {} bytes, the host takes {max} at once: send it through `ctx.stream()`",
                body.len()
            );
            return self.put_error(id, &Error::msg(message).with_type("response_too_large"));
        }
        let reply = Reply { status: status.as_u16(), headers: Default::default(), body: &body };
        self.outbox.answer(bytes, |out| {
            reply.encode_from(id, true, headers.iter().map(|(name, value)| (name, value)), out);
        });
    }

    fn put_error(&self, id: u64, error: &Error) {
        let (message, trace) = (error.chain(), error.trace());
        let message = &message[..message.floor_char_boundary(ERROR_TEXT_BYTES_MAX)];
        let trace = &trace[..trace.floor_char_boundary(ERROR_TEXT_BYTES_MAX)];
        let failure = Failure { kind: error.kind(), message, trace };
        self.outbox.answer(HEADER_BYTES + 10 + message.len() + trace.len(), |out| failure.encode_error(id, out));
    }

    fn put_log(&self, id: u64, level: LogLevel, message: &str, fields: &str) {
        let log = Log { level, message, fields };
        self.outbox.put_log(HEADER_BYTES + 5 + message.len() + fields.len(), |out| log.encode(id, out));
    }
}

/// Longest message and longest trace of an error that are sent, in bytes.
const ERROR_TEXT_BYTES_MAX: usize = 256 * 1024;

impl Outlet for Connection {
    fn log(&self, execution: &Execution, level: LogLevel, message: &str, fields: &str) {
        // The id of an answered execution means nothing to the host any more.
        let id = if execution.answer() == Answer::Over { 0 } else { execution.id };
        self.put_log(id, level, message, fields);
    }

    fn start(&self, execution: &Execution, status: u16, headers: &[(String, Vec<u8>)]) {
        let reply = Reply { status, headers: Default::default(), body: &[] };
        self.outbox.put(0, |out| {
            reply.encode_from(execution.id, false, headers.iter().map(|(name, value)| (name, value)), out);
        });
    }

    fn part(&self, execution: &Execution, bytes: &[u8]) -> Result<(), Closed> {
        self.outbox.put(HEADER_BYTES + bytes.len(), |out| encode_chunk(execution.id, false, bytes, out));
        Ok(())
    }

    fn finish(&self, execution: &Execution) {
        self.outbox.put(HEADER_BYTES, |out| encode_chunk(execution.id, true, &[], out));
    }
}

/// An execution that must be answered whatever becomes of its handler.
pub(super) struct Unanswered {
    connection: Arc<Connection>,
    execution: Option<Arc<Execution>>,
}

impl Unanswered {
    pub(super) fn new(connection: Arc<Connection>, execution: Arc<Execution>) -> Self {
        Self { connection, execution: Some(execution) }
    }

    pub(super) fn answer(mut self, outcome: Outcome) {
        if let Some(execution) = self.execution.take() {
            self.connection.answer(&execution, outcome);
        }
    }
}

impl Drop for Unanswered {
    fn drop(&mut self) {
        if let Some(execution) = self.execution.take() {
            // Only a panic in a destructor of the handler's own values gets here.
            let error = Error::panicked("the handler panicked while it was taken down".to_owned(), String::new());
            self.connection.answer(&execution, Outcome(Err(error)));
        }
    }
}

const _: () = assert!(flags::KNOWN == flags::END, "a new flag needs a look at what the worker accepts");
