//! The gateway between real sockets and a real store, with instances that speak frames as hosts do.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test")]

mod door;
mod instance;
mod jwt;
mod metrics;
mod relay;
mod requests;
mod script;
mod stage;
mod traces;

/// Whether instances speak frames.
const SPEAKS_FRAMES: bool = true;
