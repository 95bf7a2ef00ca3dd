//! Deno and uv: both are published as Python packages that hold the program itself.

use anyhow::Result;

use super::{Found, find, venv};
use crate::workspace::Workspace;

pub(super) fn find_deno(workspace: &Workspace) -> Result<Found> {
    find::pinned(workspace, venv::program(workspace, "deno", "deno"), &["--version"], &workspace.pins.pin("deno")?)
}

pub(super) fn install_deno(workspace: &Workspace) -> Result<()> {
    venv::install(workspace, "deno", &format!("deno{}", workspace.pins.pin("deno")?.requirement()))
}

pub(super) fn find_uv(workspace: &Workspace) -> Result<Found> {
    find::pinned(workspace, venv::program(workspace, "uv", "uv"), &["--version"], &workspace.pins.pin("uv")?)
}

pub(super) fn install_uv(workspace: &Workspace) -> Result<()> {
    venv::install(workspace, "uv", &format!("uv{}", workspace.pins.pin("uv")?.requirement()))
}
