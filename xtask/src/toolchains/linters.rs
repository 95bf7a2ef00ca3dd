//! Tools that only the checks of this repository use: ruff and pyright.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};

use super::pins::Pin;
use super::{Found, find, venv};
use crate::process::{retry, run};
use crate::workspace::Workspace;

const RUFF: &str = "0.17.5";
const PYRIGHT: &str = "1.1.414";
const INSTALL_MAX: Duration = Duration::from_secs(10 * 60);

pub(super) fn find_ruff(workspace: &Workspace) -> Result<Found> {
    find::pinned(workspace, venv::program(workspace, "ruff", "ruff"), &["--version"], &Pin::exact(RUFF))
}

pub(super) fn install_ruff(workspace: &Workspace) -> Result<()> {
    venv::install(workspace, "ruff", &format!("ruff=={RUFF}"))
}

pub(super) fn find_pyright(workspace: &Workspace) -> Result<Found> {
    find::pinned(workspace, pyright(workspace), &["--version"], &Pin::exact(PYRIGHT))
}

/// From npm, not from Python: that package is a wrapper which downloads this one when it is first started.
pub(super) fn install_pyright(workspace: &Workspace) -> Result<()> {
    let folder = workspace.toolchains.join("pyright");
    std::fs::create_dir_all(&folder).with_context(|| format!("could not make {}", folder.display()))?;
    let package = format!("pyright@{PYRIGHT}");
    retry(&package, || {
        let mut npm = workspace.command("npm");
        npm.args(["install", "--silent", "--no-save", "--no-package-lock", "--ignore-scripts", "--prefix"]);
        npm.arg(&folder).arg(&package);
        run(npm, INSTALL_MAX)
    })
}

fn pyright(workspace: &Workspace) -> PathBuf {
    workspace.toolchains.join("pyright/node_modules/.bin/pyright")
}
