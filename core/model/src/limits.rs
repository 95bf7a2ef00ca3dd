//! The bounds of a running app.

use std::time::Duration;

/// What one instance of an app may use. Every bound has a name, a default and an error of its own; the host reads each
/// from the environment variable in its documentation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Longest time from the first byte of a request to the end of its answer. `IGNITE_TIMEOUT_MS`, 30 s; → 504.
    pub execution_timeout: Duration,
    /// Longest time an execution may wait for a slot. `IGNITE_QUEUE_TIMEOUT_MS`, 10 s; → 503.
    pub queue_timeout: Duration,
    /// Longest time from the slot to the head of the answer. `IGNITE_RESPONSE_START_MS`, no limit but the execution's own; → 504.
    pub response_start_timeout: Option<Duration>,
    /// Longest request body, in bytes. `IGNITE_PAYLOAD_BYTES_MAX`, 6 MiB; → 413.
    pub payload_bytes_max: usize,
    /// Longest request line and header block together, in bytes. `IGNITE_HEADER_BYTES_MAX`, 32 KiB; → 431.
    pub header_bytes_max: usize,
    /// Longest time a client may take to send its headers, which is also how long a connection is kept that asks for nothing.
    /// `IGNITE_HEADER_TIMEOUT_MS`, 10 s; the connection is closed.
    pub header_timeout: Duration,
    /// Longest time between two parts of a request body. `IGNITE_BODY_IDLE_MS`, 10 s; → 408.
    pub body_idle_timeout: Duration,
    /// Longest time between two parts of a streamed response, while the caller takes them. `IGNITE_STREAM_IDLE_MS`, 60 s; the
    /// answer is broken off.
    pub stream_idle_timeout: Duration,
    /// Longest response body that is not streamed, in bytes. `IGNITE_RESPONSE_BYTES_MAX`, 20 MiB; → 502.
    pub response_bytes_max: usize,
    /// Executions at once in this instance. `IGNITE_MAX_CONCURRENCY`, 16.
    pub max_concurrency: u32,
    /// Executions that may wait for a slot. `IGNITE_QUEUE_MAX`, ten times the default concurrency; → 429.
    pub queue_max: u32,
    /// Open client connections. `IGNITE_CONNECTIONS_MAX`, 4096; further ones wait in the listen backlog.
    pub connections_max: u32,
    /// Memory of the app's code in this instance, in MiB. `IGNITE_MEMORY_MB`, 512; → 502.
    pub memory_mb: u32,
    /// How long cancelled work may go on before it is killed. `IGNITE_CANCEL_GRACE_MS`, 100 ms.
    pub cancel_grace: Duration,
    /// How long executions in flight may take to finish on shutdown. `IGNITE_DRAIN_MS`, 30 s.
    pub drain_timeout: Duration,
    /// Longest time a worker may take to load the handler. `IGNITE_START_MS`, 10 s.
    pub start_timeout: Duration,
    /// Longest log line, in bytes; the rest is cut and said so. `IGNITE_LOG_LINE_BYTES_MAX`, 16 KiB.
    pub log_line_bytes_max: usize,
    /// Log lines in a second; more are dropped and counted. `IGNITE_LOG_LINES_PER_SECOND`, 10,000.
    pub log_lines_per_second: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            execution_timeout: Duration::from_secs(30),
            queue_timeout: Duration::from_secs(10),
            response_start_timeout: None,
            payload_bytes_max: 6 * 1024 * 1024,
            header_bytes_max: 32 * 1024,
            header_timeout: Duration::from_secs(10),
            body_idle_timeout: Duration::from_secs(10),
            stream_idle_timeout: Duration::from_secs(60),
            response_bytes_max: 20 * 1024 * 1024,
            max_concurrency: 16,
            queue_max: 160,
            connections_max: 4096,
            memory_mb: 512,
            cancel_grace: Duration::from_millis(100),
            drain_timeout: Duration::from_secs(30),
            start_timeout: Duration::from_secs(10),
            log_line_bytes_max: 16 * 1024,
            log_lines_per_second: 10_000,
        }
    }
}
