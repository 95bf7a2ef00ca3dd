//! The golden file of crate edges: a new edge is seen in review, not found a year later.

use std::path::PathBuf;

use anyhow::{Context, Result};

use super::{House, Metadata};
use crate::workspace::Workspace;

const HEAD: &str = "# Which crate of the workspace depends on which. Written by `cargo xtask generate`.\n";

pub(super) fn check(house: &House) -> Result<Vec<String>> {
    let path = path(house.workspace);
    let written = std::fs::read_to_string(&path).with_context(|| format!("could not read {}", path.display()))?;
    let found = render(&house.metadata);
    let gone = written.lines().filter(|line| !found.lines().any(|other| other == *line));
    let new = found.lines().filter(|line| !written.lines().any(|other| other == *line));
    let gone = gone.map(|line| format!("no longer there: {line}"));
    let new = new.map(|line| format!("new: {line}"));
    let hint = (written != found).then(|| "if it is meant so: `cargo xtask tidy --update`".to_string());
    Ok(gone.chain(new).chain(hint).collect())
}

/// Writes the golden file anew.
pub(crate) fn write(workspace: &Workspace) -> Result<()> {
    let path = path(workspace);
    let text = render(&Metadata::load(workspace)?);
    std::fs::write(&path, text).with_context(|| format!("could not write {}", path.display()))
}

fn render(metadata: &Metadata) -> String {
    let edges = metadata.edges();
    HEAD.to_string() + &edges.iter().map(|(from, to)| format!("{from} -> {to}\n")).collect::<String>()
}

fn path(workspace: &Workspace) -> PathBuf {
    workspace.root.join("xtask/golden/edges.txt")
}
