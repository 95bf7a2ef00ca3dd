//! What each kind of frame carries. Every type encodes a whole frame and decodes a payload; decoding borrows.

use crate::frame::{FrameHeader, FrameKind, HEADER_BYTES, flags};
use crate::headers::{Headers, encode_headers};
use crate::wire::{DecodeError, Reader, put_long, put_short_text};

/// Appends a frame whose payload `write` appends, and fills in the length afterwards.
fn frame(out: &mut Vec<u8>, kind: FrameKind, flags: u8, id: u64, write: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    FrameHeader { length: 0, kind, flags, id }.encode(out);
    write(out);
    let length = u32::try_from(out.len() - start - HEADER_BYTES).unwrap_or(u32::MAX);
    out[start..start + 4].copy_from_slice(&length.to_le_bytes());
}

/// Appends one of the frames that have no payload: DRAIN, BYE, FORK.
pub fn encode_empty(kind: FrameKind, id: u64, out: &mut Vec<u8>) {
    frame(out, kind, 0, id, |_| ());
}

/// HELLO: what the host speaks and accepts. `u16` version, `u32` frame bytes, `u32` window bytes, `u32` concurrency.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hello {
    /// The host's [`crate::ABI_VERSION`].
    pub abi_version: u16,
    /// Longest payload the host accepts, in bytes.
    pub frame_bytes_max: u32,
    /// Bytes of one streamed answer that may be under way before CREDIT.
    pub stream_window_bytes: u32,
    /// Most executions the host will have in flight on this connection.
    pub max_concurrency: u32,
}

impl Hello {
    /// Appends the frame to `out`.
    pub fn encode(&self, out: &mut Vec<u8>) {
        frame(out, FrameKind::Hello, 0, 0, |out| {
            out.extend_from_slice(&self.abi_version.to_le_bytes());
            out.extend_from_slice(&self.frame_bytes_max.to_le_bytes());
            out.extend_from_slice(&self.stream_window_bytes.to_le_bytes());
            out.extend_from_slice(&self.max_concurrency.to_le_bytes());
        });
    }

    /// Reads the payload. Trailing bytes are allowed: a later version may say more, and its number tells it apart.
    ///
    /// # Errors
    /// When the payload is shorter than the fields.
    pub fn decode(payload: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader(payload);
        Ok(Self {
            abi_version: reader.u16("abi version")?,
            frame_bytes_max: reader.u32("frame bytes")?,
            stream_window_bytes: reader.u32("window bytes")?,
            max_concurrency: reader.u32("max concurrency")?,
        })
    }
}

/// READY: what was loaded. `u16` version, `u32` concurrency, `u8` zygote, `u16`-text sdk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ready<'a> {
    /// The worker's [`crate::ABI_VERSION`].
    pub abi_version: u16,
    /// Executions this worker can run at once; at least 1.
    pub max_concurrency: u32,
    /// Whether this connection is a zygote, which is sent FORK and never INVOKE.
    pub zygote: bool,
    /// Name and version of the SDK, as in `ignite-python/0.1.0`.
    pub sdk: &'a str,
}

impl<'a> Ready<'a> {
    /// Appends the frame to `out`.
    pub fn encode(&self, out: &mut Vec<u8>) {
        frame(out, FrameKind::Ready, 0, 0, |out| {
            out.extend_from_slice(&self.abi_version.to_le_bytes());
            out.extend_from_slice(&self.max_concurrency.to_le_bytes());
            out.push(u8::from(self.zygote));
            put_short_text(out, self.sdk);
        });
    }

    /// How many executions each worker takes ahead, as a byte after the SDK's name says; 0 where there is none.
    #[must_use]
    pub fn takes_ahead(payload: &[u8]) -> u8 {
        let mut reader = Reader(payload);
        let named = reader.bytes(7, "head").and_then(|_| reader.short_text("sdk"));
        named.ok().and(reader.0.first().copied()).unwrap_or(0)
    }

    /// Reads the payload. Trailing bytes are allowed, as in [`Hello::decode`].
    ///
    /// # Errors
    /// When the payload is truncated, the name is not UTF-8, the concurrency is 0 or the zygote byte is above 1.
    pub fn decode(payload: &'a [u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader(payload);
        let abi_version = reader.u16("abi version")?;
        let max_concurrency = reader.u32("max concurrency")?;
        if max_concurrency == 0 {
            return Err(DecodeError::OutOfRange("max concurrency"));
        }
        let zygote = match reader.u8("zygote")? {
            0 => false,
            1 => true,
            _ => return Err(DecodeError::OutOfRange("zygote")),
        };
        Ok(Self { abi_version, max_concurrency, zygote, sdk: reader.short_text("sdk")? })
    }
}

