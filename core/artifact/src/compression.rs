//! The two compressions of an artifact.

use std::fmt;
use std::io::{self, BufRead, BufReader, Chain, Cursor, Read, Write};
use std::str::FromStr;

use sha2::{Digest as _, Sha256};

/// Compression of an artifact, named as the file's extension.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum Compression {
    /// `tar.zst`: zstd, RFC 8878.
    #[default]
    Zstd,
    /// `tar.gz`: gzip, RFC 1952.
    Gzip,
}

impl Compression {
    /// Both, the default first.
    pub const ALL: [Self; 2] = [Self::Zstd, Self::Gzip];

    /// The extension of such a file, and the word for it in flags.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Zstd => "tar.zst",
            Self::Gzip => "tar.gz",
        }
    }

    /// The first bytes of such a file.
    fn magic(self) -> &'static [u8] {
        match self {
            Self::Zstd => &[0x28, 0xb5, 0x2f, 0xfd],
            Self::Gzip => &[0x1f, 0x8b],
        }
    }
}

impl fmt::Display for Compression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A word that is not a [`Compression`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a format: use tar.zst or tar.gz")]
pub struct UnknownCompression(String);

impl FromStr for Compression {
    type Err = UnknownCompression;

    fn from_str(text: &str) -> Result<Self, UnknownCompression> {
        let known = Self::ALL.into_iter().find(|compression| compression.as_str() == text);
        known.ok_or_else(|| UnknownCompression(text.chars().take(80).collect()))
    }
}

/// Longest [`Compression::magic`], in bytes.
const MAGIC_BYTES_MAX: usize = 4;

/// Up to this many bytes the strongest zstd level is used: it takes at most 0.25 s there.
const STRONG_BYTES_MAX: u64 = 1024 * 1024;

/// The strongest level, and that for all beyond: for a Go binary of 4 MB level 3 takes half as long again as level 2 and
/// saves 3 % of the bytes, level 9 takes seven times as long and saves 8 %. An author waits for it.
const LEVELS: (i32, i32) = (19, 2);

/// The base-2 logarithm of the largest window a reader allots, and thus of its memory: 8 MiB, what level 19 uses at most.
const WINDOW_LOG_MAX: u32 = 23;

/// Bytes asked from the input at once, and fed to the compressor at once: one block of zstd.
pub(crate) const CHUNK_BYTES: usize = 128 * 1024;

/// Compresses into `W`, in the same blocks for the same bytes however they are cut by the caller.
pub(crate) enum Encoder<W: Write> {
    Zstd(Box<zstd::stream::write::Encoder<'static, W>>),
    Gzip(Box<flate2::write::GzEncoder<W>>),
}

impl<W: Write> Encoder<W> {
    /// An encoder for exactly `bytes` bytes.
    pub(crate) fn new(compression: Compression, bytes: u64, out: W) -> io::Result<Self> {
        match compression {
            Compression::Zstd => {
                let level = if bytes <= STRONG_BYTES_MAX { LEVELS.0 } else { LEVELS.1 };
                let mut encoder = zstd::stream::write::Encoder::new(out, level)?;
                // The size lets it shrink its tables and window; the checksum tells a flipped bit from a hostile one.
                encoder.set_pledged_src_size(Some(bytes))?;
                encoder.include_checksum(true)?;
                Ok(Self::Zstd(Box::new(encoder)))
            }
            Compression::Gzip => {
                let header = flate2::GzBuilder::new().mtime(0);
                Ok(Self::Gzip(Box::new(header.write(out, flate2::Compression::best()))))
            }
        }
    }

    pub(crate) fn finish(self) -> io::Result<W> {
        match self {
            Self::Zstd(encoder) => encoder.finish(),
            Self::Gzip(encoder) => encoder.finish(),
        }
    }
}

impl<W: Write> Write for Encoder<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Zstd(encoder) => encoder.write(bytes),
            Self::Gzip(encoder) => encoder.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        // A flush would cut a block where the caller happens to stand.
        Ok(())
    }
}

/// The input's own failure, so that it is told from a fault in the bytes.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub(crate) struct InputFailure(pub(crate) io::Error);

/// Counts and digests what is read.
pub(crate) struct Input<'a> {
    inner: &'a mut dyn Read,
    sha256: Sha256,
    bytes: u64,
}

impl Read for Input<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.inner.read(buffer) {
                Ok(read) => {
                    self.sha256.update(&buffer[..read]);
                    self.bytes += read as u64;
                    return Ok(read);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(io::Error::new(error.kind(), InputFailure(error))),
            }
        }
    }
}

/// The bytes that told the compression, then the rest.
type Whole<'a> = BufReader<Chain<Cursor<Vec<u8>>, Input<'a>>>;

/// Decompresses one frame.
pub(crate) enum Decoder<'a> {
    Zstd(Box<zstd::stream::read::Decoder<'static, Whole<'a>>>),
    Gzip(Box<flate2::bufread::GzDecoder<Whole<'a>>>),
}

impl<'a> Decoder<'a> {
    /// A decoder for what `inner` begins with; `None` when that is neither compression.
    pub(crate) fn new(inner: &'a mut dyn Read) -> io::Result<Option<Self>> {
        let mut input = Input { inner, sha256: Sha256::new(), bytes: 0 };
        let mut start = Vec::with_capacity(MAGIC_BYTES_MAX);
        input.by_ref().take(MAGIC_BYTES_MAX as u64).read_to_end(&mut start)?;
        let Some(compression) = detect(&start) else { return Ok(None) };
        let input = BufReader::with_capacity(CHUNK_BYTES, Cursor::new(start).chain(input));
        Ok(Some(match compression {
            Compression::Zstd => {
                let mut decoder = zstd::stream::read::Decoder::with_buffer(input)?.single_frame();
                decoder.window_log_max(WINDOW_LOG_MAX)?;
                Self::Zstd(Box::new(decoder))
            }
            Compression::Gzip => Self::Gzip(Box::new(flate2::bufread::GzDecoder::new(input))),
        }))
    }

    /// After the end of the frame: the digest and number of all bytes of the input, or `None` when the input goes on.
    pub(crate) fn finish(self) -> io::Result<Option<([u8; 32], u64)>> {
        let mut input = match self {
            Self::Zstd(decoder) => decoder.finish(),
            Self::Gzip(decoder) => decoder.into_inner(),
        };
        if !input.fill_buf()?.is_empty() {
            return Ok(None);
        }
        let (_, input) = input.into_inner().into_inner();
        Ok(Some((input.sha256.finalize().into(), input.bytes)))
    }
}

impl Read for Decoder<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Zstd(decoder) => decoder.read(buffer),
            Self::Gzip(decoder) => decoder.read(buffer),
        }
    }
}

/// What an input begins with. One that ends within the magic bytes was cut, and the decoder will say so.
fn detect(start: &[u8]) -> Option<Compression> {
    Compression::ALL.into_iter().find(|compression| {
        let magic = compression.magic();
        let shared = magic.len().min(start.len());
        shared > 0 && magic[..shared] == start[..shared]
    })
}
