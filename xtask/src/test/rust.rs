//! The Rust workspace: format, lints, build, each test program, documentation tests.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use super::artifacts::TestProgram;
use super::counts::{self, Counts};
use super::fuzz;
use super::suite::{Log, agree, check};
use super::{Artifacts, Context, Run};
use crate::process::stream;

const FORMAT_MAX: Duration = Duration::from_secs(2 * 60);
/// With nothing cached: it downloads, and checks every dependency.
const LINTS_MAX: Duration = Duration::from_secs(25 * 60);
/// With nothing cached: the WebAssembly engine alone takes more than ten minutes on two cores.
const BUILD_MAX: Duration = Duration::from_secs(45 * 60);
/// One test program.
const PROGRAM_MAX: Duration = Duration::from_secs(15 * 60);
const DOC_TESTS_MAX: Duration = Duration::from_secs(15 * 60);

/// Formatting alone: it needs nothing built.
pub(super) fn format(context: &Context, run: &mut Run) {
    run.suite("rust format", |_| {
        let mut command = context.workspace.cargo();
        command.args(["fmt", "--all", "--check"]);
        check(command, FORMAT_MAX)
    });
}

/// All else.
///
/// One profile for everything, and one set of targets: so each dependency is built once, and the programs that the
/// tests start are the ones the build made.
pub(super) fn suites(context: &Context, run: &mut Run) {
    let workspace = context.workspace;
    run.suite("rust lints", |_| {
        let mut command = workspace.cargo();
        command.args(["clippy", "--workspace", "--all-targets", "--release", "--locked", "--", "--deny", "warnings"]);
        check(command, LINTS_MAX)
    });
    fuzz::suites(context, run);
    run.suite("rust docs", |_| {
        let mut command = workspace.cargo();
        command.args(["doc", "--workspace", "--no-deps", "--release", "--locked"]);
        command.env("RUSTDOCFLAGS", "--deny warnings");
        check(command, LINTS_MAX)
    });
    if !["rust build", "rust tests", "rust doc tests"].iter().any(|name| run.wants_some(name)) {
        return;
    }
    let mut artifacts = Artifacts::default();
    let built = run.step("rust build", || build(context, &mut artifacts)).is_some();
    if built {
        let libraries = library_path(context);
        for program in &artifacts.programs {
            let name = format!("rust tests {}", program.name);
            run.suite_if_any(&name, |log| run_program(context, program, &libraries, log));
        }
    } else {
        run.suite("rust tests", |_| bail!("the build failed"));
    }
    run.suite("rust doc tests", |log| doc_tests(context, built, log));
}

fn build(context: &Context, artifacts: &mut Artifacts) -> Result<()> {
    let root = &context.workspace.root;
    let mut command = context.workspace.cargo();
    command.args(["build", "--workspace", "--all-targets", "--release", "--locked"]);
    command.arg("--message-format=json-render-diagnostics");
    let started = Instant::now();
    let status = stream(command, BUILD_MAX, &mut |line| {
        if !artifacts.line(root, line) {
            println!("{line}");
        }
    })?;
    if !status.success() {
        bail!("cargo build failed ({status}) after {:.0} s", started.elapsed().as_secs_f64());
    }
    artifacts.programs.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(())
}

/// Starts a test program as cargo does: in the crate's folder, and told about the crate.
fn run_program(context: &Context, program: &TestProgram, libraries: &str, log: &mut Log) -> Result<Counts> {
    let mut command = context.workspace.command(&program.program);
    command.current_dir(&program.folder).env("CARGO_MANIFEST_DIR", &program.folder);
    command.env("CARGO_PKG_NAME", &program.package).env("LD_LIBRARY_PATH", libraries);
    command.env("CARGO", std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.env("IGNITE_SLOW", "1").env("RUST_BACKTRACE", "1");
    let mut found = None;
    let status = stream(command, PROGRAM_MAX, &mut |line| {
        note(line, &mut found, log);
    })?;
    agree(status, found)
}

fn doc_tests(context: &Context, built: bool, log: &mut Log) -> Result<Counts> {
    if !built {
        bail!("the build failed");
    }
    let mut command = context.workspace.cargo();
    command.args(["test", "--workspace", "--doc", "--release", "--locked", "--no-fail-fast"]);
    let mut total: Option<Counts> = None;
    let status = stream(command, DOC_TESTS_MAX, &mut |line| {
        let mut found = None;
        note(line, &mut found, log);
        if let Some(found) = found {
            *total.get_or_insert_default() += found;
        }
    })?;
    agree(status, total)
}

fn note(line: &str, found: &mut Option<Counts>, log: &mut Log) {
    // One line a test that holds would bury the others.
    if !(line.starts_with("test ") && line.ends_with(" ... ok")) {
        println!("{line}");
    }
    if let Some(counts) = counts::rust(line) {
        *found = Some(counts);
    } else if let Some(name) = line.strip_prefix("test ").and_then(|rest| rest.strip_suffix(" ... FAILED")) {
        log.failure(name);
    }
}

/// Where cargo lets test programs look for the libraries of the compiler.
fn library_path(context: &Context) -> String {
    let mut command = context.workspace.command("rustc");
    command.args(["--print", "target-libdir"]);
    let libraries = crate::process::output(command, FORMAT_MAX).unwrap_or_default();
    let folders = [context.workspace.release().join("deps"), PathBuf::from(libraries.trim())];
    std::env::join_paths(folders).map(|paths| paths.to_string_lossy().into_owned()).unwrap_or_default()
}
