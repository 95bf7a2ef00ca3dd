//! Packs a folder for an upload.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use ignite_compiler_plan::{Mistakes, Patterns};
use ignite_core_artifact::Compression;
use ignite_core_model::{AppManifest, Fault};
use ignite_core_source::{ArchiveLimits, Choice, Packed, SelectError, WriteError, select, write};

use super::disk::OnDisk;
use crate::error::CompileError;
use crate::scan::manifest_text;
use crate::settings::mistakes;

/// Why a folder was not packed.
#[derive(Debug, thiserror::Error)]
pub enum PackSourceError {
    /// There is no such folder, or it cannot be opened.
    #[error("could not open the folder {}", path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// Why.
        #[source]
        cause: io::Error,
    },
    /// `ignite.toml` says what cannot be.
    #[error("{0}")]
    Mistakes(Mistakes),
    /// Its files cannot be told, or are not what a source may hold.
    #[error(transparent)]
    Select(#[from] SelectError),
    /// It could not be written.
    #[error(transparent)]
    Write(#[from] WriteError),
}

impl PackSourceError {
    /// Whose fault it is.
    #[must_use]
    pub fn fault(&self) -> Fault {
        match self {
            Self::Folder { .. } => Fault::Missing,
            Self::Mistakes(_) => Fault::Caller,
            Self::Select(error) => error.fault(),
            Self::Write(error) => error.fault(),
        }
    }

    /// What to do next, where that can be said.
    #[must_use]
    pub fn next(&self) -> Option<String> {
        match self {
            Self::Select(SelectError::Refused(error)) => error.next().map(str::to_owned),
            Self::Mistakes(Mistakes(mistakes)) => mistakes.first()?.next.clone(),
            Self::Write(WriteError::Changed { .. }) => Some("pack it again".to_owned()),
            _ => None,
        }
    }
}

/// Writes the source in a folder as one archive: the same bytes for the same files. `.gitignore`, `.igniteignore` and
/// `.dockerignore` leave files out, and so do `include` and `exclude` of `ignite.toml`, as when the folder itself is compiled.
///
/// # Errors
/// [`PackSourceError`]; what was written until then is worth nothing.
pub fn pack_source(
    folder: &Path,
    compression: Compression,
    limits: &ArchiveLimits,
    out: &mut dyn Write,
) -> Result<Packed, PackSourceError> {
    let opened = |cause| PackSourceError::Folder { path: folder.to_owned(), cause };
    let disk = OnDisk::open(folder).map_err(opened)?;
    let text = manifest_text(folder).map_err(|error| match error {
        CompileError::Mistakes(mistakes) => PackSourceError::Mistakes(mistakes),
        CompileError::Source { path, cause } => PackSourceError::Folder { path, cause },
        other => PackSourceError::Folder { path: folder.to_owned(), cause: io::Error::other(other.to_string()) },
    })?;
    let text = text.unwrap_or_default();
    let manifest = AppManifest::parse(&text).map_err(|errors| PackSourceError::Mistakes(mistakes(&errors, &text)))?;
    let patterns = Patterns::new(&manifest.include, &manifest.exclude).map_err(PackSourceError::Mistakes)?;
    let choice = Choice {
        includes: &|path| patterns.includes(path),
        excludes: &|path| patterns.excludes(path),
        any_includes: patterns.has_includes(),
    };
    let files = select(&disk, &choice, limits)?;
    Ok(write(&disk, &files, compression, out)?)
}
