//! The public door: a request for `<app>-<org>.<base domain>` is led to an instance of the version that is live.
//!
//! A [`Table`] of routes and instances follows the store by number of change (`follow.rs`) and stays as it is while the
//! store or the control plane is away. A request's way: `serve.rs` accepts the connection, `proxy.rs` finds the app, checks who asks
//! (`auth.rs`) and what is asked, waits for a free place at an instance (`app.rs`), and sends it there (`endpoint.rs`).
//! A request that was not delivered is tried elsewhere; one that may have been is never sent twice.
//!
//! The gateway holds no user code and starts nothing: it tells whoever scales ([`Scaler`]) what it sees.

mod admin;
mod app;
mod auth;
mod body;
mod clock;
mod config;
mod connection;
mod endpoint;
mod errors;
mod follow;
mod headers;
mod lanes;
mod metrics;
mod proxy;
mod relay;
mod serve;
mod table;

pub use app::Load;
pub use auth::INVOKE_SCOPE;
pub use config::{GatewayConfig, GatewayLimits};
pub use errors::GatewayError;
pub use serve::{Gateway, GatewayStartError};
pub use table::Table;

use ignite_core_model::{FunctionId, VersionNumber};

/// Whoever decides how many instances there are.
pub trait Scaler: Send + Sync + 'static {
    /// A request waits and the version has no instance: start one. Called again and again while that is so; must not block.
    fn wake(&self, app: &FunctionId, version: VersionNumber);

    /// What was seen of an app's version since the last call. Must not block.
    fn load(&self, app: &FunctionId, version: VersionNumber, load: Load);
}
