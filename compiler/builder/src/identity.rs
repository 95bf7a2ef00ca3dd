//! Which tool exactly: the digest of the files that decide what it makes.
//!
//! A version is what a tool says of itself; two builds of one version may make different things. Digests are computed
//! once and remembered by size, time of change and number of each file, since the tools are hundreds of megabytes.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use ignite_compiler_plan::KeyBuilder;
use ignite_core_model::Digest;
use ignite_core_model::toolchain::Tool;

use crate::digest;
use crate::tools::{FoundTool, Tools, write_whole};

/// Folders that are walked at most for one tool, and files that are digested.
const FILES_MAX: usize = 4096;

/// Remembers the digests of tools.
pub(crate) struct Identities {
    file: PathBuf,
    known: Mutex<BTreeMap<String, Known>>,
}

#[derive(Debug, Clone, serde::Serialize, serde::Deserialize)]
struct Known {
    stamp: String,
    digest: Digest,
}

impl Identities {
    /// `file` is where they are remembered.
    pub(crate) fn new(file: PathBuf) -> Self {
        // A file that cannot be read is no loss: the tools are digested again.
        let known = fs::read(&file).ok().and_then(|text| serde_json::from_slice(&text).ok()).unwrap_or_default();
        Self { file, known: Mutex::new(known) }
    }

    /// The digest of a tool; `None` when its files cannot be read.
    pub(crate) fn digest(&self, found: &FoundTool, finder: &Tools) -> Option<Digest> {
        let (root, files) = files(found, finder)?;
        let stamp = stamp(&files)?;
        let name = format!("{} {}", found.tool, root.display());
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner).get(&name).cloned();
        if let Some(known) = known.filter(|known| known.stamp == stamp) {
            return Some(known.digest);
        }
        let mut key = KeyBuilder::new("tool 1");
        for file in &files {
            let (digest, _) = digest::of(&mut File::open(file).ok()?).ok()?;
            key = key.with(&file.strip_prefix(&root).unwrap_or(file).to_string_lossy(), digest.as_bytes());
        }
        let digest = key.finish();
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.insert(name, Known { stamp, digest });
        known.retain(|name, _| name.split_once(' ').is_some_and(|(_, path)| Path::new(path).exists()));
        // A file that cannot be written costs time, not correctness.
        let _ = write_whole(&self.file, &serde_json::to_vec_pretty(&*known).unwrap_or_default());
        Some(digest)
    }
}

/// The files that decide what a tool makes, in order, and the folder their names are relative to.
fn files(found: &FoundTool, finder: &Tools) -> Option<(PathBuf, Vec<PathBuf>)> {
    let path = found.path.canonicalize().ok()?;
    let mut files = Vec::new();
    let root = match found.tool {
        Tool::Cargo => {
            // What is found may be rustup, which starts another file.
            let rust = finder.rust(found)?;
            let root = rust.sysroot;
            files.extend(["bin/cargo", "bin/rustc"].map(|file| root.join(file)));
            let libraries = fs::read_dir(root.join("lib")).ok()?.flatten().map(|entry| entry.path());
            files.extend(libraries.filter(|path| path.is_file()));
            for target in fs::read_dir(root.join("lib/rustlib")).ok()?.flatten() {
                walk(&target.path().join("lib"), &mut files);
                walk(&target.path().join("bin"), &mut files);
            }
            root
        }
        Tool::Go => {
            // `bin/go` of a Go root, or a program beside none.
            let root = path.parent().and_then(Path::parent).unwrap_or(Path::new("/")).to_owned();
            files.push(path.clone());
            files.extend(Some(root.join("VERSION")).filter(|file| file.is_file()));
            walk(&root.join("pkg/tool"), &mut files);
            root
        }
        // Every package in it stands there with its version.
        Tool::WasmRoot => {
            files.push(path.join("var/lib/dpkg/status"));
            files.extend(
                ["usr/bin/rustc", "usr/bin/cargo"].map(|file| path.join(file)).into_iter().filter(|f| f.is_file()),
            );
            path.clone()
        }
        _ => {
            files.push(path.clone());
            path.parent().unwrap_or(Path::new("/")).to_owned()
        }
    };
    files.sort();
    files.dedup();
    (!files.is_empty() && files.len() <= FILES_MAX).then_some((root, files))
}

fn walk(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if files.len() > FILES_MAX {
            return;
        }
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => walk(&path, files),
            Ok(kind) if kind.is_file() => files.push(path),
            _ => {}
        }
    }
}

fn stamp(files: &[PathBuf]) -> Option<String> {
    let mut key = KeyBuilder::new("stamp 1");
    for file in files {
        let metadata = fs::metadata(file).ok()?;
        let words = format!("{}.{}:{}:{}", metadata.mtime(), metadata.mtime_nsec(), metadata.size(), metadata.ino());
        key = key.with(&file.to_string_lossy(), words);
    }
    Some(key.finish().to_hex())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test")]
    use super::*;
    use ignite_core_model::toolchain::Version;

    #[test]
    fn a_tool_of_the_same_version_with_other_bytes_is_another() {
        let dir = tempfile::tempdir().unwrap();
        let tool = dir.path().join("uv");
        fs::write(&tool, "one").unwrap();
        let finder = Tools::new(std::sync::Arc::new(|_| None), dir.path().join("tools.json"));
        let found =
            FoundTool { tool: Tool::Uv, path: tool.clone(), version: Version { major: 0, minor: 13, patch: 0 } };
        let remembered = dir.path().join("digests.json");
        let one = Identities::new(remembered.clone()).digest(&found, &finder).unwrap();
        assert_eq!(Identities::new(remembered.clone()).digest(&found, &finder), Some(one));
        fs::write(&tool, "three").unwrap();
        assert_ne!(Identities::new(remembered).digest(&found, &finder), Some(one));
    }
}
