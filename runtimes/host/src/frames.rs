//! A gateway's connection: many requests at a time, in the frames that the host speaks with its workers, the host being the
//! one that is asked here (`core/abi/FRAMES.md`, "Between gateway and host").

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request as HttpRequest, Response, Uri, header};
use http_body::Body as _;
use ignite_core_abi::payload::{
    CancelReason, Failure, Hello, Invoke, Ready, Reply, decode_number, encode_chunk, encode_empty,
};
use ignite_core_abi::{
    ABI_VERSION, FrameHeader, FrameKind, NOT_BEGUN, PREFACE, PREFACED_FRAME_BYTES_MAX, STREAM_WINDOW_BYTES,
};
use ignite_framing::{Flush, FrameReader, Incoming, Link, Payload, ReadEnd, Socket, header_map};
use tokio::sync::{Notify, watch};
use tokio::task::AbortHandle;
use tokio::time::{Instant, timeout, timeout_at};

use crate::body::ResponseBody;
use crate::host::Shared;
use crate::listen::Stream;
use crate::request::{Inward, Named};
use crate::serve::{self, Desk};

/// Executions in flight on one connection. A gateway takes another for more.
const IN_FLIGHT_MAX: u32 = 1024;
/// Longest part of an answer that goes out in one frame, in bytes: others go between the parts of a long one.
const PART_BYTES_MAX: usize = 64 * 1024;
/// How long a gateway that was told to send nothing more may take to end the connection, once all is answered.
const LEAVE_MAX: Duration = Duration::from_millis(500);
/// How long a caller may read nothing of an answer that waits for it.
const UNREAD_MAX: Duration = Duration::from_secs(60);
/// Timers that are kept for further requests of the connection.
const DESKS_MAX: usize = 64;

/// Why a connection ended that the gateway did not end.
struct Fault(String);

/// One connection.
struct Door {
    shared: Arc<Shared>,
    link: Link,
    open: Mutex<HashMap<u64, Execution>>,
    /// Rung when there is none open any more.
    empty: Notify,
    desks: Mutex<Vec<Desk>>,
    leaving: AtomicBool,
}

/// An execution that was asked for and is not answered.
struct Execution {
    /// Ends what works on it.
    abort: AbortHandle,
    credit: Arc<Credit>,
}

/// Bytes of a body that may be sent.
struct Credit {
    bytes: Mutex<u32>,
    more: Notify,
}

/// Serves a connection that begins with the preface, until either side ends it.
pub(crate) async fn serve(stream: impl Stream, shared: &Arc<Shared>, mut stopping: watch::Receiver<bool>) {
    let Ok(socket) = stream.into_socket().map(Arc::new) else { return };
    let mut reader = FrameReader::new(Arc::clone(&socket), PREFACED_FRAME_BYTES_MAX, usize::MAX);
    let link = Link::new(Arc::clone(&socket));
    let hello = shared.serving.load().limits.header_timeout;
    let greeted = timeout(hello, greet(&socket, &mut reader, &link)).await;
    let fault = match greeted {
        Ok(Ok(())) => {
            let door = Arc::new(Door {
                shared: Arc::clone(shared),
                link,
                open: Mutex::default(),
                empty: Notify::new(),
                desks: Mutex::default(),
                leaving: AtomicBool::new(false),
            });
            let fault = tokio::select! {
                fault = read(&door, &mut reader) => fault,
                // Where writing fails reading ends, with what had still come.
                never = async { let _ = door.link.write_loop().await; std::future::pending().await } => never,
                () = leave(&door, &mut stopping) => None,
            };
            door.end();
            fault
        }
        Ok(Err(ended)) => ended,
        Err(_) => Some(Fault("it did not say HELLO in time".into())),
    };
    if let Some(Fault(why)) = fault {
        shared.logs.host("warn", "a gateway's connection was ended", &serde_json::json!({ "reason": why }));
    }
}

