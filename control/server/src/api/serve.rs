//! The API's listener: HTTP/1.1 and h2c, one door, and the place where uploads are put when the object store is a folder.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use connectrpc::{ConnectRpcBody, ConnectRpcService};
use futures_util::StreamExt as _;
use http::{Method, Request, Response, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, BodyStream, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use ignite_store_objects::{Claim, SignedMethod};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::Service as _;

use super::executions::INVOKE_BYTES_MAX;
use super::source::INLINE_BYTES_MAX;
use super::{Platform, door, router};

/// Open connections.
const CONNECTIONS_MAX: usize = 4_096;

/// Longest time for a request's headers, and for an idle connection.
const HEADER_TIMEOUT: Duration = Duration::from_secs(30);

/// Streams of one HTTP/2 connection at once.
const HTTP2_STREAMS_MAX: u32 = 256;

/// Longest message, in bytes: the payload of a call, which is longer than an inline source, in the base 64 of JSON, and what
/// is around it.
const MESSAGE_BYTES_MAX: usize = INVOKE_BYTES_MAX * 4 / 3 + (1 << 20);
const _: () = assert!(INLINE_BYTES_MAX <= INVOKE_BYTES_MAX);

/// How long calls may take to finish when the API ends.
const DRAIN_MAX: Duration = Duration::from_secs(10);

/// Pause after an accept that failed.
const ACCEPT_PAUSE: Duration = Duration::from_millis(20);

/// What the path of an object's URL begins with.
const OBJECTS_PATH: &str = "/objects/";

type Body = UnsyncBoxBody<Bytes, Box<dyn std::error::Error + Send + Sync>>;

/// Why the API is not served.
#[derive(Debug, thiserror::Error)]
pub enum ApiStartError {
    /// The address cannot be used.
    #[error("could not listen on {0}")]
    Listen(SocketAddr, #[source] std::io::Error),
}

/// An API that is served.
pub struct ApiServer {
    address: SocketAddr,
    stop: CancellationToken,
    accept: JoinHandle<()>,
    connections: TaskTracker,
}

impl ApiServer {
    /// Begins to serve on a listener; see [`ApiServer::bind`].
    #[must_use]
    pub fn start(listener: TcpListener, address: SocketAddr, platform: Platform) -> Self {
        let platform = Arc::new(platform);
        let limits = connectrpc::Limits::default()
            .with_max_request_body_size(MESSAGE_BYTES_MAX)
            .with_max_message_size(MESSAGE_BYTES_MAX);
        let service = ConnectRpcService::new(router(Arc::clone(&platform))).with_limits(limits);
        let (stop, connections) = (CancellationToken::new(), TaskTracker::new());
        let accept = tokio::spawn(accept(listener, platform, service, stop.clone(), connections.clone()));
        Self { address, stop, accept, connections }
    }

    /// Listens, so that the address is known before URLs are made from it.
    ///
    /// # Errors
    /// When the address cannot be used.
    pub async fn bind(address: SocketAddr) -> Result<(TcpListener, SocketAddr), ApiStartError> {
        let listener = TcpListener::bind(address).await.map_err(|error| ApiStartError::Listen(address, error))?;
        let bound = listener.local_addr().map_err(|error| ApiStartError::Listen(address, error))?;
        Ok((listener, bound))
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Takes no new calls and lets those in flight finish, for a bounded time. Streams that follow something are ended.
    pub async fn drain(self) {
        self.stop.cancel();
        self.connections.close();
        let _ = tokio::time::timeout(DRAIN_MAX, self.connections.wait()).await;
        self.accept.abort();
    }
}

async fn accept(
    listener: TcpListener,
    platform: Arc<Platform>,
    service: ConnectRpcService,
    stop: CancellationToken,
    connections: TaskTracker,
) {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let place = tokio::select! {
            place = Arc::clone(&places).acquire_owned() => place,
            () = stop.cancelled() => return,
        };
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stop.cancelled() => return,
        };
        let (Ok((stream, _)), Ok(place)) = (accepted, place) else {
            tokio::time::sleep(ACCEPT_PAUSE).await;
            continue;
        };
        let (platform, service, stop) = (Arc::clone(&platform), service.clone(), stop.clone());
        connections.spawn(async move {
            connection(stream, &platform, &service, stop).await;
            drop(place);
        });
    }
}

async fn connection(stream: TcpStream, platform: &Arc<Platform>, service: &ConnectRpcService, stop: CancellationToken) {
    let _ = stream.set_nodelay(true);
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HEADER_TIMEOUT);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(HEADER_TIMEOUT)
        .max_concurrent_streams(HTTP2_STREAMS_MAX);
    let handler = service_fn(|request| {
        let (platform, service) = (Arc::clone(platform), service.clone());
        async move { Ok::<_, Infallible>(answer(request, &platform, service).await) }
    });
    let serving = builder.serve_connection(TokioIo::new(stream), handler);
    let mut serving = std::pin::pin!(serving);
    tokio::select! {
        _ = serving.as_mut() => return,
        () = stop.cancelled() => serving.as_mut().graceful_shutdown(),
    }
    let _ = tokio::time::timeout(DRAIN_MAX, serving).await;
}

