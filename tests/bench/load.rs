//! A closed-loop HTTP/1.1 generator: each connection sends its next request when the answer is whole.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use hdrhistogram::Histogram;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// Longest time one answer may take before the run is given up.
const ANSWER_MAX: Duration = Duration::from_secs(10);

/// What a run measured.
pub(crate) struct Load {
    /// Answers in a second.
    pub(crate) per_second: f64,
    /// Latencies, in microseconds.
    pub(crate) latency: Histogram<u64>,
}

/// Sends `body` by POST over `connections` for `time`. Any status but 200 ends the run with an error.
pub(crate) fn run(address: SocketAddr, body: &[u8], connections: usize, time: Duration) -> Result<Load> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let request = [
        format!(
            "POST / HTTP/1.1\r\nhost: {address}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
            body.len()
        )
        .as_bytes(),
        body,
    ]
    .concat();
    runtime.block_on(async {
        let started = Instant::now();
        let end = started + time;
        let tasks: Vec<_> = (0..connections).map(|_| tokio::spawn(connection(address, request.clone(), end))).collect();
        let mut latency = Histogram::new(3)?;
        for task in tasks {
            latency.add(task.await??)?;
        }
        Ok(Load { per_second: latency.len() as f64 / started.elapsed().as_secs_f64(), latency })
    })
}

async fn connection(address: SocketAddr, request: Vec<u8>, end: Instant) -> Result<Histogram<u64>> {
    let mut stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let mut latency = Histogram::new(3)?;
    let mut buffer = vec![0; 64 * 1024];
    while Instant::now() < end {
        let sent = Instant::now();
        stream.write_all(&request).await?;
        tokio::time::timeout(ANSWER_MAX, answer(&mut stream, &mut buffer))
            .await
            .context("an answer did not come")??;
        latency.record((sent.elapsed().as_micros() as u64).max(1))?;
    }
    Ok(latency)
}

/// Reads one answer whole.
async fn answer(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> Result<()> {
    let mut filled = 0;
    loop {
        if filled == buffer.len() {
            buffer.resize(filled * 2, 0);
        }
        let count = stream.read(&mut buffer[filled..]).await?;
        if count == 0 {
            bail!("the server closed the connection");
        }
        filled += count;
        if let Some(length) = answer_length(&buffer[..filled])? {
            match filled.cmp(&length) {
                std::cmp::Ordering::Less => {}
                std::cmp::Ordering::Equal => return Ok(()),
                std::cmp::Ordering::Greater => bail!("more bytes than the answer has"),
            }
        }
    }
}

/// Bytes of head and body together, once the head is complete.
fn answer_length(bytes: &[u8]) -> Result<Option<usize>> {
    let Some(head_end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else { return Ok(None) };
    let head = std::str::from_utf8(&bytes[..head_end])?;
    if !head.starts_with("HTTP/1.1 200") {
        bail!("answered {}: {}", head.lines().next().unwrap_or_default(), String::from_utf8_lossy(&bytes[head_end..]));
    }
    let length = head
        .lines()
        .filter_map(|line| line.split_once(':'))
        .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
        .context("the answer has no content-length")?
        .1
        .trim()
        .parse::<usize>()?;
    Ok(Some(head_end + 4 + length))
}
