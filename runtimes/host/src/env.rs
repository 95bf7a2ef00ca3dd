//! The environment variables that set limits, each listed once.

use std::time::Duration;

use ignite_core_artifact::DeclaredLimits;
use ignite_core_model::Limits;

/// A variable that sets one limit.
pub struct LimitVariable {
    /// The variable.
    pub name: &'static str,
    /// Least value.
    pub min: u64,
    /// Greatest value.
    pub max: u64,
    set: fn(&mut Limits, u64),
}

const DAY_MS: u64 = 24 * 60 * 60 * 1000;
const GIB: u64 = 1024 * 1024 * 1024;

/// Every limit's variable; units stand in the names (`_MS`, `_BYTES`, `_MB` in MiB).
pub const LIMIT_VARIABLES: [LimitVariable; 18] = [
    LimitVariable { name: "IGNITE_TIMEOUT_MS", min: 1, max: DAY_MS, set: |l, v| l.execution_timeout = ms(v) },
    LimitVariable { name: "IGNITE_QUEUE_TIMEOUT_MS", min: 0, max: DAY_MS, set: |l, v| l.queue_timeout = ms(v) },
    LimitVariable {
        name: "IGNITE_RESPONSE_START_MS",
        min: 1,
        max: DAY_MS,
        set: |l, v| l.response_start_timeout = Some(ms(v)),
    },
    LimitVariable { name: "IGNITE_PAYLOAD_BYTES_MAX", min: 0, max: GIB, set: |l, v| l.payload_bytes_max = v as usize },
    LimitVariable {
        name: "IGNITE_HEADER_BYTES_MAX",
        min: 1024,
        max: 1024 * 1024,
        set: |l, v| l.header_bytes_max = v as usize,
    },
    LimitVariable { name: "IGNITE_HEADER_TIMEOUT_MS", min: 1, max: DAY_MS, set: |l, v| l.header_timeout = ms(v) },
    LimitVariable { name: "IGNITE_BODY_IDLE_MS", min: 1, max: DAY_MS, set: |l, v| l.body_idle_timeout = ms(v) },
    LimitVariable {
        name: "IGNITE_RESPONSE_BYTES_MAX",
        min: 0,
        max: GIB,
        set: |l, v| l.response_bytes_max = v as usize,
    },
    LimitVariable { name: "IGNITE_MAX_CONCURRENCY", min: 1, max: 4096, set: |l, v| l.max_concurrency = v as u32 },
    LimitVariable { name: "IGNITE_QUEUE_MAX", min: 0, max: 1_000_000, set: |l, v| l.queue_max = v as u32 },
    LimitVariable { name: "IGNITE_CONNECTIONS_MAX", min: 1, max: 1_000_000, set: |l, v| l.connections_max = v as u32 },
    LimitVariable { name: "IGNITE_MEMORY_MB", min: 16, max: 1024 * 1024, set: |l, v| l.memory_mb = v as u32 },
    LimitVariable { name: "IGNITE_CANCEL_GRACE_MS", min: 0, max: DAY_MS, set: |l, v| l.cancel_grace = ms(v) },
    LimitVariable { name: "IGNITE_DRAIN_MS", min: 0, max: DAY_MS, set: |l, v| l.drain_timeout = ms(v) },
    LimitVariable { name: "IGNITE_START_MS", min: 1, max: DAY_MS, set: |l, v| l.start_timeout = ms(v) },
    LimitVariable {
        name: "IGNITE_LOG_LINE_BYTES_MAX",
        min: 64,
        max: 1024 * 1024,
        set: |l, v| l.log_line_bytes_max = v as usize,
    },
    LimitVariable {
        name: "IGNITE_LOG_LINES_PER_SECOND",
        min: 1,
        max: 1_000_000,
        set: |l, v| l.log_lines_per_second = v as u32,
    },
    LimitVariable { name: "IGNITE_STREAM_IDLE_MS", min: 1, max: DAY_MS, set: |l, v| l.stream_idle_timeout = ms(v) },
];

fn ms(value: u64) -> Duration {
    Duration::from_millis(value)
}

/// Values of some of [`LIMIT_VARIABLES`], checked.
#[derive(Clone, Default)]
pub struct LimitOverrides(Vec<(usize, u64)>);

impl LimitOverrides {
    /// Reads the variables that `find` has. All faults are told, each in a sentence.
    ///
    /// # Errors
    /// When a value is not a number within its range.
    pub fn read(find: impl Fn(&str) -> Option<String>) -> Result<Self, Vec<String>> {
        let (mut set, mut faults) = (Vec::new(), Vec::new());
        for (index, LimitVariable { name, min, max, .. }) in LIMIT_VARIABLES.iter().enumerate() {
            let Some(text) = find(name) else { continue };
            match text.trim().parse::<u64>() {
                Ok(value) if (*min..=*max).contains(&value) => set.push((index, value)),
                _ => faults.push(format!("{name} is `{text}`, but must be a whole number from {min} to {max}")),
            }
        }
        if faults.is_empty() { Ok(Self(set)) } else { Err(faults) }
    }

    /// These, and `others` above them.
    #[must_use]
    pub fn with(mut self, others: Self) -> Self {
        self.0.extend(others.0);
        self
    }

    /// The limits of an app that declares `declared`: defaults, then what it declares, then these.
    #[must_use]
    pub fn resolve(&self, declared: &DeclaredLimits) -> Limits {
        let mut limits = Limits::default();
        if let Some(secs) = declared.timeout_secs {
            limits.execution_timeout = Duration::from_secs(secs.into());
        }
        if let Some(memory_mb) = declared.memory_mb {
            limits.memory_mb = memory_mb;
        }
        if let Some(max_concurrency) = declared.max_concurrency {
            limits.max_concurrency = max_concurrency;
        }
        for (index, value) in &self.0 {
            (LIMIT_VARIABLES[*index].set)(&mut limits, *value);
        }
        limits
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test")]
    use super::*;

    #[test]
    fn the_environment_wins_over_the_artifact_over_the_defaults() {
        let declared = DeclaredLimits { timeout_secs: Some(5), memory_mb: Some(100), ..DeclaredLimits::default() };
        let overrides =
            LimitOverrides::read(|name| (name == "IGNITE_TIMEOUT_MS").then(|| "1500".to_owned())).ok().unwrap();
        let limits = overrides.resolve(&declared);
        assert_eq!(limits.execution_timeout, Duration::from_millis(1500));
        assert_eq!(limits.memory_mb, 100);
        assert_eq!(limits.payload_bytes_max, Limits::default().payload_bytes_max);
    }

    #[test]
    fn every_fault_is_told() {
        let faults = LimitOverrides::read(|name| match name {
            "IGNITE_TIMEOUT_MS" => Some("soon".to_owned()),
            "IGNITE_MAX_CONCURRENCY" => Some("0".to_owned()),
            _ => None,
        })
        .err()
        .unwrap();
        assert_eq!(faults.len(), 2, "{faults:?}");
    }
}
