//! A streamed answer: what has arrived and is not yet taken, and the credit that bounds it.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::{Bytes, BytesMut};
use ignite_core_abi::STREAM_WINDOW_BYTES;
use ignite_core_abi::payload::encode_credit;
use ignite_runtimes_executor::{BodySender, BodyStream, body_channel};
use tokio::sync::Notify;

use crate::link::Flush;
use crate::worker::Worker;

/// Parts under way between this executor and whoever reads the body. Few: the window bounds what waits before them.
const PARTS_MAX: usize = 2;

/// Credit is granted in pieces of at least this, in bytes, so that small parts do not each cost a frame.
const CREDIT_STEP_BYTES: u32 = STREAM_WINDOW_BYTES / 4;

/// Small parts are joined up to this, in bytes: a part has a cost of its own, and the window counts bytes alone.
const JOINED_BYTES_MAX: usize = 16 * 1024;

/// What the reader has put down for the body's task.
pub(crate) struct Stream {
    arrived: Mutex<Arrived>,
    more: Notify,
}

struct Arrived {
    parts: VecDeque<Part>,
    end: Option<Result<(), String>>,
    /// Bytes the worker may still send.
    credit: u32,
}

enum Part {
    /// Kept as it came.
    Whole(Bytes),
    /// Small parts, joined.
    Joined(BytesMut),
}

impl Part {
    fn into_bytes(self) -> Bytes {
        match self {
            Self::Whole(bytes) => bytes,
            Self::Joined(bytes) => bytes.freeze(),
        }
    }
}

/// The worker sent more than it had credit for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Overrun;

impl Stream {
    pub(crate) fn new() -> Self {
        let arrived = Arrived { parts: VecDeque::new(), end: None, credit: STREAM_WINDOW_BYTES };
        Self { arrived: Mutex::new(arrived), more: Notify::new() }
    }

    fn lock(&self) -> MutexGuard<'_, Arrived> {
        self.arrived.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a part.
    ///
    /// # Errors
    /// When it exceeds the credit.
    pub(crate) fn push(&self, part: Bytes) -> Result<(), Overrun> {
        let mut arrived = self.lock();
        let length = u32::try_from(part.len()).map_err(|_| Overrun)?;
        arrived.credit = arrived.credit.checked_sub(length).ok_or(Overrun)?;
        match arrived.parts.back_mut() {
            _ if part.is_empty() => return Ok(()),
            Some(Part::Joined(joined)) if joined.len() + part.len() <= JOINED_BYTES_MAX => {
                joined.extend_from_slice(&part);
            }
            Some(_) if part.len() < JOINED_BYTES_MAX => {
                let joined = Part::Joined(BytesMut::from(&part[..]));
                arrived.parts.push_back(joined);
            }
            _ => arrived.parts.push_back(Part::Whole(part)),
        }
        drop(arrived);
        self.more.notify_one();
        Ok(())
    }

    /// The body ended, well or not; only the first end counts.
    pub(crate) fn end(&self, end: Result<(), String>) {
        self.lock().end.get_or_insert(end);
        self.more.notify_one();
    }

    async fn next(&self) -> Next {
        loop {
            {
                let mut arrived = self.lock();
                if let Some(part) = arrived.parts.pop_front() {
                    return Next::Part(part.into_bytes());
                }
                if let Some(end) = arrived.end.take() {
                    return Next::End(end);
                }
            }
            self.more.notified().await;
        }
    }

    fn grant(&self, bytes: u32) {
        self.lock().credit += bytes;
    }
}

enum Next {
    Part(Bytes),
    End(Result<(), String>),
}

/// Starts the task that carries a streamed answer to its reader, and returns the reader's side.
pub(crate) fn carry(worker: Arc<Worker>, id: u64, stream: Arc<Stream>) -> BodyStream {
    let (sender, body) = body_channel(PARTS_MAX);
    let handle = worker.shared.handle.clone();
    // Owned by the two ends: it ends with the worker's last part, the worker's death, or when the reader goes away.
    handle.spawn(async move {
        if run(&worker, id, &stream, sender).await.is_err() {
            worker.abandon(id);
        }
    });
    body
}

/// The reader went away.
struct Gone;

async fn run(worker: &Worker, id: u64, stream: &Stream, sender: BodySender) -> Result<(), Gone> {
    let mut taken = 0_u32;
    loop {
        let next = tokio::select! {
            biased;
            () = sender.closed() => return Err(Gone),
            next = stream.next() => next,
        };
        match next {
            Next::Part(part) => {
                // A part is never longer than the window.
                let length = part.len() as u32;
                sender.send(part).await.map_err(|_| Gone)?;
                taken += length;
                if taken >= CREDIT_STEP_BYTES {
                    stream.grant(taken);
                    // A worker that is gone needs no credit; the end of the stream comes by itself.
                    let _ = worker.link.send(Flush::Now, |out| encode_credit(id, taken, out));
                    taken = 0;
                }
            }
            Next::End(Ok(())) => {
                sender.finish();
                return Ok(());
            }
            Next::End(Err(why)) => {
                sender.break_off(why);
                return Ok(());
            }
        }
    }
}
