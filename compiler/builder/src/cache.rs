//! The layout of the cache, finished artifacts in it, and its bounds.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use ignite_compiler_sandbox::Cancel;
use ignite_core_artifact::Manifest;
use ignite_core_model::Digest;
use serde::{Deserialize, Serialize};

use crate::digest;
use crate::error::CompileError;

/// Finished artifacts that are kept, and the logs of compiles.
const ARTIFACTS_MAX: usize = 256;
/// Copies of authors' folders that are kept.
const WORKS_MAX: usize = 64;
/// Sets of vendored Python packages that are kept.
const VENDORS_MAX: usize = 32;
/// Target directories of Cargo that are kept.
const RUST_MAX: usize = 16;
/// How often a lock that someone else holds is looked at.
const LOCK_LOOK_EVERY: Duration = Duration::from_millis(20);

/// The folder that belongs to the builder. Everything in it can be made again.
#[derive(Debug, Clone)]
pub(crate) struct Cache {
    root: PathBuf,
}

/// The artifact of an earlier compile.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Stored {
    pub(crate) digest: Digest,
    pub(crate) bytes: u64,
    pub(crate) manifest: Manifest,
}

impl Cache {
    pub(crate) fn new(root: PathBuf) -> Self {
        Self { root }
    }

    /// A file or folder directly in the cache.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    /// A folder that stays for good, such as the cache of a tool; made if it is not there.
    pub(crate) fn folder(&self, name: &str) -> Result<PathBuf, CompileError> {
        made(self.root.join(name))
    }

    /// Where the output of the tools of the compile with this key is kept.
    pub(crate) fn log(&self, key: Digest) -> Result<PathBuf, CompileError> {
        Ok(self.folder("logs")?.join(format!("{}.log", short(key))))
    }

    /// The folder of `kind` for `key`, held by this process alone until the lock is dropped.
    pub(crate) fn locked(&self, kind: &str, key: Digest, wait: &Wait<'_>) -> Result<(PathBuf, Lock), CompileError> {
        let name = short(key);
        let lock = self.lock(&format!("{kind}-{name}"), wait)?;
        let folder = self.folder(&format!("{kind}/{name}"))?;
        touch(&folder);
        Ok((folder, lock))
    }

    fn lock(&self, name: &str, wait: &Wait<'_>) -> Result<Lock, CompileError> {
        // Lock files are never removed: whoever waits must wait for the same file as whoever comes later.
        let path = self.folder("locks")?.join(name);
        let failed = |cause| CompileError::Cache { path: path.clone(), cause };
        let file = OpenOptions::new().create(true).truncate(false).write(true).open(&path).map_err(failed)?;
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(Lock { _file: file }),
                Err(TryLockError::WouldBlock) => wait.check()?,
                Err(TryLockError::Error(cause)) => return Err(failed(cause)),
            }
            thread::sleep(LOCK_LOOK_EVERY);
        }
    }

    /// Looks for the artifact with this key.
    pub(crate) fn find_artifact(&self, key: Digest) -> Option<(PathBuf, Stored)> {
        let folder = self.root.join("artifacts").join(short(key));
        let stored: Stored = serde_json::from_slice(&fs::read(folder.join("compiled.json")).ok()?).ok()?;
        let file = folder.join("artifact");
        let whole = fs::metadata(&file).is_ok_and(|metadata| metadata.len() == stored.bytes);
        whole.then(|| {
            touch(&folder);
            (file, stored)
        })
    }

    /// Keeps a finished artifact, which is a file in the cache.
    pub(crate) fn store_artifact(&self, key: Digest, file: &Path, stored: &Stored) -> Result<PathBuf, CompileError> {
        let artifacts = self.folder("artifacts")?;
        let failed = |cause| CompileError::Cache { path: artifacts.clone(), cause };
        let folder = tempfile::Builder::new().prefix(".new-").tempdir_in(&artifacts).map_err(failed)?;
        fs::rename(file, folder.path().join("artifact")).map_err(failed)?;
        let json = serde_json::to_vec(stored).map_err(io::Error::other).map_err(failed)?;
        fs::write(folder.path().join("compiled.json"), json).map_err(failed)?;
        let place = artifacts.join(short(key));
        // Another compile may have put the same artifact there; either is right.
        let _ = fs::remove_dir_all(&place);
        let made = folder.keep();
        if fs::rename(&made, &place).is_err() {
            let _ = fs::remove_dir_all(&made);
        }
        self.prune();
        Ok(place.join("artifact"))
    }

    /// Forgets the artifact with this key.
    pub(crate) fn forget_artifact(&self, key: Digest) {
        let _ = fs::remove_dir_all(self.root.join("artifacts").join(short(key)));
    }

    /// Removes what was used longest ago, beyond the bounds. What cannot be removed now is removed another time.
    fn prune(&self) {
        for (kind, max) in [
            ("artifacts", ARTIFACTS_MAX),
            ("logs", ARTIFACTS_MAX),
            ("work", WORKS_MAX),
            ("python", VENDORS_MAX),
            ("rust", RUST_MAX),
        ] {
            for path in beyond(&self.root.join(kind), max) {
                let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
                if kind == "artifacts" || kind == "logs" {
                    let _ = fs::remove_dir_all(&path).or_else(|_| fs::remove_file(&path));
                } else if let Ok(_lock) = self.lock(&format!("{kind}-{name}"), &Wait::none()) {
                    let _ = fs::remove_dir_all(&path);
                }
            }
        }
    }
}

