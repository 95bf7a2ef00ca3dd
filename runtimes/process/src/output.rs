//! What a worker prints, line by line.

use std::collections::VecDeque;
use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ignite_core_model::ExecutionId;
use ignite_runtimes_executor::{LogLine, LogSink, LogSource};
use rustix::fs::fstat;
use tokio::net::unix::pipe;

use crate::launch::OutputPipes;

/// Lines of stderr that are kept to explain a worker's end.
const TAIL_LINES_MAX: usize = 5;
/// And how much of each, in bytes.
const TAIL_LINE_BYTES_MAX: usize = 300;
/// One read of a pipe, in bytes.
const READ_BYTES: usize = 16 * 1024;
/// Reads in a row before others get their turn: a worker that prints without end must not hold a thread.
const READS_MAX: usize = 16;

/// Both pipes of a worker.
pub(crate) struct Output {
    stdout: Pipe,
    stderr: Pipe,
    logs: Arc<dyn LogSink>,
    line_bytes_max: usize,
    /// The execution that prints, where only one can.
    execution: Mutex<Option<ExecutionId>>,
    tail: Mutex<VecDeque<String>>,
    printed: AtomicBool,
}

struct Pipe {
    source: LogSource,
    receiver: pipe::Receiver,
    line: Mutex<Line>,
}

#[derive(Default)]
struct Line {
    /// Where reads go; empty between them.
    scratch: Vec<u8>,
    bytes: Vec<u8>,
    /// Bytes beyond the limit, which are counted and forgotten.
    cut: usize,
}

impl Output {
    pub(crate) fn new(pipes: OutputPipes, logs: Arc<dyn LogSink>, line_bytes_max: usize) -> Self {
        let pipe = |source, receiver| Pipe { source, receiver, line: Mutex::default() };
        Self {
            stdout: pipe(LogSource::Stdout, pipes.stdout),
            stderr: pipe(LogSource::Stderr, pipes.stderr),
            logs,
            line_bytes_max,
            execution: Mutex::new(None),
            tail: Mutex::default(),
            printed: AtomicBool::new(false),
        }
    }

    /// From now on lines belong to `execution`, the only one the worker runs, or to nobody can say which.
    pub(crate) fn begin(&self, execution: Option<ExecutionId>) {
        *lock(&self.execution) = execution;
    }

    /// The execution has answered: what it printed before is read now, so that no line is taken for the next one's.
    /// Costs nothing where nothing was printed: the reactor knows that the pipes are empty. Whether anything was printed
    /// since this was last asked.
    pub(crate) fn end(&self) -> bool {
        self.read_now();
        self.finish_lines();
        *lock(&self.execution) = None;
        self.printed.load(Ordering::Relaxed) && self.printed.swap(false, Ordering::Relaxed)
    }

    /// Reads until both pipes are closed. The owner of the worker runs this beside its reader.
    pub(crate) async fn read_loop(&self) {
        tokio::join!(self.read_pipe(&self.stdout), self.read_pipe(&self.stderr));
    }

    async fn read_pipe(&self, pipe: &Pipe) {
        while pipe.receiver.readable().await.is_ok() {
            if !self.read_waiting(pipe) {
                break;
            }
            tokio::task::yield_now().await;
        }
    }

    /// Reads what is there.
    pub(crate) fn read_now(&self) {
        self.read_waiting(&self.stdout);
        self.read_waiting(&self.stderr);
    }

    /// Logs lines that have no end yet.
    pub(crate) fn finish_lines(&self) {
        for pipe in [&self.stdout, &self.stderr] {
            let mut line = lock(&pipe.line);
            if !line.bytes.is_empty() {
                self.log(pipe.source, &mut line);
            }
        }
    }

    /// What `/proc` says of a descriptor that leads to one of the pipes.
    pub(crate) fn links(&self) -> Vec<PathBuf> {
        let link = |pipe: &Pipe| Some(format!("pipe:[{}]", fstat(&pipe.receiver).ok()?.st_ino).into());
        [&self.stdout, &self.stderr].into_iter().filter_map(link).collect()
    }

    /// The last lines of stderr, oldest first.
    pub(crate) fn tail(&self) -> Vec<String> {
        lock(&self.tail).iter().cloned().collect()
    }

    /// Whether more can come.
    fn read_waiting(&self, pipe: &Pipe) -> bool {
        let mut line = lock(&pipe.line);
        let mut scratch = std::mem::take(&mut line.scratch);
        scratch.reserve(READ_BYTES);
        let mut open = true;
        for _ in 0..READS_MAX {
            match pipe.receiver.try_read_buf(&mut scratch) {
                Ok(0) => open = false,
                Ok(_) => {
                    self.take(pipe.source, &mut line, &scratch);
                    scratch.clear();
                    continue;
                }
                Err(error) => open = error.kind() == io::ErrorKind::WouldBlock,
            }
            break;
        }
        line.scratch = scratch;
        open
    }

    fn take(&self, source: LogSource, line: &mut Line, bytes: &[u8]) {
        self.printed.store(true, Ordering::Relaxed);
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            let (text, ended) = match piece.strip_suffix(b"\n") {
                Some(text) => (text, true),
                None => (piece, false),
            };
            let room = self.line_bytes_max.saturating_sub(line.bytes.len());
            let kept = &text[..text.len().min(room)];
            line.bytes.extend_from_slice(kept);
            line.cut += text.len() - kept.len();
            if ended {
                self.log(source, line);
            }
        }
    }

    fn log(&self, source: LogSource, line: &mut Line) {
        let bytes = line.bytes.strip_suffix(b"\r").unwrap_or(&line.bytes);
        let mut message = String::from_utf8_lossy(bytes);
        if line.cut > 0 {
            message.to_mut().push_str(&format!("… ({} bytes cut)", line.cut));
        }
        if source == LogSource::Stderr {
            self.keep(&message);
        }
        let level = if source == LogSource::Stderr { "warn" } else { "info" };
        let execution_id = *lock(&self.execution);
        self.logs.line(LogLine { source, level, execution_id, message: &message, fields: "" });
        line.bytes.clear();
        line.cut = 0;
    }

    fn keep(&self, message: &str) {
        if message.trim().is_empty() {
            return;
        }
        let mut tail = lock(&self.tail);
        if tail.len() == TAIL_LINES_MAX {
            tail.pop_front();
        }
        tail.push_back(message[..message.floor_char_boundary(TAIL_LINE_BYTES_MAX)].to_owned());
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
