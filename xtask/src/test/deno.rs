//! The Deno SDK: format, lints, types, tests.

use std::path::Path;
use std::time::Duration;

use anyhow::Result;

use super::counts::{self, Counts};
use super::suite::{Log, agree, check};
use super::{Context, Run};
use crate::process::stream;

const CHECK_MAX: Duration = Duration::from_secs(5 * 60);
const TESTS_MAX: Duration = Duration::from_secs(10 * 60);

pub(super) fn suites(context: &Context, run: &mut Run) {
    let folder = context.workspace.root.join("runtimes/deno");
    for (name, arguments) in
        [("deno format", &["fmt", "--check"][..]), ("deno lints", &["lint"]), ("deno types", &["check", "."])]
    {
        run.suite(name, |_| check(deno(context, &folder, arguments), CHECK_MAX));
    }
    run.suite("deno tests", |log| test(context, &folder, log));
}

/// Runs the tests in `folder`.
pub(super) fn test(context: &Context, folder: &Path, log: &mut Log) -> Result<Counts> {
    let mut total = None;
    let status = stream(deno(context, folder, &["test", "--allow-all"]), TESTS_MAX, &mut |line| {
        println!("{line}");
        total = counts::deno(line).or(total);
        if let Some((name, _)) = line.split_once(" ... FAILED") {
            log.failure(name);
        }
    })?;
    agree(status, total)
}

pub(super) fn deno(context: &Context, folder: &Path, arguments: &[&str]) -> std::process::Command {
    let mut command = context.workspace.command(&context.tools.deno);
    command.current_dir(folder).args(arguments);
    command
}
