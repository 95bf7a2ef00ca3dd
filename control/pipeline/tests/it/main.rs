//! The state machine, by examples and by simulation.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test")]

mod examples;
mod simulation;
