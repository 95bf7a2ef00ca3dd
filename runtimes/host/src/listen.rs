//! The public listener.

use std::io;
use std::net::SocketAddr;

use tokio::net::{TcpListener, TcpSocket};

/// Connections that are made and not yet accepted, at most; the system may have a lower bound of its own
/// (`net.core.somaxconn`). With the 128 that are usual, a burst of callers fills the line within a millisecond, and whoever
/// comes then tries again a whole second later.
const WAITING_MAX: u32 = 4096;

/// Listens on `address`. Has to be called in a tokio runtime.
pub(crate) fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    // As a restarted host needs it: connections of the last one may still be closing.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(WAITING_MAX)
}