async fn answer(mut request: Request<Incoming>, platform: &Platform, mut service: ConnectRpcService) -> Response<Body> {
    let path = request.uri().path();
    match path {
        "/livez" => return text(StatusCode::OK, "live\n"),
        "/readyz" => {
            let mut waits = (platform.others)();
            if platform.meta().ping().await.is_err() {
                waits.push("the API waits for the store of records".to_owned());
            }
            return if waits.is_empty() {
                text(StatusCode::OK, "ready\n")
            } else {
                text(StatusCode::SERVICE_UNAVAILABLE, &format!("{}\n", waits.join("\n")))
            };
        }
        _ => {}
    }
    if let Some(key) = path.strip_prefix(OBJECTS_PATH) {
        let key = key.to_owned();
        return object(request, platform, &key).await;
    }
    match door::enter(platform, path, request.headers()).await {
        Ok(caller) => {
            if let Some(caller) = caller {
                request.extensions_mut().insert(caller);
            }
        }
        Err(error) => return boxed(error.into_http_response(request.headers())),
    }
    match service.call(request).await {
        Ok(answer) => boxed(answer),
        Err(never) => match never {},
    }
}

/// A signed URL of the folder that objects are in.
async fn object(request: Request<Incoming>, platform: &Platform, key: &str) -> Response<Body> {
    let Some(signer) = &platform.signer else { return text(StatusCode::NOT_FOUND, "there is nothing here\n") };
    let method = match *request.method() {
        Method::PUT => SignedMethod::Put,
        Method::GET => SignedMethod::Get,
        _ => return text(StatusCode::METHOD_NOT_ALLOWED, "use PUT or GET\n"),
    };
    let query = request.uri().query().unwrap_or_default();
    match signer.verify(method, key, query, platform.now_ms() / 1000) {
        Err(error) => text(StatusCode::FORBIDDEN, &format!("{error}\n")),
        Ok(Claim::Put(key, content)) => {
            let body = BodyStream::new(request.into_body()).filter_map(|frame| async {
                match frame {
                    Ok(frame) => frame.into_data().ok().map(Ok),
                    Err(error) => Some(Err(std::io::Error::other(error))),
                }
            });
            match platform.objects.put(&key, body, &content).await {
                Ok(()) => text(StatusCode::OK, "stored\n"),
                Err(error) => text(status(error.fault()), &format!("{error}\n")),
            }
        }
        Ok(Claim::Get(key)) => match platform.objects.get(&key, None).await {
            Ok(object) => {
                let frames = object.body.map(|chunk| chunk.map(http_body::Frame::data));
                let body = http_body_util::StreamBody::new(frames).map_err(Into::into);
                Response::new(UnsyncBoxBody::new(body))
            }
            Err(error) => text(status(error.fault()), &format!("{error}\n")),
        },
    }
}

fn status(fault: ignite_core_model::Fault) -> StatusCode {
    use ignite_core_model::Fault;
    match fault {
        Fault::Caller => StatusCode::BAD_REQUEST,
        Fault::Missing => StatusCode::NOT_FOUND,
        Fault::Conflict => StatusCode::CONFLICT,
        Fault::Busy => StatusCode::SERVICE_UNAVAILABLE,
        Fault::Internal => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

fn text(status: StatusCode, words: &str) -> Response<Body> {
    let body = Full::new(Bytes::copy_from_slice(words.as_bytes())).map_err(|never| match never {});
    let mut answer = Response::new(UnsyncBoxBody::new(body));
    *answer.status_mut() = status;
    answer
}

fn boxed(answer: Response<ConnectRpcBody>) -> Response<Body> {
    answer.map(|body| {
        UnsyncBoxBody::new(body.map_err(|error| -> Box<dyn std::error::Error + Send + Sync> { error.into() }))
    })
}
