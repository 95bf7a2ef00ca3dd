//! Just enough HTTP/1.1 to call a host on this machine and to time it.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

/// Longest wait for a connection or for the next bytes of an answer.
const IO_WAIT_MAX: Duration = Duration::from_secs(60);
/// Longest answer that is kept.
const ANSWER_BYTES_MAX: u64 = 64 * 1024 * 1024;
const HEADERS_MAX: usize = 200;

/// One request.
pub(crate) struct Request<'a> {
    /// `POST`.
    pub(crate) method: &'a str,
    /// Path and query.
    pub(crate) path: &'a str,
    /// Further headers.
    pub(crate) headers: &'a [(String, String)],
    /// The whole body.
    pub(crate) body: &'a [u8],
}

/// One answer.
pub(crate) struct Response {
    /// Its status.
    pub(crate) status: u16,
    /// Its headers; names in lower case.
    pub(crate) headers: Vec<(String, String)>,
    /// The whole body.
    pub(crate) body: Vec<u8>,
}

impl Response {
    /// The first header of that name (in lower case).
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

/// A connection that is kept open between requests.
pub(crate) struct Connection {
    stream: BufReader<TcpStream>,
    host: String,
}

impl Connection {
    /// Connects.
    pub(crate) fn open(address: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect_timeout(&address, IO_WAIT_MAX)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(IO_WAIT_MAX))?;
        stream.set_write_timeout(Some(IO_WAIT_MAX))?;
        Ok(Self { stream: BufReader::new(stream), host: address.to_string() })
    }

    /// The same connection, for requests to this host.
    pub(crate) fn for_host(mut self, host: String) -> Self {
        self.host = host;
        self
    }

    /// Sends a request and reads its answer.
    pub(crate) fn send(&mut self, request: &Request) -> Result<Response> {
        let mut head = format!("{} {} HTTP/1.1\r\nhost: {}\r\n", request.method, request.path, self.host);
        for (name, value) in request.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str(&format!("content-length: {}\r\n\r\n", request.body.len()));
        let mut bytes = head.into_bytes();
        bytes.extend_from_slice(request.body);
        self.stream.get_mut().write_all(&bytes)?;
        self.read(request.method == "HEAD")
    }

    fn read(&mut self, bodiless: bool) -> Result<Response> {
        let line = self.line()?;
        let status = line.split(' ').nth(1).and_then(|status| status.parse().ok());
        let status: u16 = status.with_context(|| format!("`{line}` is no status line"))?;
        let mut headers = Vec::new();
        loop {
            let line = self.line()?;
            if line.is_empty() {
                break;
            }
            ensure!(headers.len() < HEADERS_MAX, "the answer has more than {HEADERS_MAX} headers");
            let (name, value) = line.split_once(':').with_context(|| format!("`{line}` is no header"))?;
            headers.push((name.to_ascii_lowercase(), value.trim().to_string()));
        }
        let mut response = Response { status, headers, body: Vec::new() };
        if bodiless || status == 204 || status == 304 {
            return Ok(response);
        }
        response.body = if response.header("transfer-encoding") == Some("chunked") {
            self.chunks()?
        } else if let Some(length) = response.header("content-length") {
            let length = length.parse().context("content-length")?;
            self.bytes(length)?
        } else {
            let mut body = Vec::new();
            self.stream.by_ref().take(ANSWER_BYTES_MAX).read_to_end(&mut body)?;
            body
        };
        Ok(response)
    }

    fn chunks(&mut self) -> Result<Vec<u8>> {
        let mut body = Vec::new();
        loop {
            let line = self.line()?;
            let size = line.split(';').next().unwrap_or_default().trim();
            let size = u64::from_str_radix(size, 16).with_context(|| format!("`{line}` is no size of a chunk"))?;
            if size == 0 {
                while !self.line()?.is_empty() {}
                return Ok(body);
            }
            ensure!(body.len() as u64 + size <= ANSWER_BYTES_MAX, "the answer is too long");
            body.extend(self.bytes(size)?);
            self.line()?;
        }
    }

    fn bytes(&mut self, length: u64) -> Result<Vec<u8>> {
        ensure!(length <= ANSWER_BYTES_MAX, "the answer is too long");
        let mut bytes = Vec::new();
        let read = self.stream.by_ref().take(length).read_to_end(&mut bytes)?;
        ensure!(read as u64 == length, "the connection ended within the answer");
        Ok(bytes)
    }

    fn line(&mut self) -> Result<String> {
        let mut line = Vec::new();
        self.stream.by_ref().take(64 * 1024).read_until(b'\n', &mut line)?;
        if !line.ends_with(b"\n") {
            bail!("the connection ended within a line");
        }
        Ok(String::from_utf8_lossy(&line).trim_end().to_string())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test")]
    use std::net::TcpListener;
    use std::thread;

    use super::*;

    #[test]
    fn both_framings_are_read_on_one_connection() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let server = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            stream
                .write_all(
                    b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi\
                      HTTP/1.1 201 Created\r\ntransfer-encoding: chunked\r\nX-A: b\r\n\r\n3\r\nabc\r\n1;x\r\nd\r\n0\r\n\r\n",
                )
                .unwrap();
            let mut sent = Vec::new();
            stream.read_to_end(&mut sent).unwrap();
            String::from_utf8(sent).unwrap()
        });
        let mut connection = Connection::open(address).unwrap();
        let request = Request { method: "POST", path: "/p", headers: &[("a".into(), "b".into())], body: b"x" };
        let first = connection.send(&request).unwrap();
        let second = connection.send(&request).unwrap();
        assert_eq!((first.status, first.body.as_slice()), (200, &b"hi"[..]));
        assert_eq!((second.status, second.body.as_slice(), second.header("x-a")), (201, &b"abcd"[..], Some("b")));
        drop(connection);
        let sent = server.join().unwrap();
        assert!(
            sent.starts_with(&format!("POST /p HTTP/1.1\r\nhost: {address}\r\na: b\r\ncontent-length: 1\r\n\r\nx"))
        );
    }
}
