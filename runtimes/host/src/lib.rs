//! The HTTP host of one app version: it listens, admits, invokes, drains and reports.
//!
//! A request's way: `serve.rs` accepts the connection, of a gateway `frames.rs` takes it from there; `request.rs` turns a request into an invocation within the limits,
//! `admission.rs` gives it a slot or refuses it, an executor runs it, `respond.rs` writes the answer. The host owns HTTP,
//! the clock and the queue; it knows nothing of languages beyond choosing the executor (`executors.rs`), and nothing of
//! the platform: it serves with gateway and control plane away.
//!
//! Begin with [`Host`].

mod admin;
mod admission;
mod apps;
pub mod args;
mod artifact;
mod body;
mod clocks;
mod config;
mod descriptors;
#[cfg(test)]
mod edge;
mod env;
mod errors;
mod executors;
mod frames;
mod host;
mod interpreters;
mod listen;
mod logs;
mod mapped;
mod metrics;
mod multi;
mod own_user;
mod phases;
mod request;
mod respond;
mod rest;
mod serve;
mod serving;
mod signals;
mod specialize;
mod traces;
mod unpack;
mod warm;

pub use artifact::ArtifactSource;
pub use config::{HostConfig, LogFormat, RuntimePaths, Serves};
pub use env::{LIMIT_VARIABLES, LimitOverrides, LimitVariable};
pub use errors::HostError;
pub use host::{Ended, Host, StartError};
pub use multi::MultiLimits;
pub use signals::run_until_signal;
pub use unpack::unpack;
pub use warm::WarmRuntime;
