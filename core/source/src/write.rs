//! Writing a source as an archive: a tar archive in one frame, the same bytes for the same files, wherever and whenever.

use std::io::{self, Read, Write};

use ignite_core_artifact::Compression;
use ignite_core_model::{Digest, Fault};
use sha2::{Digest as _, Sha256};

use crate::{Folder, Selected};

/// What was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Packed {
    /// How many files.
    pub files: usize,
    /// Bytes of these files.
    pub bytes: u64,
    /// Bytes of the archive.
    pub archive_bytes: u64,
    /// Of the archive.
    pub digest: Digest,
}

/// Why a source could not be written.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// A file could not be read.
    #[error("could not read `{path}`")]
    Read {
        /// Which.
        path: String,
        /// Why.
        #[source]
        cause: io::Error,
    },
    /// A file is no longer what it was when it was selected.
    #[error("`{path}` changed while it was read")]
    Changed {
        /// Which.
        path: String,
    },
    /// The archive could not be written.
    #[error("could not write the archive")]
    Output(#[source] io::Error),
}

impl WriteError {
    /// Whose fault it is.
    #[must_use]
    pub fn fault(&self) -> Fault {
        match self {
            Self::Read { .. } => Fault::Caller,
            Self::Changed { .. } => Fault::Conflict,
            Self::Output(_) => Fault::Internal,
        }
    }
}

/// The level of zstd: an upload is written while somebody waits.
const ZSTD_LEVEL: i32 = 3;

/// Writes these files, in this order, as [`select`](crate::select()) gave them. Of each the path, the content and whether it
/// is a program are written; times and owners are not.
///
/// # Errors
/// [`WriteError`]; what was written until then is worth nothing.
pub fn write(
    folder: &dyn Folder,
    files: &[Selected],
    compression: Compression,
    out: &mut dyn Write,
) -> Result<Packed, WriteError> {
    let mut counted = Counted { inner: out, sha256: Sha256::new(), bytes: 0 };
    match compression {
        Compression::Zstd => {
            let mut encoder =
                zstd::stream::write::Encoder::new(&mut counted, ZSTD_LEVEL).map_err(WriteError::Output)?;
            encoder.include_checksum(true).map_err(WriteError::Output)?;
            archive(folder, files, &mut encoder)?;
            encoder.finish().map_err(WriteError::Output)?;
        }
        Compression::Gzip => {
            let mut encoder = flate2::GzBuilder::new().mtime(0).write(&mut counted, flate2::Compression::default());
            archive(folder, files, &mut encoder)?;
            encoder.finish().map_err(WriteError::Output)?;
        }
    }
    counted.flush().map_err(WriteError::Output)?;
    let bytes = files.iter().map(|file| file.size).sum();
    let digest = Digest::from_bytes(counted.sha256.finalize().into());
    Ok(Packed { files: files.len(), bytes, archive_bytes: counted.bytes, digest })
}

fn archive(folder: &dyn Folder, files: &[Selected], out: &mut dyn Write) -> Result<(), WriteError> {
    let mut builder = tar::Builder::new(out);
    for file in files {
        let failed = |cause| WriteError::Read { path: file.path.clone(), cause };
        let mut header = tar::Header::new_ustar();
        header.set_size(file.size);
        header.set_mode(if file.executable { 0o755 } else { 0o644 });
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(0);
        let mut content = folder.open(&file.from).map_err(failed)?;
        let mut exact = Exact { inner: &mut content, left: file.size, fault: None };
        let appended = builder.append_data(&mut header, &file.path, &mut exact);
        match (exact.fault.take(), appended) {
            (Some(Some(cause)), _) => return Err(failed(cause)),
            (Some(None), _) => return Err(WriteError::Changed { path: file.path.clone() }),
            (None, Err(error)) => return Err(WriteError::Output(error)),
            (None, Ok(())) => {}
        }
        // A file that grew has more than was written.
        match content.read(&mut [0]) {
            Ok(0) => {}
            Ok(_) => return Err(WriteError::Changed { path: file.path.clone() }),
            Err(cause) => return Err(failed(cause)),
        }
    }
    builder.finish().map_err(WriteError::Output)
}

/// Exactly as many bytes as were announced.
struct Exact<'a> {
    inner: &'a mut dyn Read,
    left: u64,
    /// Why it ended too early: an error, or none when there was no more.
    fault: Option<Option<io::Error>>,
}

impl Read for Exact<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let wanted = usize::try_from(self.left).unwrap_or(usize::MAX).min(buffer.len());
        if wanted == 0 {
            return Ok(0);
        }
        match self.inner.read(&mut buffer[..wanted]) {
            Ok(0) => {
                self.fault = Some(None);
                Err(io::Error::other("the file ended"))
            }
            Ok(read) => {
                self.left -= read as u64;
                Ok(read)
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Err(error),
            Err(error) => {
                let kind = error.kind();
                self.fault = Some(Some(error));
                Err(kind.into())
            }
        }
    }
}

/// Counts and digests what is written.
struct Counted<'a> {
    inner: &'a mut dyn Write,
    sha256: Sha256,
    bytes: u64,
}

impl Write for Counted<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(bytes)?;
        self.sha256.update(&bytes[..written]);
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}
