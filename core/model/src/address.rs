//! Where a host takes requests.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;

/// Where a host takes requests. Written as `ADDRESS:PORT`, or as `unix:PATH` like the Unix sockets of gRPC's names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HostAddress {
    /// For whoever reaches the address.
    Tcp(SocketAddr),
    /// For processes of this machine that may open the socket.
    Unix(PathBuf),
}

impl From<SocketAddr> for HostAddress {
    fn from(address: SocketAddr) -> Self {
        Self::Tcp(address)
    }
}

impl fmt::Display for HostAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

impl FromStr for HostAddress {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.strip_prefix("unix:") {
            Some(path) if !path.is_empty() => Ok(Self::Unix(path.into())),
            _ => text.parse().map(Self::Tcp).map_err(|_| {
                format!("`{text}` is not where a host serves: write ADDRESS:PORT, as in 127.0.0.1:8080, or unix:PATH")
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_reads_back_what_it_prints() {
        for text in ["127.0.0.1:80", "[::1]:8080", "unix:/run/app.sock", "unix:app.sock"] {
            assert_eq!(text.parse::<HostAddress>().map(|address| address.to_string()), Ok(text.to_owned()));
        }
        for text in ["", "unix:", "/run/app.sock", "127.0.0.1", "localhost:80"] {
            assert!(text.parse::<HostAddress>().is_err(), "{text}");
        }
    }
}
