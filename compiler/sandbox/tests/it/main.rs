//! Steps in a sandbox that try what they must not be able to do.
#![allow(clippy::unwrap_used, reason = "a test")]
#![allow(clippy::print_stdout, reason = "the figures of a test")]

mod bounds;
mod ends;
mod network;
mod ordinary_user;
mod overhead;
mod sees;
mod support;
mod system_calls;
