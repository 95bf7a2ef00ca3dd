//! What answers of probes mean. No IO.

use std::time::Duration;

use tokio::time::Instant;

/// How instances are probed.
#[derive(Debug, Clone)]
pub struct Probing {
    /// Time between two probes of an instance that is healthy.
    pub every: Duration,
    /// Longest time for the answer of a probe.
    pub answer_max: Duration,
    /// Probes in a row that must fail before an instance counts as unhealthy.
    pub failed_max: u32,
    /// How long an instance may be unhealthy before it is ended, and so replaced.
    pub unhealthy_max: Duration,
}

impl Default for Probing {
    fn default() -> Self {
        Self {
            every: Duration::from_secs(2),
            answer_max: Duration::from_secs(2),
            failed_max: 2,
            unhealthy_max: Duration::from_secs(30),
        }
    }
}

/// Time between two probes of an instance that is starting.
const FIRST_EVERY: Duration = Duration::from_millis(10);

/// Why a probe failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) reason: String,
    /// Whether it was the host that said so. One that says nothing has nothing in hand that could be finished.
    pub(super) answered: bool,
}

/// What follows from a probe.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Nothing new.
    Same,
    Healthy,
    Unhealthy(String),
    /// It is to be ended.
    Hopeless(Refusal),
}

/// How an instance was until now.
#[derive(Debug)]
pub(super) struct Health {
    begun: Instant,
    /// It was healthy once.
    pub(super) was_healthy: bool,
    healthy: bool,
    failures: u32,
    failing_since: Instant,
}

impl Health {
    pub(super) fn begin(now: Instant) -> Self {
        Self { begun: now, was_healthy: false, healthy: false, failures: 0, failing_since: now }
    }

    /// Takes in the answer of a probe.
    pub(super) fn take(
        &mut self,
        answer: Result<(), Refusal>,
        now: Instant,
        probing: &Probing,
        start_max: Duration,
    ) -> Verdict {
        let refusal = match answer {
            Ok(()) => {
                let before = std::mem::replace(&mut self.healthy, true);
                (self.was_healthy, self.failures) = (true, 0);
                return if before { Verdict::Same } else { Verdict::Healthy };
            }
            Err(refusal) => refusal,
        };
        if self.failures == 0 {
            self.failing_since = now;
        }
        self.failures = self.failures.saturating_add(1);
        if self.healthy {
            if self.failures < probing.failed_max {
                return Verdict::Same;
            }
            self.healthy = false;
            return Verdict::Unhealthy(refusal.reason);
        }
        let (since, most) = match self.was_healthy {
            true => (self.failing_since, probing.unhealthy_max),
            false => (self.begun, start_max),
        };
        if now.duration_since(since) >= most { Verdict::Hopeless(refusal) } else { Verdict::Same }
    }

    /// The wait before the next probe.
    pub(super) fn wait(&self, probing: &Probing) -> Duration {
        if self.was_healthy { probing.every } else { FIRST_EVERY }
    }
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;

    /// `answers` is one probe a second: `+` is good, `-` is refused, `.` is not answered.
    fn check(answers: &str, expected: &Expect) {
        let begun = Instant::now();
        let mut health = Health::begin(begun);
        let probing = Probing { failed_max: 2, unhealthy_max: Duration::from_secs(4), ..Probing::default() };
        let verdicts = answers.chars().zip(1..).map(|(answer, second)| {
            let refused = |answered| Err(Refusal { reason: "why".into(), answered });
            let answer = match answer {
                '+' => Ok(()),
                '-' => refused(true),
                _ => refused(false),
            };
            let now = begun + Duration::from_secs(second);
            match health.take(answer, now, &probing, Duration::from_secs(3)) {
                Verdict::Same => "same",
                Verdict::Healthy => "healthy",
                Verdict::Unhealthy(_) => "unhealthy",
                Verdict::Hopeless(Refusal { answered: true, .. }) => "hopeless",
                Verdict::Hopeless(_) => "hopeless and silent",
            }
        });
        expected.assert_eq(&verdicts.collect::<Vec<_>>().join(", "));
    }

    #[test]
    fn one_bad_probe_is_none() {
        check("+-+.+", &expect!["healthy, same, same, same, same"]);
    }

    #[test]
    fn it_comes_back() {
        check("+--++", &expect!["healthy, same, unhealthy, healthy, same"]);
    }

    #[test]
    fn what_does_not_come_back_is_hopeless() {
        check("+-----", &expect!["healthy, same, unhealthy, same, same, hopeless"]);
        check("+.....", &expect!["healthy, same, unhealthy, same, same, hopeless and silent"]);
    }

    #[test]
    fn what_never_comes_up_is_hopeless() {
        check("---", &expect!["same, same, hopeless"]);
    }
}
