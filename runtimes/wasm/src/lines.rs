//! What a function prints, cut into lines.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use bytes::Bytes;
use ignite_core_model::ExecutionId;
use ignite_runtimes_executor::{LogLine, LogSink, LogSource};
use tokio::io::AsyncWrite;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamResult};

/// Bytes of the last lines that are kept to explain a failure.
const TAIL_BYTES_MAX: usize = 8 * 1024;

/// Bytes a guest may print at once.
const WRITE_BYTES_MAX: usize = 64 * 1024;

/// Where the lines of one execution go. Clones are cheap and touch nothing that executions share.
#[derive(Clone)]
pub(crate) struct ExecutionLog(Arc<Place>);

struct Place {
    sink: Arc<dyn LogSink>,
    execution_id: Option<ExecutionId>,
}

impl ExecutionLog {
    pub(crate) fn new(sink: &Arc<dyn LogSink>, execution_id: Option<ExecutionId>) -> Self {
        Self(Arc::new(Place { sink: Arc::clone(sink), execution_id }))
    }

    pub(crate) fn line(&self, source: LogSource, level: &'static str, message: &str, fields: &str) {
        self.0.sink.line(LogLine { source, level, execution_id: self.0.execution_id, message, fields });
    }
}

/// One of a function's two outputs. Clones write to the same lines.
#[derive(Clone)]
pub(crate) struct Output(Arc<Mutex<Lines>>);

struct Lines {
    log: ExecutionLog,
    source: LogSource,
    line_bytes_max: usize,
    line: Vec<u8>,
    /// Whether the rest of the current line is thrown away.
    cut: bool,
    tail: VecDeque<String>,
    tail_bytes: usize,
}

impl Output {
    pub(crate) fn new(log: ExecutionLog, source: LogSource, line_bytes_max: usize) -> Self {
        let lines = Lines {
            log,
            source,
            line_bytes_max: line_bytes_max.max(1),
            line: Vec::new(),
            cut: false,
            tail: VecDeque::new(),
            tail_bytes: 0,
        };
        Self(Arc::new(Mutex::new(lines)))
    }

    /// Ends the line that has no end yet, and gives the last lines, joined.
    pub(crate) fn finish(&self) -> String {
        let mut lines = self.lock();
        lines.end_last_line();
        lines.tail.iter().map(String::as_str).collect::<Vec<_>>().join("\n")
    }

    fn lock(&self) -> MutexGuard<'_, Lines> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lines {
    fn push(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let (part, ended) = match bytes.iter().position(|byte| *byte == b'\n') {
                Some(end) => (&bytes[..end], true),
                None => (bytes, false),
            };
            let room = self.line_bytes_max.saturating_sub(self.line.len());
            if !self.cut {
                self.line.extend_from_slice(&part[..part.len().min(room)]);
                self.cut = part.len() > room;
            }
            if ended {
                self.end_line();
            }
            bytes = &bytes[part.len() + usize::from(ended)..];
        }
    }

    /// What is left without an end is a line too.
    fn end_last_line(&mut self) {
        if !self.line.is_empty() {
            self.end_line();
        }
    }

    fn end_line(&mut self) {
        let bytes = std::mem::take(&mut self.line);
        let mut text = String::from_utf8_lossy(&bytes).into_owned();
        if text.ends_with('\r') {
            text.pop();
        }
        if std::mem::take(&mut self.cut) {
            text.push_str(" … (cut)");
        }
        let level = if self.source == LogSource::Stderr { "warn" } else { "info" };
        self.log.line(self.source, level, &text, "");
        if self.source == LogSource::Stderr {
            self.tail_bytes += text.len();
            self.tail.push_back(text);
            while self.tail_bytes > TAIL_BYTES_MAX {
                let Some(gone) = self.tail.pop_front() else { break };
                self.tail_bytes -= gone.len();
            }
        }
    }
}

impl Drop for Lines {
    fn drop(&mut self) {
        self.end_last_line();
    }
}

impl IsTerminal for Output {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for Output {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(self.clone())
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }
}

impl OutputStream for Output {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        self.lock().push(&bytes);
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(WRITE_BYTES_MAX)
    }
}

#[wasmtime_wasi::async_trait]
impl Pollable for Output {
    async fn ready(&mut self) {}
}

impl AsyncWrite for Output {
    fn poll_write(self: Pin<&mut Self>, _cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.lock().push(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test")]
    use super::*;

    #[derive(Default)]
    struct Kept(Mutex<Vec<String>>);

    impl LogSink for Kept {
        fn line(&self, line: LogLine<'_>) {
            self.0.lock().unwrap().push(line.message.to_owned());
        }
    }

    fn printed(parts: &[&[u8]], line_bytes_max: usize) -> (Vec<String>, String) {
        let kept = Arc::new(Kept::default());
        let sink: Arc<dyn LogSink> = kept.clone();
        let log = ExecutionLog::new(&sink, None);
        let mut output = Output::new(log, LogSource::Stderr, line_bytes_max);
        for part in parts {
            output.write(Bytes::copy_from_slice(part)).unwrap();
        }
        let tail = output.finish();
        drop(output);
        let lines = kept.0.lock().unwrap().clone();
        (lines, tail)
    }

    #[test]
    fn parts_become_lines() {
        let (lines, tail) = printed(&[b"on", b"e\ntwo\r\n\nfo", b"ur"], 100);
        assert_eq!(lines, ["one", "two", "", "four"]);
        assert_eq!(tail, "one\ntwo\n\nfour");
    }

    #[test]
    fn a_long_line_is_cut_and_says_so() {
        let (lines, _) = printed(&[b"abcd", b"ef", b"gh\nabcd\n", b"x\xffy"], 4);
        assert_eq!(lines, ["abcd … (cut)", "abcd", "x\u{fffd}y"]);
    }

    #[test]
    fn the_tail_is_bounded() {
        let line = [b'x'; 1000];
        let parts: Vec<&[u8]> = (0..100).flat_map(|_| [&line[..], b"\n"]).collect();
        let (lines, tail) = printed(&parts, 2000);
        assert_eq!(lines.len(), 100);
        assert!(tail.len() <= TAIL_BYTES_MAX + 100, "{}", tail.len());
    }
}
