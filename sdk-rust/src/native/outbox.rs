//! Frames on their way to the host.

use std::collections::VecDeque;
use std::io::{self, Write as _};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use ignite_core_abi::FrameKind;
use ignite_core_abi::payload::{Log, LogLevel, encode_empty};

use crate::execution::lock;

/// A frame longer than this, in bytes, is encoded by itself, so that nobody waits for it to be copied.
const ALONE_BYTES: usize = 64 * 1024;

/// Bytes waiting to be written beyond which log records are left out. Answers and streamed parts have bounds of their own:
/// the number of executions and the host's credit.
const LOG_QUEUE_BYTES_MAX: usize = 4 * 1024 * 1024;

/// A written buffer is kept for the next frames unless it is larger than this, in bytes.
const SPARE_BYTES_MAX: usize = 256 * 1024;

/// How often one thread goes back for what others have put meanwhile, before it leaves the rest to the writer: it has a
/// handler to go on with.
const ROUNDS_MAX: usize = 4;

/// The frames that wait to be written.
///
/// They are written by the thread that puts them, so that nothing a handler has said depends on what it, or another that
/// holds up the runtime, does next. Answers of executions that were read together go out together: none is written while
/// one of them has not begun, which it does at once.
pub(super) struct Outbox {
    queue: Mutex<Queue>,
    /// Rung when it is the writer's turn.
    bell: Condvar,
    socket: UnixStream,
}

#[derive(Default)]
struct Queue {
    buffers: VecDeque<Vec<u8>>,
    bytes: usize,
    spare: Vec<u8>,
    writer: Writer,
    /// Executions that were read and have not begun, and 1 while the reader goes through what it has read.
    fresh: usize,
    /// Executions that were read and not answered.
    unanswered: usize,
    draining: bool,
    /// The host is gone.
    is_broken: bool,
    logs_left_out: u64,
}

/// Who writes just now. Frames must not overtake each other.
#[derive(Default, PartialEq, Eq)]
enum Writer {
    #[default]
    Nobody,
    /// Who has put something. It looks again before it stops.
    Caller,
    /// The writer's thread, because a caller has done enough or may not block.
    Thread,
}

impl Outbox {
    /// An outbox for `socket`.
    pub(super) fn new(socket: UnixStream) -> Self {
        Self { queue: Mutex::default(), bell: Condvar::new(), socket }
    }

    /// Writes a frame of `bytes` (0 where it is surely short).
    pub(super) fn put(&self, bytes: usize, encode: impl FnOnce(&mut Vec<u8>)) {
        self.flush(self.append(bytes, encode));
    }

    /// Writes a log record, unless too much waits already.
    pub(super) fn put_log(&self, bytes: usize, encode: impl FnOnce(&mut Vec<u8>)) {
        let mut queue = lock(&self.queue);
        if queue.is_done() {
            // BYE is the last word.
            return;
        }
        if queue.bytes.saturating_add(bytes) > LOG_QUEUE_BYTES_MAX {
            queue.logs_left_out += 1;
            return;
        }
        if queue.logs_left_out > 0 {
            let count = std::mem::take(&mut queue.logs_left_out);
            let message = format!("{count} log records were left out: there were more than the host took");
            queue.append(|out| Log { level: LogLevel::Warn, message: &message, fields: "" }.encode(0, out));
        }
        queue.append(encode);
        self.flush(queue);
    }

    /// Holds answers back until [`Outbox::release`]: the reader has read several frames.
    pub(super) fn hold(&self) {
        lock(&self.queue).fresh += 1;
    }

    /// Ends [`Outbox::hold`]. What waits is left to the writer: were the reader to block, a host that writes before it
    /// reads would block for ever with it.
    pub(super) fn release(&self) {
        let mut queue = lock(&self.queue);
        queue.fresh -= 1;
        if queue.fresh == 0 {
            self.hand_over(queue);
        }
    }

    /// Counts an execution that was read; `false` after DRAIN.
    pub(super) fn expect(&self) -> bool {
        let mut queue = lock(&self.queue);
        queue.fresh += 1;
        queue.unanswered += 1;
        !queue.draining
    }

    /// Counts an execution that begins.
    pub(super) fn begun(&self) {
        let mut queue = lock(&self.queue);
        queue.fresh -= 1;
        if queue.fresh == 0 {
            self.flush(queue);
        }
    }

    /// Writes the answer of an execution, now or together with those of the others that were read with it.
    pub(super) fn answer(&self, bytes: usize, encode: impl FnOnce(&mut Vec<u8>)) {
        let mut queue = self.append(bytes, encode);
        queue.unanswered -= 1;
        queue.say_bye();
        if queue.fresh == 0 {
            self.flush(queue);
        }
    }

