//! Compiles with the real tools.
#![allow(clippy::unwrap_used, reason = "a test")]
#![allow(clippy::print_stderr, reason = "a skipped test says so")]

mod attacks;
mod builder;
mod caches;
mod dependencies;
mod hostile;
mod jsr;
mod macros;
mod mistakes;
mod sources;
mod support;
mod targets;
mod unsandboxed;
