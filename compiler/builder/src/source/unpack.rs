//! Unpacks an upload.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use ignite_core_model::Fault;
use ignite_core_source::{ArchiveLimits, ReadError, ReadSeek, ReadSource, read};

use super::disk::Filling;

/// Why an archive was not unpacked. Nothing of it is left then.
#[derive(Debug, thiserror::Error)]
pub enum UnpackError {
    /// The archive was refused.
    #[error(transparent)]
    Refused(#[from] ReadError),
    /// The folder is there already, or cannot be made.
    #[error("could not make {}", path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// Why.
        #[source]
        cause: io::Error,
    },
}

impl UnpackError {
    /// Whose fault it is.
    #[must_use]
    pub fn fault(&self) -> Fault {
        match self {
            Self::Refused(error) => error.fault(),
            Self::Folder { .. } => Fault::Internal,
        }
    }
}

/// Unpacks an archive into the folder `into`, which is made and must not exist. Files are ordinary files (0644, or 0755 for
/// programs), links of the archive are copies. Nothing is written anywhere else, and nothing is left when it fails.
///
/// `stop` is asked all along; an error from it ends the unpacking as [`ReadError::Sink`].
///
/// # Errors
/// [`UnpackError`].
pub fn unpack_source(
    archive: &mut dyn ReadSeek,
    into: &Path,
    limits: &ArchiveLimits,
    stop: &dyn Fn() -> io::Result<()>,
) -> Result<ReadSource, UnpackError> {
    let failed = |cause| UnpackError::Folder { path: into.to_owned(), cause };
    DirBuilder::new().mode(0o700).create(into).map_err(failed)?;
    let mut guard = RemoveUnless { folder: into, done: false };
    let read = read(archive, limits, &mut Filling::open(into, stop).map_err(failed)?)?;
    guard.done = true;
    Ok(read)
}

/// Removes a folder that did not become what it was to be.
struct RemoveUnless<'a> {
    folder: &'a Path,
    done: bool,
}

impl Drop for RemoveUnless<'_> {
    fn drop(&mut self) {
        if !self.done {
            // What cannot be removed now has no name that anyone asks for; whoever made the folder above clears it.
            let _ = fs::remove_dir_all(self.folder);
        }
    }
}
