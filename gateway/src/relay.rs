//! A connection to a host that carries many requests at a time, in frames (`core/abi/FRAMES.md`, "Between gateway and host"):
//! requests that come together leave in one write, and so do their answers.

use std::collections::HashMap;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body::{Body, Frame};
use http_body_util::{Either, Full};
use ignite_core_abi::payload::{CancelReason, Failure, Hello, Invoke, Ready, Reply, encode_credit};
use ignite_core_abi::{
    ABI_VERSION, FrameHeader, FrameKind, Headers, NOT_BEGUN, PREFACE, PREFACED_FRAME_BYTES_MAX, STREAM_WINDOW_BYTES,
};
use ignite_core_model::{ExecutionId, HostAddress};
use ignite_framing::{Arriving, Flush, FrameReader, Incoming, Link, Next, Payload, Socket, header_map};
use tokio::net::{TcpStream, UnixStream};
use tokio::sync::{Notify, oneshot};
use tokio::time::timeout;

use crate::app::App;
use crate::body::BoxError;

/// Credit is granted in pieces of at least this, in bytes.
const CREDIT_STEP_BYTES: u32 = STREAM_WINDOW_BYTES / 4;

/// What a host says when it is asked for frames.
pub(crate) enum Opened {
    /// It speaks them.
    Relay(Arc<Relay>),
    /// It does not: HTTP is what it understands.
    HttpOnly,
    /// It says nothing, and may be asked again.
    Silent,
}

/// The connection, for those who ask. When the last of them lets go of it, it ends.
pub(crate) struct Relay(Arc<Line>);

/// Why a request has no answer.
#[derive(Debug)]
pub(crate) enum CallError {
    /// As many as the host takes on one connection are under way: nothing was sent.
    Full,
    /// The connection takes no requests any more: nothing was sent.
    Closed,
    /// It was not begun, and may be sent elsewhere.
    NotBegun,
    /// It may have been begun.
    BrokenOff,
}

/// What both sides of the connection share.
struct Line {
    link: Link,
    calls: Mutex<Calls>,
    /// Requests the host takes at once.
    room: usize,
    /// Rung when the connection may be of no use any more.
    changed: Notify,
}

struct Calls {
    next: u64,
    open: HashMap<u64, Call>,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Open,
    /// The host wants no more requests, or nobody has any more.
    Leaving,
    Ended,
}

struct Call {
    stage: Stage,
    /// Bytes of the connection up to the end of its INVOKE.
    ends_at: u64,
}

enum Stage {
    Waiting(oneshot::Sender<Result<Answer, CallError>>),
    Streaming(Arc<Arriving>),
}

struct Answer {
    head: Response<()>,
    body: Part,
}

/// What comes with the head of an answer.
enum Part {
    Whole(Bytes),
    First(Arc<Arriving>),
}

/// The host said what it must not.
struct Fault;

impl Relay {
    /// Connects and asks for frames; both may take `patience`.
    ///
    /// # Errors
    /// When no connection can be made.
    pub(crate) async fn open(address: &HostAddress, patience: Duration) -> io::Result<Opened> {
        let socket = timeout(patience, connect(address)).await??;
        Ok(timeout(patience, Self::greet(socket)).await.unwrap_or(Opened::Silent))
    }

    async fn greet(socket: Socket) -> Opened {
        let socket = Arc::new(socket);
        // The host ends an answer in parts no longer than a frame may be.
        let mut reader = FrameReader::new(Arc::clone(&socket), PREFACED_FRAME_BYTES_MAX, usize::MAX);
        let link = Link::new(socket);
        let hello = Hello {
            abi_version: ABI_VERSION,
            frame_bytes_max: PREFACED_FRAME_BYTES_MAX,
            stream_window_bytes: STREAM_WINDOW_BYTES,
            max_concurrency: u32::MAX,
        };
        let sent = link.send(Flush::Now, |out| {
            out.extend_from_slice(PREFACE);
            hello.encode(out);
        });
        let Ok(_) = sent else { return Opened::HttpOnly };
        // A server of HTTP answers that this is no request, which is no frame; or it says nothing and goes.
        let room = match reader.next().await {
            Ok(Incoming::Frame(header, payload)) if header.kind == FrameKind::Ready => match Ready::decode(&payload) {
                Ok(ready) if ready.abi_version == ABI_VERSION => ready.max_concurrency as usize,
                Ok(_) | Err(_) => return Opened::HttpOnly,
            },
            Ok(_) | Err(_) => return Opened::HttpOnly,
        };
        let calls = Mutex::new(Calls { next: 1, open: HashMap::new(), state: State::Open });
        let line = Arc::new(Line { link, calls, room, changed: Notify::new() });
        tokio::spawn(drive(Arc::clone(&line), reader));
        Opened::Relay(Arc::new(Self(line)))
    }

