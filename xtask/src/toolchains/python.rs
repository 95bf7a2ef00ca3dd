//! Python: found, never installed.

use std::path::PathBuf;

use anyhow::{Result, bail};

use super::{Found, find};
use crate::workspace::Workspace;

pub(super) fn find(workspace: &Workspace) -> Result<Found> {
    let pin = workspace.pins.pin("python")?;
    for program in candidates(pin.version) {
        // A candidate that cannot be started is no Python; the next may be.
        if let Ok(found) = find::pinned(workspace, program, &["--version"], &pin) {
            return Ok(found);
        }
    }
    bail!("no working Python {}", pin.version)
}

fn candidates(series: &str) -> Vec<PathBuf> {
    let name = format!("python{series}");
    let mut programs: Vec<PathBuf> = std::env::var_os("IGNITE_PYTHON").map(PathBuf::from).into_iter().collect();
    programs.extend(find::on_path(&name));
    let home = std::env::var_os("HOME").map(PathBuf::from).unwrap_or_default();
    let pyenv = std::env::var_os("PYENV_ROOT").map_or(home.join(".pyenv"), PathBuf::from);
    let mut versions: Vec<PathBuf> =
        std::fs::read_dir(pyenv.join("versions")).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    versions.sort();
    // The newest patch release first.
    programs.extend(versions.into_iter().rev().map(|version| version.join("bin").join(&name)));
    programs.extend(find::on_path("python3"));
    programs
}

pub(super) fn install(workspace: &Workspace) -> Result<()> {
    bail!("{}", workspace.pins.pin("python")?.get)
}
