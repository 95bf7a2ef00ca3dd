//! The fuzz targets: a workspace of its own, checked so that it does not rot, and each target run for a short while.
//!
//! A run begins with the corpus that is committed, and is guided by coverage as any run of the fuzzer is. What it finds in
//! so short a time is what was broken since yesterday; who looks for more gives it more time (`fuzz/README.md`).

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use super::counts::Counts;
use super::suite::{Log, check};
use super::{Context, Run};
use crate::process::capture;
use crate::workspace::Workspace;

const FORMAT_MAX: Duration = Duration::from_secs(2 * 60);
const LINTS_MAX: Duration = Duration::from_secs(25 * 60);
/// With nothing cached, on two cores.
const BUILD_MAX: Duration = Duration::from_secs(25 * 60);
/// How long each target is fed.
const RUN_SECS: u32 = 10;
/// How long that may take with everything around it.
const RUN_MAX: Duration = Duration::from_secs(120);
/// Beyond this the fuzzer gives up, in MiB: a reader that believes an announced length.
const MEMORY_MB: u32 = 2048;
/// One input may take this long, in seconds.
const INPUT_SECS: u32 = 10;

/// Lines of a fuzzer's words that are shown when it fails.
const LAST_LINES: usize = 40;

/// What the compiler puts into the code so that the fuzzer sees where an input leads; none of it needs a nightly compiler.
const COVERAGE: &str = "--cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
                        -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
                        -Cllvm-args=-sanitizer-coverage-pc-table -Cllvm-args=-sanitizer-coverage-trace-compares \
                        -Ccodegen-units=1";
/// Named, so that the flags above are not those of build scripts too.
const TARGET: &str = "x86_64-unknown-linux-gnu";

/// Format, lints, and a short run of each target.
pub(super) fn suites(context: &Context, run: &mut Run) {
    let workspace = context.workspace;
    run.suite("rust fuzz targets", |_| {
        let mut counts = check(cargo(workspace, &["fmt", "--check"]), FORMAT_MAX)?;
        let lints = ["clippy", "--locked", "--all-targets", "--", "--deny", "warnings"];
        counts += check(cargo(workspace, &lints), LINTS_MAX)?;
        Ok(counts)
    });
    run.suite("rust fuzz runs", |log| feed_all(workspace, log));
}

fn cargo(workspace: &Workspace, arguments: &[&str]) -> Command {
    let mut command = workspace.cargo();
    command.current_dir(workspace.root.join("fuzz")).args(arguments);
    command.env("CARGO_TARGET_DIR", workspace.target.join("fuzz"));
    command
}

fn feed_all(workspace: &Workspace, log: &mut Log) -> Result<Counts> {
    let mut build = cargo(workspace, &["build", "--release", "--locked", "--bins", "--target", TARGET]);
    build.env("RUSTFLAGS", COVERAGE);
    crate::process::run(build, BUILD_MAX)?;
    let mut counts = Counts::default();
    for target in targets(&workspace.root.join("fuzz/fuzz_targets"))? {
        let held = feed(workspace, &target);
        if let Err(error) = &held {
            println!("{error:#}");
            log.failure(&target);
        }
        counts += Counts::check(held.is_ok());
    }
    Ok(counts)
}

/// The targets, by the names of their files.
fn targets(folder: &Path) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "rs") {
            names.extend(path.file_stem().map(|stem| stem.to_string_lossy().into_owned()));
        }
    }
    names.sort();
    if names.is_empty() {
        bail!("{} holds no target", folder.display());
    }
    Ok(names)
}

/// Feeds one target. What is found new goes to a folder that is thrown away; an input that fails is kept beside the build.
fn feed(workspace: &Workspace, target: &str) -> Result<()> {
    let fuzz = workspace.root.join("fuzz");
    let built = workspace.target.join("fuzz").join(TARGET).join("release").join(target);
    let found = workspace.target.join("fuzz/found").join(target);
    let failed = workspace.target.join("fuzz/failed").join(target);
    if found.exists() {
        fs::remove_dir_all(&found)?;
    }
    for folder in [&found, &failed] {
        fs::create_dir_all(folder)?;
    }
    let mut command = workspace.command(&built);
    command.current_dir(&fuzz);
    command.arg(format!("-max_total_time={RUN_SECS}")).arg(format!("-rss_limit_mb={MEMORY_MB}"));
    command.arg(format!("-timeout={INPUT_SECS}")).arg(format!("-artifact_prefix={}/", failed.display()));
    command.arg(&found).arg(fuzz.join("corpus").join(target));
    let captured = capture(command, RUN_MAX)?;
    if !captured.status.success() {
        let lines: Vec<&str> = captured.stderr.lines().collect();
        let last = lines[lines.len().saturating_sub(LAST_LINES)..].join("\n");
        bail!("{target} ended with {}:\n{last}\nthe input is in {}", captured.status, failed.display());
    }
    Ok(())
}
