//! A gateway's connection, frame by frame, in front of an executor of closures.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test")]

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use ignite_core_abi::payload::{
    CancelReason, Failure, Hello, Invoke, Ready, Reply as ReplyPayload, encode_chunk, encode_credit, encode_empty,
};
use ignite_core_abi::{ABI_VERSION, FrameHeader, FrameKind, Headers, NOT_BEGUN, PREFACE, STREAM_WINDOW_BYTES};
use ignite_core_model::Limits;
use ignite_framing::{Flush, FrameReader, Incoming, Link, Socket, header_map};
use ignite_runtimes_executor::fake::FakeExecutor;
use ignite_runtimes_executor::{Reply, ReplyBody, RequestBody, body_channel};
use tokio::net::TcpStream;
use tokio::sync::{Notify, watch};
use tokio::time::timeout;

use super::IN_FLIGHT_MAX;
use crate::edge::in_front_of;

/// Longest wait for what must come.
const SOON: Duration = Duration::from_secs(10);
const EXECUTION: &str = "01ARZ3NDEKTSV4RRFFQ69G5FAV";

/// What the handlers of a host do: one word of the path for each.
struct Handlers {
    /// Executions that wait, and those that were given up meanwhile.
    waiting: AtomicU32,
    given_up: AtomicU32,
    go_on: Notify,
}

/// Counts an execution that is dropped before its end.
struct Dropped<'a>(&'a Handlers, bool);

impl Drop for Dropped<'_> {
    fn drop(&mut self) {
        if !self.1 {
            self.0.given_up.fetch_add(1, Ordering::SeqCst);
        }
    }
}

struct Server {
    address: SocketAddr,
    handlers: Arc<Handlers>,
    stopping: watch::Sender<bool>,
}

impl Server {
    fn start() -> Self {
        let handlers =
            Arc::new(Handlers { waiting: AtomicU32::new(0), given_up: AtomicU32::new(0), go_on: Notify::new() });
        let theirs = Arc::clone(&handlers);
        let executor = FakeExecutor::new(move |invocation| {
            let handlers = Arc::clone(&theirs);
            async move {
                let RequestBody::Full(body) = invocation.body else { panic!("a body that was not read") };
                let body = match invocation.path.as_str() {
                    "/wait" => {
                        let mut dropped = Dropped(&handlers, false);
                        let go_on = handlers.go_on.notified();
                        handlers.waiting.fetch_add(1, Ordering::SeqCst);
                        go_on.await;
                        dropped.1 = true;
                        ReplyBody::Full(body)
                    }
                    "/stream" => {
                        let (sender, stream) = body_channel(2);
                        tokio::spawn(async move {
                            for _ in 0..16 {
                                if sender.send(Bytes::from(vec![b'x'; 64 * 1024])).await.is_err() {
                                    return;
                                }
                            }
                            sender.finish();
                        });
                        ReplyBody::Stream(stream)
                    }
                    "/break" => {
                        let (sender, stream) = body_channel(2);
                        sender.send(Bytes::from_static(b"part")).await.unwrap();
                        sender.break_off("its power went away");
                        ReplyBody::Stream(stream)
                    }
                    "/long" => ReplyBody::Full(Bytes::from(vec![b'x'; 1024 * 1024])),
                    "/panic" => panic!("as it was told"),
                    _ => ReplyBody::Full(body),
                };
                Ok(Reply { status: StatusCode::OK, headers: invocation.headers, body })
            }
        });
        let limits = Limits { payload_bytes_max: 1024, max_concurrency: 2048, ..Limits::default() };
        let (address, stopping) = in_front_of(executor, limits);
        Self { address, handlers, stopping }
    }

