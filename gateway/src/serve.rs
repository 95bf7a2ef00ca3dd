//! The gateway as a whole: listeners, connections, drain.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use ignite_store_meta::{ChangeItem, Meta};
use ignite_waiting::{KeptTimer, until_rung};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::auth::Tokens;
use crate::config::GatewayConfig;
use crate::lanes::Lanes;
use crate::metrics::Metrics;
use crate::{GatewayError, Scaler, Table, admin, follow, proxy};

/// Connections that are made and not yet accepted.
const BACKLOG: u32 = 4096;

/// How long callers wait in the backlog for the first look at the routes. Where the store is away for longer they are told so.
const FIRST_LOOK_MAX: Duration = Duration::from_secs(10);

/// Pause after an accept that failed for want of descriptors or memory.
const ACCEPT_PAUSE: Duration = Duration::from_millis(20);

/// Time between two looks at how much each app is used.
const LOOK_AT_LOAD_EVERY: Duration = Duration::from_secs(1);

/// Streams of one HTTP/2 connection at once.
const HTTP2_STREAMS_MAX: u32 = 256;

/// Why a gateway does not serve.
#[derive(Debug, thiserror::Error)]
pub enum GatewayStartError {
    /// The address cannot be used.
    #[error("could not listen on {0}")]
    Listen(SocketAddr, #[source] std::io::Error),
    /// The system has no more threads or descriptors.
    #[error("could not start the threads that serve callers")]
    Threads(#[source] std::io::Error),
}

pub(crate) struct Shared {
    pub(crate) config: GatewayConfig,
    pub(crate) table: Arc<Table>,
    pub(crate) tokens: Tokens,
    pub(crate) scaler: Arc<dyn Scaler>,
    pub(crate) metrics: Metrics,
    /// Whether the routes were read.
    pub(crate) ready: Arc<watch::Sender<bool>>,
    /// Set before connections are told to end.
    draining: AtomicBool,
}

impl Shared {
    /// Why there is no app under a hostname.
    pub(crate) fn no_app(&self) -> GatewayError {
        if *self.ready.borrow() { GatewayError::UnknownHost } else { GatewayError::Starting }
    }
}

/// A gateway that serves.
pub struct Gateway {
    address: SocketAddr,
    admin: Option<SocketAddr>,
    shared: Arc<Shared>,
    stop: CancellationToken,
    tasks: Vec<JoinHandle<()>>,
    connections: TaskTracker,
    lanes: Arc<Lanes>,
}

impl Gateway {
    /// Begins to serve.
    ///
    /// # Errors
    /// When an address cannot be listened on, or threads cannot be started.
    pub async fn start(config: GatewayConfig, meta: Meta, scaler: Arc<dyn Scaler>) -> Result<Self, GatewayStartError> {
        let (listener, address) = listen(config.listen)?;
        let admin_listener = config.admin.map(listen).transpose()?;
        let lanes = Arc::new(Lanes::start().map_err(GatewayStartError::Threads)?);
        let (stop, ready) = (CancellationToken::new(), Arc::new(watch::Sender::new(false)));
        let name = config.name.clone();
        let shared = Arc::new(Shared {
            tokens: Tokens::new(meta.clone(), config.issuers.clone()),
            config,
            table: Arc::default(),
            scaler,
            metrics: Metrics::new(),
            ready: Arc::clone(&ready),
            draining: AtomicBool::new(false),
        });
        let connections = TaskTracker::new();
        let mut tasks = vec![
            tokio::spawn(follow::follow(meta, Arc::clone(&shared.table), name, ready, stop.clone())),
            tokio::spawn(accept(listener, Arc::clone(&shared), Arc::clone(&lanes), stop.clone(), connections.clone())),
            tokio::spawn(look_at_load(Arc::clone(&shared), stop.clone())),
        ];
        let mut admin_address = None;
        if let Some((listener, address)) = admin_listener {
            admin_address = Some(address);
            tasks.push(tokio::spawn(admin::serve(listener, Arc::clone(&shared), stop.clone())));
        }
        Ok(Self { address, admin: admin_address, shared, stop, tasks, connections, lanes })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where metrics and probes are served.
    #[must_use]
    pub fn admin_address(&self) -> Option<SocketAddr> {
        self.admin
    }

    /// What it serves.
    #[must_use]
    pub fn table(&self) -> &Table {
        &self.shared.table
    }

    /// Takes what is said of an instance in this process, ahead of the store. What is said of anything else is passed over.
    /// Does not block.
    pub fn hears(&self) -> impl Fn(ChangeItem) + Send + Sync + 'static + use<> {
        let shared = Arc::clone(&self.shared);
        move |item| shared.table.hear(item)
    }

    /// Takes no new connections and lets requests in flight finish, for a bounded time.
    pub async fn drain(self) {
        self.shared.draining.store(true, Ordering::Release);
        self.stop.cancel();
        self.connections.close();
        let drained = timeout(self.shared.config.limits.drain_timeout, self.connections.wait()).await;
        if drained.is_err() {
            tracing::warn!("requests were in flight when the drain time ended");
        }
        for task in self.tasks {
            task.abort();
        }
        self.lanes.end();
    }
}

fn listen(address: SocketAddr) -> Result<(TcpListener, SocketAddr), GatewayStartError> {
    let listening = || {
        let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        let listener = socket.listen(BACKLOG)?;
        let bound = listener.local_addr()?;
        Ok((listener, bound))
    };
    listening().map_err(|error| GatewayStartError::Listen(address, error))
}

async fn accept(
    listener: TcpListener,
    shared: Arc<Shared>,
    lanes: Arc<Lanes>,
    stop: CancellationToken,
    connections: TaskTracker,
) {
    let places = Arc::new(Semaphore::new(shared.config.limits.connections_max));
    // No app is unknown because its route was not read yet.
    let mut ready = shared.ready.subscribe();
    tokio::select! {
        _ = timeout(FIRST_LOOK_MAX, ready.wait_for(|ready| *ready)) => {}
        () = stop.cancelled() => return,
    }
    loop {
        let place = tokio::select! {
            place = Arc::clone(&places).acquire_owned() => place,
            () = stop.cancelled() => return,
        };
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stop.cancelled() => return,
        };
        // Taken from this thread, to be another's.
        let accepted = accepted.and_then(|(stream, _)| stream.into_std());
        let (Ok(stream), Ok(place)) = (accepted, place) else {
            tokio::time::sleep(ACCEPT_PAUSE).await;
            continue;
        };
        let (shared, stop, lane) = (Arc::clone(&shared), stop.clone(), lanes.pick());
        let here = lane.handle().clone();
        let serving = async move {
            shared.metrics.connections.inc();
            if let Ok(stream) = TcpStream::from_std(stream) {
                connection(stream, &shared, stop).await;
            }
            shared.metrics.connections.dec();
            drop((place, lane));
        };
        connections.spawn_on(serving, &here);
    }
}

async fn connection(stream: TcpStream, shared: &Arc<Shared>, stop: CancellationToken) {
    let _ = stream.set_nodelay(true);
    let limits = &shared.config.limits;
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(KeptTimer::default())
        .header_read_timeout(limits.header_timeout)
        .max_buf_size((2 * limits.header_bytes_max).max(64 * 1024));
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(limits.header_timeout)
        .max_concurrent_streams(HTTP2_STREAMS_MAX)
        .max_header_list_size(u32::try_from(2 * limits.header_bytes_max).unwrap_or(u32::MAX));
    let service = service_fn(|request| {
        let shared = Arc::clone(shared);
        async move { Ok::<_, Infallible>(proxy::answer(request, shared).await) }
    });
    let serving = builder.serve_connection(TokioIo::new(stream), service);
    let mut serving = std::pin::pin!(serving);
    if until_rung(serving.as_mut(), stop.cancelled(), || shared.draining.load(Ordering::Acquire)).await {
        return;
    }
    serving.as_mut().graceful_shutdown();
    let _ = serving.await;
}

async fn look_at_load(shared: Arc<Shared>, stop: CancellationToken) {
    let mut every = tokio::time::interval(LOOK_AT_LOAD_EVERY);
    every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = every.tick() => {}
            () = stop.cancelled() => return,
        }
        for app in shared.table.all() {
            shared.scaler.load(&app.id, app.version, app.traffic.look());
        }
    }
}
