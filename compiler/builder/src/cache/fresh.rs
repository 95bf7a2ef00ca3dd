//! What is being made: private until it is published in one step, and swept away when its maker died.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// How the lock file of a fresh folder ends.
const LOCK_SUFFIX: &str = ".lock";
/// How temporary files outside of the cache begin. Nothing else there is ever swept.
pub(super) const OUTSIDE_PREFIX: &str = ".ignite-";
/// How the files begin that are about to replace another one in the cache.
const PART_PREFIX: &str = ".ignite-part-";
/// Longest path that is noted in a lock file, in bytes.
const NOTE_BYTES_MAX: u64 = 8 * 1024;

/// A private folder below `fresh`, held by a lock file beside it for as long as its maker lives. Dropping it removes it.
///
/// A maker that is killed leaves the folder and an unlocked lock file behind, which is how [`sweep`] tells it from one
/// that is still at work, in this process or another.
#[derive(Debug)]
pub(crate) struct Fresh {
    path: PathBuf,
    lock_path: PathBuf,
    lock: File,
}

impl Fresh {
    /// An empty folder below `root`.
    pub(crate) fn folder(root: &Path) -> io::Result<Self> {
        fs::create_dir_all(root)?;
        loop {
            let file = tempfile::Builder::new().suffix(LOCK_SUFFIX).tempfile_in(root)?;
            let (lock, lock_path) = file.keep().map_err(|error| error.error)?;
            match lock.try_lock() {
                Ok(()) => {}
                // A sweep was quicker; it removes the file.
                Err(TryLockError::WouldBlock) => continue,
                Err(TryLockError::Error(cause)) => return Err(cause),
            }
            // Between the making and the locking a sweep may have come and gone.
            if !is_at(&lock, &lock_path) {
                continue;
            }
            let path = lock_path.with_extension("");
            fs::create_dir(&path)?;
            return Ok(Self { path, lock_path, lock });
        }
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Notes a temporary file outside of the cache, which is to go too when the maker dies.
    pub(crate) fn note(&mut self, outside: &Path) -> io::Result<()> {
        use std::os::unix::ffi::OsStrExt as _;
        self.lock.write_all(outside.as_os_str().as_bytes())
    }

    /// Makes it what is at `place`: who looks there sees what was there before, or all of this. What was there is
    /// removed. The folder above `place` exists.
    ///
    /// After a loss of power the name may stand for less than what it names, so every entry is proved by its digests when
    /// it is used; to wait for the disk at each compile would cost more than to make anew what is lost so seldom.
    pub(crate) fn publish(self, place: &Path) -> io::Result<()> {
        let above = self.path.parent().unwrap_or(Path::new("."));
        discard(above, place)?;
        match fs::rename(&self.path, place) {
            // Someone else may have been quicker with the same; either is right.
            Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => Ok(()),
            published => published,
        }
    }
}

impl Drop for Fresh {
    fn drop(&mut self) {
        // What cannot be removed now is swept another time. The lock file goes last: it tells of the folder.
        if fs::remove_dir_all(&self.path).is_ok() || !self.path.exists() {
            let _ = fs::remove_file(&self.lock_path);
        }
    }
}

/// Removes an entry of the cache so that nobody ever sees a part of it: it first gets another name below `fresh`.
pub(super) fn discard(fresh: &Path, place: &Path) -> io::Result<()> {
    if fs::symlink_metadata(place).is_err() {
        return Ok(());
    }
    let grave = Fresh::folder(fresh)?;
    match fs::rename(place, grave.path().join("gone")) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        done => done,
    }
}

/// Removes what makers left that are no more.
pub(super) fn sweep(root: &Path) {
    let Ok(entries) = fs::read_dir(root) else { return };
    let entries: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    for lock_path in entries.iter().filter(|path| path.to_string_lossy().ends_with(LOCK_SUFFIX)) {
        let Ok(lock) = OpenOptions::new().read(true).write(true).open(lock_path) else { continue };
        if lock.try_lock().is_err() || !is_at(&lock, lock_path) {
            continue;
        }
        if let Some(outside) = noted(&lock) {
            let _ = fs::remove_file(outside);
        }
        let folder = lock_path.with_extension("");
        if fs::remove_dir_all(&folder).is_ok() || !folder.exists() {
            let _ = fs::remove_file(lock_path);
        }
    }
}

