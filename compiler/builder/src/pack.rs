//! From the files of a payload to an artifact in the cache.

use std::fs::File;
use std::io::{BufWriter, Write as _};

use ignite_core_artifact::{
    Compression, MODE_FILE, MODE_PROGRAM, ManifestHead, PayloadFile, WriteError, Written, write,
};

use crate::cache::{ARTIFACT, Cache, Fresh};
use crate::error::CompileError;
use crate::language::PackedFile;

/// Writes an artifact to a file of the cache that nobody knows yet.
pub(crate) fn pack(
    cache: &Cache,
    head: ManifestHead,
    files: &[PackedFile],
    compression: Compression,
) -> Result<(Fresh, Written), CompileError> {
    let fresh = cache.fresh()?;
    let path = fresh.path().join(ARTIFACT);
    let failed = |cause| CompileError::Cache { path: path.clone(), cause };
    let file = File::create(&path).map_err(failed)?;
    let payload = files.iter().map(|file| {
        let mode = if file.executable { MODE_PROGRAM } else { MODE_FILE };
        PayloadFile::new(file.path.clone(), mode, || Ok(Box::new(File::open(&file.content)?)))
    });
    let mut out = BufWriter::new(file);
    let written = write(head, payload.collect(), compression, &mut out).map_err(|error| match error {
        WriteError::Output(cause) => failed(cause),
        error => CompileError::Pack(Box::new(error)),
    })?;
    out.flush().map_err(failed)?;
    drop(out);
    Ok((fresh, written))
}
