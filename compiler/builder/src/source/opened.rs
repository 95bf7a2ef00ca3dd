//! An archive that is compiled: unpacked for as long as that takes.

use std::fs::{self, File};
use std::io::{self, Read, Seek};
use std::path::{Path, PathBuf};

use ignite_compiler_plan::KeyBuilder;
use ignite_core_source::{ArchiveFormat, ArchiveLimits, ReadError};

use super::unpack::{UnpackError, unpack_source};
use crate::cache::{Cache, Holding, Lock, Wait};
use crate::digest;
use crate::error::CompileError;
use crate::request::CompileRequest;

/// The folder of the cache in which archives are unpacked.
const KIND: &str = "source";

/// How archives are called.
const SUFFIXES: [&str; 6] = [".tar.zst", ".tzst", ".tar.gz", ".tgz", ".tar", ".zip"];

/// Whether a file is an archive: by its name, else by its first bytes.
pub(crate) fn is_archive(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
    let mut start = Vec::new();
    let mut read = || File::open(path)?.take(512).read_to_end(&mut start);
    SUFFIXES.iter().any(|suffix| name.ends_with(suffix)) || read().is_ok() && ArchiveFormat::detect(&start).is_ok()
}

/// An unpacked archive. Nobody else unpacks the same one meanwhile, and it is removed at the end.
pub(crate) struct Unpacked {
    root: PathBuf,
    folder: PathBuf,
    _lock: Lock,
}

impl Unpacked {
    /// Unpacks the archive that a request names. It gets a folder of its own: by app and tenant, where the request says, so
    /// that one app has one at a time; else by what is in it.
    pub(crate) fn open(request: &CompileRequest, cache: &Cache, wait: &Wait<'_>) -> Result<Self, CompileError> {
        let archive = request.source.as_path();
        let unreadable = |cause| CompileError::Source { path: archive.to_owned(), cause };
        let mut file = File::open(archive).map_err(unreadable)?;
        let limits = ArchiveLimits::default();
        // Nothing is read whose size alone refuses it.
        let bytes = file.metadata().map_err(unreadable)?.len();
        if bytes > limits.archive_bytes_max {
            return Err(refused(archive, ReadError::ArchiveBytes { bytes, max: limits.archive_bytes_max }));
        }
        let content = match &request.app {
            Some(_) => None,
            None => Some(digest::of(&mut file).map_err(unreadable)?.0),
        };
        file.rewind().map_err(unreadable)?;
        sweep(cache);
        let key =
            KeyBuilder::new("source 1").with("tenant", &request.tenant).with_option("app", request.app.as_deref());
        let key = key.with_option("content", content.map(|digest| digest.to_hex()));
        let (folder, lock) = cache.locked(KIND, key.finish(), wait)?;
        let into = folder.join("files");
        let mut unpacked = Self { root: into.clone(), folder: folder.clone(), _lock: lock };
        let failed = |cause| CompileError::Cache { path: folder.clone(), cause };
        // Of one that was killed.
        if into.exists() {
            fs::remove_dir_all(&into).map_err(failed)?;
        }
        let stop = || wait.check().map_err(|_| io::Error::other("it was stopped"));
        unpack_source(&mut file, &into, &limits, &stop).map_err(|error| match (error, wait.check()) {
            (_, Err(stopped)) => stopped,
            (UnpackError::Refused(ReadError::Sink(cause)), Ok(())) => failed(cause),
            (UnpackError::Refused(ReadError::Input(cause)), Ok(())) => unreadable(cause),
            (UnpackError::Refused(error), Ok(())) => refused(archive, error),
            (UnpackError::Folder { path, cause }, Ok(())) => CompileError::Cache { path, cause },
        })?;
        let root = lone_folder(&into).map_err(failed)?.unwrap_or(into);
        unpacked.root = root.canonicalize().map_err(failed)?;
        Ok(unpacked)
    }

    /// The folder with the sources.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }
}

impl Drop for Unpacked {
    fn drop(&mut self) {
        // What cannot be removed now is swept the next time.
        let _ = fs::remove_dir_all(&self.folder);
    }
}

fn refused(archive: &Path, cause: ReadError) -> CompileError {
    CompileError::Archive { path: archive.to_owned(), cause: Box::new(cause) }
}

/// The one folder in which everything stands, as in archives of releases.
fn lone_folder(root: &Path) -> io::Result<Option<PathBuf>> {
    let mut entries = fs::read_dir(root)?;
    let (Some(only), None) = (entries.next().transpose()?, entries.next()) else { return Ok(None) };
    Ok(only.file_type()?.is_dir().then(|| only.path()))
}

/// Removes what was unpacked by a process that was killed.
pub(crate) fn sweep(cache: &Cache) {
    for entry in fs::read_dir(cache.path(KIND)).into_iter().flatten().flatten() {
        let name = entry.file_name();
        if let Ok(_lock) = cache.lock(&format!("{KIND}-{}", name.to_string_lossy()), Holding::Alone, &Wait::none()) {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}
