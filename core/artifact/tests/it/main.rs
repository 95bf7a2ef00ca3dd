//! The format from outside: what is written, what is read, what is refused.
#![allow(clippy::unwrap_used, reason = "a test")]

mod golden;
mod mutation;
mod refusals;
mod sbom;
mod support;
mod writing;
