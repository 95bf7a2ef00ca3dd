//! A folder of compiled things that many may copy and nobody may change: every file is proved when it is used.

use std::fs::{self, File, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use ignite_core_model::Digest;
use serde::{Deserialize, Serialize};

use crate::digest;

/// What a snapshot is described in, directly in its folder.
const INDEX: &str = "index.json";
/// Where its files are.
const FILES: &str = "files";
/// The version of the index that is written and read.
const VERSION: u32 = 1;
/// Files of a snapshot at most; a dependency's build script may make any number.
const FILES_MAX: usize = 100_000;
/// Bytes of a snapshot at most.
const BYTES_MAX: u64 = 4 * 1024 * 1024 * 1024;

/// What every user of a snapshot must find as it was made.
#[derive(Debug, Serialize, Deserialize)]
struct Index<About> {
    version: u32,
    about: About,
    files: Vec<Entry>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Entry {
    path: String,
    /// Where a symbolic link leads; else this is a file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    link: Option<String>,
    size: u64,
    mode: u32,
    /// Since the epoch. Cargo compares times, so a copy has the same.
    mtime: Duration,
    digest: Digest,
}

/// Why a snapshot was not made or not used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SnapshotError {
    #[error("could not read or write the snapshot")]
    Io(#[from] io::Error),
    #[error("{0} is not what it was when the snapshot was made")]
    Damaged(String),
    #[error("it has more than {FILES_MAX} files or {BYTES_MAX} bytes")]
    TooLarge,
}

/// Describes the files of `folder/files` in `folder`, so that the folder can be published as a snapshot.
pub(crate) fn seal<About: Serialize>(folder: &Path, about: About) -> Result<(), SnapshotError> {
    let mut files = Vec::new();
    let mut bytes = 0;
    collect(&folder.join(FILES), String::new(), &mut files, &mut bytes)?;
    files.sort_by(|one, other| one.path.cmp(&other.path));
    let index = Index { version: VERSION, about, files };
    fs::write(folder.join(INDEX), serde_json::to_vec(&index).map_err(io::Error::other)?)?;
    Ok(())
}

/// Where the files of a snapshot in `folder` stand while it is made.
pub(crate) fn files(folder: &Path) -> PathBuf {
    folder.join(FILES)
}

/// What the snapshot in `folder` is about; `None` where there is none that can be read.
pub(crate) fn about<About: for<'a> Deserialize<'a>>(folder: &Path) -> Option<About> {
    let index: Index<About> = read(folder)?;
    Some(index.about)
}

/// Copies the snapshot in `folder` to `to`, which does not exist yet.
///
/// # Errors
/// When a file is not what it was; then nothing of `to` may be used.
pub(crate) fn copy(folder: &Path, to: &Path) -> Result<(), SnapshotError> {
    let index: Index<serde::de::IgnoredAny> = read(folder).ok_or_else(|| SnapshotError::Damaged(INDEX.to_owned()))?;
    let from = folder.join(FILES);
    fs::create_dir_all(to)?;
    let mut last_folder = PathBuf::new();
    for entry in &index.files {
        let target = to.join(&entry.path);
        if let Some(above) = target.parent().filter(|above| *above != last_folder) {
            fs::create_dir_all(above)?;
            last_folder = above.to_owned();
        }
        let source = from.join(&entry.path);
        if let Some(link) = &entry.link {
            std::os::unix::fs::symlink(link, &target)?;
            continue;
        }
        let damaged = || SnapshotError::Damaged(entry.path.clone());
        let mut source = File::open(&source).map_err(|_| damaged())?;
        let mut target = File::create(&target)?;
        let (copied, size) = digest::copy(&mut source, &mut target)?;
        if (copied, size) != (entry.digest, entry.size) {
            return Err(damaged());
        }
        target.set_permissions(Permissions::from_mode(entry.mode))?;
        target.set_modified(SystemTime::UNIX_EPOCH + entry.mtime)?;
    }
    Ok(())
}

fn read<About: for<'a> Deserialize<'a>>(folder: &Path) -> Option<Index<About>> {
    let bytes = fs::read(folder.join(INDEX)).ok()?;
    let index: Index<About> = serde_json::from_slice(&bytes).ok()?;
    (index.version == VERSION).then_some(index)
}

fn collect(folder: &Path, prefix: String, files: &mut Vec<Entry>, bytes: &mut u64) -> Result<(), SnapshotError> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        // What has no name in UTF-8 was made by no compiler, and is missed by none.
        let Ok(name) = entry.file_name().into_string() else { continue };
        let path = if prefix.is_empty() { name } else { format!("{prefix}/{name}") };
        let metadata = fs::symlink_metadata(entry.path())?;
        if metadata.is_dir() {
            collect(&entry.path(), path, files, bytes)?;
            continue;
        }
        let (link, size, digest) = if metadata.is_symlink() {
            let Ok(link) = fs::read_link(entry.path())?.into_os_string().into_string() else { continue };
            (Some(link), 0, Digest::of(b""))
        } else if metadata.is_file() {
            let (digest, size) = digest::of(&mut File::open(entry.path())?)?;
            (None, size, digest)
        } else {
            continue;
        };
        *bytes = bytes.saturating_add(size);
        if files.len() >= FILES_MAX || *bytes > BYTES_MAX {
            return Err(SnapshotError::TooLarge);
        }
        let mtime = metadata.modified()?.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        files.push(Entry { path, link, size, mode: metadata.mode() & 0o777, mtime, digest });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test")]
    use super::*;

    #[test]
    fn a_copy_is_the_same_and_a_changed_file_is_noticed() {
        let dir = tempfile::tempdir().unwrap();
        let (snapshot, to) = (dir.path().join("snapshot"), dir.path().join("to"));
        let program = files(&snapshot).join("deps/program");
        fs::create_dir_all(program.parent().unwrap()).unwrap();
        fs::write(&program, "text").unwrap();
        fs::set_permissions(&program, Permissions::from_mode(0o755)).unwrap();
        let time = SystemTime::UNIX_EPOCH + Duration::new(1_000_000, 5000);
        File::options().write(true).open(&program).unwrap().set_modified(time).unwrap();
        std::os::unix::fs::symlink("program", files(&snapshot).join("deps/link")).unwrap();
        seal(&snapshot, "about it").unwrap();
        assert_eq!(about::<String>(&snapshot).unwrap(), "about it");

        copy(&snapshot, &to).unwrap();
        let metadata = fs::metadata(to.join("deps/program")).unwrap();
        assert_eq!((metadata.mode() & 0o777, metadata.modified().unwrap()), (0o755, time));
        assert_eq!(fs::read(to.join("deps/link")).unwrap(), b"text");
        // A copy is nobody else's: writing to it leaves the snapshot alone.
        fs::write(to.join("deps/program"), "mine").unwrap();
        copy(&snapshot, &dir.path().join("again")).unwrap();

        fs::write(&program, "tEXt").unwrap();
        let error = copy(&snapshot, &dir.path().join("third")).unwrap_err();
        assert!(matches!(error, SnapshotError::Damaged(path) if path == "deps/program"));
        assert!(about::<String>(&dir.path().join("nowhere")).is_none());
    }
}
