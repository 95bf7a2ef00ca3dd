//! An answer that is sent while its handler runs.

use std::fmt;
use std::io;
use std::sync::Arc;

use crate::execution::{Answer, Execution};
use crate::response::{ResponseState, checked_header};
use crate::signals::TakeCredit;
use crate::{Error, IntoResponse, Response, StatusCode, blocking};

/// Longest part sent in one piece, in bytes; longer ones are cut. Small enough that several streams share the way.
const PART_BYTES_MAX: usize = 64 * 1024;

/// Status and headers of a streaming answer.
///
/// ```
/// use ignite::prelude::*;
///
/// async fn handler(_req: Request, ctx: Context) -> Result<impl IntoResponse> {
///     let mut stream = ctx.stream().with_header("content-type", "text/plain").start()?;
///     for part in ["one\n", "two\n"] {
///         stream.write(part).await?;
///     }
///     Ok(stream.finish())
/// }
/// # let reply = ignite::test::invoke(handler, ignite::test::request(), ignite::test::context());
/// # assert_eq!(reply.text(), "one\ntwo\n");
/// ```
#[must_use = "nothing is sent before `start`"]
pub struct StreamBuilder {
    execution: Arc<Execution>,
    head: Response,
}

impl StreamBuilder {
    pub(crate) fn new(execution: Arc<Execution>) -> Self {
        Self { execution, head: ().into_response() }
    }

    /// The same stream with this status instead of 200.
    pub fn with_status(mut self, status: StatusCode) -> Self {
        self.head = self.head.with_status(status);
        self
    }

    /// The same stream with this header instead of all others of the name. Without a `content-type` it is
    /// `application/octet-stream`.
    pub fn with_header(mut self, name: impl AsRef<str>, value: impl AsRef<[u8]>) -> Self {
        self.head = self.head.with_header(name, value);
        self
    }

    /// The same stream with one more header, beside others of the name.
    pub fn with_further_header(mut self, name: impl AsRef<str>, value: impl AsRef<[u8]>) -> Self {
        self.head = self.head.with_further_header(name, value);
        self
    }

    /// Sends status and headers now.
    ///
    /// # Errors
    /// When a header cannot be sent, or this execution has begun a stream before.
    pub fn start(self) -> Result<BodyStream, Error> {
        let (execution, head) = (self.execution, self.head);
        if let ResponseState::Broken(error) = head.state {
            return Err(error);
        }
        if !execution.advance(Answer::Open, Answer::Streaming) {
            return Err(
                Error::msg("an execution has one answer, and this one's has begun before").with_type("stream_started")
            );
        }
        let (status, mut headers, _) = head.into_parts();
        if !headers.iter().any(|(name, _)| name == "content-type") {
            headers.extend(checked_header("content-type", b"application/octet-stream"));
        }
        execution.outlet.start(&execution, status.as_u16(), &headers);
        Ok(BodyStream { execution })
    }
}

impl fmt::Debug for StreamBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("StreamBuilder").field(&self.head).finish()
    }
}

/// The body of a streaming answer. Dropped without [`BodyStream::finish`], the answer breaks off.
#[must_use = "a stream that is dropped without `finish` breaks the answer off"]
pub struct BodyStream {
    execution: Arc<Execution>,
}

impl BodyStream {
    /// Sends `bytes`. Returns when they are on their way, which they are only as far as the caller reads them: a slow
    /// caller slows the handler down, and little is kept in memory.
    ///
    /// # Errors
    /// When the caller went away or the execution was cancelled.
    pub async fn write(&mut self, bytes: impl AsRef<[u8]>) -> Result<(), Closed> {
        let mut rest = bytes.as_ref();
        while !rest.is_empty() {
            let taken = TakeCredit::new(&self.execution.signals, rest.len().min(PART_BYTES_MAX)).await?;
            let (part, behind) = rest.split_at(taken);
            self.send(part)?;
            rest = behind;
        }
        Ok(())
    }

    /// [`BodyStream::write`] for a handler that is not `async`: blocks the thread while the caller has no room.
    ///
    /// # Errors
    /// As [`BodyStream::write`].
    pub fn write_blocking(&mut self, bytes: impl AsRef<[u8]>) -> Result<(), Closed> {
        blocking::wait(self.write(bytes.as_ref()))
    }

    /// The stream as [`io::Write`], for a handler that is not `async`.
    pub fn blocking(&mut self) -> impl io::Write + '_ {
        BlockingWriter(self)
    }

    /// Ends the body. The handler returns what this gives.
    pub fn finish(self) -> Streamed {
        if self.execution.advance(Answer::Streaming, Answer::Streamed) {
            self.execution.outlet.finish(&self.execution);
        }
        Streamed(())
    }

    fn send(&self, part: &[u8]) -> Result<(), Closed> {
        match self.execution.answer() {
            Answer::Streaming => self.execution.outlet.part(&self.execution, part),
            _ => Err(Closed),
        }
    }
}

impl fmt::Debug for BodyStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BodyStream")
    }
}

struct BlockingWriter<'a>(&'a mut BodyStream);

impl io::Write for BlockingWriter<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write_blocking(bytes).map_err(|closed| io::Error::new(io::ErrorKind::BrokenPipe, closed))?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Says that the answer went through a stream, which is finished.
#[derive(Debug)]
#[must_use = "the handler returns it"]
pub struct Streamed(());

impl IntoResponse for Streamed {
    fn into_response(self) -> Response {
        Response::streamed()
    }
}

/// The caller of a stream went away, or its execution was cancelled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Closed;

impl fmt::Display for Closed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the caller takes no more of the answer")
    }
}

impl std::error::Error for Closed {}
