//! One instance, and the connections to it.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Context;
use std::time::Duration;

use http::{Request, Response};
use hyper::body::Incoming;
use ignite_core_model::{ExecutionId, HostAddress, InstanceId};
use tokio::time::{Instant, timeout};

use crate::app::{App, Places};
use crate::body::{Drives, InstanceBody, RequestBody};
use crate::connection::Connection;
use crate::relay::{CallError, Opened, Relay};
use crate::{headers, lanes};

/// How long an instance that could not be reached is passed over.
const SUSPECT_FOR: Duration = Duration::from_millis(500);

/// How long one that said nothing when it was asked for frames is asked over HTTP.
const SILENT_FOR: Duration = Duration::from_secs(5);

/// Connections for short requests that may end under a request's hands before it has one of its own.
const RELAYS_MAX: u32 = 3;

/// One instance.
pub(crate) struct Endpoint {
    pub(crate) id: InstanceId,
    address: HostAddress,
    /// Requests it takes at once.
    pub(crate) places: u32,
    used: AtomicU32,
    lanes: Box<[Lane]>,
    /// Milliseconds since `born` until which it is not asked for frames: for good where it did not understand.
    http_until: AtomicU64,
    /// Milliseconds since `born` until which it is passed over.
    suspect_until: AtomicU64,
    born: Instant,
}

/// The connections of a lane.
#[derive(Default)]
struct Lane {
    /// For short requests.
    relay: Mutex<Option<Arc<Relay>>>,
    /// Held by whoever opens it.
    opening: tokio::sync::Mutex<()>,
    /// For one request each; those that wait for one, the last used first.
    idle: Mutex<Vec<Connection>>,
}

/// Why a request was not answered.
pub(crate) enum SendError {
    /// It was not delivered: it may be sent elsewhere.
    NotSent(Box<Request<RequestBody>>),
    /// It was not delivered, and its body is partly gone.
    Lost,
    /// It may have been delivered.
    BrokenOff,
}

impl Endpoint {
    pub(crate) fn new(id: InstanceId, address: HostAddress, places: u32) -> Self {
        Self {
            id,
            address,
            places,
            used: AtomicU32::new(0),
            lanes: (0..lanes::count()).map(|_| Lane::default()).collect(),
            http_until: AtomicU64::new(0),
            suspect_until: AtomicU64::new(0),
            born: Instant::now(),
        }
    }

    pub(crate) fn is_same(&self, id: InstanceId, address: &HostAddress, places: u32) -> bool {
        (self.id, &self.address, self.places) == (id, address, places)
    }

    /// Free places; none while it is passed over.
    pub(crate) fn free(&self) -> u32 {
        if self.now() < self.suspect_until.load(Ordering::Relaxed) {
            return 0;
        }
        self.places.saturating_sub(self.used.load(Ordering::Relaxed))
    }

