//! Frames on their way to the host: whatever is ready at one time goes out in one write.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::io::Write as _;
use std::os::unix::net::UnixStream;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, Waker};

use ignite_core_abi::FrameKind;
use ignite_core_abi::payload::{Log, LogLevel, encode_empty};
use tokio::io::AsyncWrite as _;
use tokio::net::unix::OwnedWriteHalf;

use super::End;
use super::connection::Connection;
use crate::execution::lock;

/// A frame longer than this, in bytes, is encoded by itself, so that nobody waits for it to be copied.
const ALONE_BYTES: usize = 64 * 1024;

/// Bytes waiting to be written beyond which log records are left out. Answers and streamed parts have bounds of their own:
/// the number of executions and the host's credit.
const LOG_QUEUE_BYTES_MAX: usize = 4 * 1024 * 1024;

/// A written buffer is kept for the next frames unless it is larger than this, in bytes.
const SPARE_BYTES_MAX: usize = 256 * 1024;

/// The frames that wait to be written.
pub(super) struct Outbox {
    queue: Mutex<Queue>,
    /// The socket once more, for answers that nothing else could join: no other task is woken for those.
    direct: UnixStream,
}

#[derive(Default)]
struct Queue {
    buffers: VecDeque<Vec<u8>>,
    bytes: usize,
    spare: Vec<u8>,
    writer: Option<Waker>,
    /// Somebody is writing; frames must not overtake his.
    writing: bool,
    /// Executions that were begun and not answered.
    unanswered: usize,
    draining: bool,
    logs_left_out: u64,
}

impl Outbox {
    /// An outbox for `socket`, which does not block.
    pub(super) fn new(socket: UnixStream) -> Self {
        Self { queue: Mutex::default(), direct: socket }
    }

    /// Puts a frame of `bytes` (0 where it is surely short) behind the others.
    pub(super) fn put(&self, bytes: usize, encode: impl FnOnce(&mut Vec<u8>)) {
        wake(self.put_quietly(bytes, encode));
    }

    /// Puts a log record behind the others, unless too much waits already.
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
        wake(queue);
    }

    /// Counts an execution that was begun; `false` after DRAIN.
    pub(super) fn expect_answer(&self) -> bool {
        let mut queue = lock(&self.queue);
        queue.unanswered += 1;
        !queue.draining
    }

    /// Puts the answer of an execution. If no other is being worked on, it is written here and now.
    pub(super) fn answered(&self, bytes: usize, encode: impl FnOnce(&mut Vec<u8>)) {
        let mut queue = self.put_quietly(bytes, encode);
        queue.unanswered -= 1;
        queue.say_bye();
        if queue.unanswered == 0 && !queue.writing && !queue.is_done() {
            self.write_directly(queue)
        } else {
            wake(queue)
        }
    }

    /// Has BYE sent behind the last answer. `false` if that was asked for before.
    pub(super) fn drain(&self) -> bool {
        let mut queue = lock(&self.queue);
        let first = !std::mem::replace(&mut queue.draining, true);
        if first {
            queue.say_bye();
        }
        wake(queue);
        first
    }

    fn put_quietly(&self, bytes: usize, encode: impl FnOnce(&mut Vec<u8>)) -> MutexGuard<'_, Queue> {
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

    /// Writes what the socket takes at once and leaves the rest to the writer.
    fn write_directly(&self, mut queue: MutexGuard<'_, Queue>) {
        queue.writing = true;
        let mut buffers = queue.take();
        drop(queue);
        while let Some(mut buffer) = buffers.pop_front() {
            // An error (the socket is full, or the host is gone) meets the writer as well, who knows what to do.
            let written = (&self.direct).write(&buffer).unwrap_or(0);
            if written < buffer.len() {
                buffer.drain(..written);
                buffers.push_front(buffer);
                break;
            }
            self.keep(buffer);
        }
        let mut queue = lock(&self.queue);
        queue.writing = false;
        queue.put_back(buffers);
        if queue.buffers.is_empty() && !queue.is_done() {
            return;
        }
        wake(queue);
    }

    /// Ready once something waits to be written, or nothing ever will.
    fn poll_wait(&self, cx: &Context<'_>) -> Poll<()> {
        let mut queue = lock(&self.queue);
        if !queue.writing && (!queue.buffers.is_empty() || queue.is_done()) {
            return Poll::Ready(());
        }
        queue.writer = Some(cx.waker().clone());
        Poll::Pending
    }

    /// What the writer is to write, if anything; `None` when everything is written and BYE was the last of it.
    fn take_to_write(&self) -> Option<VecDeque<Vec<u8>>> {
        let mut queue = lock(&self.queue);
        if queue.writing || (queue.buffers.is_empty() && !queue.is_done()) {
            // An answer is or was written directly; who does that wakes the writer where more is left.
            return Some(VecDeque::new());
        }
        if queue.buffers.is_empty() {
            return None;
        }
        queue.writing = true;
        Some(queue.take())
    }

    fn written(&self) {
        lock(&self.queue).writing = false;
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

    fn put_back(&mut self, mut first: VecDeque<Vec<u8>>) {
        if !first.is_empty() {
            self.bytes += first.iter().map(Vec::len).sum::<usize>();
            first.append(&mut self.buffers);
            self.buffers = first;
        }
    }

    fn say_bye(&mut self) {
        if self.is_done() {
            self.append(|out| encode_empty(FrameKind::Bye, 0, out));
        }
    }

    fn is_done(&self) -> bool {
        self.draining && self.unanswered == 0
    }
}

/// Wakes the writer, without the lock.
fn wake(mut queue: MutexGuard<'_, Queue>) {
    let writer = queue.writer.take();
    drop(queue);
    if let Some(writer) = writer {
        writer.wake();
    }
}

/// Writes what is put until BYE is written or the host is gone.
pub(super) async fn write(mut socket: OwnedWriteHalf, connection: Arc<Connection>) -> End {
    loop {
        let outbox = &connection.outbox;
        poll_fn(|cx| outbox.poll_wait(cx)).await;
        // Once round the runtime: handlers that are ready now add their answers to the same write.
        tokio::task::yield_now().await;
        let Some(buffers) = outbox.take_to_write() else { return End::Done };
        if buffers.is_empty() {
            continue;
        }
        for buffer in buffers {
            let mut rest = buffer.as_slice();
            while !rest.is_empty() {
                match poll_fn(|cx| Pin::new(&mut socket).poll_write(cx, rest)).await {
                    Ok(written) => rest = &rest[written..],
                    // Nobody reads any more; what runs here has no purpose.
                    Err(_) => return End::Done,
                }
            }
            outbox.keep(buffer);
        }
        outbox.written();
    }
}