    /// Has BYE sent behind the last answer. `false` if that was asked for before.
    pub(super) fn drain(&self) -> bool {
        let mut queue = lock(&self.queue);
        let first = !std::mem::replace(&mut queue.draining, true);
        if first {
            queue.say_bye();
        }
        self.hand_over(queue);
        first
    }

    fn append(&self, bytes: usize, encode: impl FnOnce(&mut Vec<u8>)) -> MutexGuard<'_, Queue> {
        if bytes <= ALONE_BYTES {
            let mut queue = lock(&self.queue);
            queue.append(encode);
            return queue;
        }
        let mut alone = Vec::with_capacity(bytes);
        encode(&mut alone);
        let mut queue = lock(&self.queue);
        queue.bytes += alone.len();
        queue.buffers.push_back(alone);
        queue
    }

    /// Writes what waits, unless somebody does that already.
    fn flush<'a>(&'a self, mut queue: MutexGuard<'a, Queue>) {
        for _ in 0..ROUNDS_MAX {
            if queue.writer != Writer::Nobody || (queue.buffers.is_empty() && !queue.is_over()) {
                return;
            }
            queue = self.write_waiting(queue, Writer::Caller);
            if queue.is_over() {
                break;
            }
        }
        self.hand_over(queue);
    }

    /// Leaves what waits to the writer's thread, unless somebody writes already.
    fn hand_over(&self, mut queue: MutexGuard<'_, Queue>) {
        if queue.writer == Writer::Nobody && (!queue.buffers.is_empty() || queue.is_over()) {
            queue.writer = Writer::Thread;
            drop(queue);
            self.bell.notify_one();
        }
    }

    /// Writes what threads leave over, until BYE is written or the host is gone. Then the reader is told, by the end of
    /// its stream.
    pub(super) fn run_writer(&self) {
        let mut queue = lock(&self.queue);
        loop {
            if queue.writer != Writer::Thread {
                queue = self.bell.wait(queue).unwrap_or_else(PoisonError::into_inner);
            } else if queue.is_broken || (queue.buffers.is_empty() && queue.is_done()) {
                break;
            } else {
                queue = self.write_waiting(queue, Writer::Thread);
                if !queue.buffers.is_empty() || queue.is_over() {
                    queue.writer = Writer::Thread;
                }
            }
        }
        // An error would mean that the host has done it.
        let _ = self.socket.shutdown(Shutdown::Read);
    }

    /// Writes what waits now, without the lock. It blocks while the host does not read.
    fn write_waiting<'a>(&'a self, mut queue: MutexGuard<'a, Queue>, writer: Writer) -> MutexGuard<'a, Queue> {
        queue.writer = writer;
        let buffers = queue.take();
        drop(queue);
        let written = self.write(buffers);
        let mut queue = lock(&self.queue);
        queue.writer = Writer::Nobody;
        queue.is_broken |= written.is_err();
        queue
    }

    fn write(&self, buffers: VecDeque<Vec<u8>>) -> io::Result<()> {
        for buffer in buffers {
            (&self.socket).write_all(&buffer)?;
            self.keep(buffer);
        }
        Ok(())
    }

    fn keep(&self, mut buffer: Vec<u8>) {
        if buffer.capacity() <= SPARE_BYTES_MAX {
            buffer.clear();
            lock(&self.queue).spare = buffer;
        }
    }
}

impl Queue {
    fn append(&mut self, encode: impl FnOnce(&mut Vec<u8>)) {
        if self.buffers.back().is_none_or(|last| last.len() > ALONE_BYTES) {
            let buffer = std::mem::take(&mut self.spare);
            self.buffers.push_back(buffer);
        }
        if let Some(last) = self.buffers.back_mut() {
            let before = last.len();
            encode(last);
            self.bytes += last.len() - before;
        }
    }

    fn take(&mut self) -> VecDeque<Vec<u8>> {
        self.bytes = 0;
        std::mem::take(&mut self.buffers)
    }

    fn say_bye(&mut self) {
        if self.is_done() {
            self.append(|out| encode_empty(FrameKind::Bye, 0, out));
        }
    }

    /// Whether nothing is to be written beyond what waits.
    fn is_over(&self) -> bool {
        self.is_done() || self.is_broken
    }

    fn is_done(&self) -> bool {
        self.draining && self.unanswered == 0
    }
}

#[cfg(test)]
mod tests;
