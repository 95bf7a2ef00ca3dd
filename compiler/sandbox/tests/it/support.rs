//! What every test here needs.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use ignite_compiler_sandbox::{Cancel, Exit, Mount, Phase, Place, Sandbox, Step, StepError, StepLimits, ToolRoot, run};

/// A shell script in a sandbox of the building phase, with these mounts.
pub(crate) fn shell(script: &str, mounts: Vec<Mount>) -> Step {
    step("/bin/sh", &["-c", script], Phase::Build, mounts)
}

/// A Python script likewise, with the machine's own interpreter.
pub(crate) fn python(script: &str, mounts: Vec<Mount>) -> Step {
    step("/usr/bin/python3", &["-c", script], Phase::Build, mounts)
}

pub(crate) fn step(program: &str, args: &[&str], phase: Phase, mounts: Vec<Mount>) -> Step {
    Step {
        program: program.into(),
        args: args.iter().map(Into::into).collect(),
        env: vec![("PATH".into(), "/usr/bin:/bin".into())],
        cwd: "/tmp".into(),
        place: Place::Sandbox(Sandbox { phase, root: ToolRoot::Machine, mounts, without: Vec::new() }),
        limits: StepLimits { wall_time: Duration::from_secs(60), ..StepLimits::default() },
    }
}

/// How it ended, and its lines.
pub(crate) fn lines(step: &Step) -> (Result<Exit, StepError>, Vec<String>) {
    let mut lines = Vec::new();
    let done = run(step, &Cancel::default(), &mut |_, line| lines.push(line.to_owned()));
    (done.map(|done| done.exit), lines)
}

/// The lines of a step that ends well.
pub(crate) fn said(step: &Step) -> Vec<String> {
    let (exit, lines) = lines(step);
    assert!(exit.as_ref().is_ok_and(|exit| exit.success()), "{exit:?} {lines:?}");
    lines
}

/// A word that no other process of this machine has in its command line.
pub(crate) fn mark(number: u32) -> String {
    format!("{number}{:07}", std::process::id())
}

/// Whether a process of this machine has this word in its command line.
pub(crate) fn runs(mark: &str) -> bool {
    fs::read_dir("/proc").unwrap().flatten().any(|entry| {
        let line = fs::read_to_string(entry.path().join("cmdline")).unwrap_or_default();
        line.split('\0').any(|argument| argument == mark)
    })
}

/// Waits, with a bound, until no process has this word in its command line.
pub(crate) fn gone(mark: &str) {
    wait(&format!("{mark} still runs"), || !runs(mark));
}

/// Waits, with a bound, until something is so.
pub(crate) fn wait(otherwise: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !is_so() {
        assert!(Instant::now() < deadline, "{otherwise}");
        std::thread::yield_now();
    }
}

/// The names in a folder, sorted.
pub(crate) fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}
