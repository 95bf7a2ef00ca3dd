//! Connections and what happens on them.

use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use http::{Method, Request as HttpRequest, Response, StatusCode, header};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use ignite_core_abi::PREFACE;
use ignite_core_model::Limits;
use ignite_runtimes_executor::{Health, Invocation, InvokeError, RequestBody};
use ignite_waiting::{KeptTimer, until_rung};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::{Instant, timeout, timeout_at};

use crate::body::ResponseBody;
use crate::clocks::{Clock, Head, Total};
use crate::descriptors;
use crate::errors::HostError;
use crate::frames;
use crate::host::Shared;
use crate::listen::{Connected, Listener, Stream};
use crate::request::{self, Inward, Named, check_head, remove_not_passed_on};
use crate::respond::{self, Ids};
use crate::serving::Request;
use crate::traces;

/// Pause after an accept that failed for want of descriptors or memory, so that the loop does not spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(20);
/// How long a connection that has sent nothing may still send its first request when the host begins to drain.
const FRESH_GRACE: Duration = Duration::from_millis(20);
/// Pause between two looks at a connection's first bytes.
const PEEK_PAUSE: Duration = Duration::from_millis(2);
/// What an HTTP/2 connection begins with (RFC 9113 §3.4); HTTP/1 methods differ from it within these.
const HTTP2_BEGINS: &[u8] = b"PRI ";
/// The longer of the two beginnings that are looked for.
const LOOKED_AT_BYTES: usize = if PREFACE.len() > HTTP2_BEGINS.len() { PREFACE.len() } else { HTTP2_BEGINS.len() };
/// Streams of one HTTP/2 connection at once.
const HTTP2_STREAMS_MAX: u32 = 256;

