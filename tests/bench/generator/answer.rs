//! Reads answers of HTTP/1.1 as they come in.

use anyhow::{Context as _, Result, bail};

/// Longest head of an answer, in bytes.
const HEAD_BYTES_MAX: usize = 64 * 1024;

/// A whole answer.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Answer<'a> {
    pub(crate) status: u16,
    pub(crate) body: &'a [u8],
    /// The server closes the connection after it.
    pub(crate) closes: bool,
}

/// Reads one answer, or `None` while it is not whole. A body in chunks is put together in `joined`.
///
/// # Errors
/// When the bytes are no answer, or more than one.
pub(crate) fn parse<'a>(bytes: &'a [u8], joined: &'a mut Vec<u8>) -> Result<Option<Answer<'a>>> {
    let Some(head_bytes) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else {
        if bytes.len() > HEAD_BYTES_MAX {
            bail!("the head has more than {HEAD_BYTES_MAX} bytes");
        }
        return Ok(None);
    };
    let head = std::str::from_utf8(&bytes[..head_bytes]).context("the head is not text")?;
    let body = &bytes[head_bytes + 4..];
    let mut lines = head.split("\r\n");
    let first = lines.next().unwrap_or_default();
    let status = first.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3)?.parse().ok());
    let status = status.with_context(|| format!("no status line: {first}"))?;
    let (mut length, mut chunked, mut closes) = (None, false, false);
    for line in lines {
        let Some((name, value)) = line.split_once(':') else { continue };
        let value = value.trim();
        if name.eq_ignore_ascii_case("content-length") {
            length = Some(value.parse::<usize>().context("content-length")?);
        } else if name.eq_ignore_ascii_case("transfer-encoding") {
            chunked = value.eq_ignore_ascii_case("chunked");
        } else if name.eq_ignore_ascii_case("connection") {
            closes = value.eq_ignore_ascii_case("close");
        }
    }
    if chunked {
        joined.clear();
        let Some(end) = join(body, joined)? else { return Ok(None) };
        only(body, end)?;
        return Ok(Some(Answer { status, body: joined, closes }));
    }
    let length = length.context("neither content-length nor chunks")?;
    if body.len() < length {
        return Ok(None);
    }
    only(body, length)?;
    Ok(Some(Answer { status, body, closes }))
}

fn only(body: &[u8], end: usize) -> Result<()> {
    if body.len() > end {
        bail!("{} bytes more than the answer has", body.len() - end);
    }
    Ok(())
}

/// Joins chunks; where they end, once all are there.
fn join(bytes: &[u8], joined: &mut Vec<u8>) -> Result<Option<usize>> {
    let mut at = 0;
    loop {
        let Some(line) = bytes[at..].windows(2).position(|two| two == b"\r\n") else { return Ok(None) };
        let size = std::str::from_utf8(&bytes[at..at + line]).context("a chunk's size")?;
        let size = size.split(';').next().unwrap_or_default().trim();
        let size = usize::from_str_radix(size, 16).with_context(|| format!("a chunk's size: {size}"))?;
        at += line + 2;
        let Some(chunk) = bytes.get(at..at.saturating_add(size).saturating_add(2)) else { return Ok(None) };
        if !chunk.ends_with(b"\r\n") {
            // No contender sends trailers.
            bail!("a chunk without its end");
        }
        joined.extend_from_slice(&chunk[..size]);
        at += size + 2;
        if size == 0 {
            return Ok(Some(at));
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test")]
    use super::*;

    fn read(text: &str) -> Result<Option<(u16, String, bool)>> {
        let mut joined = Vec::new();
        let answer = parse(text.as_bytes(), &mut joined)?;
        Ok(answer.map(|answer| (answer.status, String::from_utf8_lossy(answer.body).into_owned(), answer.closes)))
    }

    #[test]
    fn answers_are_read_when_they_are_whole() {
        let whole = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc";
        for cut in 0..whole.len() {
            assert_eq!(read(&whole[..cut]).unwrap(), None, "{cut}");
        }
        assert_eq!(read(whole).unwrap(), Some((200, "abc".into(), false)));
        assert!(read(&format!("{whole}d")).is_err());
    }

    #[test]
    fn chunks_are_joined() {
        let whole = "HTTP/1.1 404 x\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n2\r\nab\r\na;x\r\n0123456789\r\n0\r\n\r\n";
        for cut in 0..whole.len() {
            assert_eq!(read(&whole[..cut]).unwrap(), None, "{cut}");
        }
        assert_eq!(read(whole).unwrap(), Some((404, "ab0123456789".into(), true)));
    }

    #[test]
    fn what_is_no_answer_is_refused() {
        assert!(read("SSH-2.0\r\n\r\n").is_err());
        assert!(read("HTTP/1.1 200 OK\r\n\r\n").is_err());
    }
}