    async fn until(&self, holds: impl Fn(&Handlers) -> bool) {
        let waiting = async {
            while !holds(&self.handlers) {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        timeout(SOON, waiting).await.expect("it holds in the end");
    }

    async fn connect(&self) -> Gateway {
        let mut gateway = self.greet(ABI_VERSION).await;
        let (header, payload) = gateway.next().await.unwrap();
        assert_eq!(header.kind, FrameKind::Ready);
        let ready = Ready::decode(&payload).unwrap();
        assert_eq!((ready.abi_version, ready.max_concurrency, ready.zygote), (ABI_VERSION, IN_FLIGHT_MAX, false));
        gateway
    }

    async fn greet(&self, abi_version: u16) -> Gateway {
        let socket = Arc::new(Socket::from_tcp(TcpStream::connect(self.address).await.unwrap()).unwrap());
        let reader = FrameReader::new(Arc::clone(&socket), u32::MAX, usize::MAX);
        let gateway = Gateway { reader, link: Link::new(socket) };
        let stream_window_bytes = STREAM_WINDOW_BYTES;
        let hello = Hello { abi_version, frame_bytes_max: 1 << 20, stream_window_bytes, max_concurrency: 1 };
        gateway.send(|out| {
            out.extend_from_slice(PREFACE);
            hello.encode(out);
        });
        gateway
    }
}

struct Gateway {
    reader: FrameReader,
    link: Link,
}

/// The head of an answer, and the first part of its body.
struct Head {
    id: u64,
    status: u16,
    headers: HeaderMap,
    body: Bytes,
    end: bool,
}

impl Gateway {
    fn send(&self, encode: impl FnOnce(&mut Vec<u8>)) {
        self.link.send(Flush::Now, encode).unwrap();
    }

    fn invoke(&self, id: u64, path: &str, body: &[u8]) {
        self.invoke_with(id, path, body, &[("x-own", "header")]);
    }

    fn invoke_with(&self, id: u64, path: &str, body: &[u8], headers: &[(&str, &str)]) {
        let invoke = Invoke {
            timeout_us: 0,
            execution_id: EXECUTION,
            function_id: "acme/hello",
            organization_id: "acme",
            method: "POST",
            path,
            query: "a=b",
            headers: Headers::default(),
            body,
        };
        self.send(|out| invoke.encode_from(id, headers.iter().copied(), out));
    }

    async fn next(&mut self) -> Option<(FrameHeader, Bytes)> {
        match timeout(SOON, self.reader.next()).await.expect("a frame, or the end, comes") {
            Ok(Incoming::Frame(header, payload)) => Some((header, payload.keep(0))),
            Ok(Incoming::TooLarge { .. }) | Err(_) => None,
        }
    }

    async fn head(&mut self) -> Head {
        let (header, payload) = self.next().await.expect("the connection goes on");
        assert_eq!(header.kind, FrameKind::Result, "{payload:?}");
        let reply = ReplyPayload::decode(&payload).unwrap();
        let headers = header_map(reply.headers, &payload).unwrap();
        Head { id: header.id, status: reply.status, headers, body: payload.slice_ref(reply.body), end: header.is_end() }
    }

    /// The id and the type of the next frame, an ERROR.
    async fn error(&mut self) -> (u64, String) {
        let (header, payload) = self.next().await.expect("the connection goes on");
        assert_eq!(header.kind, FrameKind::Error);
        (header.id, Failure::decode(&payload).unwrap().kind.to_owned())
    }

    /// Bytes of the chunks of `id` up to the last, or for as long as any come.
    async fn chunks(&mut self, id: u64) -> (usize, bool) {
        let mut read = 0;
        loop {
            let Ok(frame) = timeout(Duration::from_millis(300), self.reader.next()).await else { return (read, false) };
            let Ok(Incoming::Frame(header, payload)) = frame else { panic!("the connection ended") };
            assert_eq!((header.kind, header.id), (FrameKind::Chunk, id));
            read += payload.len();
            if header.is_end() {
                return (read, true);
            }
        }
    }
}

#[tokio::test]
async fn an_execution_is_what_invoke_says_and_its_ids_come_back() {
    let server = Server::start();
    let mut gateway = server.connect().await;
    gateway.invoke(7, "/echo", b"a body");
    let head = gateway.head().await;
    assert_eq!((head.id, head.status, &head.body[..], head.end), (7, 200, &b"a body"[..], true));
    assert_eq!(head.headers["x-own"], "header");
    assert_eq!(head.headers["x-ignite-execution-id"], EXECUTION);
    assert_eq!(head.headers["x-ignite-function-id"], "acme/hello");
    assert_eq!(head.headers["x-ignite-organization-id"], "acme");
}

#[tokio::test]
async fn limits_are_those_of_http() {
    let server = Server::start();
    let mut gateway = server.connect().await;
    gateway.invoke(1, "/echo", &[0; 1025]);
    assert_eq!(gateway.head().await.status, 413);
    let long = "x".repeat(40_000);
    gateway.invoke_with(2, "/echo", b"", &[("x-long", &long)]);
    assert_eq!(gateway.head().await.status, 431);
    gateway.invoke_with(3, "/echo", b"", &[("x-ignite-timeout-ms", "soon")]);
    assert_eq!(gateway.head().await.status, 400);
    gateway.invoke_with(4, "/wait", b"", &[("x-ignite-timeout-ms", "50")]);
    assert_eq!(gateway.head().await.status, 504);
}

#[tokio::test]
async fn one_that_waits_holds_up_no_other() {
    let server = Server::start();
    let mut gateway = server.connect().await;
    for id in 1..=100 {
        gateway.invoke(id, "/wait", b"");
    }
    gateway.invoke(101, "/echo", b"quick");
    assert_eq!(gateway.head().await.id, 101);
    server.until(|handlers| handlers.waiting.load(Ordering::SeqCst) == 100).await;
    server.handlers.go_on.notify_waiters();
    let mut answered = Vec::new();
    for _ in 0..100 {
        answered.push(gateway.head().await.id);
    }
    answered.sort_unstable();
    assert_eq!(answered, (1..=100).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_stream_keeps_within_its_credit() {
    let server = Server::start();
    let mut gateway = server.connect().await;
    for (id, path) in [(1, "/stream"), (2, "/long")] {
        gateway.invoke(id, path, b"");
        let head = gateway.head().await;
        assert!(!head.end && head.body.is_empty());
        let length = head.headers.get("content-length").map(|length| length.to_str().unwrap().to_owned());
        // Of one that is known as a whole the length is told.
        assert_eq!(length.as_deref(), (id == 2).then_some("1048576"));
        assert_eq!(gateway.chunks(id).await, (STREAM_WINDOW_BYTES as usize, false));
        let mut read = STREAM_WINDOW_BYTES as usize;
        loop {
            gateway.send(|out| encode_credit(id, STREAM_WINDOW_BYTES / 2, out));
            let (more, end) = gateway.chunks(id).await;
            read += more;
            if end {
                break;
            }
            assert_eq!(more, STREAM_WINDOW_BYTES as usize / 2);
        }
        assert_eq!(read, 1024 * 1024);
    }
}

#[tokio::test]
async fn a_stream_that_breaks_ends_in_an_error() {
    let server = Server::start();
    let mut gateway = server.connect().await;
    gateway.invoke(1, "/break", b"");
    assert!(!gateway.head().await.end);
    let (header, payload) = gateway.next().await.unwrap();
    assert_eq!((header.kind, &payload[..], header.is_end()), (FrameKind::Chunk, &b"part"[..], false));
    assert_eq!(gateway.error().await, (1, "broken_off".to_owned()));
}

#[tokio::test]
async fn a_cancelled_execution_is_given_up_and_answered_once() {
    let server = Server::start();
    let mut gateway = server.connect().await;
    gateway.invoke(1, "/wait", b"");
    server.until(|handlers| handlers.waiting.load(Ordering::SeqCst) == 1).await;
    gateway.send(|out| CancelReason::Disconnect.encode(1, out));
    assert_eq!(gateway.error().await, (1, "cancelled".to_owned()));
    server.until(|handlers| handlers.given_up.load(Ordering::SeqCst) == 1).await;
    // One that is not known may have been answered meanwhile.
    gateway.send(|out| CancelReason::Disconnect.encode(1, out));
    gateway.send(|out| encode_credit(1, 1, out));
    gateway.invoke(2, "/echo", b"");
    assert_eq!(gateway.head().await.id, 2);
}

#[tokio::test]
async fn a_gateway_that_goes_away_takes_its_executions_with_it() {
    let server = Server::start();
    let gateway = server.connect().await;
    for id in 1..=3 {
        gateway.invoke(id, "/wait", b"");
    }
    server.until(|handlers| handlers.waiting.load(Ordering::SeqCst) == 3).await;
    drop(gateway);
    server.until(|handlers| handlers.given_up.load(Ordering::SeqCst) == 3).await;
}

#[tokio::test]
async fn one_that_fails_in_the_host_costs_no_other() {
    let server = Server::start();
    let mut gateway = server.connect().await;
    gateway.invoke(1, "/panic", b"");
    assert_eq!(gateway.error().await, (1, "broken_off".to_owned()));
    gateway.invoke(2, "/echo", b"");
    assert_eq!(gateway.head().await.id, 2);
}

#[tokio::test]
async fn a_host_that_ends_says_so_answers_what_it_has_and_begins_nothing() {
    let server = Server::start();
    let mut gateway = server.connect().await;
    gateway.invoke(1, "/wait", b"");
    server.until(|handlers| handlers.waiting.load(Ordering::SeqCst) == 1).await;
    server.stopping.send_replace(true);
    assert_eq!(gateway.next().await.unwrap().0.kind, FrameKind::Bye);
    // It was sent before the gateway had read that.
    gateway.invoke(2, "/echo", b"");
    assert_eq!(gateway.error().await, (2, NOT_BEGUN.to_owned()));
    server.handlers.go_on.notify_waiters();
    assert_eq!(gateway.head().await.id, 1);
    drop(gateway);
    timeout(SOON, server.stopping.closed()).await.expect("the connection ends with the gateway");
}

#[tokio::test]
async fn a_gateway_that_stays_is_left() {
    let server = Server::start();
    let mut gateway = server.connect().await;
    server.stopping.send_replace(true);
    assert_eq!(gateway.next().await.unwrap().0.kind, FrameKind::Bye);
    assert!(gateway.next().await.is_none());
}

#[tokio::test]
async fn another_version_is_refused_by_its_number() {
    let server = Server::start();
    let mut gateway = server.greet(ABI_VERSION + 1).await;
    let (header, payload) = gateway.next().await.unwrap();
    assert_eq!(header.kind, FrameKind::InitError);
    assert_eq!(Failure::decode(&payload).unwrap().kind, "abi_version");
    assert!(gateway.next().await.is_none());
}

/// What a gateway does that it must not.
type Fault = fn(&Gateway);

#[tokio::test]
async fn what_a_gateway_must_not_say_ends_its_connection() {
    let faults: [(&str, Fault); 8] = [
        ("no frame", |gateway| gateway.send(|out| out.extend_from_slice(b"GET / HTTP/1.1\r\nhost: test\r\n\r\n"))),
        ("a worker's frame", |gateway| gateway.send(|out| encode_chunk(1, true, b"", out))),
        ("a zygote's frame", |gateway| gateway.send(|out| encode_empty(FrameKind::Fork, 0, out))),
        ("an id in use", |gateway| {
            gateway.invoke(1, "/wait", b"");
            gateway.invoke(1, "/wait", b"");
        }),
        ("more credit than the window", |gateway| {
            gateway.invoke(1, "/wait", b"");
            gateway.send(|out| encode_credit(1, 1, out));
        }),
        ("a request that is none", |gateway| gateway.invoke(1, "no path", b"")),
        ("a header that is none", |gateway| gateway.invoke_with(1, "/echo", b"", &[("x y", "z")])),
        ("too many at once", |gateway| {
            for id in 0..=u64::from(IN_FLIGHT_MAX) {
                gateway.invoke(id, "/wait", b"");
            }
        }),
    ];
    for (what, fault) in faults {
        let server = Server::start();
        let mut gateway = server.connect().await;
        fault(&gateway);
        let further = gateway.next().await.map(|(header, _)| header.kind);
        assert_eq!(further, None, "{what}");
        let begun = server.handlers.waiting.load(Ordering::SeqCst);
        server.until(|handlers| handlers.given_up.load(Ordering::SeqCst) >= begun).await;
        // Others are served.
        let mut other = server.connect().await;
        other.invoke(1, "/echo", b"");
        assert_eq!(other.head().await.id, 1, "{what}");
    }
}
