//! What a handler answered.

use std::sync::{Arc, Mutex};

use ignite_core_abi::payload::LogLevel;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use crate::execution::{Answer, Execution, Outlet, Text, lock};
use crate::outcome::{Outcome, Settled};
use crate::response::HeaderList;
use crate::{Closed, Error, Response, StatusCode};

/// What a handler answered, as a caller would see it, and what it logged.
#[derive(Debug)]
#[non_exhaustive]
pub struct Reply {
    /// The status, 200 to 599.
    pub status: u16,
    /// The headers in order, names in lower case.
    pub headers: Vec<(String, Vec<u8>)>,
    /// The body; of a streamed answer all parts together.
    pub body: Vec<u8>,
    /// The parts of a streamed answer as they were sent; empty for others.
    pub parts: Vec<Vec<u8>>,
    /// What the handler logged, in order.
    pub logs: Vec<LogRecord>,
    /// The handler's error, if it failed: then the answer is the one the host would make of it.
    pub error: Option<Error>,
}

/// One record that a handler logged.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct LogRecord {
    /// `trace`, `debug`, `info`, `warn` or `error`.
    pub level: &'static str,
    /// The record's text.
    pub message: String,
    /// Its fields.
    pub fields: Map<String, Value>,
}

impl Reply {
    /// The body as text.
    ///
    /// # Panics
    /// When it is not UTF-8.
    #[must_use]
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("the body is UTF-8")
    }

    /// The body, read as JSON.
    ///
    /// # Panics
    /// When it is not JSON or no `T`.
    #[must_use]
    pub fn json<T: DeserializeOwned>(&self) -> T {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {:?}", self.text()))
    }

    /// The first value of the header `name`, in any case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        let (_, value) = self.headers.iter().find(|(present, _)| present.eq_ignore_ascii_case(name))?;
        std::str::from_utf8(value).ok()
    }
}

pub(super) fn reply(execution: &Arc<Execution>, recorder: &Recorder, outcome: Outcome) -> Reply {
    let before = execution.end();
    let id = execution.call.text(Text::ExecutionId);
    let (response, error) = match (before, outcome) {
        (Answer::Streamed, Outcome(Ok(_))) => (None, None),
        (_, outcome) => match outcome.settle(id, before != Answer::Open) {
            Ok(Settled::Answered(response)) => (Some(response), None),
            Ok(Settled::Refused(response, error)) => {
                if let Some((message, fields)) = crate::log::refusal(response.status(), &error) {
                    execution.outlet.log(execution, LogLevel::Error, &message, &fields);
                }
                (Some(response), Some(error))
            }
            Err(error) => (Some(host_answer(&error, id)), Some(error)),
        },
    };
    let recorded = std::mem::take(&mut *lock(&recorder.0));
    let (status, headers, body) = match (recorded.head, response) {
        // An error after the stream began breaks it off; the caller has what was sent.
        (Some((status, headers)), _) => (status, headers, recorded.parts.concat()),
        (None, response) => {
            let (status, headers, body) = response.unwrap_or_else(|| Response::new(())).into_parts();
            (status.as_u16(), headers, body.into_owned())
        }
    };
    Reply { status, headers, body, parts: recorded.parts, logs: recorded.logs, error }
}

fn host_answer(error: &Error, execution_id: &str) -> Response {
    let body = json!({ "error": error.chain(), "type": error.kind(), "execution_id": execution_id });
    Response::json(&body).with_status(StatusCode::INTERNAL_SERVER_ERROR)
}

/// Keeps what an execution sends.
#[derive(Default)]
pub(super) struct Recorder(Mutex<Recorded>);

#[derive(Default)]
struct Recorded {
    head: Option<(u16, HeaderList)>,
    parts: Vec<Vec<u8>>,
    logs: Vec<LogRecord>,
}

impl Outlet for Recorder {
    fn log(&self, _execution: &Execution, level: LogLevel, message: &str, fields: &str) {
        let level = match level {
            LogLevel::Trace => "trace",
            LogLevel::Debug => "debug",
            LogLevel::Info => "info",
            LogLevel::Warn => "warn",
            LogLevel::Error => "error",
        };
        let fields = serde_json::from_str(fields).unwrap_or_default();
        lock(&self.0).logs.push(LogRecord { level, message: message.to_owned(), fields });
    }

    fn start(&self, _execution: &Execution, status: u16, headers: &[(String, Vec<u8>)]) {
        lock(&self.0).head = Some((status, headers.to_vec()));
    }

    fn part(&self, _execution: &Execution, bytes: &[u8]) -> Result<(), Closed> {
        lock(&self.0).parts.push(bytes.to_vec());
        Ok(())
    }

    fn finish(&self, _execution: &Execution) {}
}