/// The entries of a folder beyond the `max` used last.
fn beyond(folder: &Path, max: usize) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut entries: Vec<(SystemTime, PathBuf)> =
        entries.filter_map(|entry| Some((entry.metadata().ok()?.modified().ok()?, entry.path()))).collect();
    entries.sort_by(|a, b| b.cmp(a));
    entries.into_iter().skip(max).map(|(_, path)| path).collect()
}

/// Notes that a folder was used now. It only decides what is removed first.
fn touch(folder: &Path) {
    let _ = File::open(folder).and_then(|folder| folder.set_modified(SystemTime::now()));
}

pub(crate) fn made(folder: PathBuf) -> Result<PathBuf, CompileError> {
    match fs::create_dir_all(&folder) {
        Ok(()) => Ok(folder),
        Err(cause) => Err(CompileError::Cache { path: folder, cause }),
    }
}

/// As a name of a file: 128 bits are enough to tell what one machine compiles apart.
fn short(key: Digest) -> String {
    key.to_hex()[..32].to_owned()
}

/// Held by one process at a time.
#[derive(Debug)]
pub(crate) struct Lock {
    _file: File,
}

/// How long to wait for someone else.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wait<'a> {
    pub(crate) until: Instant,
    pub(crate) limit: Duration,
    pub(crate) cancel: Option<&'a Cancel>,
}

impl Wait<'_> {
    fn none() -> Self {
        Self { until: Instant::now(), limit: Duration::ZERO, cancel: None }
    }

    /// # Errors
    /// When the wait is over.
    pub(crate) fn check(&self) -> Result<(), CompileError> {
        if self.cancel.is_some_and(Cancel::is_cancelled) {
            return Err(CompileError::Cancelled);
        }
        if Instant::now() >= self.until {
            return Err(CompileError::TimedOut { limit: self.limit });
        }
        Ok(())
    }
}

/// Copies a stored artifact to where it was asked for, in one step: who looks at `out` sees the old file or the new one.
///
/// # Errors
/// `None` when the stored file is not what it was; else why it could not be written.
pub(crate) fn deliver(file: &Path, digest: Digest, out: &Path) -> Result<(), Option<CompileError>> {
    let failed = |cause| Some(CompileError::Output { path: out.to_owned(), cause });
    if out.is_dir() {
        return Err(failed(io::Error::new(io::ErrorKind::IsADirectory, "it is a folder")));
    }
    let folder = match out.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let mut source = File::open(file).map_err(|_| None)?;
    let mut target = tempfile::Builder::new().prefix(".ignite-").tempfile_in(folder).map_err(failed)?;
    let (copied, _) = digest::copy(&mut source, target.as_file_mut()).map_err(failed)?;
    if copied != digest {
        return Err(None);
    }
    // A temporary file is for its owner alone; an artifact is an ordinary file.
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o644);
    target.as_file().set_permissions(mode).map_err(failed)?;
    target.persist(out).map_err(|error| failed(error.error))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test")]
    use super::*;

    #[test]
    fn what_was_used_last_is_kept() {
        let dir = tempfile::tempdir().unwrap();
        for (index, name) in ["a", "b", "c"].into_iter().enumerate() {
            let folder = dir.path().join(name);
            fs::create_dir(&folder).unwrap();
            let time = SystemTime::UNIX_EPOCH + Duration::from_secs(index as u64);
            File::open(&folder).unwrap().set_modified(time).unwrap();
        }
        touch(&dir.path().join("a"));
        assert_eq!(beyond(dir.path(), 2), [dir.path().join("b")]);
    }

    #[test]
    fn a_folder_is_held_by_one_at_a_time() {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::new(dir.path().to_owned());
        let key = Digest::of(b"x");
        let held = cache.locked("work", key, &Wait::none()).unwrap();
        assert!(matches!(cache.locked("work", key, &Wait::none()), Err(CompileError::TimedOut { .. })));
        drop(held);
        cache.locked("work", key, &Wait::none()).unwrap();
    }

    #[test]
    fn a_damaged_artifact_is_not_delivered() {
        let dir = tempfile::tempdir().unwrap();
        let (file, out) = (dir.path().join("stored"), dir.path().join("out"));
        fs::write(&file, "whole").unwrap();
        deliver(&file, Digest::of(b"whole"), &out).unwrap();
        assert_eq!(fs::read(&out).unwrap(), b"whole");
        fs::write(&file, "wh0le").unwrap();
        assert!(matches!(deliver(&file, Digest::of(b"whole"), &out), Err(None)));
        assert_eq!(fs::read(&out).unwrap(), b"whole", "the old file stays");
        assert!(matches!(deliver(&file, Digest::of(b"wh0le"), dir.path()), Err(Some(CompileError::Output { .. }))));
        let left = fs::read_dir(dir.path()).unwrap().count();
        assert_eq!(left, 2, "no temporary file stays");
    }
}