/// INVOKE: one request. `u64` timeout in µs, then `u16`-texts execution id, function id, organization id, method, path,
/// query, then a `u32` length and the header block, then the body up to the end of the frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Invoke<'a> {
    /// Time left when the frame was written, in microseconds; 0 where there is no limit.
    pub timeout_us: u64,
    /// The execution's public id.
    pub execution_id: &'a str,
    /// `org/name` of the app.
    pub function_id: &'a str,
    /// The app's organisation.
    pub organization_id: &'a str,
    /// HTTP method, as sent.
    pub method: &'a str,
    /// Path, as sent: percent-encoded, beginning with `/`.
    pub path: &'a str,
    /// Query without the `?`, as sent; empty where there is none.
    pub query: &'a str,
    /// Request headers.
    pub headers: Headers<'a>,
    /// The whole request body.
    pub body: &'a [u8],
}

impl<'a> Invoke<'a> {
    /// Appends the frame to `out`.
    pub fn encode(&self, id: u64, out: &mut Vec<u8>) {
        self.encode_with(id, out, |out| put_long(out, self.headers.0));
    }

    /// Appends the frame to `out` with the headers given instead of [`Invoke::headers`], so that a host encodes them
    /// straight from its own map.
    pub fn encode_from<N, V>(&self, id: u64, headers: impl IntoIterator<Item = (N, V)>, out: &mut Vec<u8>)
    where
        N: AsRef<str>,
        V: AsRef<[u8]>,
    {
        self.encode_with(id, out, |out| encode_headers(headers, out));
    }

    fn encode_with(&self, id: u64, out: &mut Vec<u8>, headers: impl FnOnce(&mut Vec<u8>)) {
        frame(out, FrameKind::Invoke, flags::END, id, |out| {
            out.extend_from_slice(&self.timeout_us.to_le_bytes());
            for text in [self.execution_id, self.function_id, self.organization_id, self.method, self.path, self.query]
            {
                put_short_text(out, text);
            }
            headers(out);
            out.extend_from_slice(self.body);
        });
    }

    /// Reads the payload.
    ///
    /// # Errors
    /// When it is truncated or a text is not UTF-8.
    pub fn decode(payload: &'a [u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader(payload);
        Ok(Self {
            timeout_us: reader.u64("timeout")?,
            execution_id: reader.short_text("execution id")?,
            function_id: reader.short_text("function id")?,
            organization_id: reader.short_text("organization id")?,
            method: reader.short_text("method")?,
            path: reader.short_text("path")?,
            query: reader.short_text("query")?,
            headers: Headers(reader.long_bytes("headers")?),
            body: reader.0,
        })
    }
}

/// RESULT: `u16` status, `u32` length and header block, then (the first part of) the body up to the end of the frame.
/// With [`flags::END`] the body is complete; without it CHUNK frames follow, under the window of [`Hello`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reply<'a> {
    /// HTTP status, 200 to 599: 1xx are the host's own.
    pub status: u16,
    /// Response headers.
    pub headers: Headers<'a>,
    /// The body or its first part.
    pub body: &'a [u8],
}

impl<'a> Reply<'a> {
    /// Appends the frame to `out`; `end` tells whether the body is complete.
    pub fn encode(&self, id: u64, end: bool, out: &mut Vec<u8>) {
        self.encode_with(id, end, out, |out| put_long(out, self.headers.0));
    }

    /// Appends the frame to `out` with the headers given instead of [`Reply::headers`].
    pub fn encode_from<N, V>(&self, id: u64, end: bool, headers: impl IntoIterator<Item = (N, V)>, out: &mut Vec<u8>)
    where
        N: AsRef<str>,
        V: AsRef<[u8]>,
    {
        self.encode_with(id, end, out, |out| encode_headers(headers, out));
    }

    fn encode_with(&self, id: u64, end: bool, out: &mut Vec<u8>, headers: impl FnOnce(&mut Vec<u8>)) {
        frame(out, FrameKind::Result, if end { flags::END } else { 0 }, id, |out| {
            out.extend_from_slice(&self.status.to_le_bytes());
            headers(out);
            out.extend_from_slice(self.body);
        });
    }

    /// Reads the payload.
    ///
    /// # Errors
    /// When it is truncated or the status is not within 200..=599.
    pub fn decode(payload: &'a [u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader(payload);
        let status = reader.u16("status")?;
        if !(200..=599).contains(&status) {
            return Err(DecodeError::OutOfRange("status"));
        }
        Ok(Self { status, headers: Headers(reader.long_bytes("headers")?), body: reader.0 })
    }
}

/// Appends a CHUNK: a further part of the body of execution `id`, the last one if `end`.
pub fn encode_chunk(id: u64, end: bool, body: &[u8], out: &mut Vec<u8>) {
    frame(out, FrameKind::Chunk, if end { flags::END } else { 0 }, id, |out| out.extend_from_slice(body));
}

/// ERROR and INIT_ERROR: `u16`-text type, `u32`-text message, `u32`-text trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Failure<'a> {
    /// The error's class in its own language, as in `ValueError`; `panic` for a panic.
    pub kind: &'a str,
    /// What the error says.
    pub message: &'a str,
    /// Traceback or backtrace; empty where there is none.
    pub trace: &'a str,
}

impl<'a> Failure<'a> {
    /// Appends ERROR for execution `id` to `out`.
    pub fn encode_error(&self, id: u64, out: &mut Vec<u8>) {
        frame(out, FrameKind::Error, 0, id, |out| self.put(out));
    }

