//! Tools that come as Python packages, each in a virtual environment of its own.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};

use super::python;
use crate::process::{retry, run};
use crate::workspace::Workspace;

/// Longest time of one package's download and installation.
const INSTALL_MAX: Duration = Duration::from_secs(10 * 60);

/// The program `name` in the environment `folder`.
pub(super) fn program(workspace: &Workspace, folder: &str, name: &str) -> PathBuf {
    workspace.toolchains.join(folder).join("bin").join(name)
}

/// Makes the environment `folder` anew with `package` (`name==version`) in it.
///
/// It is made in its place: programs in it know the environment's path, so it cannot be made elsewhere and moved. An
/// environment that was left half made is seen by its program missing or not telling its version.
pub(super) fn install(workspace: &Workspace, folder: &str, package: &str) -> Result<()> {
    let python = python::find(workspace)?.path;
    let folder = workspace.toolchains.join(folder);
    if folder.exists() {
        std::fs::remove_dir_all(&folder).with_context(|| format!("could not remove {}", folder.display()))?;
    }
    let mut make = workspace.command(&python);
    make.args(["-m", "venv"]).arg(&folder);
    run(make, INSTALL_MAX)?;
    retry(package, || {
        let mut pip = workspace.command(folder.join("bin/python"));
        pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--only-binary", ":all:", package]);
        run(pip, INSTALL_MAX)
    })
}
