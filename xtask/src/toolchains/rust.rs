//! The Rust this program was built with.

use std::path::PathBuf;

use anyhow::{Context, Result, bail, ensure};

use super::{Found, find};
use crate::workspace::Workspace;

pub(super) fn find(workspace: &Workspace) -> Result<Found> {
    let rustc = std::env::var_os("RUSTC").map_or(PathBuf::from("rustc"), PathBuf::from);
    let version = find::version(workspace, &rustc, &["--version"])?;
    let pin = workspace.pins.pin("cargo")?;
    ensure!(pin.accepts(&version), "rustc is {version}, needed is {} or newer", pin.version);
    for component in ["fmt", "clippy"] {
        let there = find::version(workspace, &PathBuf::from("cargo"), &[component, "--version"]);
        there.with_context(|| format!("cargo {component} is missing"))?;
    }
    let path = find::on_path("rustc").into_iter().next().unwrap_or(rustc);
    Ok(Found { version, path })
}

pub(super) fn install(workspace: &Workspace) -> Result<()> {
    bail!("{}; clippy and rustfmt are needed too", workspace.pins.pin("cargo")?.get)
}
