//! What form an archive has, and its bytes, decompressed under bounds.

use std::cell::Cell;
use std::fmt;
use std::io::{self, BufRead, BufReader, Read};
use std::rc::Rc;

use crate::ArchiveLimits;
use crate::error::ReadError;
use crate::limits::{CHUNK_BYTES, WINDOW_LOG_MAX};
use crate::read::ReadSeek;
use crate::tar::{BLOCK, Block, looks_like_tar};

/// The form of an archive; told by its first bytes, never by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ArchiveFormat {
    /// A tar archive in one zstd frame.
    TarZst,
    /// A tar archive in one gzip member.
    TarGz,
    /// A bare tar archive.
    Tar,
    /// A zip archive.
    Zip,
}

impl fmt::Display for ArchiveFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::TarZst => "tar.zst",
            Self::TarGz => "tar.gz",
            Self::Tar => "tar",
            Self::Zip => "zip",
        })
    }
}

/// What people upload by mistake, by its first bytes.
const OTHERS: [(&[u8], &str); 7] = [
    (b"BZh", "compressed with bzip2"),
    (b"\xfd7zXZ\0", "compressed with xz"),
    (b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive"),
    (b"Rar!", "a RAR archive"),
    (b"\x7fELF", "a program"),
    (b"#!", "a script"),
    (b"\x04\x22\x4d\x18", "compressed with lz4"),
];

impl ArchiveFormat {
    /// Tells the form by the first bytes, of which there should be 512.
    ///
    /// # Errors
    /// [`ReadError::NotAnArchive`], with what it is where that can be told.
    pub fn detect(start: &[u8]) -> Result<Self, ReadError> {
        if start.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]) {
            return Ok(Self::TarZst);
        }
        if start.starts_with(&[0x1f, 0x8b]) {
            return Ok(Self::TarGz);
        }
        if start.starts_with(b"PK\x03\x04") || start.starts_with(b"PK\x05\x06") {
            return Ok(Self::Zip);
        }
        if looks_like_tar(start) {
            return Ok(Self::Tar);
        }
        let found = OTHERS.iter().find(|(magic, _)| start.starts_with(magic)).map(|(_, words)| *words);
        Err(ReadError::NotAnArchive { found })
    }
}

/// The input's own failure, so that it is told from a fault in the bytes.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
struct InputFailure(io::Error);

/// Counts what is read.
struct Counted<'a> {
    inner: &'a mut dyn ReadSeek,
    bytes: Rc<Cell<u64>>,
}

impl Read for Counted<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.inner.read(buffer) {
                Ok(read) => {
                    self.bytes.set(self.bytes.get() + read as u64);
                    return Ok(read);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(io::Error::new(error.kind(), InputFailure(error))),
            }
        }
    }
}

type Input<'a> = BufReader<Counted<'a>>;

enum Decoder<'a> {
    Plain(Input<'a>),
    Gzip(Box<flate2::bufread::GzDecoder<Input<'a>>>),
    Zstd(Box<zstd::stream::read::Decoder<'static, Input<'a>>>),
}

/// A decompressed archive that is read once, forwards, under bounds.
pub(crate) struct Stream<'a> {
    decoder: Decoder<'a>,
    consumed: Rc<Cell<u64>>,
    position: u64,
    limits: &'a ArchiveLimits,
}

impl<'a> Stream<'a> {
    /// `input` is at its beginning. A zip is no stream, and read as if it were a bare archive.
    pub(crate) fn new(
        format: ArchiveFormat,
        input: &'a mut dyn ReadSeek,
        limits: &'a ArchiveLimits,
    ) -> Result<Self, ReadError> {
        let consumed = Rc::new(Cell::new(0));
        let input = BufReader::with_capacity(CHUNK_BYTES, Counted { inner: input, bytes: Rc::clone(&consumed) });
        let decoder = match format {
            ArchiveFormat::TarZst => {
                let mut decoder =
                    zstd::stream::read::Decoder::with_buffer(input).map_err(ReadError::Damaged)?.single_frame();
                decoder.window_log_max(WINDOW_LOG_MAX).map_err(ReadError::Damaged)?;
                Decoder::Zstd(Box::new(decoder))
            }
            ArchiveFormat::TarGz => Decoder::Gzip(Box::new(flate2::bufread::GzDecoder::new(input))),
            ArchiveFormat::Tar | ArchiveFormat::Zip => Decoder::Plain(input),
        };
        Ok(Self { decoder, consumed, position: 0, limits })
    }

    /// Bytes of the decompressed archive that were read.
    pub(crate) fn position(&self) -> u64 {
        self.position
    }

    /// Reads on; 0 at the end.
    pub(crate) fn fill(&mut self, buffer: &mut [u8]) -> Result<usize, ReadError> {
        let read = loop {
            let read = match &mut self.decoder {
                Decoder::Plain(decoder) => decoder.read(buffer),
                Decoder::Gzip(decoder) => decoder.read(buffer),
                Decoder::Zstd(decoder) => decoder.read(buffer),
            };
            match read {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                read => break read.map_err(input_error)?,
            }
        };
        self.position += read as u64;
        check_volume(self.position, self.consumed.get(), self.limits)?;
        Ok(read)
    }

    /// Fills the whole buffer.
    pub(crate) fn exact(&mut self, buffer: &mut [u8]) -> Result<(), ReadError> {
        let mut filled = 0;
        while filled < buffer.len() {
            match self.fill(&mut buffer[filled..])? {
                0 => return Err(ReadError::Truncated { entry: None }),
                read => filled += read,
            }
        }
        Ok(())
    }

    pub(crate) fn block(&mut self) -> Result<Block, ReadError> {
        let mut block = [0; BLOCK];
        self.exact(&mut block)?;
        Ok(block)
    }

    /// Makes sure that nothing follows but the zeros that fill a tape's record, to the last byte of the input.
    pub(crate) fn end(&mut self) -> Result<(), ReadError> {
        let mut chunk = vec![0; CHUNK_BYTES];
        loop {
            let read = self.fill(&mut chunk)?;
            if read == 0 {
                break;
            }
            if chunk[..read].iter().any(|byte| *byte != 0) {
                return Err(ReadError::Stray("after the end of its archive"));
            }
        }
        let input = match &mut self.decoder {
            Decoder::Plain(input) => input,
            Decoder::Gzip(decoder) => decoder.get_mut(),
            Decoder::Zstd(decoder) => decoder.get_mut(),
        };
        if input.fill_buf().map_err(input_error)?.is_empty() { Ok(()) } else { Err(ReadError::Stray("after its end")) }
    }
}

/// Holds what came out against the bounds.
pub(crate) fn check_volume(out: u64, of: u64, limits: &ArchiveLimits) -> Result<(), ReadError> {
    if out > limits.read_bytes_max {
        return Err(ReadError::ReadBytes { max: limits.read_bytes_max });
    }
    if out > limits.ratio_free_bytes && out / limits.ratio_max.max(1) > of {
        return Err(ReadError::Ratio { max: limits.ratio_max });
    }
    Ok(())
}

/// Tells the input's own failures, an early end and damage apart.
fn input_error(error: io::Error) -> ReadError {
    match error.downcast::<InputFailure>() {
        Ok(InputFailure(error)) => ReadError::Input(error),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => ReadError::Truncated { entry: None },
        Err(error) => ReadError::Damaged(error),
    }
}
