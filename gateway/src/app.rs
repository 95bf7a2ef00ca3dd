//! One app as the gateway sees it: its settings, its instances, and who waits for a place.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use arc_swap::ArcSwap;
use http::HeaderValue;
use ignite_core_model::{AppSettings, FunctionId, OrganizationId, VersionNumber};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until, timeout_at};

use crate::config::GatewayLimits;
use crate::endpoint::{Endpoint, Place};
use crate::{GatewayError, Scaler};

/// Time between two calls to wake an app that has no instance, while a request waits.
const WAKE_EVERY: std::time::Duration = std::time::Duration::from_millis(500);

/// What was seen of an app's version since the last look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Load {
    /// Most requests in flight or waiting at one time.
    pub executions_peak: u32,
    /// Milliseconds since the last request ended; 0 while one is in flight.
    pub idle_ms: u64,
}

/// The version of an app that is live. Another takes its place when the route moves.
pub(crate) struct App {
    pub(crate) id: FunctionId,
    pub(crate) organization: OrganizationId,
    pub(crate) version: VersionNumber,
    pub(crate) settings: AppSettings,
    pub(crate) endpoints: ArcSwap<Vec<Arc<Endpoint>>>,
    pub(crate) places: Arc<Places>,
    /// Shared by all versions of the app, so that a publish lifts no bound.
    pub(crate) traffic: Arc<Traffic>,
    /// What instances are told of it.
    pub(crate) ids: Ids,
    superseded: AtomicBool,
}

/// An app's ids as the values of headers, made once.
pub(crate) struct Ids {
    pub(crate) function: HeaderValue,
    pub(crate) organization: HeaderValue,
    pub(crate) version: HeaderValue,
}

/// Wakes who waits for a place.
#[derive(Default)]
pub(crate) struct Places {
    notify: Notify,
    waiting: AtomicU32,
}

impl Places {
    pub(crate) fn given_back(&self) {
        if self.waiting.load(Ordering::Acquire) > 0 {
            self.notify.notify_one();
        }
    }

    /// There are other instances now.
    pub(crate) fn changed(&self) {
        self.notify.notify_waiters();
    }
}

/// What is counted of an app.
pub(crate) struct Traffic {
    in_flight: AtomicU32,
    held: AtomicU32,
    peak: AtomicU32,
    born: Instant,
    /// Milliseconds since `born` when the last request ended.
    ended: AtomicU64,
    /// The running second since `born` in the upper half, its requests in the lower.
    second: AtomicU64,
}

impl Traffic {
    pub(crate) fn new() -> Self {
        Self {
            in_flight: AtomicU32::new(0),
            held: AtomicU32::new(0),
            peak: AtomicU32::new(0),
            born: Instant::now(),
            ended: AtomicU64::new(0),
            second: AtomicU64::new(0),
        }
    }

