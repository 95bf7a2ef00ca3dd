//! The agent on a real store.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test")]

mod agent;
