//! A client that sends exactly the bytes it is told to, and takes its time where a test wants it to.

use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;

/// Longest wait for any bytes; whatever takes longer hangs.
const READ_MAX: Duration = Duration::from_secs(20);
/// Longest head of an answer that is believed, in bytes.
const HEAD_BYTES_MAX: usize = 256 * 1024;

/// One HTTP/1.1 connection.
pub struct Client {
    stream: TcpStream,
    /// Bytes that came and were not asked for yet.
    ahead: Vec<u8>,
}

/// An answer.
#[derive(Debug)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The headers as they came, names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body, without its framing.
    pub body: Vec<u8>,
    /// From the last bytes that were sent before it was asked for.
    pub took: Duration,
}

impl Answer {
    /// The values of a header, joined by `, `.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<String> {
        let values: Vec<&str> =
            self.headers.iter().filter(|(found, _)| found == name).map(|(_, value)| value.as_str()).collect();
        (!values.is_empty()).then(|| values.join(", "))
    }

    /// The body as text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON; `null` where it is none.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// Checks an answer of the host itself: status, type, and an id that the header has too. Gives its words.
    ///
    /// # Errors
    /// With the whole answer when anything differs.
    pub fn error(&self, status: u16, kind: &str) -> Result<String> {
        let body = self.json();
        let id = self.header("x-ignite-execution-id").unwrap_or_default();
        ensure!(
            self.status == status && body["type"] == kind && id.len() == 26 && body["execution_id"] == id.as_str(),
            "no {status} of type {kind} but {self:?}: {}",
            self.text()
        );
        ensure!(self.header("content-type").as_deref() == Some("application/json"), "no JSON: {self:?}");
        Ok(body["error"].as_str().unwrap_or_default().to_owned())
    }
}

