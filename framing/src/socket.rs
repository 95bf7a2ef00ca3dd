//! A stream socket, as one side uses it.
//!
//! Streams of the runtime are told of room for writing as well. On a Unix socket that is news each time the other side has
//! read, so every request would wake a thread of this process for nothing. Here only what can be read is news; who finds
//! the socket full asks for room then.

use std::io::{self, IoSlice};
use std::os::fd::OwnedFd;

use rustix::io::Errno;
use rustix::net::{RecvFlags, SendAncillaryBuffer, SendFlags, Shutdown, recv, send, sendmsg, shutdown};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// One connection, over a Unix socket or TCP.
#[derive(Debug)]
pub struct Socket(AsyncFd<OwnedFd>);

impl Socket {
    /// Takes over a connection that does not block. Has to be called in the runtime that shall watch it.
    ///
    /// # Errors
    /// When the runtime cannot watch it.
    pub fn new(stream: impl Into<OwnedFd>) -> io::Result<Self> {
        watch(stream.into(), Interest::READABLE).map(Self)
    }

    /// Takes over a connection of the runtime.
    ///
    /// # Errors
    /// When the runtime cannot watch it.
    pub fn from_unix(stream: tokio::net::UnixStream) -> io::Result<Self> {
        Self::new(stream.into_std()?)
    }

    /// Takes over a connection of the runtime.
    ///
    /// # Errors
    /// When the runtime cannot watch it.
    pub fn from_tcp(stream: tokio::net::TcpStream) -> io::Result<Self> {
        Self::new(stream.into_std()?)
    }

    /// Reads what came into the beginning of `room`, which is not empty, and waits for it; 0 at the end of the stream.
    /// Safe to drop and call again.
    ///
    /// # Errors
    /// What the kernel says.
    pub async fn read(&self, room: &mut [u8]) -> io::Result<usize> {
        loop {
            let mut guard = self.0.readable().await?;
            match recv(&self.0, &mut *room, RecvFlags::empty()) {
                Ok((read, _)) => {
                    // There was no more: the next will be news.
                    if read < room.len() {
                        guard.clear_ready();
                    }
                    return Ok(read);
                }
                Err(Errno::AGAIN) => guard.clear_ready(),
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Writes what there is room for.
    ///
    /// # Errors
    /// [`io::ErrorKind::WouldBlock`] where there is none; else what the kernel says.
    pub fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        Ok(send(&self.0, bytes, SendFlags::NOSIGNAL)?)
    }

    /// Writes `bytes`, so few that any socket with room has room for them, together with descriptors.
    ///
    /// # Errors
    /// What the kernel says; [`io::ErrorKind::WriteZero`] when only a part was written.
    pub async fn send_with(&self, bytes: &[u8], with: &mut SendAncillaryBuffer<'_, '_, '_>) -> io::Result<()> {
        loop {
            match sendmsg(&self.0, &[IoSlice::new(bytes)], with, SendFlags::NOSIGNAL) {
                Ok(sent) if sent == bytes.len() => return Ok(()),
                Ok(_) => return Err(io::ErrorKind::WriteZero.into()),
                Err(Errno::AGAIN) => self.writable().await?,
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Waits until there may be room.
    ///
    /// # Errors
    /// When the runtime cannot watch it for that.
    pub async fn writable(&self) -> io::Result<()> {
        // Watched for as long as this takes, which is seldom called.
        let watched = watch(self.0.get_ref().try_clone()?, Interest::WRITABLE)?;
        watched.writable().await.map(drop)
    }

    /// Ends the connection, whoever else still has it.
    pub fn end(&self) {
        // Where it fails the connection has ended already.
        let _ = shutdown(&self.0, Shutdown::Both);
    }

    /// Tells the other side that nothing more is written.
    pub fn end_writing(&self) {
        // Where it fails the connection has ended already.
        let _ = shutdown(&self.0, Shutdown::Write);
    }
}

/// Has the runtime watch a stream for `news`.
#[expect(deprecated, reason = "unsound for types that change their descriptor, which an owned one never does")]
fn watch(stream: OwnedFd, news: Interest) -> io::Result<AsyncFd<OwnedFd>> {
    AsyncFd::with_interest(stream, news)
}
