//! Log records with an execution's id.

use std::fmt;
use std::sync::Arc;

use ignite_core_abi::payload::LogLevel;
use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::execution::Execution;
use crate::{Error, StatusCode};

/// Longest message and longest set of fields of one record, in bytes; more of a message is cut off, larger fields are
/// left out.
pub const LOG_BYTES_MAX: usize = 64 * 1024;

/// One log record in the making; a method named after a level writes it.
///
/// ```
/// # let ctx = ignite::test::context().build();
/// ctx.log().field("width", 320).field("format", "png").info("resized");
/// ctx.log().warn(format_args!("{} left", 3));
/// ```
///
/// What is printed on stdout and stderr is logged as well, but without the execution's id.
#[must_use = "a log record is written by `info`, `warn` or another level"]
pub struct Log {
    execution: Arc<Execution>,
    fields: Map<String, Value>,
}

impl Log {
    pub(crate) fn new(execution: Arc<Execution>) -> Self {
        Self { execution, fields: Map::new() }
    }

    /// The same record with one more field. A value that JSON cannot hold becomes a text that says why.
    pub fn field(mut self, name: impl Into<String>, value: impl Serialize) -> Self {
        let value = serde_json::to_value(value).unwrap_or_else(|error| Value::String(format!("<{error}>")));
        self.fields.insert(name.into(), value);
        self
    }

    /// Writes the record: finer than debug.
    pub fn trace(self, message: impl fmt::Display) {
        self.write(LogLevel::Trace, &message.to_string());
    }

    /// Writes the record: for the author while developing.
    pub fn debug(self, message: impl fmt::Display) {
        self.write(LogLevel::Debug, &message.to_string());
    }

    /// Writes the record: normal operation.
    pub fn info(self, message: impl fmt::Display) {
        self.write(LogLevel::Info, &message.to_string());
    }

    /// Writes the record: unexpected, but handled.
    pub fn warn(self, message: impl fmt::Display) {
        self.write(LogLevel::Warn, &message.to_string());
    }

    /// Writes the record: something failed.
    pub fn error(self, message: impl fmt::Display) {
        self.write(LogLevel::Error, &message.to_string());
    }

    fn write(self, level: LogLevel, message: &str) {
        let message = &message[..message.floor_char_boundary(LOG_BYTES_MAX)];
        let mut fields = match self.fields.is_empty() {
            true => String::new(),
            false => Value::Object(self.fields).to_string(),
        };
        if fields.len() > LOG_BYTES_MAX {
            fields = format!(r#"{{"fields_left_out_bytes":{}}}"#, fields.len());
        }
        self.execution.outlet.log(&self.execution, level, message, &fields);
    }
}

impl fmt::Debug for Log {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Log").field(&self.fields).finish()
    }
}

/// The record of an error that was answered with a status of its own, where that says that the function failed: message
/// and fields.
pub(crate) fn refusal(status: StatusCode, error: &Error) -> Option<(String, String)> {
    let fields = || json!({ "type": error.kind(), "status": status.as_u16(), "trace": error.trace() }).to_string();
    (status.as_u16() >= 500).then(|| (error.chain(), fields()))
}
