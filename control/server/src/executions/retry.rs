//! Whether an execution is tried again, and when.

use serde::{Deserialize, Serialize};

use super::limits::{ExecutionLimits, ms};
use super::outcome::Found;

/// Longest reason that is kept, in bytes.
const REASON_BYTES_MAX: usize = 4096;

/// Why an execution, or its last attempt, failed. Stored as JSON, so it may only grow.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Trouble {
    /// In words, for the author.
    pub(crate) reason: String,
    /// Instances that were lost while they carried it out.
    pub(crate) lost: u32,
}

impl Trouble {
    pub(crate) fn new(reason: &str, lost: u32) -> Self {
        let end = (0..=REASON_BYTES_MAX.min(reason.len())).rev().find(|at| reason.is_char_boundary(*at)).unwrap_or(0);
        Self { reason: reason[..end].to_owned(), lost }
    }

    pub(crate) fn read(stored: Option<&str>) -> Self {
        stored.and_then(|stored| serde_json::from_str(stored).ok()).unwrap_or_default()
    }

    pub(crate) fn to_stored(&self) -> String {
        serde_json::to_string(self).expect("words and numbers have a JSON form")
    }
}

/// What is known of an execution when an attempt ends.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Attempt {
    pub(crate) created_ms: u64,
    /// Counted from 1.
    pub(crate) number: u32,
    /// Instances lost before.
    pub(crate) lost: u32,
}

/// What is to be done.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Next {
    End(Found),
    Again { due_ms: u64, trouble: Trouble },
}

/// `chance` is from 0 to 1: executions that failed together are not tried again together.
pub(crate) fn next(limits: &ExecutionLimits, attempt: Attempt, found: Found, now_ms: u64, chance: f64) -> Next {
    let age_ms = now_ms.saturating_sub(attempt.created_ms);
    let trouble = match found {
        Found::End { .. } => return Next::End(found),
        Found::NotBegun(reason) if age_ms >= ms(limits.undelivered_max) => {
            let within = limits.undelivered_max.as_secs();
            return Next::End(Found::failed(format!(
                "no instance took it within {within} s; the last attempt: {reason}"
            )));
        }
        Found::NotBegun(reason) => Trouble::new(&reason, attempt.lost),
        Found::Lost(reason) => {
            let lost = attempt.lost + 1;
            if lost >= limits.lost_max {
                return Next::End(Found::failed(format!(
                    "{lost} instances were lost while they ran it; the last: {reason}"
                )));
            }
            Trouble::new(&reason, lost)
        }
    };
    if attempt.number >= limits.attempts_max {
        return Next::End(Found::failed(format!("{} attempts failed; the last: {}", attempt.number, trouble.reason)));
    }
    Next::Again { due_ms: now_ms.saturating_add(backoff_ms(limits, attempt.number, chance)), trouble }
}

fn backoff_ms(limits: &ExecutionLimits, number: u32, chance: f64) -> u64 {
    let doubled = ms(limits.backoff).saturating_mul(1 << number.saturating_sub(1).min(20));
    let most = doubled.min(ms(limits.backoff_max));
    // Half of it for certain, the rest by chance.
    let half = most / 2;
    half + ((most - half) as f64 * chance.clamp(0.0, 1.0)) as u64
}

/// An execution that was handed out too often ends without another attempt: whatever carries it out is itself lost each time.
pub(crate) fn exhausted(limits: &ExecutionLimits, number: u32, before: &Trouble) -> Option<Found> {
    let over = number > limits.attempts_max;
    over.then(|| Found::failed(format!("{} attempts were begun and none was ended; {}", number - 1, before.reason)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const BEGAN: Attempt = Attempt { created_ms: 1_000, number: 1, lost: 0 };

    fn check(attempt: Attempt, found: Found, now_ms: u64) -> String {
        match next(&ExecutionLimits::default(), attempt, found, now_ms, 1.0) {
            Next::Again { due_ms, trouble } => format!("again in {} ms, lost {}", due_ms - now_ms, trouble.lost),
            Next::End(Found::End { status, reason, .. }) => {
                format!("{}: {}", status.as_str(), reason.unwrap_or_default())
            }
            Next::End(other) => format!("{other:?} is no end"),
        }
    }

    #[test]
    fn pauses_double_up_to_a_bound() {
        let pause = |number| check(Attempt { number, ..BEGAN }, Found::NotBegun("away".into()), 2_000);
        assert_eq!(
            [1, 2, 3].map(pause),
            ["again in 500 ms, lost 0", "again in 1000 ms, lost 0", "again in 2000 ms, lost 0"]
        );
        assert_eq!(pause(40), "again in 60000 ms, lost 0");
        let limits = ExecutionLimits::default();
        assert_eq!(backoff_ms(&limits, 3, 0.0), 1_000);
    }

    #[test]
    fn what_no_instance_took_ends_by_age_and_what_lost_some_by_their_number() {
        let late = 1_000 + 6 * 3_600_000;
        assert!(
            check(BEGAN, Found::NotBegun("away".into()), late)
                .starts_with("failed: no instance took it within 21600 s")
        );
        assert_eq!(check(BEGAN, Found::Lost("gone".into()), 2_000), "again in 500 ms, lost 1");
        let third = Attempt { number: 9, lost: 2, ..BEGAN };
        assert_eq!(
            check(third, Found::Lost("gone".into()), 2_000),
            "failed: 3 instances were lost while they ran it; the last: gone"
        );
        let last = Attempt { number: 500, ..BEGAN };
        assert!(check(last, Found::NotBegun("away".into()), 2_000).starts_with("failed: 500 attempts"));
        assert!(exhausted(&ExecutionLimits::default(), 500, &Trouble::default()).is_none());
        assert!(exhausted(&ExecutionLimits::default(), 501, &Trouble::default()).is_some());
    }

    #[test]
    fn what_is_over_is_not_tried_again() {
        assert_eq!(check(BEGAN, Found::failed("boom"), 2_000), "failed: boom");
    }

    /// What an earlier release stored stays readable.
    #[test]
    fn stored_trouble_reads_back() {
        assert_eq!(Trouble::read(Some(r#"{"reason":"gone","lost":2}"#)), Trouble { reason: "gone".into(), lost: 2 });
        assert_eq!(Trouble::read(Some(r#"{"error":"lost"}"#)), Trouble::default());
        assert_eq!(Trouble::read(None), Trouble::default());
    }
}
