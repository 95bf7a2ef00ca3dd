//! Why an execution had no answer of the function's own.

/// How an execution failed. The host maps each to a status; see `docs/reference/errors.md`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvokeError {
    /// The handler raised, returned an error or panicked. → 500
    #[error("{message}")]
    Handler {
        /// The error's class in its own language; `panic` for a panic.
        kind: String,
        /// What the error says.
        message: String,
        /// Traceback; always logged, shown only where the app exposes errors.
        trace: String,
    },
    /// The worker that ran it ended. → 502
    #[error("the worker ended before it answered: {cause}")]
    WorkerLost {
        /// Exit code or signal.
        cause: String,
        /// The last lines of its stderr. They were not written for callers, who see them only where the app exposes errors.
        last_words: String,
    },
    /// The code needed more memory than its tier allows. → 502
    #[error("the memory limit of {memory_mb} MiB was reached; choose a larger tier or set memory_mb")]
    MemoryLimit {
        /// The limit, in MiB.
        memory_mb: u32,
    },
    /// The answer is too long and not streamed. → 502
    #[error(
        "the response body exceeds the limit of {response_bytes_max} bytes; stream it, or raise IGNITE_RESPONSE_BYTES_MAX"
    )]
    ResponseTooLarge {
        /// The limit, in bytes.
        response_bytes_max: usize,
    },
    /// The answer has no form that HTTP can carry, or the worker broke the protocol. → 502
    #[error("the function's answer cannot be sent: {0}")]
    BadReply(String),
    /// No worker can take it: starting, draining or in a crash loop. → 503
    #[error("the function cannot be served now: {0}")]
    Unavailable(String),
    /// The code does not load, or its workers keep ending. → 503
    #[error(
        "the function cannot be served now: its code does not load, or keeps ending; `/healthz` and the log say why"
    )]
    NotLoaded {
        /// Why, in the words of the language. They were not written for callers, who see them only where the app exposes
        /// errors.
        reason: String,
    },
    /// It ran too long. → 504
    #[error("the execution exceeded its time limit")]
    TimedOut,
    /// Nobody waits for it any more; nobody will read this.
    #[error("the execution was cancelled")]
    Cancelled,
}

impl InvokeError {
    /// All that is known, for the log and for callers of an app that exposes its errors. What is displayed is for any
    /// caller: it has no words but the host's own, and those of an error that the handler itself raised.
    #[must_use]
    pub fn in_full(&self) -> String {
        match self {
            Self::WorkerLost { last_words, .. } if !last_words.is_empty() => {
                format!("{self}; last on stderr: {last_words}")
            }
            Self::NotLoaded { reason } => format!("the function cannot be served now: {reason}"),
            _ => self.to_string(),
        }
    }
}
