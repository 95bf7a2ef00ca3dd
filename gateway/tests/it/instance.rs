//! A stand-in for an instance: answers over real sockets and tells what it was asked. It speaks HTTP and, where [`SPEAKS_FRAMES`]
//! says so, the frames of a host.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use ignite_core_abi::payload::{Hello, Invoke, Ready, Reply};
use ignite_core_abi::{ABI_VERSION, FrameKind, Headers, PREFACE, PREFACED_FRAME_BYTES_MAX};
use ignite_framing::{Flush, FrameReader, Link, Socket, header_map};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, mpsc};

use crate::SPEAKS_FRAMES;

/// What an instance was asked.
#[derive(Debug)]
pub(crate) struct Asked {
    pub(crate) head: http::request::Parts,
    pub(crate) body: Bytes,
}

pub(crate) struct FakeInstance {
    pub(crate) address: SocketAddr,
    pub(crate) asked: mpsc::UnboundedReceiver<Asked>,
    /// Requests at once, the most there ever were.
    pub(crate) peak: Arc<AtomicU32>,
    /// While this is armed, answers wait for it.
    pub(crate) hold: Arc<Hold>,
    task: tokio::task::JoinHandle<()>,
}

#[derive(Default)]
pub(crate) struct Hold {
    armed: std::sync::atomic::AtomicBool,
    notify: Notify,
}

impl Hold {
    pub(crate) fn arm(&self) {
        self.armed.store(true, Ordering::SeqCst);
    }

    pub(crate) fn release(&self) {
        self.armed.store(false, Ordering::SeqCst);
        self.notify.notify_waiters();
    }

    async fn pass(&self) {
        loop {
            let notified = self.notify.notified();
            if !self.armed.load(Ordering::SeqCst) {
                return;
            }
            notified.await;
        }
    }
}

/// What the connections of an instance share.
struct Shared {
    words: &'static str,
    tell: mpsc::UnboundedSender<Asked>,
    now: AtomicU32,
    peak: Arc<AtomicU32>,
    hold: Arc<Hold>,
}

impl Shared {
    async fn answer(&self, asked: Asked) -> &'static str {
        let running = self.now.fetch_add(1, Ordering::SeqCst) + 1;
        self.peak.fetch_max(running, Ordering::SeqCst);
        let _ = self.tell.send(asked);
        self.hold.pass().await;
        self.now.fetch_sub(1, Ordering::SeqCst);
        self.words
    }
}

impl FakeInstance {
    pub(crate) async fn start(words: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (tell, asked) = mpsc::unbounded_channel();
        let (peak, hold) = (Arc::new(AtomicU32::new(0)), Arc::new(Hold::default()));
        let (now, ours, theirs) = (AtomicU32::new(0), Arc::clone(&peak), Arc::clone(&hold));
        let shared = Arc::new(Shared { words, tell, now, peak: ours, hold: theirs });
        let task = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                tokio::spawn(serve(stream, Arc::clone(&shared)));
            }
        });
        Self { address, asked, peak, hold, task }
    }

    /// Takes no more connections. Those there are go on.
    pub(crate) fn close(&self) {
        self.task.abort();
    }
}

async fn serve(stream: TcpStream, shared: Arc<Shared>) {
    let mut first = [0; PREFACE.len()];
    // A gateway writes the preface in one go.
    let seen = stream.peek(&mut first).await.unwrap_or_default();
    if SPEAKS_FRAMES && first[..seen] == *PREFACE {
        return frames(stream, shared).await;
    }
    let service = service_fn(|request: Request<Incoming>| {
        let shared = Arc::clone(&shared);
        async move {
            let (head, body) = request.into_parts();
            let body = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
            let words = shared.answer(Asked { head, body }).await;
            Ok::<_, Infallible>(Response::new(Full::new(Bytes::from_static(words.as_bytes()))))
        }
    });
    let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}

async fn frames(stream: TcpStream, shared: Arc<Shared>) {
    let socket = Arc::new(Socket::from_tcp(stream).unwrap());
    assert_eq!(socket.read(&mut [0; PREFACE.len()]).await.unwrap(), PREFACE.len());
    let mut reader = FrameReader::new(Arc::clone(&socket), PREFACED_FRAME_BYTES_MAX, usize::MAX);
    let link = Arc::new(Link::new(socket));
    while let Ok(ignite_framing::Incoming::Frame(header, payload)) = reader.next().await {
        match header.kind {
            FrameKind::Hello => {
                assert_eq!(Hello::decode(&payload).unwrap().abi_version, ABI_VERSION);
                let ready = Ready { abi_version: ABI_VERSION, max_concurrency: 64, zygote: false, sdk: "fake" };
                link.send(Flush::Now, |out| ready.encode(out)).unwrap();
            }
            FrameKind::Invoke => {
                let (asked, shared, link) = (asked(&payload.keep(0)), Arc::clone(&shared), Arc::clone(&link));
                tokio::spawn(async move {
                    let words = shared.answer(asked).await.as_bytes();
                    let reply = Reply { status: 200, headers: Headers::default(), body: words };
                    let _ = link.send(Flush::Now, |out| reply.encode(header.id, true, out));
                });
            }
            _ => {}
        }
    }
}

/// What INVOKE says, with the ids where they stand in HTTP.
fn asked(payload: &Bytes) -> Asked {
    let invoke = Invoke::decode(payload).unwrap();
    let query = if invoke.query.is_empty() { String::new() } else { format!("?{}", invoke.query) };
    let mut request = Request::builder().method(invoke.method).uri(format!("{}{query}", invoke.path)).body(()).unwrap();
    let mut headers: HeaderMap = header_map(invoke.headers, payload).unwrap();
    for (name, id) in [
        ("x-ignite-execution-id", invoke.execution_id),
        ("x-ignite-function-id", invoke.function_id),
        ("x-ignite-organization-id", invoke.organization_id),
    ] {
        assert!(headers.insert(name, HeaderValue::from_str(id).unwrap()).is_none(), "{name} stands twice");
    }
    *request.headers_mut() = headers;
    Asked { head: request.into_parts().0, body: payload.slice_ref(invoke.body) }
}
