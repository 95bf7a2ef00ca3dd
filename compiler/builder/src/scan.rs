//! Reads an author's folder into a tree, once.

use std::fs::{self, File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use ignite_compiler_plan::{
    Mistake, Patterns, SourceFile, SourceTree, TEXT_BYTES_MAX, is_never_packed, is_own_file, wants_text,
};
use ignite_core_model::{Digest, MANIFEST_TEXT_BYTES_MAX};
use ignite_core_source::DockerIgnore;
use ignore::{DirEntry, WalkBuilder};

use crate::digest;
use crate::error::CompileError;

/// How large an author's folder may be, without what is ignored.
#[derive(Debug, Clone, Copy)]
pub struct SourceLimits {
    /// Most files.
    pub files_max: usize,
    /// Most bytes of all files together.
    pub bytes_max: u64,
    /// Deepest nesting of folders.
    pub depth_max: usize,
}

impl Default for SourceLimits {
    /// 20,000 files, 512 MiB, 64 folders deep.
    fn default() -> Self {
        Self { files_max: 20_000, bytes_max: 512 * 1024 * 1024, depth_max: 64 }
    }
}

/// The text of the manifest, which is needed before the files are chosen.
pub(crate) fn manifest_text(root: &Path) -> Result<Option<String>, CompileError> {
    let path = root.join(ignite_compiler_plan::MANIFEST_FILE);
    match fs::metadata(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Ok(metadata) if metadata.len() > MANIFEST_TEXT_BYTES_MAX as u64 => {
            Err(too_big("ignite.toml", format!("it has more than {MANIFEST_TEXT_BYTES_MAX} bytes")))
        }
        _ => fs::read_to_string(&path).map(Some).map_err(|cause| CompileError::Source { path, cause }),
    }
}

/// Reads the folder `root`. `.gitignore` and `.igniteignore` in it and `.dockerignore` in its root count, those above it and
/// a user's own do not: the same folder gives the same tree wherever it is, and an archive of it gives it too. `not` is a file that is left out: the output, if it is in there.
pub(crate) fn scan(
    root: &Path,
    patterns: &Patterns,
    not: Option<&Path>,
    limits: &SourceLimits,
) -> Result<SourceTree, CompileError> {
    let canonical = root.canonicalize().map_err(|cause| CompileError::Source { path: root.to_owned(), cause })?;
    let mut walk = Walk { root, canonical, patterns, not, limits, files: Vec::new(), bytes: 0 };
    let docker = docker_ignore(root)?;
    walk.through(&mut walker(root, limits), |path| !docker.ignores(path))?;
    if patterns.has_includes() {
        // What is asked for by name is taken although git ignores it.
        let mut all = walker(root, limits);
        all.standard_filters(false);
        walk.through(&mut all, |path| patterns.includes(path))?;
    }
    Ok(SourceTree::new(walk.files))
}

fn docker_ignore(root: &Path) -> Result<DockerIgnore, CompileError> {
    let path = root.join(".dockerignore");
    let text = match File::open(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(DockerIgnore::default()),
        file => file.and_then(|file| {
            let mut bytes = Vec::new();
            file.take(TEXT_BYTES_MAX).read_to_end(&mut bytes)?;
            Ok(String::from_utf8_lossy(&bytes).into_owned())
        }),
    };
    let text = text.map_err(|cause| CompileError::Source { path, cause })?;
    DockerIgnore::parse(&text)
        .map_err(|what| CompileError::Mistakes(Mistake::new(format!(".dockerignore cannot be used: {what}")).into()))
}

fn walker(root: &Path, limits: &SourceLimits) -> WalkBuilder {
    let mut builder = WalkBuilder::new(root);
    builder
        .hidden(false)
        .parents(false)
        .ignore(false)
        .git_global(false)
        .git_exclude(false)
        .git_ignore(true)
        .require_git(false)
        .add_custom_ignore_filename(".igniteignore")
        .follow_links(false)
        // One too deep is looked at, and refused.
        .max_depth(Some(limits.depth_max + 1))
        .filter_entry(|entry| entry.depth() == 0 || !is_never_packed(&entry.file_name().to_string_lossy()));
    builder
}

struct Walk<'a> {
    root: &'a Path,
    canonical: PathBuf,
    patterns: &'a Patterns,
    not: Option<&'a Path>,
    limits: &'a SourceLimits,
    files: Vec<SourceFile>,
    bytes: u64,
}

