//! Writing an artifact.

use std::io::{self, Read, Write};

use ignite_core_model::{Digest, Fault};
use sha2::{Digest as _, Sha256};

use crate::compression::{CHUNK_BYTES, Encoder};
use crate::read::ReadLimits;
use crate::tar::{BLOCK, FILE_BYTES_MAX, encode_headers, entry_bytes};
use crate::{Compression, FileEntry, MANIFEST_NAME, MODE_FILE, Manifest, ManifestFault, ManifestHead, rules};

/// A file to pack. Its content is opened twice: once for the digest in the manifest, once to be packed.
pub struct PayloadFile<'a> {
    /// Its path in the artifact, with `/` between the parts.
    pub path: String,
    /// Its permissions: [`MODE_FILE`] or [`MODE_PROGRAM`](crate::MODE_PROGRAM).
    pub mode: u32,
    /// Opens its content, from the first byte.
    pub open: Box<dyn Fn() -> io::Result<Box<dyn Read + 'a>> + 'a>,
}

impl<'a> PayloadFile<'a> {
    /// A file whose content `open` opens.
    pub fn new(path: impl Into<String>, mode: u32, open: impl Fn() -> io::Result<Box<dyn Read + 'a>> + 'a) -> Self {
        Self { path: path.into(), mode, open: Box::new(open) }
    }

    /// A file whose content is in memory.
    pub fn from_bytes(path: impl Into<String>, mode: u32, content: &'a [u8]) -> Self {
        Self::new(path, mode, move || Ok(Box::new(content)))
    }
}

impl std::fmt::Debug for PayloadFile<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PayloadFile").field("path", &self.path).field("mode", &self.mode).finish_non_exhaustive()
    }
}

/// What was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// The digest of all bytes of the artifact: its address.
    pub digest: Digest,
    /// How many bytes it has.
    pub bytes: u64,
    /// Its manifest.
    pub manifest: Manifest,
}

