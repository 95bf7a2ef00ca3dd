//! Copies of source trees that tools may work on.
//!
//! A copy is brought up to date rather than made anew: a file that did not change keeps its time of change, so that
//! tools which go by it (Cargo) do no work twice; one that did change gets the present time.

use std::collections::{BTreeSet, HashSet};
use std::fs::{self, File, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use ignite_compiler_plan::SourceTree;
use ignite_core_model::Digest;

use crate::digest;
use crate::error::CompileError;
use crate::sdk::Sources;

/// What a copy should hold.
#[derive(Default)]
pub(crate) struct Stage<'a> {
    from: Option<(&'a Path, &'a SourceTree)>,
    written: Vec<(String, Vec<u8>)>,
    left: HashSet<String>,
    kept: BTreeSet<&'a str>,
}

impl<'a> Stage<'a> {
    /// The files of `tree`, which was read from `root`.
    pub(crate) fn of(root: &'a Path, tree: &'a SourceTree) -> Self {
        Self { from: Some((root, tree)), ..Self::default() }
    }

    /// The files of an SDK and nothing else.
    pub(crate) fn of_sdk(sources: Sources) -> Self {
        let written = sources.iter().map(|(path, content)| ((*path).to_owned(), content.to_vec())).collect();
        Self { written, ..Self::default() }
    }

    /// A file that is written here rather than copied.
    pub(crate) fn with(mut self, path: impl Into<String>, content: impl Into<Vec<u8>>) -> Self {
        self.written.push((path.into(), content.into()));
        self
    }

    /// Without a file of the tree.
    pub(crate) fn without(mut self, path: impl Into<String>) -> Self {
        self.left.insert(path.into());
        self
    }

    /// A file or folder directly in the copy that tools made and that stays as it is.
    pub(crate) fn keeping(mut self, name: &'a str) -> Self {
        self.kept.insert(name);
        self
    }

    /// Brings the folder `to` up to date: afterwards it holds just these files and what is kept.
    pub(crate) fn sync(&self, to: &Path) -> Result<(), CompileError> {
        let failed = |path: &Path| {
            let path = path.to_owned();
            move |cause| CompileError::Cache { path, cause }
        };
        fs::create_dir_all(to).map_err(failed(to))?;
        clear(to).map_err(failed(to))?;
        let mut wanted: HashSet<PathBuf> = HashSet::new();
        for (path, content) in &self.written {
            let file = to.join(path);
            write_changed(&file, content).map_err(failed(&file))?;
            wanted.insert(file);
        }
        if let Some((root, tree)) = self.from {
            for source in tree.files() {
                let file = to.join(&source.path);
                if self.left.contains(&source.path) || !wanted.insert(file.clone()) {
                    continue;
                }
                copy_changed(&root.join(&source.path), &file, source.digest, source.size, source.executable).map_err(
                    |fault| match fault {
                        CopyFault::Changed => CompileError::Changed { path: source.path.clone() },
                        CopyFault::Read(cause) => CompileError::Source { path: root.join(&source.path), cause },
                        CopyFault::Write(cause) => CompileError::Cache { path: file.clone(), cause },
                    },
                )?;
            }
        }
        let kept: HashSet<PathBuf> = self.kept.iter().map(|name| to.join(name)).collect();
        remove_others(to, &wanted, &kept).map_err(failed(to))
    }
}

