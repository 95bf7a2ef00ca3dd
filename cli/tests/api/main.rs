//! The verbs of the platform against an API that says what each test wants: tables, errors, broken streams, retries.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test")]

mod errors;
mod follow;
mod settings;
mod stand_in;
mod tables;
mod uploads;
