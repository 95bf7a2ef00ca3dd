//! The SDK from outside: as a worker spoken to over its socket, and as a compiler that refuses mistakes.
#![allow(clippy::unwrap_used, reason = "a test")]

mod bindings;
mod functions;
mod host;
mod mistakes;
mod protocol;
mod testing;
mod worker;
