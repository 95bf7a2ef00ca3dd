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
        /// Exit code or signal, and the last lines of its stderr.
        cause: String,
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
    /// It ran too long. → 504
    #[error("the execution exceeded its time limit")]
    TimedOut,
    /// Nobody waits for it any more; nobody will read this.
    #[error("the execution was cancelled")]
    Cancelled,
}
