//! One instance, and the connections to it.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::client::conn::http1::SendRequest;
use hyper_util::rt::TokioIo;
use ignite_core_model::InstanceId;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

use crate::app::Places;
use crate::body::RequestBody;

/// How long an instance that could not be reached is passed over.
const SUSPECT_FOR: Duration = Duration::from_millis(500);

/// One instance.
pub(crate) struct Endpoint {
    pub(crate) id: InstanceId,
    address: SocketAddr,
    /// Requests it takes at once.
    pub(crate) places: u32,
    used: AtomicU32,
    /// Connections that wait for a request; the last used first.
    idle: Mutex<Vec<SendRequest<RequestBody>>>,
    /// Milliseconds since `born` until which it is passed over.
    suspect_until: AtomicU64,
    born: Instant,
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
    pub(crate) fn new(id: InstanceId, address: SocketAddr, places: u32) -> Self {
        Self {
            id,
            address,
            places,
            used: AtomicU32::new(0),
            idle: Mutex::default(),
            suspect_until: AtomicU64::new(0),
            born: Instant::now(),
        }
    }

    pub(crate) fn is_same(&self, id: InstanceId, address: SocketAddr, places: u32) -> bool {
        (self.id, self.address, self.places) == (id, address, places)
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
        u64::try_from(self.born.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn suspect(&self) {
        let until = self.now() + u64::try_from(SUSPECT_FOR.as_millis()).unwrap_or(u64::MAX);
        self.suspect_until.store(until, Ordering::Relaxed);
        self.idle().clear();
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<SendRequest<RequestBody>>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends a request and waits for the head of its answer.
    pub(crate) async fn send(
        &self,
        mut request: Request<RequestBody>,
        connect_timeout: Duration,
    ) -> Result<(Response<Incoming>, SendRequest<RequestBody>), SendError> {
        loop {
            let kept = self.idle().pop();
            let fresh = kept.is_none();
            let mut connection = match kept {
                Some(connection) => connection,
                None => match timeout(connect_timeout, self.connect()).await {
                    Ok(Ok(connection)) => connection,
                    Ok(Err(_)) | Err(_) => {
                        self.suspect();
                        return Err(SendError::NotSent(Box::new(request)));
                    }
                },
            };
            match connection.try_send_request(request).await {
                Ok(answer) => return Ok((answer, connection)),
                Err(mut error) => match error.take_message() {
                    // A kept connection that the instance has closed meanwhile: the next one.
                    Some(message) if !fresh => request = message,
                    Some(message) => {
                        self.suspect();
                        return Err(SendError::NotSent(Box::new(message)));
                    }
                    None if error.error().is_canceled() => return Err(SendError::Lost),
                    None => return Err(SendError::BrokenOff),
                },
            }
        }
    }

    async fn connect(&self) -> Result<SendRequest<RequestBody>, crate::body::BoxError> {
        let stream = TcpStream::connect(self.address).await?;
        stream.set_nodelay(true)?;
        let (sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        // It ends when its sender is dropped or the instance closes it; its faults are those of its request.
        tokio::spawn(async move {
            let _ = connection.await;
        });
        Ok(sender)
    }

    /// Keeps a connection for the next request.
    fn keep(&self, connection: SendRequest<RequestBody>) {
        let mut idle = self.idle();
        if !connection.is_closed() && idle.len() < self.places as usize {
            idle.push(connection);
        }
    }
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

/// A place whose request was sent: its connection is kept for the next one.
pub(crate) struct Busy {
    place: Place,
    connection: Option<SendRequest<RequestBody>>,
}

impl Busy {
    pub(crate) fn new(place: Place, connection: SendRequest<RequestBody>) -> Self {
        Self { place, connection: Some(connection) }
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        if let Some(connection) = self.connection.take() {
            // One whose answer broke off is closed, and not kept.
            self.place.endpoint.keep(connection);
        }
    }
}