/// Accepts connections until `stopping` says to stop, then those that were made before, and lets all finish their requests.
pub(crate) async fn accept(listener: Listener, shared: Arc<Shared>, mut stopping: watch::Receiver<bool>) {
    let limits = shared.serving.load().limits.clone();
    let connections_max = descriptors::connections_max(&limits, shared.multi.as_ref().map(|multi| multi.descriptors()));
    if connections_max < limits.connections_max {
        shared.logs.host(
            "warn",
            "fewer connections are taken than the limit allows",
            &serde_json::json!({ "connections_max": connections_max, "reason": "there are too few file descriptors" }),
        );
    }
    let places = Arc::new(Semaphore::new(connections_max as usize));
    let serve = |connected: Connected, place: OwnedSemaphorePermit, stopping: watch::Receiver<bool>| {
        let shared = Arc::clone(&shared);
        match connected {
            Connected::Tcp(stream) => drop(tokio::spawn(counted(stream, shared, place, stopping))),
            Connected::Unix(stream) => drop(tokio::spawn(counted(stream, shared, place, stopping))),
        }
    };
    loop {
        let place = tokio::select! {
            place = Arc::clone(&places).acquire_owned() => place,
            _ = stopping.wait_for(|stop| *stop) => break,
        };
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = stopping.wait_for(|stop| *stop) => break,
        };
        match (accepted, place) {
            (Ok(connected), Ok(place)) => serve(connected, place, stopping.clone()),
            (Err(error), _) => {
                // A connection that ended before it was taken is nobody's concern; all else passes, but not at once.
                if !matches!(error.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset) {
                    shared.logs.host(
                        "warn",
                        "could not accept a connection",
                        &serde_json::json!({ "error": error.to_string() }),
                    );
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
            // Nobody closes the semaphore.
            (_, Err(_)) => break,
        }
    }
    // Their callers were told that they are connected; closing the listener now would reset them.
    while let (Ok(place), Some(Ok(connected))) =
        (Arc::clone(&places).try_acquire_owned(), listener.accept().now_or_never())
    {
        serve(connected, place, stopping.clone());
    }
}

async fn counted(
    stream: impl Stream,
    shared: Arc<Shared>,
    place: OwnedSemaphorePermit,
    stopping: watch::Receiver<bool>,
) {
    shared.metrics.connections.inc();
    connection(stream, &shared, stopping).await;
    shared.metrics.connections.dec();
    drop(place);
}

/// Serves one connection to its end. Faults of the connection are its caller's and end here.
async fn connection(stream: impl Stream, shared: &Arc<Shared>, mut stopping: watch::Receiver<bool>) {
    let limits = shared.serving.load().limits.clone();
    let begins = tokio::select! {
        begins = timeout(limits.header_timeout, speech(&stream)) => Some(begins),
        _ = stopping.wait_for(|stop| *stop) => None,
    };
    let begins = match begins {
        Some(begins) => begins,
        // Nobody has asked for anything yet, but may be about to.
        None => timeout(FRESH_GRACE, speech(&stream)).await,
    };
    let Ok(Ok(speech)) = begins else { return };
    if speech == Speech::Frames {
        return frames::serve(stream, shared, stopping).await;
    }
    let io = TokioIo::new(stream);
    let desk = Desk::new(shared);
    // Pinned here, because a connection that is told to shut down has to be awaited further.
    if speech == Speech::Http2 {
        let service = service_fn(|request| {
            let desk = desk.clone();
            async move { Ok::<_, Infallible>(answer_http(request, &desk).await) }
        });
        let connection = http2_builder(&limits).serve_connection(io, service);
        let mut connection = std::pin::pin!(connection);
        if until_rung(connection.as_mut(), stopping.wait_for(|stop| *stop), || shared.is_draining()).await {
            return;
        }
        connection.as_mut().graceful_shutdown();
        let _ = connection.await;
    } else {
        let service = service_fn(|request| {
            let desk = &desk;
            async move { Ok::<_, Infallible>(answer_http(request, desk).await) }
        });
        let connection = http1_builder(&limits).serve_connection(io, service);
        let mut connection = std::pin::pin!(connection);
        if until_rung(connection.as_mut(), stopping.wait_for(|stop| *stop), || shared.is_draining()).await {
            return;
        }
        connection.as_mut().graceful_shutdown();
        let _ = connection.await;
    }
}

/// What requests that follow each other share.
#[derive(Clone)]
pub(crate) struct Desk {
    shared: Arc<Shared>,
    /// For the payload.
    body_timer: KeptTimer,
    /// For the execution.
    timer: KeptTimer,
}

impl Desk {
    pub(crate) fn new(shared: &Arc<Shared>) -> Self {
        Self { shared: Arc::clone(shared), body_timer: KeptTimer::default(), timer: KeptTimer::default() }
    }
}

fn http1_builder(limits: &Limits) -> hyper::server::conn::http1::Builder {
    let mut builder = hyper::server::conn::http1::Builder::new();
    builder
        .timer(KeptTimer::default())
        .header_read_timeout(limits.header_timeout)
        // Beyond this hyper answers 431 itself, without a body; up to it `request.rs` does, with the limit's name.
        .max_buf_size((2 * limits.header_bytes_max).max(64 * 1024));
    builder
}

fn http2_builder(limits: &Limits) -> hyper::server::conn::http2::Builder<TokioExecutor> {
    let mut builder = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .keep_alive_interval(limits.header_timeout)
        .max_concurrent_streams(HTTP2_STREAMS_MAX)
        .max_header_list_size(u32::try_from(2 * limits.header_bytes_max).unwrap_or(u32::MAX));
    builder
}

/// What a connection speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Speech {
    Http1,
    Http2,
    Frames,
}

impl Speech {
    /// What `first` is the beginning of; `None` while it may be more than one. `more` may follow.
    fn of(first: &[u8], more: bool) -> Option<Self> {
        let may_be = |begins: &[u8]| {
            let seen = first.len().min(begins.len());
            first[..seen] == begins[..seen] && (more || first.len() >= begins.len())
        };
        let is = |begins: &[u8]| first.starts_with(begins);
        match (may_be(HTTP2_BEGINS), may_be(PREFACE)) {
            (true, _) if is(HTTP2_BEGINS) => Some(Self::Http2),
            (_, true) if is(PREFACE) => Some(Self::Frames),
            (false, false) => Some(Self::Http1),
            _ => None,
        }
    }
}

