//! What the journeys over several rooms have in common: the product's binaries, a served app, the cases.
//!
//! The product is used here as its users use it: `ignite` compiles, `ignite-host` serves, requests go over a socket.

pub mod cases;
pub mod cli;
pub mod client;
pub mod clocks;
pub mod dice;
pub mod examples;
pub mod host;
pub mod platform;
pub mod product;
pub mod steady;
pub mod tree;