impl Walk<'_> {
    fn through(&mut self, builder: &mut WalkBuilder, takes: impl Fn(&str) -> bool) -> Result<(), CompileError> {
        for entry in builder.build() {
            let entry = entry.map_err(|error| {
                let cause = io::Error::other(error.to_string());
                CompileError::Source { path: self.root.to_owned(), cause }
            })?;
            if entry.depth() > self.limits.depth_max {
                return Err(too_big("this folder", format!("it is more than {} folders deep", self.limits.depth_max)));
            }
            let Some(path) = self.relative(&entry)? else { continue };
            if !takes(&path) || self.patterns.excludes(&path) && !self.patterns.includes(&path) || is_own_file(&path) {
                continue;
            }
            let Some(metadata) = self.metadata(&entry, &path)? else { continue };
            self.take(entry.path(), path, &metadata)?;
        }
        Ok(())
    }

    /// The path in the tree; `None` for what is no file of the author.
    fn relative(&self, entry: &DirEntry) -> Result<Option<String>, CompileError> {
        if entry.depth() == 0 || entry.file_type().is_some_and(|kind| kind.is_dir()) {
            return Ok(None);
        }
        if self.not.is_some_and(|not| not == entry.path()) {
            return Ok(None);
        }
        let relative = entry.path().strip_prefix(self.root).unwrap_or(entry.path());
        let Some(path) = relative.to_str() else {
            let mistake = Mistake::new(format!("the name of {} is not UTF-8", relative.display()))
                .next("rename the file, or leave it out with `exclude` in ignite.toml");
            return Err(CompileError::Mistakes(mistake.into()));
        };
        Ok(Some(path.to_owned()))
    }

    /// What stands behind an entry, if it is a file; links are followed inside the folder and refused beyond it.
    fn metadata(&self, entry: &DirEntry, path: &str) -> Result<Option<Metadata>, CompileError> {
        let failed = |cause| CompileError::Source { path: entry.path().to_owned(), cause };
        let is_link = entry.path_is_symlink();
        let metadata = match fs::metadata(entry.path()) {
            Err(error) if is_link && error.kind() == io::ErrorKind::NotFound => {
                return Err(link(path, "leads nowhere"));
            }
            metadata => metadata.map_err(failed)?,
        };
        if is_link {
            let target = entry.path().canonicalize().map_err(failed)?;
            if !target.starts_with(&self.canonical) {
                return Err(link(path, "leads out of this folder"));
            }
            if metadata.is_dir() {
                return Err(link(path, "leads to a folder"));
            }
        }
        // Sockets, pipes and devices are nobody's source.
        Ok(metadata.is_file().then_some(metadata))
    }

    fn take(&mut self, file: &Path, path: String, metadata: &Metadata) -> Result<(), CompileError> {
        self.bytes = self.bytes.saturating_add(metadata.len());
        if self.files.len() >= self.limits.files_max {
            return Err(too_big("this folder", format!("it has more than {} files", self.limits.files_max)));
        }
        if self.bytes > self.limits.bytes_max {
            let mib = self.limits.bytes_max / (1024 * 1024);
            return Err(too_big("this folder", format!("its files have more than {mib} MiB together")));
        }
        let failed = |cause| CompileError::Source { path: file.to_owned(), cause };
        let mut content = File::open(file).map_err(failed)?;
        let wanted = metadata.len() <= TEXT_BYTES_MAX && wants_text(&path);
        let (digest, size, text) = if wanted {
            let mut bytes = Vec::new();
            content.by_ref().take(TEXT_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(failed)?;
            let (digest, size) = (Digest::of(&bytes), bytes.len() as u64);
            (digest, size, String::from_utf8(bytes).ok())
        } else {
            let (digest, size) = digest::of(&mut content).map_err(failed)?;
            (digest, size, None)
        };
        let executable = metadata.permissions().mode() & 0o100 != 0;
        self.files.push(SourceFile { path, size, executable, digest, text: text.map(Into::into) });
        Ok(())
    }
}

fn link(path: &str, why: &str) -> CompileError {
    let mistake = Mistake::new(format!("the link {path} {why}"))
        .next("put the files here themselves, or leave the link out with `exclude` in ignite.toml");
    CompileError::Mistakes(mistake.into())
}

fn too_big(what: &str, why: String) -> CompileError {
    let mistake = Mistake::new(format!("{what} is too big: {why}"))
        .next("leave out what the handler does not need, with .igniteignore or `exclude` in ignite.toml");
    CompileError::Mistakes(mistake.into())
}

#[cfg(test)]
mod tests;
