//! From the files of a payload to an artifact in the cache.

use std::fs::File;
use std::io::BufWriter;
use std::path::PathBuf;

use ignite_core_artifact::{
    Compression, MODE_FILE, MODE_PROGRAM, ManifestHead, PayloadFile, WriteError, Written, write,
};

use crate::cache::Cache;
use crate::error::CompileError;
use crate::language::PackedFile;

/// Writes an artifact to a file of the cache that nobody knows yet.
pub(crate) fn pack(
    cache: &Cache,
    head: ManifestHead,
    files: &[PackedFile],
    compression: Compression,
) -> Result<(tempfile::TempPath, Written), CompileError> {
    let folder = cache.folder("fresh")?;
    let failed = |path: PathBuf| move |cause| CompileError::Cache { path, cause };
    let file = tempfile::NamedTempFile::new_in(&folder).map_err(failed(folder))?;
    let payload = files.iter().map(|file| {
        let mode = if file.executable { MODE_PROGRAM } else { MODE_FILE };
        PayloadFile::new(file.path.clone(), mode, || Ok(Box::new(File::open(&file.content)?)))
    });
    let mut out = BufWriter::new(file.as_file());
    let written = write(head, payload.collect(), compression, &mut out).map_err(|error| match error {
        WriteError::Output(cause) => CompileError::Cache { path: file.path().to_owned(), cause },
        error => CompileError::Pack(Box::new(error)),
    })?;
    drop(out);
    Ok((file.into_temp_path(), written))
}
