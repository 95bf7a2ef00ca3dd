//! The reading side of a worker's socket: bytes to frames.

use std::fmt;
use std::io;

use bytes::{Buf as _, BytesMut};
use ignite_core_abi::{FrameError, FrameHeader, FrameKind, HEADER_BYTES};
use tokio::io::AsyncReadExt as _;
use tokio::net::unix::OwnedReadHalf;

/// One read, in bytes, unless a longer frame is under way.
const READ_BYTES: usize = 64 * 1024;

/// Status and length of the header block, in front of every answer.
const RESULT_HEAD_BYTES: usize = 6;

/// What comes from a worker.
pub(crate) enum Incoming {
    /// A frame; the buffer holds its payload alone.
    Frame(FrameHeader, BytesMut),
    /// A complete answer whose body is longer than allowed. Its bytes have been read and forgotten.
    TooLarge {
        /// The execution.
        id: u64,
    },
}

/// Why reading ended.
#[derive(Debug)]
pub(crate) enum ReadEnd {
    /// The worker closed its socket, or the socket failed.
    Closed,
    /// What came is not a frame.
    Fault(String),
}

impl From<FrameError> for ReadEnd {
    fn from(error: FrameError) -> Self {
        Self::Fault(error.to_string())
    }
}

/// Frames as they arrive.
pub(crate) struct FrameReader {
    socket: OwnedReadHalf,
    buffer: BytesMut,
    frame_bytes_max: u32,
    body_bytes_max: usize,
    skipping: Option<Skipping>,
}

struct Skipping {
    id: u64,
    left: usize,
}

impl FrameReader {
    /// Reads frames with at most `frame_bytes_max` of payload, and complete answers with at most `body_bytes_max` of body.
    pub(crate) fn new(socket: OwnedReadHalf, frame_bytes_max: u32, body_bytes_max: usize) -> Self {
        let buffer = BytesMut::with_capacity(READ_BYTES);
        Self { socket, buffer, frame_bytes_max, body_bytes_max, skipping: None }
    }

    /// The next frame. Safe to drop and call again: what was read stays in the buffer.
    pub(crate) async fn next(&mut self) -> Result<Incoming, ReadEnd> {
        loop {
            if let Some(incoming) = self.take()? {
                return Ok(incoming);
            }
            match self.socket.read_buf(&mut self.buffer).await {
                Ok(0) => return Err(ReadEnd::Closed),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return Err(ReadEnd::Closed),
            }
        }
    }

    /// Takes one frame off the buffer, or makes room for what is missing.
    fn take(&mut self) -> Result<Option<Incoming>, ReadEnd> {
        if let Some(mut skipping) = self.skipping.take() {
            let here = skipping.left.min(self.buffer.len());
            self.buffer.advance(here);
            skipping.left -= here;
            if skipping.left == 0 {
                return Ok(Some(Incoming::TooLarge { id: skipping.id }));
            }
            self.skipping = Some(skipping);
            self.buffer.reserve(READ_BYTES);
            return Ok(None);
        }
        let Some(head) = self.buffer.first_chunk::<HEADER_BYTES>() else {
            self.buffer.reserve(READ_BYTES);
            return Ok(None);
        };
        let header = FrameHeader::decode(head, u32::MAX)?;
        let length = header.length as usize;
        let complete_answer = header.kind == FrameKind::Result && header.is_end();
        if complete_answer && length > self.body_bytes_max {
            let Some(body) = self.body_length(length)? else {
                self.buffer.reserve(READ_BYTES);
                return Ok(None);
            };
            if body > self.body_bytes_max {
                self.skipping = Some(Skipping { id: header.id, left: HEADER_BYTES + length });
                return self.take();
            }
        }
        if header.length > self.frame_bytes_max {
            return Err(FrameError::TooLong { length: header.length, length_max: self.frame_bytes_max }.into());
        }
        let missing = (HEADER_BYTES + length).saturating_sub(self.buffer.len());
        if missing > 0 {
            self.buffer.reserve(missing.max(READ_BYTES));
            return Ok(None);
        }
        self.buffer.advance(HEADER_BYTES);
        let payload = self.buffer.split_to(length);
        Ok(Some(Incoming::Frame(header, payload)))
    }

    /// The length of the body in an answer whose payload has `length` bytes; `None` while its head is missing.
    fn body_length(&self, length: usize) -> Result<Option<usize>, ReadEnd> {
        let Some(head) = self.buffer.get(HEADER_BYTES..HEADER_BYTES + RESULT_HEAD_BYTES) else { return Ok(None) };
        let block = u32::from_le_bytes([head[2], head[3], head[4], head[5]]) as usize;
        match length.checked_sub(RESULT_HEAD_BYTES).and_then(|rest| rest.checked_sub(block)) {
            Some(body) => Ok(Some(body)),
            None => Err(ReadEnd::Fault("payload ends inside `headers`".into())),
        }
    }
}

impl fmt::Debug for FrameReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FrameReader").field("buffered", &self.buffer.len()).finish_non_exhaustive()
    }
}
