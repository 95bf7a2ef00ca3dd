//! The gateway between real sockets and a real store.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test")]

mod door;
mod instance;
mod jwt;
mod metrics;
mod requests;
mod stage;
mod traces;
