//! What the sandbox adds to a step.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use ignite_compiler_sandbox::{Cancel, Features, Phase, Place, Sandbox, Step, StepLimits, ToolRoot, run};

use super::ROUNDS;

/// What it may add, in milliseconds.
pub(crate) const OVERHEAD_MS_MAX: f64 = 25.0;

/// Medians of a step that does nothing: locked up, and open.
///
/// # Errors
/// When this machine has no sandbox.
pub(crate) fn overhead() -> Result<(Duration, Duration)> {
    crate::say("the sandbox");
    let scratch = tempfile::tempdir()?;
    let features = Features::at(scratch.path());
    if !features.has_sandbox() {
        bail!("this machine has no sandbox to measure");
    }
    let sandbox = Sandbox {
        phase: Phase::Build,
        root: ToolRoot::Machine,
        mounts: vec![ignite_compiler_sandbox::Mount::read_write(scratch.path())],
        without: features.without(),
    };
    let (mut locked_up, mut open) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        locked_up.push(step(Place::Sandbox(sandbox.clone()))?);
        open.push(step(Place::Open)?);
    }
    Ok((middle(locked_up), middle(open)))
}

fn step(place: Place) -> Result<Duration> {
    let step = Step {
        program: "/bin/true".into(),
        args: Vec::new(),
        env: Vec::new(),
        cwd: "/".into(),
        place,
        limits: StepLimits::default(),
    };
    let started = Instant::now();
    let done = run(&step, &Cancel::default(), &mut |_, _| {})?;
    let elapsed = started.elapsed();
    if !done.exit.success() {
        bail!("/bin/true: {}", done.exit);
    }
    Ok(elapsed)
}

fn middle(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}