    /// Whether it takes requests.
    pub(crate) fn is_open(&self) -> bool {
        self.0.calls().state == State::Open
    }

    /// Sends a request whose body is `body`, and waits for the head of its answer.
    pub(crate) async fn call<B>(
        self: &Arc<Self>,
        request: &Request<B>,
        body: &[u8],
        execution: ExecutionId,
        app: &App,
    ) -> Result<Response<RelayedBody>, CallError> {
        let (sender, receiver) = oneshot::channel();
        let id = self.0.begin(sender, request, body, execution, app)?;
        let mut call = Calling { relay: Arc::clone(self), id, answered: false };
        let answer = receiver.await.unwrap_or(Err(CallError::BrokenOff))?;
        let body = match answer.body {
            Part::Whole(bytes) => {
                call.answered = true;
                RelayedBody::Left(bytes.into())
            }
            Part::First(arriving) => RelayedBody::Right(Streamed { call, arriving, taken: 0 }),
        };
        Ok(answer.head.map(|()| body))
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        let mut calls = self.0.calls();
        if calls.state == State::Open {
            calls.state = State::Leaving;
        }
        drop(calls);
        self.0.changed.notify_one();
    }
}

async fn connect(address: &HostAddress) -> io::Result<Socket> {
    match address {
        HostAddress::Tcp(address) => {
            let stream = TcpStream::connect(address).await?;
            stream.set_nodelay(true)?;
            Socket::from_tcp(stream)
        }
        HostAddress::Unix(path) => Socket::from_unix(UnixStream::connect(path).await?),
    }
}

/// Reads and writes until the connection ends, or is of no use.
async fn drive(line: Arc<Line>, mut reader: FrameReader) {
    let reading = async {
        while let Ok(Incoming::Frame(header, payload)) = reader.next().await {
            if line.handle(header, payload).is_err() {
                return;
            }
        }
    };
    tokio::select! {
        () = reading => {}
        // Where writing fails reading ends, with what had still come.
        never = async { let _ = line.link.write_loop().await; std::future::pending().await } => never,
        () = line.unused() => {}
    }
    line.end();
}

