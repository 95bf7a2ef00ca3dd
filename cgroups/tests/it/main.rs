//! Groups as the kernel of this machine makes them, and as the other version would have them.
#![allow(clippy::unwrap_used, reason = "a test")]
#![allow(clippy::print_stderr, reason = "what a test could not try")]

mod held;
mod left;
mod made;
mod support;
mod unified;
