//! The layout of the cache, finished artifacts in it, and its bounds.

mod bounds;
mod fresh;
pub(crate) mod snapshot;

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Once;
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use ignite_compiler_sandbox::Cancel;
use ignite_core_artifact::Manifest;
use ignite_core_model::Digest;
use serde::{Deserialize, Serialize};

pub use bounds::{Bound, CacheLimits};
pub(crate) use fresh::{Fresh, write_whole};

use crate::digest;
use crate::error::CompileError;

/// How often a lock that someone else holds is looked at.
const LOCK_LOOK_EVERY: Duration = Duration::from_millis(20);
/// How often everything is measured; in between only what a compile has just added to is.
const MEASURED_EVERY: Duration = Duration::from_secs(10 * 60);
/// The file whose time tells when everything was measured.
const MEASURED: &str = "measured";
/// Where what is being made stands.
const FRESH: &str = "fresh";

/// A kind of entries. Each is a folder of the cache with this name.
pub(crate) mod kind {
    pub(crate) const ARTIFACTS: &str = "artifacts";
    pub(crate) const LOGS: &str = "logs";
    /// Copies of authors' folders.
    pub(crate) const WORK: &str = "work";
    /// Copies of authors' Rust packages, with a target folder each.
    pub(crate) const RUST: &str = "rust";
    /// Compiled Rust dependencies, which compiles copy.
    pub(crate) const DEPENDENCIES: &str = "dependencies";
    /// Vendored Python packages.
    pub(crate) const PYTHON: &str = "python";
    /// Downloads that a digest proves, for all tenants.
    pub(crate) const DEPOT: &str = "depot";
    /// What the tools of a tenant download and keep.
    pub(crate) const DOWNLOADS: &str = "downloads";
}