impl Line {
    fn calls(&self) -> MutexGuard<'_, Calls> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn begin<B>(
        &self,
        sender: oneshot::Sender<Result<Answer, CallError>>,
        request: &Request<B>,
        body: &[u8],
        execution: ExecutionId,
        app: &App,
    ) -> Result<u64, CallError> {
        let mut calls = self.calls();
        match calls.state {
            State::Open if calls.open.len() >= self.room => return Err(CallError::Full),
            State::Open => {}
            State::Leaving | State::Ended => return Err(CallError::Closed),
        }
        let mut text = [0; ExecutionId::TEXT_BYTES];
        let target = request.uri().path_and_query();
        let invoke = Invoke {
            // The host has limits of its own, and reads what the request says of the time it has.
            timeout_us: 0,
            execution_id: execution.to_text(&mut text),
            function_id: app.id.as_str(),
            organization_id: app.organization.as_str(),
            method: request.method().as_str(),
            path: target.map_or("/", http::uri::PathAndQuery::path),
            query: target.and_then(http::uri::PathAndQuery::query).unwrap_or_default(),
            headers: Headers::default(),
            body,
        };
        let pairs = request.headers().iter().map(|(name, value)| (name.as_str(), value.as_bytes()));
        let (id, flush) = (calls.next, Flush::beside(calls.open.len()));
        calls.next += 1;
        let sent = self.link.send(flush, |out| invoke.encode_from(id, pairs, out));
        let ends_at = sent.map_err(|_| CallError::Closed)?;
        calls.open.insert(id, Call { stage: Stage::Waiting(sender), ends_at });
        Ok(id)
    }

    fn handle(&self, header: FrameHeader, payload: Payload<'_>) -> Result<(), Fault> {
        match header.kind {
            FrameKind::Result => self.on_result(header, payload.keep(0)),
            FrameKind::Chunk => {
                let stage = if header.is_end() { self.take(header.id) } else { self.streaming(header.id)? };
                match stage {
                    // It was given up.
                    None => Ok(()),
                    Some(Stage::Waiting(_)) => Err(Fault),
                    Some(Stage::Streaming(arriving)) => {
                        arriving.push(payload.keep(0)).map_err(|_| Fault)?;
                        if header.is_end() {
                            arriving.end(Ok(()));
                        }
                        Ok(())
                    }
                }
            }
            FrameKind::Error => {
                let failure = Failure::decode(&payload).map_err(|_| Fault)?;
                match self.take(header.id) {
                    None => {}
                    Some(Stage::Streaming(arriving)) => arriving.end(Err(failure.message.to_owned())),
                    Some(Stage::Waiting(sender)) => {
                        let begun = failure.kind != NOT_BEGUN;
                        let _ = sender.send(Err(if begun { CallError::BrokenOff } else { CallError::NotBegun }));
                    }
                }
                Ok(())
            }
            FrameKind::Bye => {
                self.calls().state = State::Leaving;
                self.changed.notify_one();
                Ok(())
            }
            _ => Err(Fault),
        }
    }

    fn on_result(&self, header: FrameHeader, payload: Bytes) -> Result<(), Fault> {
        let reply = Reply::decode(&payload).map_err(|_| Fault)?;
        let first = payload.slice_ref(reply.body);
        let (stage, body) = if header.is_end() {
            (self.take(header.id), Part::Whole(first))
        } else {
            let arriving = Arc::new(Arriving::default());
            arriving.push(first).map_err(|_| Fault)?;
            let mut calls = self.calls();
            let stage = calls
                .open
                .get_mut(&header.id)
                .map(|call| std::mem::replace(&mut call.stage, Stage::Streaming(Arc::clone(&arriving))));
            (stage, Part::First(arriving))
        };
        match stage {
            None => Ok(()),
            Some(Stage::Streaming(_)) => Err(Fault),
            Some(Stage::Waiting(sender)) => {
                let mut head = Response::new(());
                *head.status_mut() = StatusCode::from_u16(reply.status).map_err(|_| Fault)?;
                *head.headers_mut() = header_map(reply.headers, &payload).map_err(|_| Fault)?;
                // Where nobody waits any more, whoever waited has given the call up.
                let _ = sender.send(Ok(Answer { head, body }));
                Ok(())
            }
        }
    }

    /// Takes a call out, whose answer has come to its end.
    fn take(&self, id: u64) -> Option<Stage> {
        let mut calls = self.calls();
        let call = calls.open.remove(&id)?;
        if calls.state != State::Open && calls.open.is_empty() {
            self.changed.notify_one();
        }
        Some(call.stage)
    }

    fn streaming(&self, id: u64) -> Result<Option<Stage>, Fault> {
        match self.calls().open.get(&id).map(|call| &call.stage) {
            None => Ok(None),
            Some(Stage::Streaming(arriving)) => Ok(Some(Stage::Streaming(Arc::clone(arriving)))),
            Some(Stage::Waiting(_)) => Err(Fault),
        }
    }

    /// Resolves when nothing is under way and nothing more will be.
    async fn unused(&self) {
        loop {
            self.changed.notified().await;
            let calls = self.calls();
            if calls.state != State::Open && calls.open.is_empty() {
                return;
            }
        }
    }

    /// Ends the connection, and tells all who wait that there is no answer.
    fn end(&self) {
        self.link.close();
        self.link.socket().end();
        let written = self.link.written();
        let open = {
            let mut calls = self.calls();
            calls.state = State::Ended;
            std::mem::take(&mut calls.open)
        };
        for (_, call) in open {
            match call.stage {
                Stage::Streaming(arriving) => arriving.end(Err("the instance broke it off".to_owned())),
                Stage::Waiting(sender) => {
                    let sent = call.ends_at <= written;
                    let _ = sender.send(Err(if sent { CallError::BrokenOff } else { CallError::NotBegun }));
                }
            }
        }
    }
}

/// A call whose answer somebody waits for. Dropped before its end, it is cancelled.
struct Calling {
    relay: Arc<Relay>,
    id: u64,
    answered: bool,
}

impl Drop for Calling {
    fn drop(&mut self) {
        let line = &self.relay.0;
        if !self.answered && line.take(self.id).is_some() {
            let _ = line.link.send(Flush::Now, |out| CancelReason::Disconnect.encode(self.id, out));
        }
    }
}

/// The body of an answer: one that came with its head, or comes in parts.
pub(crate) type RelayedBody = Either<Full<Bytes>, Streamed>;

/// A body that comes in parts, as fast as it is read.
pub(crate) struct Streamed {
    call: Calling,
    arriving: Arc<Arriving>,
    /// Bytes that were read and for which no credit was given yet.
    taken: u32,
}

impl Body for Streamed {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match ready!(self.arriving.poll_next(cx)) {
            Next::Part(part) => {
                // A part is never longer than the window.
                self.taken += part.len() as u32;
                if self.taken >= CREDIT_STEP_BYTES {
                    self.arriving.grant(self.taken);
                    let (line, id, taken) = (&self.call.relay.0, self.call.id, self.taken);
                    let _ = line.link.send(Flush::Now, |out| encode_credit(id, taken, out));
                    self.taken = 0;
                }
                Poll::Ready(Some(Ok(Frame::data(part))))
            }
            Next::End(Ok(())) => Poll::Ready(None),
            Next::End(Err(why)) => Poll::Ready(Some(Err(why.into()))),
        }
    }
}