    /// Appends INIT_ERROR to `out`.
    pub fn encode_init_error(&self, out: &mut Vec<u8>) {
        frame(out, FrameKind::InitError, 0, 0, |out| self.put(out));
    }

    fn put(&self, out: &mut Vec<u8>) {
        put_short_text(out, self.kind);
        put_long(out, self.message.as_bytes());
        put_long(out, self.trace.as_bytes());
    }

    /// Reads the payload.
    ///
    /// # Errors
    /// When it is truncated, has trailing bytes, or a text is not UTF-8.
    pub fn decode(payload: &'a [u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader(payload);
        let failure = Self {
            kind: reader.short_text("error type")?,
            message: reader.long_text("error message")?,
            trace: reader.long_text("error trace")?,
        };
        reader.end().map(|()| failure)
    }
}

/// How grave a log record is. The number is its byte on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum LogLevel {
    /// Finer than debug.
    Trace = 0,
    /// For the author while developing.
    Debug = 1,
    /// Normal operation.
    Info = 2,
    /// Unexpected, but handled.
    Warn = 3,
    /// Something failed.
    Error = 4,
}

impl LogLevel {
    fn from_byte(byte: u8) -> Result<Self, DecodeError> {
        [Self::Trace, Self::Debug, Self::Info, Self::Warn, Self::Error]
            .into_iter()
            .find(|level| *level as u8 == byte)
            .ok_or(DecodeError::OutOfRange("log level"))
    }
}

/// LOG: `u8` level, `u32`-text message, then a JSON object with further fields up to the end of the frame, or nothing.
/// The frame's id tells the execution; 0 where it is not known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Log<'a> {
    /// How grave the record is.
    pub level: LogLevel,
    /// The record's text; may have several lines.
    pub message: &'a str,
    /// A JSON object, or empty.
    pub fields: &'a str,
}

impl<'a> Log<'a> {
    /// Appends the frame to `out`.
    pub fn encode(&self, id: u64, out: &mut Vec<u8>) {
        frame(out, FrameKind::Log, 0, id, |out| {
            out.push(self.level as u8);
            put_long(out, self.message.as_bytes());
            out.extend_from_slice(self.fields.as_bytes());
        });
    }

    /// Reads the payload. That `fields` is a JSON object is for the reader of the log to check.
    ///
    /// # Errors
    /// When it is truncated, the level is unknown, or a text is not UTF-8.
    pub fn decode(payload: &'a [u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader(payload);
        let level = LogLevel::from_byte(reader.u8("log level")?)?;
        let message = reader.long_text("log message")?;
        let fields = std::str::from_utf8(reader.0).map_err(|_| DecodeError::NotUtf8("log fields"))?;
        Ok(Self { level, message, fields })
    }
}

/// Why an execution is cancelled. The number is its byte on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum CancelReason {
    /// Its time is up.
    Deadline = 1,
    /// The caller went away.
    Disconnect = 2,
    /// The host is shutting down.
    Shutdown = 3,
}

impl CancelReason {
    /// Appends CANCEL for execution `id` to `out`.
    pub fn encode(self, id: u64, out: &mut Vec<u8>) {
        frame(out, FrameKind::Cancel, 0, id, |out| out.push(self as u8));
    }

    /// Reads the payload: one byte.
    ///
    /// # Errors
    /// When it is not exactly one byte with a known reason.
    pub fn decode(payload: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader(payload);
        let reason = match reader.u8("cancel reason")? {
            1 => Self::Deadline,
            2 => Self::Disconnect,
            3 => Self::Shutdown,
            _ => return Err(DecodeError::OutOfRange("cancel reason")),
        };
        reader.end().map(|()| reason)
    }
}

/// CREDIT: `u32` further bytes of body that may be sent for an execution.
pub fn encode_credit(id: u64, bytes: u32, out: &mut Vec<u8>) {
    frame(out, FrameKind::Credit, 0, id, |out| out.extend_from_slice(&bytes.to_le_bytes()));
}

/// FORKED: `u32` process id of the new worker; the frame's id is that of its FORK.
pub fn encode_forked(id: u64, pid: u32, out: &mut Vec<u8>) {
    frame(out, FrameKind::Forked, 0, id, |out| out.extend_from_slice(&pid.to_le_bytes()));
}

/// EXITED: `u32` wait status of a forked worker as `waitpid(2)` reports it; the frame's id is that of its FORK.
pub fn encode_exited(id: u64, status: u32, out: &mut Vec<u8>) {
    frame(out, FrameKind::Exited, 0, id, |out| out.extend_from_slice(&status.to_le_bytes()));
}

/// Reads the payload of CREDIT, FORKED or EXITED: one `u32`.
///
/// # Errors
/// When it is not exactly four bytes.
pub fn decode_number(payload: &[u8]) -> Result<u32, DecodeError> {
    let mut reader = Reader(payload);
    let number = reader.u32("number")?;
    reader.end().map(|()| number)
}
