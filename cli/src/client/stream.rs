//! Messages one after the other, as Connect sends them: each in an envelope of a flag, a length and JSON.

use std::io::{self, Read};
use std::marker::PhantomData;

use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::error::{ApiError, Refusal};

/// Longest message that is read, in bytes.
const MESSAGE_BYTES_MAX: u32 = 64 << 20;

/// The flag of a compressed message; none was asked for.
const COMPRESSED: u8 = 0x01;

/// The flag of the last envelope, which tells how the stream ended.
const END: u8 = 0x02;

/// What the last envelope says.
#[derive(Deserialize)]
struct End {
    error: Option<Refusal>,
}

/// The messages of a stream that is being read.
pub(crate) struct Messages<A> {
    body: Box<dyn Read + Send>,
    ended: bool,
    answer: PhantomData<fn() -> A>,
}

impl<A: DeserializeOwned> Messages<A> {
    pub(crate) fn new(body: Box<dyn Read + Send>) -> Self {
        Self { body, ended: false, answer: PhantomData }
    }

    /// The next message, or `None` behind the last.
    ///
    /// # Errors
    /// When the stream breaks off, or ends with a refusal.
    pub(crate) fn next(&mut self) -> Result<Option<A>, ApiError> {
        if self.ended {
            return Ok(None);
        }
        let (flags, message) = read(&mut *self.body).map_err(ApiError::Broken)?;
        if flags & END == 0 {
            return serde_json::from_slice(&message).map(Some).map_err(ApiError::Unreadable);
        }
        self.ended = true;
        match serde_json::from_slice::<End>(&message).map_err(ApiError::Unreadable)?.error {
            Some(refusal) => Err(refusal.into()),
            None => Ok(None),
        }
    }
}

/// Puts a message into an envelope.
pub(crate) fn enveloped(message: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(message.len() + 5);
    bytes.push(0);
    bytes.extend(u32::try_from(message.len()).unwrap_or(u32::MAX).to_be_bytes());
    bytes.extend(message);
    bytes
}

fn read(body: &mut dyn Read) -> io::Result<(u8, Vec<u8>)> {
    let mut head = [0; 5];
    body.read_exact(&mut head)?;
    let [flags, length @ ..] = head;
    let length = u32::from_be_bytes(length);
    if flags & COMPRESSED != 0 {
        return Err(io::Error::other("a message is compressed, which was not asked for"));
    }
    if length > MESSAGE_BYTES_MAX {
        return Err(io::Error::other(format!("a message has {length} bytes, more than {MESSAGE_BYTES_MAX}")));
    }
    // As it comes, so that a length that is a lie takes no memory.
    let mut message = Vec::new();
    body.take(u64::from(length)).read_to_end(&mut message)?;
    if message.len() < length as usize {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok((flags, message))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test")]
    use super::*;

    fn messages(parts: &[(u8, &str)]) -> Messages<u32> {
        let mut bytes = Vec::new();
        for (flags, text) in parts {
            let mut envelope = enveloped(text.as_bytes());
            envelope[0] = *flags;
            bytes.extend(envelope);
        }
        Messages::new(Box::new(io::Cursor::new(bytes)))
    }

    #[test]
    fn a_stream_ends_with_its_last_envelope() {
        let mut stream = messages(&[(0, "1"), (0, "2"), (END, "{}"), (0, "3")]);
        assert_eq!([stream.next().unwrap(), stream.next().unwrap()], [Some(1), Some(2)]);
        assert_eq!([stream.next().unwrap(), stream.next().unwrap()], [None, None]);
    }

    #[test]
    fn a_refusal_at_the_end_is_an_error_and_a_lost_end_too() {
        let mut stream = messages(&[(0, "1"), (END, r#"{"error":{"code":"not_found","message":"gone"}}"#)]);
        stream.next().unwrap();
        assert!(stream.next().unwrap_err().is_missing());
        let mut broken = messages(&[(0, "1")]);
        broken.next().unwrap();
        assert!(broken.next().unwrap_err().is_passing());
        let mut cut: Messages<u32> = Messages::new(Box::new(&[0, 0, 0, 0, 9, b'1'][..]));
        assert!(cut.next().unwrap_err().is_passing());
    }

    #[test]
    fn what_was_not_asked_for_is_refused() {
        messages(&[(COMPRESSED, "1")]).next().unwrap_err();
        let mut long: Messages<u32> = Messages::new(Box::new(&[0, 255, 255, 255, 255, 1][..]));
        long.next().unwrap_err();
    }
}