    /// Takes a place, if one is free.
    pub(crate) fn take(self: &Arc<Self>, places: &Arc<Places>) -> Option<Place> {
        let taken = self
            .used
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |used| (used < self.places).then_some(used + 1));
        taken.ok().map(|_| Place { endpoint: Arc::clone(self), places: Arc::clone(places) })
    }

    fn now(&self) -> u64 {
        as_ms(self.born.elapsed())
    }

    fn suspect(&self) {
        self.suspect_until.store(self.now() + as_ms(SUSPECT_FOR), Ordering::Relaxed);
        for lane in &self.lanes {
            locked(&lane.idle).clear();
            // What is under way there goes on.
            *locked(&lane.relay) = None;
        }
    }

    /// That of who asks.
    fn lane(&self) -> &Lane {
        &self.lanes[lanes::own()]
    }

    /// Sends a request and waits for the head of its answer. The connection is that of the request alone, if it has one.
    pub(crate) async fn send(
        &self,
        mut request: Request<RequestBody>,
        (execution, app): (ExecutionId, &App),
        connect_timeout: Duration,
    ) -> Result<(Response<InstanceBody>, Option<Connection>), SendError> {
        for _ in 0..RELAYS_MAX {
            let Some(body) = request.body().whole().cloned() else { break };
            let Ok(relay) = self.relay(connect_timeout).await else {
                self.suspect();
                return Err(SendError::NotSent(Box::new(request)));
            };
            let Some(relay) = relay else { break };
            match relay.call(&request, &body, execution, app).await {
                Ok(answer) => return Ok((answer.map(InstanceBody::Right), None)),
                Err(CallError::Full) => break,
                // It ended since it was looked at.
                Err(CallError::Closed) => {}
                Err(CallError::NotBegun) => {
                    self.suspect();
                    return Err(SendError::NotSent(Box::new(request)));
                }
                Err(CallError::BrokenOff) => return Err(SendError::BrokenOff),
            }
        }
        headers::set_ids(request.headers_mut(), execution, app);
        let (answer, connection) = self.send_http(request, connect_timeout).await?;
        Ok((answer.map(InstanceBody::Left), Some(connection)))
    }

    /// The connection that the lane's short requests share; `None` where the instance understands HTTP alone.
    async fn relay(&self, connect_timeout: Duration) -> Result<Option<Arc<Relay>>, Unreachable> {
        let lane = self.lane();
        let kept = || locked(&lane.relay).clone().filter(|relay| relay.is_open());
        if let Some(relay) = kept() {
            return Ok(Some(relay));
        }
        let speaks_http = || self.now() < self.http_until.load(Ordering::Relaxed);
        if speaks_http() {
            return Ok(None);
        }
        let _opening = lane.opening.lock().await;
        // Whoever had it before has found out.
        if let Some(relay) = kept() {
            return Ok(Some(relay));
        }
        if speaks_http() {
            return Ok(None);
        }
        match Relay::open(&self.address, connect_timeout).await {
            Ok(Opened::Relay(relay)) => {
                *locked(&lane.relay) = Some(Arc::clone(&relay));
                Ok(Some(relay))
            }
            Ok(Opened::HttpOnly) => {
                self.http_until.store(u64::MAX, Ordering::Relaxed);
                Ok(None)
            }
            Ok(Opened::Silent) => {
                self.http_until.store(self.now() + as_ms(SILENT_FOR), Ordering::Relaxed);
                Ok(None)
            }
            Err(_) => Err(Unreachable),
        }
    }

    async fn send_http(
        &self,
        request: Request<RequestBody>,
        connect_timeout: Duration,
    ) -> Result<(Response<Incoming>, Connection), SendError> {
        let mut connection = match self.take_kept().await {
            Some(kept) => kept,
            None => match timeout(connect_timeout, Connection::open(&self.address)).await {
                Ok(Ok(connection)) => connection,
                Ok(Err(_)) | Err(_) => {
                    self.suspect();
                    return Err(SendError::NotSent(Box::new(request)));
                }
            },
        };
        match connection.send(request).await {
            Ok(answer) => Ok((answer, connection)),
            Err(mut error) => match error.take_message() {
                Some(message) => {
                    self.suspect();
                    Err(SendError::NotSent(Box::new(message)))
                }
                None if error.error().is_canceled() => Err(SendError::Lost),
                None => Err(SendError::BrokenOff),
            },
        }
    }

    /// A kept connection that the instance has not closed meanwhile.
    async fn take_kept(&self) -> Option<Connection> {
        loop {
            let mut kept = locked(&self.lane().idle).pop()?;
            if kept.is_ready().await {
                return Some(kept);
            }
        }
    }

    /// Keeps a connection for the next request.
    fn keep(&self, connection: Connection) {
        let mut idle = locked(&self.lane().idle);
        if idle.len() < self.places as usize {
            idle.push(connection);
        }
    }
}

fn as_ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// No connection could be made.
struct Unreachable;

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A place at an instance; given back when it is dropped.
pub(crate) struct Place {
    pub(crate) endpoint: Arc<Endpoint>,
    places: Arc<Places>,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.endpoint.used.fetch_sub(1, Ordering::Relaxed);
        self.places.given_back();
    }
}

/// A place whose request was sent: its connection is kept for the next one when its answer has come to its end.
pub(crate) struct Busy {
    place: Place,
    connection: Option<Connection>,
    finished: bool,
}

impl Busy {
    pub(crate) fn new(place: Place, connection: Option<Connection>) -> Self {
        Self { place, connection, finished: false }
    }
}

impl Drives for Busy {
    fn drive(&mut self, cx: &mut Context<'_>) {
        if let Some(connection) = &mut self.connection {
            connection.drive(cx);
        }
    }

    fn finish(&mut self) {
        self.finished = true;
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        // In the middle of an answer, the rest of it would be taken for the next one's: it is closed.
        if let Some(connection) = self.connection.take().filter(|_| self.finished) {
            self.place.endpoint.keep(connection);
        }
    }
}
