//! Every error the host itself answers with: status, type and words. `docs/reference/errors.md` is drawn from here.

use http::StatusCode;
use ignite_runtimes_executor::InvokeError;

/// An answer that is not the function's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HostError {
    /// No app is served under the hostname of the request.
    #[error("no app is served under this hostname")]
    UnknownHost,
    /// The request's body is too long.
    #[error("the payload exceeds the limit of {payload_bytes_max} bytes")]
    PayloadTooLarge {
        /// The limit, in bytes.
        payload_bytes_max: usize,
    },
    /// The request's headers are too long.
    #[error("the request's headers exceed the limit of {header_bytes_max} bytes")]
    HeadersTooLarge {
        /// The limit, in bytes.
        header_bytes_max: usize,
    },
    /// The request's body stopped coming.
    #[error("no further part of the payload came within {body_idle_ms} ms")]
    PayloadTimeout {
        /// The limit, in milliseconds.
        body_idle_ms: u128,
    },
    /// The request's body broke off.
    #[error("the payload could not be read: {0}")]
    PayloadBroken(String),
    /// A header of the platform has a value it cannot have.
    #[error("the header `{name}` is not valid: {reason}")]
    InvalidHeader {
        /// The header.
        name: &'static str,
        /// What it must be.
        reason: &'static str,
    },
    /// All slots are taken and the queue is full: the app's own limit.
    #[error("{max_concurrency} executions run and {queue_max} wait, which is the limit of this instance")]
    ConcurrencyLimit {
        /// Executions at once.
        max_concurrency: u32,
        /// Executions that may wait.
        queue_max: u32,
    },
    /// No slot became free in time.
    #[error("no execution ended within {queue_timeout_ms} ms, so this one could not begin")]
    QueueTimeout {
        /// The limit, in milliseconds.
        queue_timeout_ms: u128,
    },
    /// The function did not begin its answer in time.
    #[error("the answer did not begin within {response_start_ms} ms")]
    ResponseStartTimeout {
        /// The limit, in milliseconds.
        response_start_ms: u128,
    },
    /// A streamed answer paused for too long. Its head is sent, so nobody is answered with this: the answer is broken off.
    #[error("no further part of the answer came within {stream_idle_ms} ms")]
    StreamIdleTimeout {
        /// The limit, in milliseconds.
        stream_idle_ms: u128,
    },
    /// The execution's time is up.
    #[error("the execution exceeded its time limit of {timeout_ms} ms")]
    Timeout {
        /// The limit, in milliseconds.
        timeout_ms: u128,
    },
    /// The executor gave no answer.
    #[error(transparent)]
    Invoke(#[from] InvokeError),
}

impl HostError {
    /// The `type` member of the answer: stable words for programs. A handler's own error has its class's name instead.
    #[must_use]
    pub fn kind(&self) -> &str {
        match self {
            Self::Invoke(InvokeError::Handler { kind, .. }) => kind,
            other => other.class(),
        }
    }