    /// Counts a request in, within the app's bounds.
    pub(crate) fn enter(self: &Arc<Self>, limits: &GatewayLimits) -> Result<InFlight, GatewayError> {
        let second = self.born.elapsed().as_secs() << 32;
        let counted = self.second.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |seen| {
            let requests = if seen & !u64::from(u32::MAX) == second { seen & u64::from(u32::MAX) } else { 0 };
            (requests < u64::from(limits.requests_per_second_max)).then_some(second | (requests + 1))
        });
        if counted.is_err() {
            return Err(GatewayError::RateLimit(limits.requests_per_second_max));
        }
        let before = self.in_flight.fetch_add(1, Ordering::Relaxed);
        let mine = InFlight(Arc::clone(self));
        if before >= limits.in_flight_max {
            return Err(GatewayError::InFlightLimit(limits.in_flight_max));
        }
        self.peak.fetch_max(before + 1, Ordering::Relaxed);
        Ok(mine)
    }

    /// What was seen since the last call.
    pub(crate) fn look(&self) -> Load {
        let in_flight = self.in_flight.load(Ordering::Relaxed);
        let executions_peak = self.peak.swap(in_flight, Ordering::Relaxed).max(in_flight);
        let now = self.now();
        let idle_ms = if in_flight > 0 { 0 } else { now.saturating_sub(self.ended.load(Ordering::Relaxed)) };
        Load { executions_peak, idle_ms }
    }

    fn now(&self) -> u64 {
        u64::try_from(self.born.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

/// A request in flight.
pub(crate) struct InFlight(Arc<Traffic>);

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.ended.store(self.0.now(), Ordering::Relaxed);
        self.0.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

impl App {
    /// A version that is live, with the traffic of the one before it.
    pub(crate) fn new(
        id: FunctionId,
        version: VersionNumber,
        settings: AppSettings,
        endpoints: Vec<Arc<Endpoint>>,
        traffic: Arc<Traffic>,
    ) -> Self {
        // Ids are letters, digits, `-` and `/`: every one is a header's value.
        let value = |text: &str| HeaderValue::from_str(text).unwrap_or_else(|_| HeaderValue::from_static(""));
        let organization = id.organization();
        Self {
            ids: Ids {
                function: value(id.as_str()),
                organization: value(organization.as_str()),
                version: HeaderValue::from(version.get()),
            },
            id,
            organization,
            version,
            settings,
            endpoints: ArcSwap::from_pointee(endpoints),
            places: Arc::default(),
            traffic,
            superseded: AtomicBool::new(false),
        }
    }

    /// The route leads to another version now: who waits for a place here is sent there.
    pub(crate) fn supersede(&self) {
        self.superseded.store(true, Ordering::Release);
        self.places.changed();
    }

    pub(crate) fn is_superseded(&self) -> bool {
        self.superseded.load(Ordering::Acquire)
    }

    /// Waits for a place at the instance with the most free ones, until `deadline`; `None` when another version is live.
    pub(crate) async fn place(
        &self,
        limits: &GatewayLimits,
        deadline: Instant,
        scaler: &dyn Scaler,
    ) -> Result<Option<Place>, GatewayError> {
        if let Some(place) = self.try_place() {
            return Ok(Some(place));
        }
        let held = Held::enter(self, limits)?;
        let mut wake = Instant::now();
        loop {
            // Registered before the look, so that a place that is given back between the two is not missed.
            let notified = self.places.notify.notified();
            let mut notified = std::pin::pin!(notified);
            notified.as_mut().enable();
            if let Some(place) = self.try_place() {
                drop(held);
                return Ok(Some(place));
            }
            if self.is_superseded() {
                return Ok(None);
            }
            let now = Instant::now();
            if now >= wake {
                wake = now + WAKE_EVERY;
                if self.endpoints.load().is_empty() {
                    scaler.wake(&self.id, self.version);
                }
            }
            let waited = timeout_at(deadline, async {
                tokio::select! {
                    () = notified => {}
                    () = sleep_until(wake) => {}
                }
            });
            if waited.await.is_err() {
                return Err(GatewayError::HeldTooLong(limits.hold_max));
            }
        }
    }

    fn try_place(&self) -> Option<Place> {
        let endpoints = self.endpoints.load();
        // Another may be quicker at the best one: then the next best, until none is free.
        loop {
            let best = endpoints.iter().map(|endpoint| (endpoint.free(), endpoint)).max_by_key(|(free, _)| *free)?;
            match best {
                (0, _) => return None,
                (_, endpoint) => {
                    if let Some(place) = endpoint.take(&self.places) {
                        return Some(place);
                    }
                }
            }
        }
    }
}

/// A request that waits.
struct Held<'a>(&'a App);

impl<'a> Held<'a> {
    fn enter(app: &'a App, limits: &GatewayLimits) -> Result<Self, GatewayError> {
        let before = app.traffic.held.fetch_add(1, Ordering::Relaxed);
        app.places.waiting.fetch_add(1, Ordering::Release);
        let held = Self(app);
        if before >= limits.held_max { Err(GatewayError::HeldLimit(limits.held_max)) } else { Ok(held) }
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.0.traffic.held.fetch_sub(1, Ordering::Relaxed);
        self.0.places.waiting.fetch_sub(1, Ordering::Release);
    }
}
