//! The writing side of a socket.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::socket::Socket;

/// Bytes that may wait for another side that does not read. One that is this far behind is stuck: what waits is bounded
/// by the executions in flight, so only their bodies can fill it.
const WAITING_BYTES_MAX: usize = 256 * 1024 * 1024;

/// Room that is kept between writes.
const KEPT_BYTES: usize = 256 * 1024;

/// With this many executions in flight, frames wait for each other and go out together.
pub const TOGETHER_MIN: u32 = 4;

/// Frames on their way to the other side. Dropping it tells it that no more will come.
pub struct Link {
    socket: Arc<Socket>,
    waiting: Mutex<Waiting>,
    more: Notify,
    /// Bytes the kernel has taken.
    written: AtomicU64,
}

struct Waiting {
    bytes: Vec<u8>,
    /// Bytes that were ever added.
    added: u64,
    /// The writer has been told, or is at it: whoever adds bytes need not tell it again.
    told: bool,
    closed: bool,
}

/// When bytes go out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flush {
    /// At once, by whoever adds them: the fewest steps for another side that is idle.
    Now,
    /// When everybody who is ready to run has run: many frames go out in one write to another side that is busy.
    Together,
}

impl Flush {
    /// What is best with so many executions in flight on the connection.
    #[must_use]
    pub fn beside(in_flight: usize) -> Self {
        if in_flight < TOGETHER_MIN as usize { Self::Now } else { Self::Together }
    }
}

/// Too much waits for the other side, or the socket is closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stuck;

impl Link {
    /// The writing side of `socket`.
    #[must_use]
    pub fn new(socket: Arc<Socket>) -> Self {
        let waiting = Waiting { bytes: Vec::with_capacity(4096), added: 0, told: false, closed: false };
        Self { socket, waiting: Mutex::new(waiting), more: Notify::new(), written: AtomicU64::new(0) }
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds what `encode` writes. Returns how many bytes were ever added, these included; see [`Link::written`].
    ///
    /// # Errors
    /// When the other side does not read or is gone; nothing was added then.
    pub fn send(&self, flush: Flush, encode: impl FnOnce(&mut Vec<u8>)) -> Result<u64, Stuck> {
        let mut waiting = self.lock();
        if waiting.closed || waiting.bytes.len() > WAITING_BYTES_MAX {
            return Err(Stuck);
        }
        let before = waiting.bytes.len();
        encode(&mut waiting.bytes);
        waiting.added += (waiting.bytes.len() - before) as u64;
        let added = waiting.added;
        if waiting.told {
            return Ok(added);
        }
        if flush == Flush::Now {
            match self.try_write(&waiting.bytes) {
                Ok(written) if written == waiting.bytes.len() => {
                    waiting.clear();
                    return Ok(added);
                }
                Ok(written) => drop(waiting.bytes.drain(..written)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                // The reader sees the closed socket too and ends the connection; nobody needs to hear it twice.
                Err(_) => return Ok(added),
            }
        }
        waiting.told = true;
        drop(waiting);
        self.more.notify_one();
        Ok(added)
    }

    fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.socket.try_write(bytes)?;
        self.written.fetch_add(written as u64, Ordering::Release);
        Ok(written)
    }

    /// Bytes the kernel has taken: what lies behind them was never sent.
    pub fn written(&self) -> u64 {
        self.written.load(Ordering::Acquire)
    }

    /// Writes what is added until the socket fails. The owner of the connection runs this beside its reader.
    ///
    /// # Errors
    /// What the kernel says.
    pub async fn write_loop(&self) -> io::Result<()> {
        let mut batch = Vec::new();
        loop {
            self.more.notified().await;
            // Everybody who is ready adds theirs first.
            tokio::task::yield_now().await;
            self.write_waiting(&mut batch).await?;
        }
    }

    /// Writes what waits, for a connection whose [`Link::write_loop`] does not run yet.
    ///
    /// # Errors
    /// What the kernel says.
    pub async fn flush(&self) -> io::Result<()> {
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
            match self.try_write(bytes) {
                Ok(written) => bytes = &bytes[written..],
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.socket.writable().await?,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Refuses all further frames.
    pub fn close(&self) {
        self.lock().closed = true;
    }

    /// The socket, for what frames alone cannot say.
    pub fn socket(&self) -> &Socket {
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
