//! `ignite verify`: compiles again what an artifact says it was made of, and tells what is not the same.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use ignite_compiler_builder::{Builder, CompileRequest, Inspected};
use ignite_core_artifact::provenance::{
    PROVENANCE_NAME, Provenance, ProvenanceError, SourceEntry, UsedTool, read_provenance,
};
use ignite_core_artifact::{Compression, FileEntry, Manifest, ReadArtifact, ReadLimits};
use serde::Serialize;

use crate::args::{BuildArgs, VerifyArgs};
use crate::exit::{CliError, Exit};
use crate::project::{self, Wanted};
use crate::settings::Settings;
use crate::ui::{Ui, table};

/// What was found.
#[derive(Debug, Serialize)]
struct Report {
    artifact: PathBuf,
    /// Whether every file came out the same again.
    same: bool,
    digest: String,
    /// Of what was compiled now. It differs from `digest` also where only the tools are other ones.
    recompiled: String,
    differences: Vec<Difference>,
    /// Tools that are not those of the artifact.
    tools: Vec<String>,
}

/// One thing that is not the same.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct Difference {
    path: String,
    what: &'static str,
    recorded: String,
    found: String,
}

pub(crate) fn run(args: &VerifyArgs, settings: &Settings, ui: &mut Ui) -> Result<Exit, CliError> {
    let (recorded, provenance, compression) = open(&args.artifact)?;
    let builder = project::builder(settings, args.allow_unsandboxed);
    let options = &provenance.options;
    let build = BuildArgs { target: None, kind: None, no_cache: true, allow_unsandboxed: args.allow_unsandboxed };
    let wanted = Wanted {
        target: Some(options.target),
        kind: Some(options.kind),
        quick: options.quick,
        compression,
        beside: vec![args.artifact.clone()],
        ..Wanted::new(&build)?
    };
    let folder = tempfile::tempdir().map_err(|error| {
        CliError::new(Exit::Unavailable, "could not make a folder to compile into").caused_by(&error)
    })?;
    let out = folder.path().join("artifact");
    let inspected = inspect(&builder, &args.dir, &out, &wanted)?;
    same_source(&args.dir, &recorded.manifest, &provenance, &inspected)?;
    let tools = other_tools(&provenance.tools, &inspected.tools);
    for tool in &tools {
        ui.say(&format!("warning: {tool}"));
    }

    let compiled = project::compile(&builder, &args.dir, &out, &wanted, ui)?;
    let differences = differences(&recorded.manifest, &compiled.manifest);
    let report = Report {
        artifact: args.artifact.clone(),
        same: differences.is_empty(),
        digest: recorded.digest.to_string(),
        recompiled: compiled.digest.to_string(),
        differences,
        tools,
    };
    ui.result(&report, |report, _| draw(report))?;
    Ok(if report.same { Exit::Done } else { Exit::Failed })
}

/// Reads the artifact whole: one that is damaged is not compared with anything.
fn open(path: &Path) -> Result<(ReadArtifact, Provenance, Compression), CliError> {
    let what = || format!("could not verify {}", path.display());
    let mut file = File::open(path).map_err(|error| {
        let exit = if error.kind() == io::ErrorKind::NotFound { Exit::NotFound } else { Exit::InvalidArgument };
        CliError::new(exit, what()).caused_by(&error)
    })?;
    let mut start = [0; 2];
    // A file of less than two bytes is refused below.
    let _ = io::Read::read(&mut file, &mut start);
    let compression = if start == [0x1f, 0x8b] { Compression::Gzip } else { Compression::Zstd };
    io::Seek::rewind(&mut file).map_err(|error| CliError::new(Exit::InvalidArgument, what()).caused_by(&error))?;
    let (artifact, provenance) =
        read_provenance(&mut io::BufReader::new(file), &ReadLimits::default()).map_err(|error| {
            let told = CliError::new(Exit::InvalidArgument, what()).caused_by(&error);
            match error {
                ProvenanceError::Absent => told.hint("it was made by an earlier ignite: compile it again"),
                _ => told,
            }
        })?;
    Ok((artifact, provenance, compression))
}

fn inspect(builder: &Builder, dir: &Path, out: &Path, wanted: &Wanted) -> Result<Inspected, CliError> {
    let beside = wanted.beside.clone();
    let request = CompileRequest { target: wanted.target, kind: wanted.kind, beside, ..CompileRequest::new(dir, out) };
    builder.inspect(&request).map_err(|error| project::failed(&error, false))
}

/// Refuses a folder that is not what the artifact was made of, and names the files.
fn same_source(dir: &Path, manifest: &Manifest, provenance: &Provenance, now: &Inspected) -> Result<(), CliError> {
    if manifest.source == now.source {
        return Ok(());
    }
    let told = CliError::new(
        Exit::InvalidArgument,
        format!("{} is not the source that the artifact was made of", dir.display()),
    );
    let told = source_differences(&provenance.sources, &now.sources).into_iter().fold(told, CliError::because);
    Err(told.hint("name the folder as it was: `ignite verify ARTIFACT DIR`"))
}

/// Files that are named at most; a wrong folder has thousands.
const NAMED_FILES_MAX: usize = 20;

