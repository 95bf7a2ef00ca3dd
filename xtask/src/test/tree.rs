//! The checkout itself: what a test writes into it is a fault of the test.

use std::time::Duration;

use anyhow::{Context, Result};

use super::counts::Counts;
use super::suite::Log;
use crate::process::output;
use crate::workspace::Workspace;

const GIT_MAX: Duration = Duration::from_secs(60);

/// Every file that differs from the last commit, with its digest; `None` outside of git, where nothing can be told.
pub(super) fn state(workspace: &Workspace) -> Option<String> {
    let mut status = workspace.command("git");
    status.args(["status", "--porcelain", "--untracked-files=all"]);
    let mut diff = workspace.command("git");
    diff.args(["diff", "--raw", "--abbrev=40", "HEAD"]);
    Some(output(status, GIT_MAX).ok()? + &output(diff, GIT_MAX).ok()?)
}

/// Whether the checkout is as it was `before`: no generated file has drifted, no test has written outside its own folder.
pub(super) fn unchanged(workspace: &Workspace, before: Option<&str>, log: &mut Log) -> Result<Counts> {
    let before = before.context("this is no git checkout")?;
    let after = state(workspace).context("git does not answer any more")?;
    let known: Vec<&str> = before.lines().collect();
    let changed: Vec<&str> = after.lines().filter(|line| !known.contains(line)).collect();
    for line in &changed {
        println!("changed while the tests ran: {line}");
        log.failure(*line);
    }
    Ok(Counts::check(changed.is_empty()))
}