/// Takes the preface and HELLO, and answers READY.
async fn greet(socket: &Socket, reader: &mut FrameReader, link: &Link) -> Result<(), Option<Fault>> {
    let mut preface = [0; PREFACE.len()];
    let mut taken = 0;
    // It was seen whole before it came here.
    while taken < preface.len() {
        match socket.read(&mut preface[taken..]).await {
            Ok(0) | Err(_) => return Err(None),
            Ok(read) => taken += read,
        }
    }
    let (header, payload) = match reader.next().await {
        Ok(Incoming::Frame(header, payload)) => (header, payload),
        Ok(Incoming::TooLarge { .. }) => return Err(Some(Fault("a RESULT from a gateway".into()))),
        Err(ReadEnd::Closed) => return Err(None),
        Err(ReadEnd::Fault(why)) => return Err(Some(Fault(why))),
    };
    if header.kind != FrameKind::Hello {
        return Err(Some(Fault(format!("{:?} before HELLO", header.kind))));
    }
    let hello = Hello::decode(&payload).map_err(|error| Some(Fault(format!("HELLO: {error}"))))?;
    // A socket that was just opened has room for a short frame.
    let sent = if hello.abi_version == ABI_VERSION {
        let sdk = concat!("ignite-host/", env!("CARGO_PKG_VERSION"));
        let ready = Ready { abi_version: ABI_VERSION, max_concurrency: IN_FLIGHT_MAX, zygote: false, sdk };
        link.send(Flush::Now, |out| ready.encode(out))
    } else {
        let message = format!("the gateway speaks version {}, this host {ABI_VERSION}", hello.abi_version);
        let failure = Failure { kind: "abi_version", message: &message, trace: "" };
        let _ = link.send(Flush::Now, |out| failure.encode_init_error(out));
        return Err(None);
    };
    sent.map(drop).map_err(|_| None)
}

async fn read(door: &Arc<Door>, reader: &mut FrameReader) -> Option<Fault> {
    loop {
        match reader.next().await {
            Ok(Incoming::Frame(header, payload)) => {
                if let Err(fault) = door.handle(header, payload) {
                    return Some(fault);
                }
            }
            Ok(Incoming::TooLarge { .. }) => return Some(Fault("a RESULT from a gateway".into())),
            Err(ReadEnd::Closed) => return None,
            Err(ReadEnd::Fault(why)) => return Some(Fault(why)),
        }
    }
}

/// Waits until the host drains, tells the gateway, and resolves when all that was asked is answered and the gateway had time
/// to end the connection.
async fn leave(door: &Door, stopping: &mut watch::Receiver<bool>) {
    let _ = stopping.wait_for(|stop| *stop).await;
    door.leaving.store(true, Ordering::Release);
    let _ = door.link.send(Flush::Now, |out| encode_empty(FrameKind::Bye, 0, out));
    loop {
        let empty = door.empty.notified();
        if door.open().is_empty() {
            break;
        }
        empty.await;
    }
    tokio::time::sleep(LEAVE_MAX).await;
}

