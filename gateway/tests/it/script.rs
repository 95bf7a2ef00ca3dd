//! An instance that does, frame by frame, what a test says.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use ignite_core_abi::payload::{Ready, Reply};
use ignite_core_abi::{ABI_VERSION, FrameHeader, FrameKind, Headers, PREFACE, PREFACED_FRAME_BYTES_MAX};
use ignite_framing::{Flush, FrameReader, Incoming, Link, Socket};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

use crate::stage::SOON;

pub(crate) struct Script {
    listener: TcpListener,
}

/// A connection of the gateway that was greeted.
pub(crate) struct Line {
    reader: FrameReader,
    link: Link,
}

impl Script {
    pub(crate) async fn new() -> Self {
        Self { listener: TcpListener::bind("127.0.0.1:0").await.unwrap() }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.listener.local_addr().unwrap()
    }

    /// The next connection, as it is.
    pub(crate) async fn accept(&self) -> TcpStream {
        timeout(SOON, self.listener.accept()).await.expect("the gateway connects").unwrap().0
    }

    /// The next connection, which takes so many requests at once.
    pub(crate) async fn greet(&self, max_concurrency: u32) -> Line {
        let socket = Arc::new(Socket::from_tcp(self.accept().await).unwrap());
        let mut preface = [0; PREFACE.len()];
        assert_eq!(socket.read(&mut preface).await.unwrap(), PREFACE.len());
        assert_eq!(preface, *PREFACE);
        let reader = FrameReader::new(Arc::clone(&socket), PREFACED_FRAME_BYTES_MAX, usize::MAX);
        let mut line = Line { reader, link: Link::new(socket) };
        assert_eq!(line.next().await.unwrap().0.kind, FrameKind::Hello);
        line.send(|out| Ready { abi_version: ABI_VERSION, max_concurrency, zygote: false, sdk: "script" }.encode(out));
        line
    }
}

impl Line {
    /// The next frame; `None` when the gateway has ended the connection.
    pub(crate) async fn next(&mut self) -> Option<(FrameHeader, Bytes)> {
        match timeout(SOON, self.reader.next()).await.expect("a frame, or the end, comes") {
            Ok(Incoming::Frame(header, payload)) => Some((header, payload.keep(0))),
            Ok(Incoming::TooLarge { .. }) | Err(_) => None,
        }
    }

    /// The id of the next frame, which has to be an INVOKE.
    pub(crate) async fn invoked(&mut self) -> u64 {
        let (header, _) = self.next().await.expect("the connection goes on");
        assert_eq!(header.kind, FrameKind::Invoke);
        header.id
    }

    pub(crate) fn send(&self, encode: impl FnOnce(&mut Vec<u8>)) {
        self.link.send(Flush::Now, encode).unwrap();
    }

    /// Answers with `words`.
    pub(crate) fn answer(&self, id: u64, words: &str) {
        self.begin(id, words.as_bytes(), true);
    }

    /// Sends the head of an answer and the first part of its body.
    pub(crate) fn begin(&self, id: u64, first: &[u8], end: bool) {
        let reply = Reply { status: 200, headers: Headers::default(), body: first };
        self.send(|out| reply.encode(id, end, out));
    }
}
