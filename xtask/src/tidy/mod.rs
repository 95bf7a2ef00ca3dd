//! `cargo xtask tidy`: the rules of the house that a machine can hold.

mod doors;
mod edges;
mod files;
mod licences;
mod links;
mod manifests;
mod metadata;
mod rooms;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::process::output;
use crate::test::Counts;
use crate::workspace::Workspace;

pub(crate) use edges::write as write_edges;
pub(crate) use metadata::Metadata;

/// What the rules look at.
struct House<'a> {
    workspace: &'a Workspace,
    metadata: Metadata,
    /// Every file of the repository, relative to its root.
    files: Vec<PathBuf>,
    /// `deny.toml`.
    deny: toml::Table,
}

/// A rule: its name, and what breaks it; each finding says where and what to do.
type Rule = (&'static str, fn(&House) -> Result<Vec<String>>);

const RULES: &[Rule] = &[
    ("dependencies point down", rooms::check),
    ("crate edges are as written down", edges::check),
    ("heavy dependencies have one door", doors::crates),
    ("unsafe code has its doors", doors::unsafe_code),
    ("licences are allowed", licences::check),
    ("versions stand once", manifests::versions),
    ("every crate takes the lints", manifests::lints),
    ("files are of a size to be read", files::sizes),
    ("nothing tells of one machine", files::words),
    ("text files are clean", files::whitespace),
    ("links lead somewhere", links::check),
];

/// `tidy [--update]`: with the flag, the golden file of crate edges is written anew first.
pub(crate) fn command(workspace: &Workspace, arguments: &[String]) -> Result<bool> {
    match arguments {
        [] => {}
        [flag] if flag == "--update" => write_edges(workspace)?,
        _ => bail!("usage: cargo xtask tidy [--update]"),
    }
    let counts = check(workspace)?;
    println!("{} passed, {} failed", counts.passed, counts.failed);
    Ok(counts.failed == 0)
}

/// Tries every rule, prints what breaks them, and counts the rules.
pub(crate) fn check(workspace: &Workspace) -> Result<Counts> {
    let house = House {
        workspace,
        metadata: Metadata::load(workspace)?,
        files: files(workspace)?,
        deny: std::fs::read_to_string(workspace.root.join("deny.toml")).context("deny.toml")?.parse()?,
    };
    let mut counts = Counts::default();
    for (name, rule) in RULES {
        let findings = rule(&house).with_context(|| format!("could not check that {name}"))?;
        if findings.is_empty() {
            counts.passed += 1;
            continue;
        }
        counts.failed += 1;
        println!("not so: {name}");
        findings.iter().for_each(|finding| println!("    {finding}"));
    }
    Ok(counts)
}

/// Files git knows or would add: what is ignored is nobody's business.
fn files(workspace: &Workspace) -> Result<Vec<PathBuf>> {
    let mut command = workspace.command("git");
    command.args(["ls-files", "--cached", "--others", "--exclude-standard", "-z"]);
    let listed = output(command, Duration::from_secs(60)).context("could not list the files of the repository")?;
    let mut files: Vec<PathBuf> = listed.split('\0').filter(|name| !name.is_empty()).map(PathBuf::from).collect();
    // A file that is deleted but not yet committed so.
    files.retain(|file| workspace.root.join(file).is_file());
    files.sort();
    files.dedup();
    Ok(files)
}
