//! Journeys over several rooms, with the product's own binaries and real sockets.
#![allow(clippy::unwrap_used, reason = "tests")]

mod behaviour;