/// Looks at the first bytes without taking them.
async fn speech(stream: &impl Stream) -> io::Result<Speech> {
    let mut first = [0; LOOKED_AT_BYTES];
    loop {
        let seen = stream.peek(&mut first).await?;
        if let Some(speech) = Speech::of(&first[..seen], seen > 0) {
            return Ok(speech);
        }
        tokio::time::sleep(PEEK_PAUSE).await;
    }
}

async fn answer_http(request: HttpRequest<Incoming>, desk: &Desk) -> Response<ResponseBody> {
    let named = Named::of(request.headers());
    answer(request.map(Inward::Left), named, desk).await
}

/// Answers a request.
pub(crate) async fn answer(request: HttpRequest<Inward>, named: Named, desk: &Desk) -> Response<ResponseBody> {
    if matches!(*request.method(), Method::GET | Method::HEAD) {
        match request.uri().path() {
            "/healthz" => return desk.shared.healthz(),
            "/livez" => return respond::json(StatusCode::OK, &serde_json::json!({ "status": "live" })),
            _ => {}
        }
    }
    execution(request, named, desk).await
}

/// One execution, from its head to its answer's head.
async fn execution(mut request: HttpRequest<Inward>, named: Named, desk: &Desk) -> Response<ResponseBody> {
    let shared = &*desk.shared;
    let begun = Instant::now();
    let traced = shared.tracer.is_on().then(|| traces::Span::enter(&shared.tracer, request.headers_mut()));
    let execution = named.execution;
    let mut mine = match &shared.multi {
        None => Request::begin(&shared.serving, execution, &shared.logs, &shared.metrics),
        Some(multi) => {
            let patience = begun + shared.serving.load().limits.queue_timeout;
            match multi.enter(&request, patience).await {
                Ok(serving) => Request::begun(serving, execution, &shared.logs, &shared.metrics),
                Err(error) => return no_app(request, named, &error, shared),
            }
        }
    };
    mine.trace(request.headers());
    let own = &mine.serving.identity;
    let ids = named.ids((&own.function, &own.organization));
    let expose_errors = mine.serving.expose_errors;
    let counts = mine.serving.counts.clone();
    let response = match run(request, mine, &ids, begun, desk).await {
        Ok(response) => response,
        Err(error) => {
            report(&error, &ids, shared);
            respond::error(&error, &ids, expose_errors)
        }
    };
    shared.metrics.answered(response.status().as_u16(), begun.elapsed());
    if let Some(traced) = traced {
        traced.answered(&shared.tracer, &ids, response.status());
    }
    if let Some(counts) = counts {
        counts.answered(response.status().as_u16());
    }
    response
}

/// Answers a request for which a host of many apps has none.
fn no_app(request: HttpRequest<Inward>, named: Named, error: &HostError, shared: &Shared) -> Response<ResponseBody> {
    let ids = named.ids((&shared.config.function_id, &shared.config.organization_id));
    // Anybody may ask for names that are not there: that is counted, and no line of the log.
    if matches!(error, HostError::UnknownHost) {
        shared.metrics.refused(error.class());
    } else {
        report(error, &ids, shared);
    }
    if !request.headers().contains_key(header::EXPECT) {
        tokio::spawn(request::discard(request.into_body()));
    }
    respond::error(error, &ids, false)
}

