//! Reading an archive, whatever its form.

use std::io::{Read, Seek, SeekFrom};

use crate::error::ReadError;
use crate::format::{ArchiveFormat, Stream};
use crate::intake::{Intake, Sink};
use crate::tar::BLOCK;
use crate::{ArchiveLimits, tar, zip};

/// A reader that can go back: a zip archive has its list at its end.
pub trait ReadSeek: Read + Seek {}

impl<T: Read + Seek + ?Sized> ReadSeek for T {}

/// What was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReadSource {
    /// The form of the archive.
    pub format: ArchiveFormat,
    /// Bytes of the archive.
    pub archive_bytes: u64,
    /// Files that were handed on.
    pub files: usize,
    /// Bytes of these files.
    pub bytes: u64,
    /// Entries that were left out because of their names.
    pub left_out: usize,
}

/// Reads a whole archive, to its last byte, and hands its files to `sink`.
///
/// Memory is bounded by `limits`, some megabytes of names and the window of the decompressor, whatever the archive claims.
///
/// # Errors
/// [`ReadError`]. What the sink got until then is worth nothing.
pub fn read(input: &mut dyn ReadSeek, limits: &ArchiveLimits, sink: &mut dyn Sink) -> Result<ReadSource, ReadError> {
    let archive_bytes = input.seek(SeekFrom::End(0)).map_err(ReadError::Input)?;
    if archive_bytes > limits.archive_bytes_max {
        return Err(ReadError::ArchiveBytes { bytes: archive_bytes, max: limits.archive_bytes_max });
    }
    input.rewind().map_err(ReadError::Input)?;
    let mut start = Vec::with_capacity(BLOCK);
    input.take(BLOCK as u64).read_to_end(&mut start).map_err(ReadError::Input)?;
    input.rewind().map_err(ReadError::Input)?;
    let format = ArchiveFormat::detect(&start)?;

    let mut intake = Intake::new(limits, sink);
    match format {
        ArchiveFormat::Zip => zip::read(input, archive_bytes, limits, &mut intake)?,
        _ => tar::read(&mut Stream::new(format, input, limits)?, &mut intake)?,
    }
    let taken = intake.finish()?;
    Ok(ReadSource { format, archive_bytes, files: taken.files, bytes: taken.bytes, left_out: taken.left_out })
}
