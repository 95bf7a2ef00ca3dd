//! Journeys over several rooms, with the product's own binaries and real sockets.
#![allow(clippy::unwrap_used, reason = "tests")]

mod app;
mod behaviour;
mod dev;
mod examples;
mod faults;
mod invoke;
mod journeys;
mod limits;