async fn run(
    request: HttpRequest<Inward>,
    mine: Request,
    ids: &Ids,
    begun: Instant,
    desk: &Desk,
) -> Result<Response<ResponseBody>, HostError> {
    let shared = &*desk.shared;
    let serving = &*mine.serving;
    let limits = &serving.limits;
    let (mut parts, mut body) = request.into_parts();
    let asks_first = parts.headers.contains_key(header::EXPECT);
    let checked = check_head(&parts, &body, limits).and_then(|()| request::time_limit(&parts.headers, limits));
    let time_limit = match checked {
        Ok(time_limit) => time_limit,
        Err(error) => {
            // Who waits for leave to send the payload sends none after a refusal.
            if !asks_first {
                tokio::spawn(request::discard(body));
            }
            return Err(error);
        }
    };
    let total = Total { limit: time_limit, at: begun + time_limit };
    let deadline = total.at;
    remove_not_passed_on(&mut parts.headers);

    // A payload is read before a slot is taken, so that a slow caller holds none; a function that reads while the caller
    // writes holds one from the start.
    let (body, feed) = if serving.executor.reads_streams() {
        let (body, feed) = request::stream_body(body, limits, deadline);
        (body, Some(feed))
    } else {
        match request::read_body(&mut body, limits, deadline, &desk.body_timer).await {
            Ok(payload) => (RequestBody::Full(payload), None),
            Err(error) => {
                if matches!(error, HostError::PayloadTooLarge { .. }) {
                    tokio::spawn(request::discard(body));
                }
                return Err(error);
            }
        }
    };
    wait_until_started(serving, deadline).await?;
    let slot = serving.admission.admit(deadline, &shared.metrics).await?;
    let (path, query) = match parts.uri.path_and_query() {
        Some(both) => (both.path().to_owned(), both.query().unwrap_or_default().to_owned()),
        None => ("/".to_owned(), String::new()),
    };
    let head = Head::new(Instant::now(), total, limits);
    let invocation = Invocation {
        execution_id: ids.execution,
        function_id: ids.function.clone(),
        organization_id: ids.organization.clone(),
        method: parts.method,
        path,
        query,
        headers: parts.headers,
        body,
        deadline,
        head_by: head.by,
        slot,
    };
    let answer = desk.timer.within(head.by, serving.executor.invoke(invocation));
    let reply = match feed {
        None => answer.await,
        Some(feed) => beside(answer, feed).await,
    };
    match reply {
        Ok(Ok(reply)) => Ok(respond::reply(reply, ids, mine, deadline)),
        Ok(Err(InvokeError::TimedOut)) | Err(_) => Err(head.expired(total)),
        Ok(Err(error)) => Err(error.into()),
    }
}

/// Awaits `answer` while `feed` brings the request's body. A feed that is not finished when the answer begins goes on by
/// itself: the function may read on while it writes. It ends with its caller, with the function, or at the deadline.
async fn beside<T>(answer: impl Future<Output = T>, feed: impl Future<Output = ()> + Send + 'static) -> T {
    let feeding = tokio::spawn(feed);
    let mut abort = AbortUnless { handle: Some(feeding.abort_handle()) };
    let answer = answer.await;
    abort.handle = None;
    answer
}

/// Aborts a task when the future it belongs to is dropped half-way.
struct AbortUnless {
    handle: Option<tokio::task::AbortHandle>,
}

impl Drop for AbortUnless {
    fn drop(&mut self) {
        if let Some(handle) = &self.handle {
            handle.abort();
        }
    }
}

/// The first requests after a start wait for it instead of failing.
async fn wait_until_started(serving: &crate::serving::Serving, deadline: Instant) -> Result<(), HostError> {
    let health = match serving.executor.health() {
        Health::Starting => {
            let patience = deadline.min(Instant::now() + serving.limits.queue_timeout);
            timeout_at(patience, serving.executor.started()).await.unwrap_or(Health::Starting)
        }
        health => health,
    };
    match health {
        Health::Ready => Ok(()),
        Health::Starting => Err(InvokeError::Unavailable("it is still starting".into()).into()),
        Health::Warm => Err(InvokeError::Unavailable("this host has no app yet".into()).into()),
        Health::Failed(reason) => Err(InvokeError::NotLoaded { reason }.into()),
        Health::Draining => Err(InvokeError::Unavailable("it is shutting down".into()).into()),
    }
}

/// A handler's own errors are logged where they arise; all others here, once.
fn report(error: &HostError, ids: &Ids, shared: &Shared) {
    shared.metrics.refused(error.class());
    if let Some(clock) = Clock::of(error) {
        shared.metrics.expired(clock);
    }
    if !matches!(error, HostError::Invoke(InvokeError::Handler { .. })) {
        let function = shared.multi.is_some().then_some(&ids.function);
        let message = format!("answered {}: {}", error.status().as_u16(), error.in_full());
        shared.logs.about("warn", function, ids.execution, &message);
    }
}
