//! What the gateway promises, with instances that understand HTTP alone.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test")]

#[path = "it/door.rs"]
mod door;
#[path = "it/instance.rs"]
mod instance;
#[path = "it/jwt.rs"]
mod jwt;
#[path = "it/requests.rs"]
mod requests;
#[path = "it/stage.rs"]
mod stage;
#[path = "it/traces.rs"]
mod traces;

/// Whether instances speak frames.
const SPEAKS_FRAMES: bool = false;
