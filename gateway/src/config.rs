//! What a gateway is told at its start.

use std::net::SocketAddr;
use std::time::Duration;

use ignite_core_model::Secret;
use ignite_identity::Issuers;
use ignite_telemetry::Tracer;

/// How a gateway serves.
#[derive(Debug, Clone)]
pub struct GatewayConfig {
    /// Where it listens for the public.
    pub listen: SocketAddr,
    /// Where metrics and probes are served; not public.
    pub admin: Option<SocketAddr>,
    /// Hostnames are `<app>-<org>.` and this.
    pub base_domain: String,
    /// A name no other gateway has, which acknowledges routes.
    pub name: String,
    /// The key by which it knows calls of the control plane, at least 32 bytes. Who shows it needs no token and chooses the
    /// execution's id. Without one, nobody is known so.
    pub platform_key: Option<Secret<String>>,
    /// Identity providers whose tokens let callers in, beside the platform's own tokens.
    pub issuers: Issuers,
    /// Sends spans of requests, where there is a collector.
    pub tracer: Tracer,
    /// Its bounds.
    pub limits: GatewayLimits,
}

/// The bounds of a gateway.
#[derive(Debug, Clone)]
pub struct GatewayLimits {
    /// Longest time a request waits for a free place at an instance, one that has to be started included. → 503.
    pub hold_max: Duration,
    /// Requests of one app that wait. → 503.
    pub held_max: u32,
    /// Requests of one app in flight, those that wait included. → 429.
    pub in_flight_max: u32,
    /// Requests of one app in a second, on average over one. → 429.
    pub requests_per_second_max: u32,
    /// Longest request line and headers together, in bytes. → 431.
    pub header_bytes_max: usize,
    /// Longest request body, in bytes. → 413.
    pub body_bytes_max: u64,
    /// Longest time for a client's headers, and for an idle connection.
    pub header_timeout: Duration,
    /// Longest time for a connection to an instance.
    pub connect_timeout: Duration,
    /// Instances tried for one request that none has taken.
    pub attempts_max: u32,
    /// Open client connections.
    pub connections_max: usize,
    /// How long requests in flight may take to finish when the gateway ends.
    pub drain_timeout: Duration,
}

impl Default for GatewayLimits {
    fn default() -> Self {
        Self {
            hold_max: Duration::from_secs(15),
            held_max: 1_000,
            in_flight_max: 4_000,
            requests_per_second_max: 200_000,
            header_bytes_max: 32 * 1024,
            body_bytes_max: 32 * 1024 * 1024,
            header_timeout: Duration::from_secs(10),
            connect_timeout: Duration::from_secs(2),
            attempts_max: 4,
            connections_max: 16_384,
            drain_timeout: Duration::from_secs(30),
        }
    }
}