/// The folder that belongs to the builder. Everything in it can be made again.
#[derive(Debug)]
pub(crate) struct Cache {
    root: PathBuf,
    limits: CacheLimits,
    swept: Once,
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
        Self { root, limits: CacheLimits::default(), swept: Once::new() }
    }

    pub(crate) fn with_limits(mut self, limits: CacheLimits) -> Self {
        self.limits = limits;
        self
    }

    /// Removes, once for each builder, what compiles that were killed left half made.
    pub(crate) fn sweep(&self) {
        self.swept.call_once(|| {
            fresh::sweep(&self.root.join(FRESH));
            fresh::sweep_parts(&self.root);
            for kind in [kind::WORK, kind::RUST, kind::DEPENDENCIES, kind::PYTHON, kind::DOWNLOADS] {
                self.entries(kind).iter().for_each(|entry| fresh::sweep_parts(entry));
            }
        });
    }

    /// A private folder for what is being made.
    pub(crate) fn fresh(&self) -> Result<Fresh, CompileError> {
        let root = self.root.join(FRESH);
        Fresh::folder(&root).map_err(|cause| CompileError::Cache { path: root, cause })
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
        Ok(self.folder(kind::LOGS)?.join(format!("{}.log", short(key))))
    }

    /// The folder of `kind` for `key`, held by this process alone until the lock is dropped.
    pub(crate) fn locked(&self, kind: &str, key: Digest, wait: &Wait<'_>) -> Result<(PathBuf, Lock), CompileError> {
        let (folder, lock) = self.place(kind, key, Holding::Alone, wait)?;
        Ok((made(folder)?, lock))
    }

    /// Where the entry of `kind` for `key` is, or will be once it is published there, and a lock on it.
    pub(crate) fn place(
        &self,
        kind: &str,
        key: Digest,
        holding: Holding,
        wait: &Wait<'_>,
    ) -> Result<(PathBuf, Lock), CompileError> {
        let name = short(key);
        let lock = self.lock(&format!("{kind}-{name}"), holding, wait)?;
        let folder = self.folder(kind)?.join(name);
        touch(&folder);
        Ok((folder, lock))
    }

    /// Where the entry of `kind` for `key` is, for kinds whose entries never change and are read without a lock.
    pub(crate) fn entry(&self, kind: &str, key: Digest) -> PathBuf {
        let entry = self.root.join(kind).join(short(key));
        touch(&entry);
        entry
    }

    /// Every entry of `kind`.
    pub(crate) fn entries(&self, kind: &str) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.root.join(kind)).into_iter().flatten().flatten();
        entries.map(|entry| entry.path()).collect()
    }

    /// A lock on an entry that is there already, without waiting for it; `None` while someone else makes or removes it.
    pub(crate) fn hold(&self, kind: &str, entry: &Path) -> Option<Lock> {
        let name = entry.file_name()?.to_str()?;
        self.lock(&format!("{kind}-{name}"), Holding::WithOthers, &Wait::none()).ok()
    }

    /// A lock by its name in the folder of locks.
    pub(crate) fn lock(&self, name: &str, holding: Holding, wait: &Wait<'_>) -> Result<Lock, CompileError> {
        // Whoever waits must wait for the same file as whoever comes later: one that was removed meanwhile is no lock.
        let path = self.folder("locks")?.join(name);
        let failed = |cause| CompileError::Cache { path: path.clone(), cause };
        let open = || OpenOptions::new().create(true).truncate(false).write(true).open(&path).map_err(failed);
        let mut file = open()?;
        loop {
            let tried = match holding {
                Holding::Alone => file.try_lock(),
                Holding::WithOthers => file.try_lock_shared(),
            };
            match tried {
                Ok(()) if fresh::is_at(&file, &path) => return Ok(Lock { _file: file }),
                // Whoever held it has removed the entry, and the file with it.
                Ok(()) => {
                    file = open()?;
                    continue;
                }
                Err(TryLockError::WouldBlock) => wait.check()?,
                Err(TryLockError::Error(cause)) => return Err(failed(cause)),
            }
            thread::sleep(LOCK_LOOK_EVERY);
        }
    }

    /// Looks for the artifact with this key.
    pub(crate) fn find_artifact(&self, key: Digest) -> Option<(PathBuf, Stored)> {
        let folder = self.root.join(kind::ARTIFACTS).join(short(key));
        let stored: Stored = serde_json::from_slice(&fs::read(folder.join("compiled.json")).ok()?).ok()?;
        let file = folder.join(ARTIFACT);
        let whole = fs::metadata(&file).is_ok_and(|metadata| metadata.len() == stored.bytes);
        whole.then(|| {
            touch(&folder);
            (file, stored)
        })
    }

    /// Keeps a finished artifact, which is [`ARTIFACT`] in `fresh`.
    pub(crate) fn store_artifact(&self, key: Digest, fresh: Fresh, stored: &Stored) -> Result<PathBuf, CompileError> {
        let place = self.folder(kind::ARTIFACTS)?.join(short(key));
        let same = self.find_artifact(key).filter(|(file, known)| {
            known.digest == stored.digest
                && File::open(file)
                    .and_then(|mut file| digest::of(&mut file))
                    .is_ok_and(|(digest, _)| digest == stored.digest)
        });
        if let Some((file, _)) = same {
            // There is no moment in which it is not there.
            return Ok(file);
        }
        let failed = |cause| CompileError::Cache { path: place.clone(), cause };
        let json = serde_json::to_vec(stored).map_err(io::Error::other).map_err(failed)?;
        // No order on the disk is asked for: what a loss of power leaves of the record is not read as one, and what it
        // leaves of the artifact is not of its digest, without which it is never delivered.
        fs::write(fresh.path().join("compiled.json"), &json).and_then(|()| fresh.publish(&place)).map_err(failed)?;
        self.prune(kind::ARTIFACTS);
        self.prune_all_seldom();
        Ok(place.join(ARTIFACT))
    }

    /// Forgets the artifact with this key.
    pub(crate) fn forget_artifact(&self, key: Digest) {
        let _ = fresh::discard(&self.root.join(FRESH), &self.root.join(kind::ARTIFACTS).join(short(key)));
    }

    /// Removes an entry on which the caller has a lock of its own.
    pub(crate) fn remove(&self, place: &Path) -> Result<(), CompileError> {
        fresh::discard(&self.root.join(FRESH), place)
            .map_err(|cause| CompileError::Cache { path: place.to_owned(), cause })
    }

    /// Measuring takes a look at every file, so what compiles merely changed is measured now and then.
    fn prune_all_seldom(&self) {
        let stamp = self.root.join(MEASURED);
        let measured = fs::metadata(&stamp).and_then(|metadata| metadata.modified());
        // A time in the future is a clock that was put back, and no reason never to measure again.
        let lately = measured.is_ok_and(|at| at.elapsed().is_ok_and(|age| age < MEASURED_EVERY));
        if lately || fs::write(&stamp, "").is_err() {
            return;
        }
        for kind in [kind::LOGS, kind::WORK, kind::RUST, kind::DEPENDENCIES, kind::PYTHON, kind::DEPOT, kind::DOWNLOADS]
        {
            self.prune(kind);
        }
    }

    /// Removes what was used longest ago, beyond the bounds. What cannot be removed now is removed another time.
    pub(crate) fn prune(&self, kind: &str) {
        let bound = match kind {
            kind::ARTIFACTS | kind::LOGS => self.limits.artifacts,
            kind::DEPENDENCIES => self.limits.dependencies,
            kind::PYTHON => self.limits.vendored,
            kind::DOWNLOADS => self.limits.downloads,
            kind::DEPOT => self.limits.depot,
            _ => self.limits.works,
        };
        for path in bounds::beyond(&self.root.join(kind), bound) {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            // What never changes is open files to whoever reads it, and needs no lock.
            if matches!(kind, kind::ARTIFACTS | kind::LOGS | kind::DEPOT) {
                let _ = self.remove(&path);
                continue;
            }
            let lock_name = format!("{kind}-{name}");
            let Ok(_lock) = self.lock(&lock_name, Holding::Alone, &Wait::none()) else { continue };
            if self.remove(&path).is_ok() {
                let _ = fs::remove_file(self.root.join("locks").join(lock_name));
            }
        }
    }
}