/// Why an artifact could not be written. What was written until then is not an artifact.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// A reader would refuse it.
    #[error(transparent)]
    Refused(#[from] ManifestFault),
    /// The manifest is larger than a reader takes.
    #[error("the manifest has {bytes} bytes, more than {max}")]
    ManifestTooLarge {
        /// Its size.
        bytes: usize,
        /// The most a reader takes.
        max: usize,
    },
    /// A payload file could not be read.
    #[error("could not read `{path}`")]
    Content {
        /// The file.
        path: String,
        /// Why.
        #[source]
        cause: io::Error,
    },
    /// A payload file was changed between its digest and its packing.
    #[error("`{0}` changed while it was packed")]
    Changed(String),
    /// The output failed.
    #[error("could not write the artifact")]
    Output(#[source] io::Error),
}

impl WriteError {
    /// Whose fault it is.
    #[must_use]
    pub fn fault(&self) -> Fault {
        match self {
            Self::Refused(_) | Self::ManifestTooLarge { .. } => Fault::Caller,
            Self::Changed(_) => Fault::Conflict,
            Self::Content { .. } | Self::Output(_) => Fault::Internal,
        }
    }
}

/// Writes an artifact of `files` to `out`. The same head and files, in any order, give the same bytes.
///
/// What is written a reader with the default [`ReadLimits`] accepts. Memory does not grow with the files: contents are
/// streamed, at most 128 KiB at once beside the compressor's tables.
///
/// # Errors
///
/// [`WriteError`]. Nothing is written when a path, mode, name or the entrypoint is refused.
pub fn write(
    head: ManifestHead,
    mut files: Vec<PayloadFile<'_>>,
    compression: Compression,
    out: &mut dyn Write,
) -> Result<Written, WriteError> {
    let limits = ReadLimits::default();
    files.sort_by(|one, other| one.path.cmp(&other.path));
    // Before any content is read: a refused path might be a mistaken one.
    for file in &files {
        rules::check_file(&file.path, file.mode)?;
    }
    let mut buffer = vec![0; CHUNK_BYTES];
    let entries = files.iter().map(|file| entry(file, &limits, &mut buffer)).collect::<Result<_, _>>()?;
    let manifest = Manifest::new(head, entries);
    rules::check(&manifest, &limits)?;
    let json = serde_json::to_vec(&manifest).expect("a manifest has no map with keys other than text");
    if json.len() > limits.manifest_bytes_max {
        return Err(WriteError::ManifestTooLarge { bytes: json.len(), max: limits.manifest_bytes_max });
    }

    let tar_bytes = manifest.files.iter().map(|file| entry_bytes(&file.path, file.size)).sum::<u64>()
        + entry_bytes(MANIFEST_NAME, json.len() as u64)
        + 2 * BLOCK as u64;
    let output = Output { inner: out, sha256: Sha256::new(), bytes: 0 };
    let mut encoder = Encoder::new(compression, tar_bytes, output).map_err(WriteError::Output)?;
    put(&mut encoder, &encode_headers(MANIFEST_NAME, MODE_FILE, json.len() as u64))?;
    put(&mut encoder, &json)?;
    put(&mut encoder, padding(json.len() as u64))?;
    for (file, entry) in files.iter().zip(&manifest.files) {
        put(&mut encoder, &encode_headers(&entry.path, entry.mode, entry.size))?;
        let again = each_chunk(file, &mut buffer, |chunk| put(&mut encoder, chunk))?;
        if again != (entry.size, entry.sha256) {
            return Err(WriteError::Changed(entry.path.clone()));
        }
        put(&mut encoder, padding(entry.size))?;
    }
    put(&mut encoder, &[0; 2 * BLOCK])?;
    let output = encoder.finish().map_err(WriteError::Output)?;
    output.inner.flush().map_err(WriteError::Output)?;
    Ok(Written { digest: Digest::from_bytes(output.sha256.finalize().into()), bytes: output.bytes, manifest })
}

/// Measures and digests one file.
fn entry(file: &PayloadFile<'_>, limits: &ReadLimits, buffer: &mut [u8]) -> Result<FileEntry, WriteError> {
    // Stops at the bound, so that a file without an end is no reason to read for ever.
    let max = limits.unpacked_bytes_max.min(FILE_BYTES_MAX);
    let mut found = 0;
    let (size, sha256) = each_chunk(file, buffer, |chunk| {
        found += chunk.len() as u64;
        if found > max { Err(ManifestFault::TooManyBytes { found, max }.into()) } else { Ok(()) }
    })?;
    Ok(FileEntry { path: file.path.clone(), size, mode: file.mode, sha256 })
}

/// Gives a file's content to `take` in full buffers, however it is read, and returns its size and digest.
fn each_chunk(
    file: &PayloadFile<'_>,
    buffer: &mut [u8],
    mut take: impl FnMut(&[u8]) -> Result<(), WriteError>,
) -> Result<(u64, Digest), WriteError> {
    let failed = |cause| WriteError::Content { path: file.path.clone(), cause };
    let mut content = (file.open)().map_err(failed)?;
    let (mut size, mut sha256) = (0, Sha256::new());
    loop {
        let read = fill(&mut *content, buffer).map_err(failed)?;
        sha256.update(&buffer[..read]);
        size += read as u64;
        take(&buffer[..read])?;
        if read < buffer.len() {
            return Ok((size, Digest::from_bytes(sha256.finalize().into())));
        }
    }
}

/// Reads until `buffer` is full or the content ends.
fn fill(content: &mut dyn Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match content.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

fn put<W: Write>(encoder: &mut Encoder<W>, bytes: &[u8]) -> Result<(), WriteError> {
    encoder.write_all(bytes).map_err(WriteError::Output)
}

/// The zeros that fill the last block of `size` bytes.
fn padding(size: u64) -> &'static [u8] {
    let missing = size.next_multiple_of(BLOCK as u64) - size;
    &[0; BLOCK][..usize::try_from(missing).unwrap_or_default()]
}

/// Counts and digests what is written.
struct Output<'a> {
    inner: &'a mut dyn Write,
    sha256: Sha256,
    bytes: u64,
}

impl Write for Output<'_> {
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
