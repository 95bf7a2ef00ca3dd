//! Reading and writing the few primitive forms that payloads are made of, all little-endian.

use std::fmt;

/// Why a payload does not have the form its frame kind asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DecodeError {
    /// The payload ends inside the named field.
    Truncated(&'static str),
    /// The named field is not UTF-8.
    NotUtf8(&'static str),
    /// The named field has a value outside its range.
    OutOfRange(&'static str),
    /// Bytes follow the last field.
    Trailing,
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Truncated(field) => write!(f, "payload ends inside `{field}`"),
            Self::NotUtf8(field) => write!(f, "`{field}` is not UTF-8"),
            Self::OutOfRange(field) => write!(f, "`{field}` is out of range"),
            Self::Trailing => f.write_str("bytes follow the last field of the payload"),
        }
    }
}

impl std::error::Error for DecodeError {}

/// A cursor over a payload; each call takes one field off its front.
pub(crate) struct Reader<'a>(pub(crate) &'a [u8]);

impl<'a> Reader<'a> {
    pub(crate) fn bytes(&mut self, length: usize, field: &'static str) -> Result<&'a [u8], DecodeError> {
        let (head, rest) = self.0.split_at_checked(length).ok_or(DecodeError::Truncated(field))?;
        self.0 = rest;
        Ok(head)
    }

    fn array<const N: usize>(&mut self, field: &'static str) -> Result<[u8; N], DecodeError> {
        let (head, rest) = self.0.split_first_chunk::<N>().ok_or(DecodeError::Truncated(field))?;
        self.0 = rest;
        Ok(*head)
    }

    pub(crate) fn u8(&mut self, field: &'static str) -> Result<u8, DecodeError> {
        self.array::<1>(field).map(|[byte]| byte)
    }

    pub(crate) fn u16(&mut self, field: &'static str) -> Result<u16, DecodeError> {
        self.array(field).map(u16::from_le_bytes)
    }

    pub(crate) fn u32(&mut self, field: &'static str) -> Result<u32, DecodeError> {
        self.array(field).map(u32::from_le_bytes)
    }

    pub(crate) fn u64(&mut self, field: &'static str) -> Result<u64, DecodeError> {
        self.array(field).map(u64::from_le_bytes)
    }

    /// A `u16` length and that many bytes of UTF-8.
    pub(crate) fn short_text(&mut self, field: &'static str) -> Result<&'a str, DecodeError> {
        let length = self.u16(field)?;
        text(self.bytes(length.into(), field)?, field)
    }

    /// A `u32` length and that many bytes of UTF-8.
    pub(crate) fn long_text(&mut self, field: &'static str) -> Result<&'a str, DecodeError> {
        text(self.long_bytes(field)?, field)
    }

    /// A `u32` length and that many bytes.
    pub(crate) fn long_bytes(&mut self, field: &'static str) -> Result<&'a [u8], DecodeError> {
        let length = self.u32(field)?;
        self.bytes(length as usize, field)
    }

    pub(crate) fn end(&self) -> Result<(), DecodeError> {
        if self.0.is_empty() { Ok(()) } else { Err(DecodeError::Trailing) }
    }
}

fn text<'a>(bytes: &'a [u8], field: &'static str) -> Result<&'a str, DecodeError> {
    std::str::from_utf8(bytes).map_err(|_| DecodeError::NotUtf8(field))
}

/// Writes a `u16` length and the text, which is cut at a character boundary where it is longer than that can tell.
pub(crate) fn put_short_text(out: &mut Vec<u8>, value: &str) {
    let value = &value[..value.floor_char_boundary(usize::from(u16::MAX))];
    // The cut above keeps the length within `u16`.
    out.extend_from_slice(&(value.len() as u16).to_le_bytes());
    out.extend_from_slice(value.as_bytes());
}

/// Writes a `u32` length and the bytes. A frame is bounded far below 4 GiB, so longer values never get here whole.
pub(crate) fn put_long(out: &mut Vec<u8>, value: &[u8]) {
    let length = u32::try_from(value.len()).unwrap_or(u32::MAX);
    out.extend_from_slice(&length.to_le_bytes());
    out.extend_from_slice(&value[..length as usize]);
}
