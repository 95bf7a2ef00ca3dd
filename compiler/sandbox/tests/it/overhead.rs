//! What locking a step up costs.

use std::time::{Duration, Instant};

use ignite_compiler_sandbox::{Mount, Phase, Place};

use crate::support::{said, step};

/// Runs taken; the middle one counts, since other tests run beside this one.
const RUNS: usize = 21;
/// More than this is too much for one step.
const OVERHEAD_MAX: Duration = Duration::from_millis(25);

#[test]
fn a_sandbox_costs_less_than_25_ms() {
    let folder = tempfile::tempdir().unwrap();
    let locked = step("/bin/true", &[], Phase::Build, vec![Mount::read_write(folder.path())]);
    let mut open = locked.clone();
    open.place = Place::Open;
    let middle = |step: &ignite_compiler_sandbox::Step| {
        let mut times: Vec<Duration> = (0..RUNS)
            .map(|_| {
                let started = Instant::now();
                said(step);
                started.elapsed()
            })
            .collect();
        times.sort();
        times[RUNS / 2]
    };
    let (open, locked) = (middle(&open), middle(&locked));
    let overhead = locked.saturating_sub(open);
    println!("open {open:?}, locked up {locked:?}, overhead {overhead:?}");
    assert!(overhead < OVERHEAD_MAX, "open {open:?}, locked up {locked:?}");
}
