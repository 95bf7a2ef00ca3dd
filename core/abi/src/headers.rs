//! The header block of INVOKE and RESULT: read only when somebody asks.

use crate::wire::{DecodeError, Reader};

/// A header block, still encoded: for each header a `u16` length and the lower-case name, a `u16` length and the value.
/// Names are ASCII tokens and values visible bytes as in RFC 9110 §5; the codec passes them on unchecked, because the
/// HTTP side checks them once more before they reach a peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Headers<'a>(pub &'a [u8]);

impl<'a> Headers<'a> {
    /// The headers in the order they were sent; ends early with an error where the block is malformed.
    #[must_use]
    pub fn iter(&self) -> HeadersIter<'a> {
        HeadersIter(self.0)
    }

    /// The first value of `name` (lower-case), if the block has one before any malformed entry.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<&'a [u8]> {
        self.iter().map_while(Result::ok).find(|(found, _)| *found == name).map(|(_, value)| value)
    }
}

impl<'a> IntoIterator for Headers<'a> {
    type Item = Result<(&'a str, &'a [u8]), DecodeError>;
    type IntoIter = HeadersIter<'a>;

    fn into_iter(self) -> HeadersIter<'a> {
        self.iter()
    }
}

/// Walks a header block.
#[derive(Debug, Clone)]
pub struct HeadersIter<'a>(&'a [u8]);

impl<'a> Iterator for HeadersIter<'a> {
    type Item = Result<(&'a str, &'a [u8]), DecodeError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let mut reader = Reader(self.0);
        let entry = read_entry(&mut reader);
        self.0 = if entry.is_ok() { reader.0 } else { &[] };
        Some(entry)
    }
}

fn read_entry<'a>(reader: &mut Reader<'a>) -> Result<(&'a str, &'a [u8]), DecodeError> {
    let name = reader.short_text("header name")?;
    let length = reader.u16("header value")?;
    Ok((name, reader.bytes(length.into(), "header value")?))
}

/// Appends a `u32` block length and the encoded headers. A name or value longer than 65,535 bytes is left out: HTTP
/// limits the whole block far below that.
pub fn encode_headers<N, V>(headers: impl IntoIterator<Item = (N, V)>, out: &mut Vec<u8>)
where
    N: AsRef<str>,
    V: AsRef<[u8]>,
{
    let start = out.len();
    out.extend_from_slice(&[0; 4]);
    for (name, value) in headers {
        let (name, value) = (name.as_ref(), value.as_ref());
        let (Ok(name_length), Ok(value_length)) = (u16::try_from(name.len()), u16::try_from(value.len())) else {
            continue;
        };
        out.extend_from_slice(&name_length.to_le_bytes());
        out.extend_from_slice(name.as_bytes());
        out.extend_from_slice(&value_length.to_le_bytes());
        out.extend_from_slice(value);
    }
    let length = u32::try_from(out.len() - start - 4).unwrap_or(u32::MAX);
    out[start..start + 4].copy_from_slice(&length.to_le_bytes());
}
