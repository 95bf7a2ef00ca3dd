//! Stores for tests: a real Postgres, and a server that speaks S3 and checks signatures.
//!
//! Both listen where nobody else does, keep what they have in a folder of their own, and end when they are dropped. What
//! cannot be started fails the test that wanted it: a contract that is skipped holds nothing.

#![allow(clippy::unwrap_used, reason = "for tests, which fail by panicking")]

mod postgres;
mod s3;

pub use postgres::Postgres;
pub use s3::S3;