impl Door {
    fn open(&self) -> MutexGuard<'_, HashMap<u64, Execution>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn handle(self: &Arc<Self>, header: FrameHeader, payload: Payload<'_>) -> Result<(), Fault> {
        let fault = |error| Fault(format!("{:?}: {error}", header.kind));
        match header.kind {
            FrameKind::Invoke if header.is_end() => self.begin(header.id, payload.keep(0)),
            FrameKind::Cancel => {
                CancelReason::decode(&payload).map_err(fault)?;
                // Its answer may have crossed this.
                if let Some(execution) = self.take(header.id) {
                    execution.abort.abort();
                    let failure = Failure { kind: "cancelled", message: "the caller went away", trace: "" };
                    self.send(|out| failure.encode_error(header.id, out));
                }
                Ok(())
            }
            FrameKind::Credit => {
                let bytes = decode_number(&payload).map_err(fault)?;
                let open = self.open();
                open.get(&header.id).map_or(Ok(()), |execution| execution.credit.add(bytes))
            }
            kind => Err(Fault(format!("{kind:?} from a gateway"))),
        }
    }

    /// Begins an execution.
    fn begin(self: &Arc<Self>, id: u64, payload: Bytes) -> Result<(), Fault> {
        if self.leaving.load(Ordering::Acquire) {
            let failure = Failure { kind: NOT_BEGUN, message: "the host is shutting down", trace: "" };
            self.send(|out| failure.encode_error(id, out));
            return Ok(());
        }
        let (request, named) = request(&payload).map_err(|why| Fault(format!("INVOKE: {why}")))?;
        // Locked until it is noted, so that it cannot have ended before.
        let mut open = self.open();
        if open.len() >= IN_FLIGHT_MAX as usize {
            return Err(Fault(format!("more than {IN_FLIGHT_MAX} executions in flight")));
        }
        match open.entry(id) {
            Entry::Occupied(_) => Err(Fault("an id that is in use".into())),
            Entry::Vacant(place) => {
                let credit = Arc::new(Credit { bytes: Mutex::new(STREAM_WINDOW_BYTES), more: Notify::new() });
                let answering = Answering { door: Arc::clone(self), id, credit: Arc::clone(&credit) };
                let abort = tokio::spawn(answering.run(request, named)).abort_handle();
                place.insert(Execution { abort, credit });
                Ok(())
            }
        }
    }

    /// Whoever takes an execution answers it.
    fn take(&self, id: u64) -> Option<Execution> {
        let mut open = self.open();
        let taken = open.remove(&id);
        if open.is_empty() {
            self.empty.notify_one();
        }
        taken
    }

    /// Adds frames. Where that is not possible the connection has ended, and its reader sees it.
    fn send(&self, encode: impl FnOnce(&mut Vec<u8>)) {
        let in_flight = self.open().len();
        let _ = self.link.send(Flush::beside(in_flight), encode);
    }

    /// The gateway is gone, and with it all callers.
    fn end(&self) {
        self.link.close();
        for (_, execution) in self.open().drain() {
            execution.abort.abort();
        }
    }

    fn desks(&self) -> MutexGuard<'_, Vec<Desk>> {
        self.desks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The request of an INVOKE, whose parts share its payload.
fn request(payload: &Bytes) -> Result<(HttpRequest<Inward>, Named), String> {
    let invoke = Invoke::decode(payload).map_err(|error| error.to_string())?;
    let method = Method::from_bytes(invoke.method.as_bytes()).map_err(|error| error.to_string())?;
    let uri = match invoke.query {
        "" => Uri::try_from(invoke.path),
        query => Uri::try_from(format!("{}?{query}", invoke.path)),
    };
    let mut request = HttpRequest::new(Inward::Right(payload.slice_ref(invoke.body).into()));
    *request.method_mut() = method;
    *request.uri_mut() = uri.map_err(|error| error.to_string())?;
    *request.headers_mut() = header_map(invoke.headers, payload).map_err(|error| error.to_string())?;
    Ok((request, Named::new(invoke.execution_id, invoke.function_id, invoke.organization_id)))
}

/// What works on an execution. Dropped before it has answered, it says so.
struct Answering {
    door: Arc<Door>,
    id: u64,
    credit: Arc<Credit>,
}

impl Drop for Answering {
    fn drop(&mut self) {
        if self.door.take(self.id).is_some() {
            let failure = Failure { kind: "broken_off", message: "the host failed", trace: "" };
            self.door.send(|out| failure.encode_error(self.id, out));
        }
    }
}

impl Answering {
    async fn run(self, request: HttpRequest<Inward>, named: Named) {
        let kept = self.door.desks().pop();
        let desk = kept.unwrap_or_else(|| Desk::new(&self.door.shared));
        let response = serve::answer(request, named, &desk).await;
        {
            let mut desks = self.door.desks();
            if desks.len() < DESKS_MAX {
                desks.push(desk);
            }
        }
        self.answer(response).await;
    }

