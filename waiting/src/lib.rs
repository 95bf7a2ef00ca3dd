//! Waiting that costs a request nothing: for a limit that is seldom reached, and for an end that comes once.

mod bell;
mod timer;

pub use bell::until_rung;
pub use timer::{Elapsed, KeptSleep, KeptTimer};
