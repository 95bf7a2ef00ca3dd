//! `cargo xtask bench`: builds and runs the measurements of `tests/bench`, which write docs/reference/numbers.md.

use std::time::Duration;

use anyhow::{Result, bail};

use crate::log::say;
use crate::process::run;
use crate::toolchains;
use crate::workspace::Workspace;

const BUILD_MAX: Duration = Duration::from_secs(45 * 60);
const BENCH_MAX: Duration = Duration::from_secs(60 * 60);

/// `bench`.
pub(crate) fn command(workspace: &Workspace, arguments: &[String]) -> Result<bool> {
    if !arguments.is_empty() {
        bail!("usage: cargo xtask bench");
    }
    toolchains::install(workspace)?;
    workspace.claim_target()?;
    say("building");
    let mut build = workspace.cargo();
    build.args(["build", "--workspace", "--bins", "--release", "--locked"]);
    run(build, BUILD_MAX)?;
    say("measuring: leave the machine alone meanwhile");
    run(workspace.command(workspace.release().join("ignite-bench")), BENCH_MAX)?;
    say("wrote docs/reference/numbers.md");
    Ok(true)
}
