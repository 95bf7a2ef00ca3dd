//! Archives as tools write them, and as attackers do.
#![allow(clippy::unwrap_used, reason = "a test")]

mod any_bytes;
mod bounds;
mod make;
mod pack;
mod tars;
mod tools;
mod zips;
