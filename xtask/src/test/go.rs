//! The Go SDK: format, vet, tests.

use std::path::Path;
use std::time::Duration;

use anyhow::{Result, bail};
use serde_json::Value;

use super::counts::{self, Counts};
use super::suite::{Log, agree, check};
use super::{Context, Run};
use crate::process::{capture, stream};

const CHECK_MAX: Duration = Duration::from_secs(10 * 60);
const TESTS_MAX: Duration = Duration::from_secs(10 * 60);

pub(super) fn suites(context: &Context, run: &mut Run) {
    let folder = context.workspace.root.join("runtimes/go");
    run.suite("go format", |log| format(context, &folder, log));
    run.suite("go vet", |_| check(go(context, &folder, &["vet", "./..."]), CHECK_MAX));
    run.suite("go tests", |log| test(context, &folder, log));
}

/// The formatter lists the files it would change, and ends well all the same.
pub(super) fn format(context: &Context, folder: &Path, log: &mut Log) -> Result<Counts> {
    let mut command = context.workspace.command(&context.tools.gofmt);
    command.current_dir(folder).args(["-l", "."]);
    let listed = capture(command, CHECK_MAX)?;
    if !listed.status.success() {
        bail!("gofmt failed: {}", listed.stderr.trim());
    }
    for file in listed.stdout.lines() {
        println!("not formatted: {file}");
        log.failure(file);
    }
    Ok(Counts::check(listed.stdout.trim().is_empty()))
}

/// Runs the tests of the module in `folder`; shows only what failed.
pub(super) fn test(context: &Context, folder: &Path, log: &mut Log) -> Result<Counts> {
    let mut total: Option<Counts> = None;
    let mut said = String::new();
    let status = stream(go(context, folder, &["test", "-json", "-count=1", "./..."]), TESTS_MAX, &mut |line| {
        let Ok(event) = serde_json::from_str::<Value>(line) else { return println!("{line}") };
        let name = event["Test"].as_str().unwrap_or_default();
        if let Some(output) = event["Output"].as_str() {
            said.push_str(output);
        }
        if let Some(counts) = counts::go(&event) {
            *total.get_or_insert_default() += counts;
            if counts.failed > 0 {
                log.failure(name);
                print!("{said}");
            }
            said.clear();
        } else if event["Action"] == "fail" || event["Action"] == "build-output" {
            print!("{said}");
            said.clear();
        }
    })?;
    agree(status, total)
}

pub(super) fn go(context: &Context, folder: &Path, arguments: &[&str]) -> std::process::Command {
    let mut command = context.workspace.command(&context.tools.go);
    // The pinned Go, not another one that a go.mod asks it to fetch.
    command.current_dir(folder).args(arguments).env("GOTOOLCHAIN", "local").env("GOFLAGS", "");
    command
}