impl Client {
    /// Connects to `address`.
    ///
    /// # Errors
    /// When nobody listens there.
    pub fn connect(address: &str) -> Result<Self> {
        let stream = TcpStream::connect(address).with_context(|| format!("nobody listens on {address}"))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(READ_MAX))?;
        stream.set_write_timeout(Some(READ_MAX))?;
        Ok(Self { stream, ahead: Vec::new() })
    }

    /// Sends bytes as they are.
    ///
    /// # Errors
    /// When the connection is closed, or nothing is taken for long.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) -> Result<()> {
        Ok(self.stream.write_all(bytes.as_ref())?)
    }

    /// Sends one request; `headers` are whole lines, each with its line end. The host is `test` where they name none.
    ///
    /// # Errors
    /// As [`Client::send`].
    pub fn request(&mut self, method: &str, path: &str, headers: &str, body: &[u8]) -> Result<()> {
        let length = if body.is_empty() { String::new() } else { format!("content-length: {}\r\n", body.len()) };
        let named = headers.lines().any(|line| line.starts_with("host:"));
        let host = if named { "" } else { "host: test\r\n" };
        self.send(format!("{method} {path} HTTP/1.1\r\n{host}{headers}{length}\r\n"))?;
        self.send(body)
    }

    /// Reads one answer to a request whose answer may have a body.
    ///
    /// # Errors
    /// When the connection ends before the answer does.
    pub fn answer(&mut self) -> Result<Answer> {
        let mut answer = self.head()?;
        let length = answer.header("content-length");
        if answer.header("transfer-encoding").is_some_and(|coding| coding == "chunked") {
            loop {
                let line = self.line()?;
                let size = usize::from_str_radix(line.trim(), 16).with_context(|| format!("chunk size {line:?}"))?;
                let chunk = self.exactly(size)?;
                answer.body.extend(chunk);
                ensure!(self.line()?.is_empty(), "no line end after a chunk");
                if size == 0 {
                    break;
                }
            }
        } else if let Some(length) = length {
            answer.body = self.exactly(length.parse()?)?;
        }
        Ok(answer)
    }

    /// Reads an answer's head, as that of HEAD is.
    ///
    /// # Errors
    /// As [`Client::answer`].
    pub fn head(&mut self) -> Result<Answer> {
        let since = Instant::now();
        let status_line = self.line()?;
        let took = since.elapsed();
        let status = status_line.split(' ').nth(1).and_then(|word| word.parse().ok());
        let status = status.with_context(|| format!("status line {status_line:?}"))?;
        let mut headers = Vec::new();
        loop {
            let line = self.line()?;
            if line.is_empty() {
                return Ok(Answer { status, headers, body: Vec::new(), took });
            }
            let (name, value) = line.split_once(':').with_context(|| format!("header line {line:?}"))?;
            headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
    }

    /// Whether the host ends the connection within `wait` without sending anything further.
    ///
    /// # Errors
    /// When it sends something.
    pub fn ends(&mut self, wait: Duration) -> Result<bool> {
        ensure!(self.ahead.is_empty(), "further bytes: {}", String::from_utf8_lossy(&self.ahead));
        self.stream.set_read_timeout(Some(wait))?;
        let mut part = [0; 1024];
        let read = self.read(&mut part);
        self.stream.set_read_timeout(Some(READ_MAX))?;
        match read {
            Ok(0) => Ok(true),
            Ok(count) => bail!("further bytes: {}", String::from_utf8_lossy(&part[..count])),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => Ok(false),
            Err(_) => Ok(true),
        }
    }

    /// Whether the connection is open and nothing has come that was not read; `false` where the host has closed it.
    ///
    /// # Errors
    /// When something has come.
    pub fn quiet(&mut self) -> Result<bool> {
        ensure!(self.ahead.is_empty(), "further bytes: {}", String::from_utf8_lossy(&self.ahead));
        self.stream.set_nonblocking(true)?;
        let mut part = [0; 1024];
        let read = self.read(&mut part);
        self.stream.set_nonblocking(false)?;
        match read {
            Ok(0) => Ok(false),
            Ok(count) => bail!("further bytes: {}", String::from_utf8_lossy(&part[..count])),
            Err(error) => Ok(error.kind() == ErrorKind::WouldBlock),
        }
    }

    /// Reads exactly `count` bytes.
    ///
    /// # Errors
    /// When the connection ends before them.
    pub fn exactly(&mut self, count: usize) -> Result<Vec<u8>> {
        while self.ahead.len() < count {
            self.more()?;
        }
        let rest = self.ahead.split_off(count);
        Ok(std::mem::replace(&mut self.ahead, rest))
    }

    fn line(&mut self) -> Result<String> {
        loop {
            if let Some(end) = self.ahead.windows(2).position(|pair| pair == b"\r\n") {
                let line = self.exactly(end + 2)?;
                return Ok(String::from_utf8_lossy(&line[..end]).into_owned());
            }
            ensure!(self.ahead.len() < HEAD_BYTES_MAX, "a line without an end");
            self.more()?;
        }
    }

    /// Reads what comes. A read that is limited in time is not taken up again by itself after a signal, such as that of a child
    /// of another test that has ended (signal(7)).
    fn read(&mut self, part: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.stream.read(part) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                read => return read,
            }
        }
    }

    fn more(&mut self) -> Result<()> {
        let mut part = vec![0; 64 * 1024];
        let count = self.read(&mut part).with_context(|| {
            format!("no further bytes after {:?}", String::from_utf8_lossy(&self.ahead[..self.ahead.len().min(500)]))
        })?;
        ensure!(count > 0, "the connection ended after {:?}", String::from_utf8_lossy(&self.ahead));
        self.ahead.extend_from_slice(&part[..count]);
        Ok(())
    }
}

/// Sends one request on a connection of its own and reads the answer.
///
/// # Errors
/// When the connection fails.
pub fn ask(address: &str, method: &str, path: &str, headers: &str, body: &[u8]) -> Result<Answer> {
    let mut client = Client::connect(address)?;
    client.request(method, path, headers, body)?;
    client.answer()
}