fn source_differences(recorded: &[SourceEntry], found: &[SourceEntry]) -> Vec<String> {
    if recorded.is_empty() || found.is_empty() {
        return vec!["the digests of all files together differ".to_owned()];
    }
    let by_path = |entries: &[SourceEntry]| -> BTreeMap<String, SourceEntry> {
        entries.iter().map(|entry| (entry.path.clone(), entry.clone())).collect()
    };
    let (before, after) = (by_path(recorded), by_path(found));
    let mut lines = Vec::new();
    for (path, entry) in &before {
        match after.get(path) {
            None => lines.push(format!("{path} is missing")),
            Some(other) if other.digest != entry.digest => lines.push(format!("{path} has another content")),
            Some(other) if other.executable != entry.executable => lines.push(format!("{path} has another mode")),
            Some(_) => {}
        }
    }
    lines.extend(after.keys().filter(|path| !before.contains_key(*path)).map(|path| format!("{path} is new")));
    let more = lines.len().saturating_sub(NAMED_FILES_MAX);
    lines.truncate(NAMED_FILES_MAX);
    if more > 0 {
        lines.push(format!("and {more} more"));
    }
    lines
}

/// Sentences on each tool that is another one now.
fn other_tools(recorded: &[UsedTool], found: &[UsedTool]) -> Vec<String> {
    let mut lines = Vec::new();
    for tool in recorded {
        match found.iter().find(|now| now.name == tool.name) {
            None => {
                lines.push(format!("the artifact was made with {} {}, which is not used here", tool.name, tool.version))
            }
            Some(now) if now.version != tool.version => lines.push(format!(
                "the artifact was made with {} {}, and here is {}",
                tool.name, tool.version, now.version
            )),
            Some(now) if now.digest != tool.digest => {
                lines.push(format!("the artifact was made with another build of {} {}", tool.name, tool.version));
            }
            Some(_) => {}
        }
    }
    lines
}

/// Every file that is not the same, in the order of the paths.
fn differences(recorded: &Manifest, found: &Manifest) -> Vec<Difference> {
    let by_path = |manifest: &Manifest| -> BTreeMap<String, FileEntry> {
        let files = manifest.files.iter().filter(|file| file.path != PROVENANCE_NAME);
        files.map(|file| (file.path.clone(), file.clone())).collect()
    };
    let (before, after) = (by_path(recorded), by_path(found));
    let mut all = Vec::new();
    let mut add = |path: &str, what, recorded: String, found: String| {
        if recorded != found {
            all.push(Difference { path: path.to_owned(), what, recorded, found });
        }
    };
    add("", "entrypoint", recorded.entrypoint.clone(), found.entrypoint.clone());
    add("", "abi", recorded.abi.to_string(), found.abi.to_string());
    for (path, file) in &before {
        match after.get(path) {
            None => add(path, "missing", file.sha256.to_string(), String::new()),
            Some(other) => {
                add(path, "content", file.sha256.to_string(), other.sha256.to_string());
                add(path, "mode", format!("{:04o}", file.mode), format!("{:04o}", other.mode));
            }
        }
    }
    for (path, file) in after.iter().filter(|(path, _)| !before.contains_key(*path)) {
        add(path, "new", String::new(), file.sha256.to_string());
    }
    all
}

fn draw(report: &Report) -> String {
    if report.same {
        let tools = if report.digest == report.recompiled { "" } else { "; what it says of its making differs" };
        return format!("same: {} comes out again, file by file{tools}", report.digest);
    }
    let rows: Vec<Vec<String>> = report
        .differences
        .iter()
        .map(|one| vec![one.path.clone(), one.what.to_owned(), one.recorded.clone(), one.found.clone()])
        .collect();
    table(&["FILE", "DIFFERENCE", "RECORDED", "FOUND"], &rows)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test")]
    use super::*;
    use ignite_core_model::Digest;

    fn source(path: &str, content: &str) -> SourceEntry {
        SourceEntry { path: path.to_owned(), digest: Digest::of(content.as_bytes()), executable: false }
    }

    #[test]
    fn sources_that_differ_are_named() {
        let before = [source("a", "1"), source("b", "2"), source("c", "3")];
        let after = [source("a", "1"), source("b", "two"), source("d", "4")];
        assert_eq!(source_differences(&before, &after), ["b has another content", "c is missing", "d is new"]);
        let many: Vec<SourceEntry> = (0..30).map(|number| source(&format!("{number}"), "")).collect();
        assert_eq!(source_differences(&before, &many).len(), NAMED_FILES_MAX + 1);
    }

    #[test]
    fn tools_that_differ_are_named() {
        let tool = |version: &str, content: &str| UsedTool {
            name: "go".to_owned(),
            version: version.to_owned(),
            digest: Some(Digest::of(content.as_bytes())),
        };
        assert!(other_tools(&[tool("1", "x")], &[tool("1", "x")]).is_empty());
        assert_eq!(
            other_tools(&[tool("1", "x")], &[tool("1", "y")]),
            ["the artifact was made with another build of go 1"]
        );
        assert_eq!(
            other_tools(&[tool("1", "x")], &[tool("2", "x")]),
            ["the artifact was made with go 1, and here is 2"]
        );
    }
}
