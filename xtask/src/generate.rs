//! `cargo xtask generate`: writes every generated file anew.
//!
//! Golden files and generated documents are written by the tests that hold them: with `UPDATE_GOLDEN=1` (and
//! `UPDATE_EXPECT=1` for expectations within the code) a test writes what it would else compare. So a file cannot be
//! generated in one way and checked in another.

use std::time::Duration;

use anyhow::{Result, bail};

use crate::examples::Example;
use crate::log::say;
use crate::process::run;
use crate::tidy;
use crate::toolchains;
use crate::workspace::Workspace;

const LOCK_MAX: Duration = Duration::from_secs(5 * 60);
const GENERATE_MAX: Duration = Duration::from_secs(60 * 60);

/// `generate`.
pub(crate) fn command(workspace: &Workspace, arguments: &[String]) -> Result<bool> {
    if !arguments.is_empty() {
        bail!("usage: cargo xtask generate");
    }
    say("crate edges");
    tidy::write_edges(workspace)?;
    toolchains::install(workspace)?;
    workspace.claim_target()?;
    say("the examples' lock files: they follow the SDK's dependencies");
    for example in Example::load_all(workspace)?.iter().filter(|example| example.folder.join("Cargo.toml").is_file()) {
        let mut update = workspace.cargo();
        // Adds and removes what has changed, and leaves all other versions alone.
        update.current_dir(&example.folder).args(["update", "--quiet", "--workspace"]);
        run(update, LOCK_MAX)?;
    }
    say("golden files and documents, by the tests that hold them");
    let mut test = workspace.cargo();
    test.args(["test", "--workspace", "--all-targets", "--release", "--no-fail-fast"]);
    test.env("UPDATE_GOLDEN", "1").env("UPDATE_EXPECT", "1");
    // A test may fail for a reason that has nothing to do with its files; `cargo xtask test` tells.
    if let Err(error) = run(test, GENERATE_MAX) {
        say(&format!("{error:#}"));
        return Ok(false);
    }
    say("done: `git diff` shows what has changed");
    Ok(true)
}