/// Replaces a file in one step. What a killed process leaves of that beside it is removed by [`sweep_parts`].
pub(crate) fn write_whole(path: &Path, content: &[u8]) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder)?;
    loop {
        let mut file = tempfile::Builder::new().prefix(PART_PREFIX).tempfile_in(folder)?;
        // As with a fresh folder: it is locked for as long as its maker lives.
        if file.as_file().try_lock().is_err() || !is_at(file.as_file(), file.path()) {
            continue;
        }
        file.write_all(content)?;
        return file.persist(path).map(drop).map_err(|error| error.error);
    }
}

/// Removes from a folder what dead makers were about to put there in one step.
pub(super) fn sweep_parts(folder: &Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if !entry.file_name().to_string_lossy().starts_with(PART_PREFIX) {
            continue;
        }
        let Ok(part) = File::open(entry.path()) else { continue };
        if part.try_lock().is_ok() && is_at(&part, &entry.path()) {
            let _ = fs::remove_file(entry.path());
        }
    }
}

/// The file outside of the cache that a maker noted. Only one with our own prefix counts.
fn noted(lock: &File) -> Option<PathBuf> {
    use std::io::Read as _;
    use std::os::unix::ffi::OsStringExt as _;
    let mut bytes = Vec::new();
    lock.take(NOTE_BYTES_MAX).read_to_end(&mut bytes).ok()?;
    let path = PathBuf::from(std::ffi::OsString::from_vec(bytes));
    let ours = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(OUTSIDE_PREFIX));
    (path.is_absolute() && ours).then_some(path)
}

/// Whether `path` still names this very file.
pub(super) fn is_at(file: &File, path: &Path) -> bool {
    match (file.metadata(), fs::symlink_metadata(path)) {
        (Ok(one), Ok(other)) => (one.dev(), one.ino()) == (other.dev(), other.ino()),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test")]
    use super::*;

    #[test]
    fn what_a_dead_maker_left_is_swept_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("fresh");
        let outside = dir.path().join(".ignite-half");
        let other = dir.path().join("authors-own");
        fs::write(&outside, "half").unwrap();
        fs::write(&other, "whole").unwrap();
        let alive = Fresh::folder(&root).unwrap();
        for note in [&outside, &other] {
            let mut dead = Fresh::folder(&root).unwrap();
            fs::write(dead.path().join("half"), "x").unwrap();
            dead.note(note).unwrap();
            // As a kill does: the lock goes with the process, the files stay.
            dead.lock.unlock().unwrap();
            std::mem::forget(dead);
        }
        sweep(&root);
        assert!(!outside.exists() && other.exists());
        assert_eq!(fs::read_dir(&root).unwrap().count(), 2, "the living one's folder and lock file");
        assert!(alive.path().is_dir());
        drop(alive);
        assert_eq!(fs::read_dir(&root).unwrap().count(), 0);
    }

    #[test]
    fn what_was_about_to_replace_a_file_is_swept() {
        let dir = tempfile::tempdir().unwrap();
        let (file, own) = (dir.path().join("list"), dir.path().join(".other"));
        fs::write(&own, "x").unwrap();
        write_whole(&file, b"one").unwrap();
        write_whole(&file, b"two").unwrap();
        assert_eq!(fs::read(&file).unwrap(), b"two");
        let alive = dir.path().join(format!("{PART_PREFIX}alive"));
        let lock = File::create(&alive).unwrap();
        lock.lock().unwrap();
        fs::write(dir.path().join(format!("{PART_PREFIX}dead")), "half").unwrap();
        sweep_parts(dir.path());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 3);
        assert!(alive.exists() && own.exists() && file.exists());
    }

    #[test]
    fn an_entry_is_replaced_as_a_whole() {
        let dir = tempfile::tempdir().unwrap();
        let (root, place) = (dir.path().join("fresh"), dir.path().join("entry"));
        for text in ["one", "two"] {
            let fresh = Fresh::folder(&root).unwrap();
            fs::write(fresh.path().join("file"), text).unwrap();
            fresh.publish(&place).unwrap();
            assert_eq!(fs::read_to_string(place.join("file")).unwrap(), text);
        }
        assert_eq!(fs::read_dir(&root).unwrap().count(), 0);
    }
}
