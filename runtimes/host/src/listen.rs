//! The public listener: an address of the network, or a Unix socket for a gateway on the same machine, which nobody reaches who
//! may not open it.

use std::future::Future;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use ignite_core_model::HostAddress;
use ignite_framing::Socket;
use rustix::net::{RecvFlags, recv};
use tokio::io::{AsyncRead, AsyncWrite, Interest};
use tokio::net::{TcpListener, TcpSocket, TcpStream, UnixListener, UnixSocket, UnixStream};

/// Connections that are made and not yet accepted, at most; the system may have a lower bound of its own
/// (`net.core.somaxconn`). With the 128 that are usual, a burst of callers fills the line within a millisecond, and whoever
/// comes then tries again a whole second later.
const WAITING_MAX: u32 = 4096;

/// Takes connections. The file of a Unix socket goes with it.
pub(crate) enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener, SocketFile),
}

/// A connection of either kind.
pub(crate) enum Connected {
    Tcp(TcpStream),
    Unix(UnixStream),
}

/// Removed when dropped.
pub(crate) struct SocketFile(PathBuf);

impl Drop for SocketFile {
    fn drop(&mut self) {
        // Its folder may have gone before.
        let _ = std::fs::remove_file(&self.0);
    }
}

impl Listener {
    /// Listens on `address`. Has to be called in a tokio runtime.
    pub(crate) fn open(address: &HostAddress) -> io::Result<Self> {
        match address {
            HostAddress::Tcp(address) => {
                let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
                // As a restarted host needs it: connections of the last one may still be closing.
                socket.set_reuseaddr(true)?;
                socket.bind(*address)?;
                Ok(Self::Tcp(socket.listen(WAITING_MAX)?))
            }
            HostAddress::Unix(path) => {
                let socket = UnixSocket::new_stream()?;
                socket.bind(path)?;
                let file = SocketFile(path.clone());
                // Before anybody can be connected.
                std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
                Ok(Self::Unix(socket.listen(WAITING_MAX)?, file))
            }
        }
    }

    /// Where it listens, with the port that was taken.
    pub(crate) fn address(&self) -> io::Result<HostAddress> {
        match self {
            Self::Tcp(listener) => listener.local_addr().map(HostAddress::Tcp),
            Self::Unix(_, file) => Ok(HostAddress::Unix(file.0.clone())),
        }
    }

    /// The next connection. One that was not waited for to the end is not lost.
    pub(crate) async fn accept(&self) -> io::Result<Connected> {
        match self {
            Self::Tcp(listener) => {
                let (stream, _) = listener.accept().await?;
                // Answers are written whole; waiting to fill a segment would only delay them.
                let _ = stream.set_nodelay(true);
                Ok(Connected::Tcp(stream))
            }
            Self::Unix(listener, _) => listener.accept().await.map(|(stream, _)| Connected::Unix(stream)),
        }
    }
}

/// A connection whose first bytes can be looked at.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Send + Unpin + 'static {
    /// Fills `first` with what came, without taking it; 0 at the end.
    fn peek(&self, first: &mut [u8]) -> impl Future<Output = io::Result<usize>> + Send;

    /// As a socket for frames.
    fn into_socket(self) -> io::Result<Socket>;
}

impl Stream for TcpStream {
    async fn peek(&self, first: &mut [u8]) -> io::Result<usize> {
        self.async_io(Interest::READABLE, || seen(self, first)).await
    }

    fn into_socket(self) -> io::Result<Socket> {
        Socket::from_tcp(self)
    }
}

impl Stream for UnixStream {
    async fn peek(&self, first: &mut [u8]) -> io::Result<usize> {
        self.async_io(Interest::READABLE, || seen(self, first)).await
    }

    fn into_socket(self) -> io::Result<Socket> {
        Socket::from_unix(self)
    }
}

fn seen(socket: impl AsFd, first: &mut [u8]) -> io::Result<usize> {
    Ok(recv(socket, first, RecvFlags::PEEK).map(|(seen, _)| seen)?)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test")]
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[tokio::test]
    async fn a_socket_is_for_its_user_alone_and_goes_with_the_listener() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("app.sock");
        let address = HostAddress::Unix(path.clone());
        let listener = Listener::open(&address).unwrap();
        assert_eq!(listener.address().unwrap(), address);
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let taken = Listener::open(&address).err().unwrap();
        assert_eq!(taken.kind(), io::ErrorKind::AddrInUse);
        drop(listener);
        assert!(!path.exists());
        // One that was in use is not taken away by who could not have it.
        assert!(Listener::open(&address).is_ok());
    }
}
