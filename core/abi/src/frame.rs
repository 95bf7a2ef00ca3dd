//! The fixed header in front of every frame.

/// Set in the id of an execution that was sent ahead: the worker takes a token before it begins it, see `FRAMES.md`.
pub const AHEAD_ID_BIT: u64 = 1 << 63;
/// Size of an encoded [`FrameHeader`], in bytes.
pub const HEADER_BYTES: usize = 16;

/// Bits of [`FrameHeader::flags`]. Bits without a name are zero; a receiver refuses a frame that sets one.
pub mod flags {
    /// This frame ends the body: on RESULT the body is complete, on CHUNK this is the last part.
    pub const END: u8 = 0b0000_0001;
    /// All bits that have a meaning in this version.
    pub const KNOWN: u8 = END;
}

/// What a frame is. The number is its byte on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum FrameKind {
    /// Host → worker, first frame: version and bounds.
    Hello = 1,
    /// Host → worker: run the handler once.
    Invoke = 2,
    /// Host → worker: stop an execution.
    Cancel = 3,
    /// Host → worker: more bytes of a streamed answer may be sent.
    Credit = 4,
    /// Host → worker: finish what is in flight, then send BYE and exit.
    Drain = 5,
    /// Worker → host: the handler is loaded and can be invoked.
    Ready = 16,
    /// Worker → host: the handler could not be loaded. The worker exits after it.
    InitError = 17,
    /// Worker → host: status, headers and (the first part of) the body.
    Result = 18,
    /// Worker → host: a further part of a streamed body.
    Chunk = 19,
    /// Worker → host: the handler failed.
    Error = 20,
    /// Worker → host: one log record.
    Log = 21,
    /// Worker → host: drained; the worker exits after it.
    Bye = 22,
    /// Host → zygote: fork one worker; carries three descriptors.
    Fork = 32,
    /// Zygote → host: the worker runs.
    Forked = 33,
    /// Zygote → host: a forked worker ended.
    Exited = 34,
}

impl FrameKind {
    /// Every kind, in the order of its number.
    pub const ALL: [FrameKind; 15] = [
        FrameKind::Hello,
        FrameKind::Invoke,
        FrameKind::Cancel,
        FrameKind::Credit,
        FrameKind::Drain,
        FrameKind::Ready,
        FrameKind::InitError,
        FrameKind::Result,
        FrameKind::Chunk,
        FrameKind::Error,
        FrameKind::Log,
        FrameKind::Bye,
        FrameKind::Fork,
        FrameKind::Forked,
        FrameKind::Exited,
    ];

    fn from_byte(byte: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| *kind as u8 == byte)
    }
}

/// The sixteen bytes in front of every payload, little-endian: `u32` payload length, `u8` kind, `u8` flags, `u16` zero,
/// `u64` execution id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FrameHeader {
    /// Bytes that follow the header.
    pub length: u32,
    /// What the frame is.
    pub kind: FrameKind,
    /// Bits of [`flags`].
    pub flags: u8,
    /// The execution the frame belongs to, unique on its connection; 0 where it belongs to none.
    pub id: u64,
}

impl FrameHeader {
    /// Appends the encoded header to `out`.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.to_bytes());
    }

    /// The encoded header.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        bytes[0..4].copy_from_slice(&self.length.to_le_bytes());
        bytes[4] = self.kind as u8;
        bytes[5] = self.flags;
        bytes[8..16].copy_from_slice(&self.id.to_le_bytes());
        bytes
    }

    /// Reads a header.
    ///
    /// # Errors
    /// When the kind or a flag is unknown, the reserved bytes are not zero, or the payload would exceed `length_max`.
    pub fn decode(bytes: &[u8; HEADER_BYTES], length_max: u32) -> Result<Self, FrameError> {
        let [l0, l1, l2, l3, kind, flags, r0, r1, id @ ..] = *bytes;
        let length = u32::from_le_bytes([l0, l1, l2, l3]);
        let kind = FrameKind::from_byte(kind).ok_or(FrameError::UnknownKind(kind))?;
        if flags & !flags::KNOWN != 0 {
            return Err(FrameError::UnknownFlags(flags));
        }
        if [r0, r1] != [0, 0] {
            return Err(FrameError::Reserved);
        }
        if length > length_max {
            return Err(FrameError::TooLong { length, length_max });
        }
        Ok(Self { length, kind, flags, id: u64::from_le_bytes(id) })
    }

    /// Whether [`flags::END`] is set.
    #[must_use]
    pub fn is_end(&self) -> bool {
        self.flags & flags::END != 0
    }
}

/// Takes the first frame off `buffer`: its header and payload, or `None` while bytes are missing. The frame occupies
/// `HEADER_BYTES + payload.len()` bytes of the buffer.
///
/// # Errors
/// As [`FrameHeader::decode`], as soon as the header itself is complete.
pub fn split_frame(buffer: &[u8], length_max: u32) -> Result<Option<(FrameHeader, &[u8])>, FrameError> {
    let Some((header, rest)) = buffer.split_first_chunk::<HEADER_BYTES>() else { return Ok(None) };
    let header = FrameHeader::decode(header, length_max)?;
    Ok(rest.get(..header.length as usize).map(|payload| (header, payload)))
}

/// Why bytes are not a frame. After any of these the connection is out of step and must be closed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FrameError {
    /// A kind this version does not know.
    UnknownKind(u8),
    /// A flag this version does not know.
    UnknownFlags(u8),
    /// The reserved bytes are not zero.
    Reserved,
    /// The payload is longer than the receiver accepts.
    TooLong {
        /// Announced payload length, in bytes.
        length: u32,
        /// What the receiver accepts, in bytes.
        length_max: u32,
    },
}

impl std::fmt::Display for FrameError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::UnknownKind(kind) => write!(f, "unknown frame kind {kind}"),
            Self::UnknownFlags(flags) => write!(f, "unknown frame flags {flags:#010b}"),
            Self::Reserved => f.write_str("reserved bytes of a frame header are not zero"),
            Self::TooLong { length, length_max } => {
                write!(f, "frame of {length} bytes exceeds the limit of {length_max} bytes")
            }
        }
    }
}

impl std::error::Error for FrameError {}
