//! The four clocks of an execution: waiting for a slot, the answer's begin, pauses in it, and everything together.
//!
//! Each has a limit, a count of its own on the metrics page and an error of its own. Whichever ends first ends the execution,
//! and only once: the answer, a clock and the caller's leaving all end the same future, and what comes later finds
//! nobody. See `docs/reference/clocks.md`.

use std::time::Duration;

use ignite_core_model::Limits;
use tokio::time::Instant;

use crate::errors::HostError;

/// One of the four.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Clock {
    /// From the request for a slot to the slot.
    Queue,
    /// From the slot to the head of the answer.
    ResponseStart,
    /// Between two parts of a streamed answer, while the caller takes them.
    Idle,
    /// From the first byte of the request to the end of the answer.
    Total,
}

impl Clock {
    pub(crate) const ALL: [Self; 4] = [Self::Queue, Self::ResponseStart, Self::Idle, Self::Total];

    /// The word for it in metrics.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Queue => "queue",
            Self::ResponseStart => "response_start",
            Self::Idle => "idle",
            Self::Total => "total",
        }
    }

    /// The clock that such an answer tells of.
    pub(crate) fn of(error: &HostError) -> Option<Self> {
        match error {
            HostError::QueueTimeout { .. } => Some(Self::Queue),
            HostError::ResponseStartTimeout { .. } => Some(Self::ResponseStart),
            HostError::StreamIdleTimeout { .. } => Some(Self::Idle),
            HostError::Timeout { .. } => Some(Self::Total),
            _ => None,
        }
    }
}

/// When an execution must have ended, and how much time it had.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Total {
    pub(crate) limit: Duration,
    pub(crate) at: Instant,
}

impl Total {
    pub(crate) fn expired(self) -> HostError {
        HostError::Timeout { timeout_ms: self.limit.as_millis() }
    }
}

/// When the head of an answer must be there.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Head {
    pub(crate) by: Instant,
    /// The limit of its own, where that ends before the total.
    own: Option<Duration>,
}

impl Head {
    /// For an execution that gets its slot at `now`.
    pub(crate) fn new(now: Instant, total: Total, limits: &Limits) -> Self {
        let own = limits.response_start_timeout.filter(|own| now + *own < total.at);
        Self { by: own.map_or(total.at, |own| now + own), own }
    }

    pub(crate) fn expired(self, total: Total) -> HostError {
        match self.own {
            Some(own) => HostError::ResponseStartTimeout { response_start_ms: own.as_millis() },
            None => total.expired(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_head_has_the_shorter_of_two_limits() {
        let (now, ms) = (Instant::now(), Duration::from_millis);
        let total = Total { limit: ms(100), at: now + ms(100) };
        let head = |own| Head::new(now + ms(20), total, &Limits { response_start_timeout: own, ..Limits::default() });
        for (own, by, error) in [
            (None, ms(100), HostError::Timeout { timeout_ms: 100 }),
            (Some(ms(30)), ms(50), HostError::ResponseStartTimeout { response_start_ms: 30 }),
            // What the caller shortened counts, whatever the limit of its own is.
            (Some(ms(80)), ms(100), HostError::Timeout { timeout_ms: 100 }),
            (Some(ms(9000)), ms(100), HostError::Timeout { timeout_ms: 100 }),
        ] {
            assert_eq!((head(own).by - now, head(own).expired(total)), (by, error), "{own:?}");
        }
    }
}