    /// One of a fixed set of words, as metrics need it.
    #[must_use]
    pub fn class(&self) -> &'static str {
        match self {
            Self::UnknownHost => "unknown_host",
            Self::PayloadTooLarge { .. } => "payload_too_large",
            Self::HeadersTooLarge { .. } => "headers_too_large",
            Self::PayloadTimeout { .. } => "payload_timeout",
            Self::PayloadBroken(_) => "payload_broken",
            Self::InvalidHeader { .. } => "invalid_header",
            Self::ConcurrencyLimit { .. } => "concurrency_limit",
            Self::QueueTimeout { .. } => "queue_timeout",
            Self::ResponseStartTimeout { .. } => "response_start_timeout",
            Self::StreamIdleTimeout { .. } => "stream_idle_timeout",
            Self::Timeout { .. } | Self::Invoke(InvokeError::TimedOut) => "timeout",
            Self::Invoke(InvokeError::Handler { .. }) => "handler",
            Self::Invoke(InvokeError::WorkerLost { .. }) => "worker_lost",
            Self::Invoke(InvokeError::MemoryLimit { .. }) => "memory_limit",
            Self::Invoke(InvokeError::ResponseTooLarge { .. }) => "response_too_large",
            Self::Invoke(InvokeError::BadReply(_)) => "bad_reply",
            Self::Invoke(InvokeError::Unavailable(_) | InvokeError::NotLoaded { .. }) => "unavailable",
            Self::Invoke(InvokeError::Cancelled) => "cancelled",
        }
    }

    /// The answer's status. 429 is the app's own limit, 503 missing capacity, 504 an execution that ran too long.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        match self {
            Self::UnknownHost => StatusCode::NOT_FOUND,
            Self::PayloadTooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Self::HeadersTooLarge { .. } => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            Self::PayloadTimeout { .. } => StatusCode::REQUEST_TIMEOUT,
            Self::PayloadBroken(_) | Self::InvalidHeader { .. } => StatusCode::BAD_REQUEST,
            Self::ConcurrencyLimit { .. } => StatusCode::TOO_MANY_REQUESTS,
            Self::QueueTimeout { .. }
            | Self::Invoke(InvokeError::Unavailable(_) | InvokeError::NotLoaded { .. } | InvokeError::Cancelled) => {
                StatusCode::SERVICE_UNAVAILABLE
            }
            Self::Timeout { .. }
            | Self::ResponseStartTimeout { .. }
            | Self::StreamIdleTimeout { .. }
            | Self::Invoke(InvokeError::TimedOut) => StatusCode::GATEWAY_TIMEOUT,
            Self::Invoke(InvokeError::Handler { .. }) => StatusCode::INTERNAL_SERVER_ERROR,
            Self::Invoke(
                InvokeError::WorkerLost { .. }
                | InvokeError::MemoryLimit { .. }
                | InvokeError::ResponseTooLarge { .. }
                | InvokeError::BadReply(_),
            ) => StatusCode::BAD_GATEWAY,
        }
    }

    /// Seconds after which a caller may try again, where that helps.
    #[must_use]
    pub fn retry_after_secs(&self) -> Option<u32> {
        matches!(self.status(), StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE).then_some(1)
    }

    /// All that is known, for the log and for callers of an app that exposes its errors.
    #[must_use]
    pub fn in_full(&self) -> String {
        match self {
            Self::Invoke(error) => error.in_full(),
            other => other.to_string(),
        }
    }

    /// The traceback, where a handler's error has one.
    #[must_use]
    pub fn traceback(&self) -> Option<&str> {
        match self {
            Self::Invoke(InvokeError::Handler { trace, .. }) if !trace.is_empty() => Some(trace),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test")]
    use std::fmt::Write as _;

    use super::*;

    /// Makes one error of a class, and what a person does about it.
    type ErrorRow = (fn() -> HostError, &'static str);

    /// One of each, for the page in the reference and the test that draws it.
    const HOST_ERRORS: [ErrorRow; 18] = [
        (
            || HostError::InvalidHeader {
                name: "x-ignite-timeout-ms",
                reason: "expected a whole number of milliseconds",
            },
            "Send the header as described, or leave it out.",
        ),
        (
            || HostError::PayloadBroken("connection reset".into()),
            "The caller ended the payload before its announced length.",
        ),
        (
            || HostError::UnknownHost,
            "A host of many apps has none of that name: the first label of the hostname is the app's.",
        ),
        (|| HostError::PayloadTimeout { body_idle_ms: 10_000 }, "Send the payload without long pauses."),
        (
            || HostError::PayloadTooLarge { payload_bytes_max: 6 * 1024 * 1024 },
            "Send less, or pass large data by reference.",
        ),
        (
            || HostError::ConcurrencyLimit { max_concurrency: 16, queue_max: 160 },
            "The app's own limit: try again later, or raise `max_concurrency`.",
        ),
        (|| HostError::HeadersTooLarge { header_bytes_max: 32 * 1024 }, "Send fewer or shorter headers."),
        (
            || {
                HostError::Invoke(InvokeError::Handler {
                    kind: "the error's class".into(),
                    message: "the error's own message".into(),
                    trace: String::new(),
                })
            },
            "The handler raised, returned an error or panicked; the log has the traceback.",
        ),
        (
            || {
                HostError::Invoke(InvokeError::WorkerLost {
                    cause: "exited with code 3".into(),
                    last_words: String::new(),
                })
            },
            "The process that ran the handler ended; the log has its last lines.",
        ),
        (
            || HostError::Invoke(InvokeError::MemoryLimit { memory_mb: 512 }),
            "The code needed more memory than its tier allows.",
        ),
        (
            || HostError::Invoke(InvokeError::ResponseTooLarge { response_bytes_max: 20 * 1024 * 1024 }),
            "Stream long answers.",
        ),
        (
            || HostError::Invoke(InvokeError::BadReply("status 99".into())),
            "The function answered with what HTTP cannot carry.",
        ),
        (
            || HostError::QueueTimeout { queue_timeout_ms: 10_000 },
            "Missing capacity: try again later, or allow more instances.",
        ),
        (
            || HostError::Invoke(InvokeError::Unavailable("it is shutting down".into())),
            "The instance starts or drains: try again.",
        ),
        (
            || HostError::Invoke(InvokeError::NotLoaded { reason: String::new() }),
            "The log and `/healthz` have the reason.",
        ),
        (
            || HostError::Timeout { timeout_ms: 30_000 },
            "The execution ran too long: it was cancelled. Raise `timeout_secs`, or do less.",
        ),
        (
            || HostError::ResponseStartTimeout { response_start_ms: 5_000 },
            "The answer began too late: it was cancelled. Answer or stream earlier, or raise `IGNITE_RESPONSE_START_MS`.",
        ),
        (
            || HostError::StreamIdleTimeout { stream_idle_ms: 60_000 },
            "Never an answer: the head was sent, so the answer is broken off, and the log says this.",
        ),
    ];

    #[test]
    fn the_page_in_the_reference_is_drawn_from_the_errors() {
        let mut page = String::from(
            "# Errors of the host\n\nAn answer the host itself gives has the body `{\"error\": …, \"type\": …, \"execution_id\": …}`. Drawn from\n\
             the code. `traceback` is added to a handler's own error only where the app exposes errors, and so are a lost worker's\n\
             last lines and the reason why code does not load: no answer has words that the author did not choose to show.\n\n\
             | status | type | says | what to do |\n| ---: | --- | --- | --- |\n",
        );
        for (make, advice) in HOST_ERRORS {
            let error = make();
            let _ = writeln!(page, "| {} | `{}` | {error} | {advice} |", error.status().as_u16(), error.kind());
        }
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/reference/errors.md");
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            std::fs::write(path, &page).unwrap();
        }
        assert_eq!(std::fs::read_to_string(path).unwrap_or_default(), page, "docs/reference/errors.md is old");
    }
}
