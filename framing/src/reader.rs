//! The reading side of a socket: bytes to frames.

use std::fmt;
use std::ops::{Deref, Range};
use std::sync::Arc;

use bytes::Bytes;
use ignite_core_abi::{FrameError, FrameHeader, FrameKind, HEADER_BYTES};

use crate::socket::Socket;

/// Most bytes of one read, and of frames that have come and are not taken yet.
const BUFFER_BYTES: usize = 64 * 1024;

/// A frame with a longer payload is read into memory of its own, which its body then keeps.
const SHORT_BYTES_MAX: usize = 16 * 1024;

/// Status and length of the header block, in front of every answer.
const RESULT_HEAD_BYTES: usize = 6;

/// What comes from the other side.
pub enum Incoming<'a> {
    /// A frame.
    Frame(FrameHeader, Payload<'a>),
    /// A complete answer whose body is longer than allowed. Its bytes have been read and forgotten.
    TooLarge {
        /// The execution.
        id: u64,
    },
}

/// The payload of a frame.
pub enum Payload<'a> {
    /// In the reader's buffer.
    Short(&'a [u8]),
    /// In memory of its own.
    Long(Vec<u8>),
}

impl Deref for Payload<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Short(bytes) => bytes,
            Self::Long(bytes) => bytes,
        }
    }
}

impl Payload<'_> {
    /// From byte `begin` on, to be kept.
    #[must_use]
    pub fn keep(self, begin: usize) -> Bytes {
        match self {
            Self::Short(bytes) => Bytes::copy_from_slice(&bytes[begin..]),
            Self::Long(bytes) => Bytes::from(bytes).slice(begin..),
        }
    }
}

/// Why reading ended.
#[derive(Debug)]
pub enum ReadEnd {
    /// The other side closed its socket, or the socket failed.
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
pub struct FrameReader {
    socket: Arc<Socket>,
    buffer: Box<[u8]>,
    /// What came and is not taken yet.
    here: Range<usize>,
    long: Option<Long>,
    skipping: Option<Skipping>,
    frame_bytes_max: u32,
    body_bytes_max: usize,
}

/// A long frame that is under way.
struct Long {
    header: FrameHeader,
    payload: Vec<u8>,
    /// Bytes of the payload that have come.
    filled: usize,
}

struct Skipping {
    id: u64,
    left: usize,
}

/// What was taken off the buffer.
enum Taken {
    Short(FrameHeader, Range<usize>),
    Long(FrameHeader, Vec<u8>),
    TooLarge { id: u64 },
}

impl FrameReader {
    /// Reads frames with at most `frame_bytes_max` of payload, and complete answers with at most `body_bytes_max` of body.
    #[must_use]
    pub fn new(socket: Arc<Socket>, frame_bytes_max: u32, body_bytes_max: usize) -> Self {
        let buffer = vec![0; BUFFER_BYTES].into_boxed_slice();
        Self { socket, buffer, here: 0..0, long: None, skipping: None, frame_bytes_max, body_bytes_max }
    }

    /// The next frame. Safe to drop and call again: what was read stays in the buffer.
    ///
    /// # Errors
    /// When the connection ends, or what came is not a frame; there is nothing more to read then.
    pub async fn next(&mut self) -> Result<Incoming<'_>, ReadEnd> {
        loop {
            match self.take()? {
                Some(Taken::Short(header, range)) => {
                    return Ok(Incoming::Frame(header, Payload::Short(&self.buffer[range])));
                }
                Some(Taken::Long(header, payload)) => return Ok(Incoming::Frame(header, Payload::Long(payload))),
                Some(Taken::TooLarge { id }) => return Ok(Incoming::TooLarge { id }),
                None => self.fill().await?,
            }
        }
    }

    /// Reads once, behind what is here or into the long frame that is under way.
    async fn fill(&mut self) -> Result<(), ReadEnd> {
        let read = if let Some(long) = &mut self.long {
            let read = self.socket.read(&mut long.payload[long.filled..]).await;
            read.inspect(|read| long.filled += read)
        } else {
            // A part of a head or of a short frame, which leaves room for the rest.
            self.buffer.copy_within(self.here.clone(), 0);
            self.here = 0..self.here.len();
            let read = self.socket.read(&mut self.buffer[self.here.end..]).await;
            read.inspect(|read| self.here.end += read)
        };
        match read {
            Ok(0) | Err(_) => Err(ReadEnd::Closed),
            Ok(_) => Ok(()),
        }
    }

    /// Takes one frame, if it is here as a whole.
    fn take(&mut self) -> Result<Option<Taken>, ReadEnd> {
        if let Some(long) = self.long.take_if(|long| long.filled == long.payload.len()) {
            return Ok(Some(Taken::Long(long.header, long.payload)));
        }
        if let Some(mut skipping) = self.skipping.take() {
            let here = skipping.left.min(self.here.len());
            self.here.start += here;
            skipping.left -= here;
            if skipping.left == 0 {
                return Ok(Some(Taken::TooLarge { id: skipping.id }));
            }
            self.skipping = Some(skipping);
            return Ok(None);
        }
        let here = &self.buffer[self.here.clone()];
        let Some(head) = here.first_chunk::<HEADER_BYTES>() else { return Ok(None) };
        let header = FrameHeader::decode(head, u32::MAX)?;
        let length = header.length as usize;
        let complete_answer = header.kind == FrameKind::Result && header.is_end();
        if complete_answer && length > self.body_bytes_max {
            let Some(body) = body_length(here, length)? else { return Ok(None) };
            if body > self.body_bytes_max {
                self.skipping = Some(Skipping { id: header.id, left: HEADER_BYTES + length });
                return self.take();
            }
        }
        if header.length > self.frame_bytes_max {
            return Err(FrameError::TooLong { length: header.length, length_max: self.frame_bytes_max }.into());
        }
        let payload = self.here.start + HEADER_BYTES;
        if length > SHORT_BYTES_MAX {
            let first = &self.buffer[payload..self.here.end.min(payload + length)];
            let mut long = Long { header, payload: vec![0; length], filled: first.len() };
            long.payload[..first.len()].copy_from_slice(first);
            self.here.start = payload + first.len();
            self.long = Some(long);
            return self.take();
        }
        let end = payload + length;
        if end > self.here.end {
            return Ok(None);
        }
        self.here.start = end;
        Ok(Some(Taken::Short(header, payload..end)))
    }
}

/// The length of the body in an answer that begins with `here` and whose payload has `length` bytes; `None` while its head
/// is missing.
fn body_length(here: &[u8], length: usize) -> Result<Option<usize>, ReadEnd> {
    let Some(head) = here.get(HEADER_BYTES..HEADER_BYTES + RESULT_HEAD_BYTES) else { return Ok(None) };
    let block = u32::from_le_bytes([head[2], head[3], head[4], head[5]]) as usize;
    match length.checked_sub(RESULT_HEAD_BYTES).and_then(|rest| rest.checked_sub(block)) {
        Some(body) => Ok(Some(body)),
        None => Err(ReadEnd::Fault("payload ends inside `headers`".into())),
    }
}

impl fmt::Debug for FrameReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FrameReader").field("buffered", &self.here.len()).finish_non_exhaustive()
    }
}
