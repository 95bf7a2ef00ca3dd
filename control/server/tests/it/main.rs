//! The control plane on a real store, with stand-ins for builder, agent and gateway.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test")]

mod api;
mod apps;
mod executions;
mod gateway;
mod jwt;
mod metrics;
mod platform;
mod secrets;
mod stage;
mod trials;
