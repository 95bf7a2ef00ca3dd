//! The Python SDK and worker: format, lints, types, tests.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result};

use super::counts::{Counts, Unittest};
use super::suite::{Log, agree, check};
use super::{Context, Run};
use crate::process::stream;

const CHECK_MAX: Duration = Duration::from_secs(5 * 60);
const TESTS_MAX: Duration = Duration::from_secs(10 * 60);

pub(super) fn suites(context: &Context, run: &mut Run) {
    let folder = context.workspace.root.join("runtimes/python");
    for (name, arguments) in [("python format", &["format", "--check", "."][..]), ("python lints", &["check", "."])] {
        run.suite(name, |_| {
            let mut command = context.workspace.command(&context.tools.ruff);
            // No cache in the checkout.
            command.current_dir(&folder).args(arguments).arg("--no-cache");
            check(command, CHECK_MAX)
        });
    }
    run.suite("python types", |_| {
        let mut command = context.workspace.command(&context.tools.pyright);
        command.current_dir(&folder).arg("--pythonpath").arg(&context.tools.python);
        check(command, CHECK_MAX)
    });
    run.suite("python tests", |log| unittest(context, &folder, "tests", None, log));
}

/// Runs the tests below `tests` in `folder`, with the SDK and `packages` to import from.
pub(super) fn unittest(
    context: &Context,
    folder: &Path,
    tests: &str,
    packages: Option<&Path>,
    log: &mut Log,
) -> Result<Counts> {
    let sdk = context.workspace.root.join("runtimes/python");
    let paths = [Some(sdk), packages.map(PathBuf::from)].into_iter().flatten();
    let paths = std::env::join_paths(paths).context("a folder's name holds a colon")?;
    let mut command = context.workspace.command(&context.tools.python);
    command.current_dir(folder).args(["-m", "unittest", "discover", "--start-directory", tests]);
    command.env("PYTHONDONTWRITEBYTECODE", "1").env("PYTHONPATH", paths).env_remove("IGNITE_TOOLCHAINS");
    let mut unittest = Unittest::default();
    let status = stream(command, TESTS_MAX, &mut |line| {
        println!("{line}");
        unittest.line(line);
        if let Some(name) = line.strip_prefix("FAIL: ").or_else(|| line.strip_prefix("ERROR: ")) {
            log.failure(name);
        }
    })?;
    agree(status, unittest.counts())
}
