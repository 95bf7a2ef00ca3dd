//! How long the parts of a start took, for the log line "ready".

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

/// A gauge of an executor that tells how much of the load was its engine's start, in seconds.
const ENGINE_GAUGE: &str = "wasm_engine_seconds";

/// The start of a host, part by part.
#[derive(Debug)]
pub(crate) struct Phases {
    begun_at: SystemTime,
    last: Instant,
    parts: Vec<(&'static str, Duration)>,
}

impl Phases {
    /// The start begins now.
    pub(crate) fn begin() -> Self {
        Self { begun_at: SystemTime::now(), last: Instant::now(), parts: Vec::with_capacity(4) }
    }

    /// What was done since the last mark is called `part`.
    pub(crate) fn mark(&mut self, part: &'static str) {
        let now = Instant::now();
        self.parts.push((part, now - self.last));
        self.last = now;
    }

    /// As members of a log line, in microseconds; `main_unix_us` is when the host began, by the clock of the day. `gauges`
    /// are the executor's.
    pub(crate) fn told(&self, gauges: &[(&'static str, &'static str, f64)]) -> Value {
        let begun = self.begun_at.duration_since(UNIX_EPOCH).unwrap_or_default();
        let mut told = json!({ "main_unix_us": begun.as_micros() as u64 });
        for (part, time) in &self.parts {
            told[format!("{part}_us")] = (time.as_micros() as u64).into();
        }
        if let Some((.., seconds)) = gauges.iter().find(|(name, ..)| *name == ENGINE_GAUGE) {
            told["engine_us"] = ((seconds * 1e6) as u64).into();
        }
        told
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_told_by_name() {
        let mut phases = Phases::begin();
        phases.mark("unpack");
        phases.mark("load");
        let told = phases.told(&[("other", "", 1.0), (ENGINE_GAUGE, "", 0.0025)]);
        assert!(told["main_unix_us"].as_u64().is_some_and(|us| us > 1_700_000_000_000_000), "{told}");
        assert!(told["unpack_us"].is_u64() && told["load_us"].is_u64(), "{told}");
        assert_eq!(told["engine_us"], 2500);
    }
}