/// Removes what is neither a file nor a folder, at any depth, and makes folders usable again. What ran in the copy before
/// may have left a link where a folder stood, and what is written next would go through it to anywhere.
fn clear(folder: &Path) -> io::Result<()> {
    let metadata = fs::symlink_metadata(folder)?;
    if metadata.permissions().mode() & 0o700 != 0o700 {
        fs::set_permissions(folder, Permissions::from_mode(0o755))?;
    }
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let kind = entry.file_type()?;
        if kind.is_dir() {
            clear(&entry.path())?;
        } else if !kind.is_file() {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

fn write_changed(file: &Path, content: &[u8]) -> io::Result<()> {
    if fs::symlink_metadata(file).is_ok_and(|metadata| metadata.is_file() && metadata.len() == content.len() as u64)
        && fs::read(file)? == content
    {
        return Ok(());
    }
    make_way(file)?;
    fs::write(file, content)
}

enum CopyFault {
    Changed,
    Read(io::Error),
    Write(io::Error),
}

fn copy_changed(from: &Path, to: &Path, digest: Digest, size: u64, executable: bool) -> Result<(), CopyFault> {
    let mode = if executable { 0o755 } else { 0o644 };
    if same(to, digest, size).map_err(CopyFault::Write)? {
        let permissions = fs::metadata(to).map_err(CopyFault::Write)?.permissions();
        if permissions.mode() & 0o777 != mode {
            fs::set_permissions(to, Permissions::from_mode(mode)).map_err(CopyFault::Write)?;
        }
        return Ok(());
    }
    make_way(to).map_err(CopyFault::Write)?;
    let mut source = File::open(from).map_err(CopyFault::Read)?;
    let mut target = File::create(to).map_err(CopyFault::Write)?;
    let (copied, _) = digest::copy(&mut source, &mut target).map_err(CopyFault::Read)?;
    if copied != digest {
        return Err(CopyFault::Changed);
    }
    target.set_permissions(Permissions::from_mode(mode)).map_err(CopyFault::Write)
}

fn same(file: &Path, digest: Digest, size: u64) -> io::Result<bool> {
    match fs::symlink_metadata(file) {
        Ok(metadata) if metadata.is_file() && metadata.len() == size => {
            Ok(digest::of(&mut File::open(file)?)?.0 == digest)
        }
        _ => Ok(false),
    }
}

/// Makes the folders above `file`, and removes what is in the way: a tool may have left anything.
fn make_way(file: &Path) -> io::Result<()> {
    if let Some(folder) = file.parent()
        && fs::create_dir_all(folder).is_err()
    {
        for above in folder.ancestors().take_while(|above| !above.is_dir()) {
            if fs::symlink_metadata(above).is_ok() {
                fs::remove_file(above)?;
            }
        }
        fs::create_dir_all(folder)?;
    }
    match fs::symlink_metadata(file) {
        Ok(metadata) if metadata.is_dir() => fs::remove_dir_all(file),
        // A link must not be written through.
        Ok(metadata) if !metadata.is_file() => fs::remove_file(file),
        _ => Ok(()),
    }
}

/// Removes every file that is not wanted, and folders that are then empty.
fn remove_others(folder: &Path, wanted: &HashSet<PathBuf>, kept: &HashSet<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if kept.contains(&path) || wanted.contains(&path) {
            continue;
        }
        if fs::symlink_metadata(&path)?.is_dir() {
            remove_others(&path, wanted, kept)?;
            // Not empty is the ordinary case.
            let _ = fs::remove_dir(&path);
        } else {
            fs::remove_file(&path)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test")]
    use super::*;
    use crate::scan::{SourceLimits, scan};
    use ignite_compiler_plan::Patterns;

    fn tree(root: &Path) -> SourceTree {
        scan(root, &Patterns::new(&[], &[]).unwrap(), None, &SourceLimits::default()).unwrap()
    }

    #[test]
    fn only_what_changed_is_touched() {
        let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        fs::create_dir(from.path().join("src")).unwrap();
        fs::write(from.path().join("src/a"), "one").unwrap();
        fs::write(from.path().join("src/b"), "two").unwrap();
        let before = tree(from.path());
        Stage::of(from.path(), &before).with("made", "m").sync(to.path()).unwrap();
        let old = std::time::SystemTime::UNIX_EPOCH;
        for name in ["src/a", "src/b", "made"] {
            File::options().write(true).open(to.path().join(name)).unwrap().set_modified(old).unwrap();
        }
        fs::create_dir_all(to.path().join("kept/x")).unwrap();
        fs::create_dir_all(to.path().join("left/x")).unwrap();
        fs::write(to.path().join("left/x/y"), "").unwrap();

        fs::write(from.path().join("src/b"), "TWO").unwrap();
        let after = tree(from.path());
        Stage::of(from.path(), &after).with("made", "m").keeping("kept").sync(to.path()).unwrap();
        let time = |name: &str| fs::metadata(to.path().join(name)).unwrap().modified().unwrap();
        assert_eq!((time("src/a"), time("made")), (old, old));
        assert!(time("src/b") > old);
        assert_eq!(fs::read(to.path().join("src/b")).unwrap(), b"TWO");
        assert!(to.path().join("kept/x").is_dir() && !to.path().join("left").exists());
    }

    #[test]
    fn a_file_that_changes_meanwhile_is_noticed() {
        let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        fs::write(from.path().join("a"), "one").unwrap();
        let seen = tree(from.path());
        fs::write(from.path().join("a"), "two").unwrap();
        let error = Stage::of(from.path(), &seen).sync(to.path()).unwrap_err();
        assert!(matches!(error, CompileError::Changed { .. }), "{error}");
    }

    #[test]
    fn what_a_tool_left_is_no_obstacle() {
        let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        fs::create_dir(from.path().join("d")).unwrap();
        fs::write(from.path().join("a"), "one").unwrap();
        fs::write(from.path().join("d/b"), "two").unwrap();
        fs::create_dir(to.path().join("a")).unwrap();
        fs::write(to.path().join("d"), "").unwrap();
        let victim = tempfile::NamedTempFile::new().unwrap();
        let seen = tree(from.path());
        Stage::of(from.path(), &seen).sync(to.path()).unwrap();
        assert_eq!(fs::read(to.path().join("d/b")).unwrap(), b"two");
        fs::remove_file(to.path().join("a")).unwrap();
        std::os::unix::fs::symlink(victim.path(), to.path().join("a")).unwrap();
        Stage::of(from.path(), &seen).sync(to.path()).unwrap();
        assert_eq!(fs::read(victim.path()).unwrap(), b"");
    }

    #[test]
    fn nothing_is_written_through_a_link_that_was_a_folder() {
        let (from, to, victim) =
            (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        fs::create_dir(from.path().join("src")).unwrap();
        fs::write(from.path().join("src/lib.rs"), "of the author").unwrap();
        fs::write(victim.path().join("lib.rs"), "of another").unwrap();
        std::os::unix::fs::symlink(victim.path(), to.path().join("src")).unwrap();
        std::os::unix::fs::symlink(victim.path().join("lib.rs"), to.path().join("Cargo.lock")).unwrap();
        let seen = tree(from.path());
        Stage::of(from.path(), &seen).keeping("Cargo.lock").sync(to.path()).unwrap();
        assert_eq!(fs::read(to.path().join("src/lib.rs")).unwrap(), b"of the author");
        assert_eq!(fs::read(victim.path().join("lib.rs")).unwrap(), b"of another");
        assert!(!to.path().join("Cargo.lock").is_symlink(), "not even a file that stays may be a link");
    }
}
