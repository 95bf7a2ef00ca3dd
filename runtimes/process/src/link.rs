//! The writing side of a worker's socket.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::socket::Socket;

/// Bytes that may wait for a worker that does not read. A worker that is this far behind is stuck: what waits is bounded
/// by the executions in flight, so only their bodies can fill it.
const WAITING_BYTES_MAX: usize = 256 * 1024 * 1024;

/// Room that is kept between writes.
const KEPT_BYTES: usize = 256 * 1024;

/// Frames on their way to a worker. Dropping it tells the worker that no more will come.
pub(crate) struct Link {
    socket: Arc<Socket>,
    waiting: Mutex<Waiting>,
    more: Notify,
}

struct Waiting {
    bytes: Vec<u8>,
    /// The writer has been told, or is at it: whoever adds bytes need not tell it again.
    told: bool,
    closed: bool,
}

/// When bytes go out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flush {
    /// At once, by whoever adds them: the fewest steps for a worker that is idle.
    Now,
    /// When everybody who is ready to run has run: many frames go out in one write to a worker that is busy.
    Together,
}

/// Too much waits for the worker, or its socket is closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stuck;

impl Link {
    pub(crate) fn new(socket: Arc<Socket>) -> Self {
        Self {
            socket,
            waiting: Mutex::new(Waiting { bytes: Vec::with_capacity(4096), told: false, closed: false }),
            more: Notify::new(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds what `encode` writes.
    ///
    /// # Errors
    /// When the worker does not read or is gone; nothing was added then.
    pub(crate) fn send(&self, flush: Flush, encode: impl FnOnce(&mut Vec<u8>)) -> Result<(), Stuck> {
        let mut waiting = self.lock();
        if waiting.closed || waiting.bytes.len() > WAITING_BYTES_MAX {
            return Err(Stuck);
        }
        encode(&mut waiting.bytes);
        if waiting.told {
            return Ok(());
        }
        if flush == Flush::Now {
            match self.socket.try_write(&waiting.bytes) {
                Ok(written) if written == waiting.bytes.len() => {
                    waiting.clear();
                    return Ok(());
                }
                Ok(written) => drop(waiting.bytes.drain(..written)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                // The reader sees the closed socket too and ends the worker; nobody needs to hear it twice.
                Err(_) => return Ok(()),
            }
        }
        waiting.told = true;
        drop(waiting);
        self.more.notify_one();
        Ok(())
    }

    /// Writes what is added until the socket fails. The owner of the connection runs this beside its reader.
    pub(crate) async fn write_loop(&self) -> io::Result<()> {
        let mut batch = Vec::new();
        loop {
            self.more.notified().await;
            // Everybody who is ready adds theirs first.
            tokio::task::yield_now().await;
            self.write_waiting(&mut batch).await?;
        }
    }

    /// Writes what waits, for a connection whose [`Link::write_loop`] does not run yet.
    pub(crate) async fn flush(&self) -> io::Result<()> {
        self.write_waiting(&mut Vec::new()).await
    }

    async fn write_waiting(&self, batch: &mut Vec<u8>) -> io::Result<()> {
        loop {
            {
                let mut waiting = self.lock();
                if waiting.bytes.is_empty() {
                    waiting.told = false;
                    return Ok(());
                }
                std::mem::swap(&mut waiting.bytes, batch);
            }
            self.write_all(batch).await?;
            clear(batch);
        }
    }

    async fn write_all(&self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            match self.socket.try_write(bytes) {
                Ok(written) => bytes = &bytes[written..],
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.socket.writable().await?,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Refuses all further frames.
    pub(crate) fn close(&self) {
        self.lock().closed = true;
    }

    /// The socket, for what frames alone cannot say.
    pub(crate) fn socket(&self) -> &Socket {
        &self.socket
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.socket.end_writing();
    }
}

impl Waiting {
    fn clear(&mut self) {
        clear(&mut self.bytes);
    }
}

/// Empties `bytes` and gives back what one long body made it take.
fn clear(bytes: &mut Vec<u8>) {
    bytes.clear();
    bytes.shrink_to(KEPT_BYTES);
}
