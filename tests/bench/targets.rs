//! What the host is to reach, and whether it does.

use crate::cold::Start;
use crate::contenders::{Standing, Target};
use crate::generator::Handler;
use crate::host::{Outcome, Results};
use crate::rounds::{Figures, STEERED_BY, median};

/// One aim.
pub(crate) struct Aim {
    /// What is compared, as a sentence without an end.
    pub(crate) what: String,
    /// The least or greatest that will do.
    pub(crate) bound: Bound,
    /// `None` where it was not measured.
    pub(crate) found: Option<f64>,
    pub(crate) unit: &'static str,
}

/// On which side of a figure the good ones lie.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Bound {
    AtLeast(f64),
    AtMost(f64),
}

impl Aim {
    /// Whether it is reached; `None` where it was not measured.
    pub(crate) fn reached(&self) -> Option<bool> {
        self.found.map(|found| match self.bound {
            Bound::AtLeast(bound) => found >= bound,
            Bound::AtMost(bound) => found <= bound,
        })
    }
}

/// Throughput at 64 connections, as a share of another's.
const THROUGHPUT: [(&str, &str, f64); 10] = [
    ("Rust", "echo", 0.75),
    ("Wasm", "echo", 0.7),
    ("Wasm", "wasmtime serve", 2.0),
    ("Go", "net/http", 1.0),
    ("Python", "echo", 0.6),
    ("Python", "ff-python", 15.0),
    ("Python", "uvicorn", 2.0),
    ("Python", "granian", 1.3),
    ("Deno", "deno serve", 0.7),
    ("Deno", "ff-node", 8.0),
];
const TAIL_MAX: f64 = 3.0;
const ADDED_US_MAX: f64 = 50.0;
const FORK_MS_MAX: f64 = 2.0;
const REPLACE_MS_MAX: f64 = 4.0;
const PRIVATE_MB_MAX: f64 = 2.0;
const DRAIN_MS_MAX: f64 = 50.0;

fn specialize_ms_max(target: Target) -> f64 {
    match target {
        Target::Wasm | Target::WasiHttp => 3.0,
        Target::Rust | Target::Go => 8.0,
        Target::Python | Target::Deno => 5.0,
    }
}

fn idle_mb_max(target: Target) -> f64 {
    match target {
        Target::Rust | Target::Go | Target::Wasm | Target::WasiHttp => 12.0,
        Target::Python => 25.0,
        Target::Deno => 70.0,
    }
}

/// All aims; those of contenders that were not asked for are left out.
pub(crate) fn aims(results: &Results) -> Vec<Aim> {
    let mut aims = Vec::new();
    let steered = |name: &str| figures(results, name, STEERED_BY.0, STEERED_BY.1);
    for (own, other, least) in THROUGHPUT {
        if results.of(own).is_none() || results.of(other).is_none() {
            continue;
        }
        let found = steered(own).zip(steered(other)).and_then(|(own, other)| own.share_of(other));
        let what = format!("{own}: throughput, of {other}");
        aims.push(Aim { what, bound: Bound::AtLeast(least), found, unit: "×" });
    }
    let ours = || results.outcomes.iter().filter(|outcome| matches!(outcome.contender.place, Standing::Ours(_)));
    for outcome in ours() {
        let name = outcome.contender.name;
        let found = steered(name).map(|own| own.latency_us(0.99) / own.latency_us(0.5));
        aims.push(Aim { what: format!("{name}: p99, of p50"), bound: Bound::AtMost(TAIL_MAX), found, unit: "×" });
    }
    for outcome in ours().filter(|_| results.of("echo").is_some()) {
        let name = outcome.contender.name;
        let found = added_us(results, name);
        let what = format!("{name}: latency added at one connection");
        aims.push(Aim { what, bound: Bound::AtMost(ADDED_US_MAX), found, unit: "µs" });
    }
    for (outcome, target) in ours().filter_map(|outcome| Some((outcome, Target::of(outcome.contender.name)?))) {
        aims.extend(alone(outcome, target));
    }
    if let Some(forks) = &results.forks {
        let found = median(&forks.fork_ms);
        let what = "Python: fork of one more worker to its first answer".to_owned();
        aims.push(Aim { what, bound: Bound::AtMost(FORK_MS_MAX), found, unit: "ms" });
        let megabytes: Vec<f64> = forks.private_bytes.iter().map(|bytes| *bytes as f64 / 1e6).collect();
        let what = "Python: private memory of each worker, pydantic imported".to_owned();
        aims.push(Aim { what, bound: Bound::AtMost(PRIVATE_MB_MAX), found: median(&megabytes), unit: "MB" });
    }
    aims
}

/// What concerns one target by itself.
fn alone(outcome: &Outcome, target: Target) -> Vec<Aim> {
    let name = outcome.contender.name;
    let warm = outcome.warm.as_ref().and_then(|warm| warm.as_ref().ok());
    let idle = outcome.idle.as_ref();
    let mut aims = vec![
        Aim {
            what: format!("{name}: warm host, order to first answer"),
            bound: Bound::AtMost(specialize_ms_max(target)),
            found: warm.and_then(|warm| median(&warm.total_ms)),
            unit: "ms",
        },
        Aim {
            what: format!("{name}: memory of an idle host, at rest"),
            bound: Bound::AtMost(idle_mb_max(target)),
            found: idle.map(|idle| idle.rest_bytes as f64 / 1e6),
            unit: "MB",
        },
        Aim {
            what: format!("{name}: drain of an idle host"),
            bound: Bound::AtMost(DRAIN_MS_MAX),
            found: idle.and_then(|idle| median(&idle.drain_ms)),
            unit: "ms",
        },
    ];
    if target == Target::Python {
        aims.push(Aim {
            what: format!("{name}: killed worker replaced and answering"),
            bound: Bound::AtMost(REPLACE_MS_MAX),
            found: median(&outcome.replace_ms),
            unit: "ms",
        });
    }
    aims
}

/// A contender's figures of one cell.
pub(crate) fn figures<'a>(
    results: &'a Results,
    name: &str,
    handler: Handler,
    connections: usize,
) -> Option<&'a Figures> {
    results.of(name)?.measured.cell(&results.plan, handler, connections)
}

/// What it adds to the echo's median latency at one connection, in microseconds.
pub(crate) fn added_us(results: &Results, name: &str) -> Option<f64> {
    let at_one = |name: &str| Some(figures(results, name, Handler::Hello, 1)?.latency_us(0.5));
    Some(at_one(name)? - at_one("echo")?)
}

/// The middle start, in milliseconds.
pub(crate) fn start_ms(starts: &[Start]) -> Option<f64> {
    median(&starts.iter().map(|start| start.total_ms).collect::<Vec<_>>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_aim_is_reached_missed_or_unknown() {
        let aim = |bound, found| Aim { what: String::new(), bound, found, unit: "ms" }.reached();
        assert_eq!(aim(Bound::AtMost(2.0), Some(2.0)), Some(true));
        assert_eq!(aim(Bound::AtMost(2.0), Some(2.1)), Some(false));
        assert_eq!(aim(Bound::AtLeast(2.0), Some(1.9)), Some(false));
        assert_eq!(aim(Bound::AtLeast(2.0), None), None);
    }
}
