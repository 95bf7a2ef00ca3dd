//! Tokens as identity providers make them, and as attackers do.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test")]

mod fetching;
mod signers;
mod tokens;