    async fn answer(&self, mut response: Response<ResponseBody>) {
        // A frame has two bytes for a value's length.
        if response.headers().values().any(|value| value.len() > usize::from(u16::MAX)) {
            let message = "a header of the answer is longer than 65535 bytes";
            return self.last(|id, out| Failure { kind: "header_too_long", message, trace: "" }.encode_error(id, out));
        }
        match response.body_mut() {
            ResponseBody::Full(body) if body.as_ref().is_none_or(|body| body.len() <= PART_BYTES_MAX) => {
                let body = body.take().unwrap_or_default();
                self.last(|id, out| encode_head(&response, &body, true, id, out));
            }
            ResponseBody::Full(body) => {
                let length = body.as_ref().map_or(0, Bytes::len);
                response.headers_mut().insert(header::CONTENT_LENGTH, length.into());
                self.in_parts(response).await;
            }
            ResponseBody::Stream(_) => self.in_parts(response).await,
        }
    }

    /// Sends the head at once, and the body as there is credit for it.
    async fn in_parts(&self, mut response: Response<ResponseBody>) {
        self.door.send(|out| encode_head(&response, &[], false, self.id, out));
        let deadline = response.body().deadline();
        let body = response.body_mut();
        loop {
            match poll_fn(|cx| Pin::new(&mut *body).poll_frame(cx)).await {
                None => return self.last(|id, out| encode_chunk(id, true, &[], out)),
                Some(Err(broken)) => {
                    return self.last(|id, out| {
                        Failure { kind: "broken_off", message: &broken.0, trace: "" }.encode_error(id, out);
                    });
                }
                Some(Ok(frame)) => {
                    let Ok(mut part) = frame.into_data() else { continue };
                    while !part.is_empty() {
                        let patience = Instant::now() + UNREAD_MAX;
                        let until = deadline.map_or(patience, |deadline| deadline.min(patience));
                        let credit = self.credit.take(part.len().min(PART_BYTES_MAX));
                        let Ok(bytes) = timeout_at(until, credit).await else {
                            let message = "the caller did not read it in time";
                            return self.last(|id, out| {
                                Failure { kind: "broken_off", message, trace: "" }.encode_error(id, out);
                            });
                        };
                        let now = part.split_to(bytes);
                        self.door.send(|out| encode_chunk(self.id, false, &now, out));
                    }
                }
            }
        }
    }

    /// Sends what ends the execution, unless it was cancelled.
    fn last(&self, encode: impl FnOnce(u64, &mut Vec<u8>)) {
        if self.door.take(self.id).is_some() {
            self.door.send(|out| encode(self.id, out));
        }
    }
}

fn encode_head(response: &Response<ResponseBody>, body: &[u8], end: bool, id: u64, out: &mut Vec<u8>) {
    let reply = Reply { status: response.status().as_u16(), headers: Default::default(), body };
    let pairs = response.headers().iter().map(|(name, value)| (name.as_str(), value.as_bytes()));
    reply.encode_from(id, end, pairs, out);
}

impl Credit {
    fn add(&self, bytes: u32) -> Result<(), Fault> {
        let mut credit = self.bytes.lock().unwrap_or_else(PoisonError::into_inner);
        let sum = credit.checked_add(bytes).filter(|sum| *sum <= STREAM_WINDOW_BYTES);
        *credit = sum.ok_or_else(|| Fault("more credit than the window".into()))?;
        drop(credit);
        self.more.notify_one();
        Ok(())
    }

    /// Takes credit for up to `wanted` bytes, at least for one; waits for it.
    async fn take(&self, wanted: usize) -> usize {
        loop {
            {
                let mut credit = self.bytes.lock().unwrap_or_else(PoisonError::into_inner);
                if *credit > 0 {
                    let taken = u32::try_from(wanted).unwrap_or(u32::MAX).min(*credit);
                    *credit -= taken;
                    return taken as usize;
                }
            }
            self.more.notified().await;
        }
    }
}

#[cfg(test)]
mod tests;