/// The name of the file in the entry of an artifact.
pub(crate) const ARTIFACT: &str = "artifact";

/// Whether others may hold the same lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Holding {
    /// Nobody else: to make or to change what is there.
    Alone,
    /// Others who say so too: to read what nobody changes.
    WithOthers,
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
    /// No wait at all.
    pub(crate) fn none() -> Self {
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

impl Cache {
    /// Copies a stored artifact to where it was asked for, in one step: who looks at `out` sees the old file or the new
    /// one, and what a killed compile left beside it is removed by the next.
    ///
    /// # Errors
    /// `None` when the stored file is not what it was; else why it could not be written.
    pub(crate) fn deliver(&self, file: &Path, digest: Digest, out: &Path) -> Result<(), Option<CompileError>> {
        let failed = |cause| Some(CompileError::Output { path: out.to_owned(), cause });
        if out.is_dir() {
            return Err(failed(io::Error::new(io::ErrorKind::IsADirectory, "it is a folder")));
        }
        let folder = match out.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        };
        let mut source = File::open(file).map_err(|_| None)?;
        let mut maker = self.fresh().map_err(Some)?;
        // The maker's name is no other's, so the file's is neither.
        let own = maker.path().file_name().unwrap_or_default().to_string_lossy().into_owned();
        let target_path = folder.canonicalize().map_err(failed)?.join(format!("{}{own}", fresh::OUTSIDE_PREFIX));
        maker.note(&target_path).map_err(failed)?;
        let mut target = OpenOptions::new().write(true).create_new(true).open(&target_path).map_err(failed)?;
        let copied = digest::copy(&mut source, &mut target).map_err(failed).and_then(|(copied, _)| {
            if copied != digest {
                return Err(None);
            }
            // Whatever the process's mask: an artifact is an ordinary file.
            let mode = std::os::unix::fs::PermissionsExt::from_mode(0o644);
            target.set_permissions(mode).and_then(|()| fs::rename(&target_path, out)).map_err(failed)
        });
        if copied.is_err() {
            let _ = fs::remove_file(&target_path);
        }
        copied
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test")]
    use super::*;

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
        let cache = Cache::new(dir.path().join("cache"));
        let deliver = |file: &Path, digest, out: &Path| cache.deliver(file, digest, out);
        let (file, out) = (dir.path().join("stored"), dir.path().join("out"));
        fs::write(&file, "whole").unwrap();
        deliver(&file, Digest::of(b"whole"), &out).unwrap();
        assert_eq!(fs::read(&out).unwrap(), b"whole");
        fs::write(&file, "wh0le").unwrap();
        assert!(matches!(deliver(&file, Digest::of(b"whole"), &out), Err(None)));
        assert_eq!(fs::read(&out).unwrap(), b"whole", "the old file stays");
        assert!(matches!(deliver(&file, Digest::of(b"wh0le"), dir.path()), Err(Some(CompileError::Output { .. }))));
        let left = fs::read_dir(dir.path()).unwrap().count();
        assert_eq!(left, 3, "no temporary file stays");
        assert_eq!(fs::read_dir(dir.path().join("cache/fresh")).unwrap().count(), 0);
    }
}
