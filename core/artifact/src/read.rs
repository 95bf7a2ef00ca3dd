//! Reading an artifact, verified as it streams.

mod error;

use std::collections::HashMap;
use std::io::{self, Read};

use ignite_core_model::Digest;
use serde::Deserialize;
use sha2::{Digest as _, Sha256};

use crate::compression::{CHUNK_BYTES, Decoder, InputFailure};
use crate::path::check_path;
use crate::tar::{BLOCK, Block, EXTENDED_BYTES_MAX, Header, HeaderFault, Kind, decode_extended};
use crate::{FORMAT, FileEntry, MANIFEST_NAME, Manifest, rules};

pub use error::ReadError;

/// How much an artifact may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReadLimits {
    /// Payload files. Default 65,536.
    pub files_max: usize,
    /// Bytes of all payload files together. Default 2 GiB.
    pub unpacked_bytes_max: u64,
    /// Bytes of the manifest. Default 16 MiB.
    pub manifest_bytes_max: usize,
}

impl Default for ReadLimits {
    fn default() -> Self {
        Self { files_max: 65_536, unpacked_bytes_max: 2 * 1024 * 1024 * 1024, manifest_bytes_max: 16 * 1024 * 1024 }
    }
}

/// Takes what is read.
///
/// The manifest's own claims are checked when it gets here; a content is proved only when its reader has ended without an
/// error, and the whole only when [`read`] has returned. Until then a sink keeps what it got where nobody uses it.
pub trait Sink {
    /// Called once, before any file.
    ///
    /// # Errors
    ///
    /// Whatever stops the reading; it is returned as [`ReadError::Sink`].
    fn begin(&mut self, manifest: &Manifest) -> io::Result<()>;

    /// Called for each file, in the order of the archive. `content` gives exactly `file.size` bytes, and an error in place
    /// of its end when their digest is not the manifest's. What the sink leaves unread is read and checked all the same.
    ///
    /// # Errors
    ///
    /// Whatever stops the reading; it is returned as [`ReadError::Sink`].
    fn file(&mut self, file: &FileEntry, content: &mut dyn Read) -> io::Result<()>;
}

/// A sink that keeps nothing: for verifying alone.
#[derive(Debug, Clone, Copy, Default)]
pub struct Discard;

impl Sink for Discard {
    fn begin(&mut self, _: &Manifest) -> io::Result<()> {
        Ok(())
    }

    fn file(&mut self, _: &FileEntry, _: &mut dyn Read) -> io::Result<()> {
        Ok(())
    }
}

/// What was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadArtifact {
    /// Its manifest.
    pub manifest: Manifest,
    /// The digest of all bytes of the artifact: its address.
    pub digest: Digest,
    /// How many bytes it has, compressed.
    pub bytes: u64,
}

/// Reads a whole artifact from `input`, to its last byte, and gives its verified contents to `sink`.
///
/// # Errors
///
/// [`ReadError`]. What the sink got until then is worth nothing.
pub fn read(input: &mut dyn Read, limits: &ReadLimits, sink: &mut dyn Sink) -> Result<ReadArtifact, ReadError> {
    let mut archive = Archive::open(input)?;
    let manifest = archive.manifest(limits)?;
    sink.begin(&manifest).map_err(ReadError::Sink)?;

    let mut missing: HashMap<&str, &FileEntry> = manifest.files.iter().map(|file| (file.path.as_str(), file)).collect();
    while let Some(entry) = archive.next_entry()? {
        let entry = entry.into_file()?;
        let Some(file) = missing.remove(entry.path.as_str()) else {
            let known = manifest.files.iter().any(|file| file.path == entry.path);
            return Err(if known { ReadError::Duplicate(entry.path) } else { ReadError::NotInManifest(entry.path) });
        };
        if entry.mode != file.mode {
            return Err(ReadError::Mode { path: entry.path, found: entry.mode, expected: file.mode });
        }
        if entry.size != file.size {
            return Err(ReadError::Size { path: entry.path, found: entry.size, expected: file.size });
        }
        archive.content(file, sink)?;
    }
    let mut left: Vec<&str> = missing.into_keys().collect();
    left.sort_unstable();
    if let [first, rest @ ..] = &left[..] {
        return Err(ReadError::Missing { first: (*first).to_owned(), more: rest.len() });
    }
    let (digest, bytes) = archive.finish()?;
    Ok(ReadArtifact { manifest, digest, bytes })
}

/// Reads the manifest of the artifact in `input` and nothing further. Its claims are checked for themselves, but not
/// against the payload.
///
/// # Errors
///
/// [`ReadError`].
pub fn read_manifest(input: &mut dyn Read, limits: &ReadLimits) -> Result<Manifest, ReadError> {
    Archive::open(input)?.manifest(limits)
}

/// Just enough of any format's manifest to tell the format.
#[derive(Deserialize)]
struct AnyManifest {
    format: u32,
}

/// A header with its path, extended or not.
struct Entry {
    header: Header,
}

/// A regular file with a sound path.
struct FileHeader {
    path: String,
    mode: u32,
    size: u64,
}

impl Entry {
    /// Refuses whatever is not a regular file with a sound path and no special bits.
    fn into_file(self) -> Result<FileHeader, ReadError> {
        let Header { path, mode, size, kind, link } = self.header;
        let path = path.map_err(|fault| ReadError::Path { path: String::new(), fault })?;
        check_path(&path).map_err(|fault| ReadError::Path { path: path.clone(), fault })?;
        match kind {
            Kind::File if mode & 0o7000 != 0 => Err(ReadError::SpecialMode { path, mode }),
            Kind::File => Ok(FileHeader { path, mode, size }),
            Kind::HardLink | Kind::SymbolicLink => Err(ReadError::Link { path, target: link }),
            Kind::CharacterDevice | Kind::BlockDevice | Kind::Fifo => Err(ReadError::Device { path }),
            Kind::Folder => Err(ReadError::Folder { path }),
            // The archive consumes extended headers itself.
            Kind::Extended => Err(ReadError::EntryKind { path, kind: 'x' }),
            Kind::Other(kind) => Err(ReadError::EntryKind { path, kind: kind.into() }),
        }
    }
}

/// A decompressed archive that is read once, forwards.
struct Archive<'a> {
    decoder: Decoder<'a>,
    /// Bytes of the decompressed archive that were read.
    position: u64,
}

impl<'a> Archive<'a> {
    fn open(input: &'a mut dyn Read) -> Result<Self, ReadError> {
        let decoder = Decoder::new(input).map_err(input_error)?.ok_or(ReadError::NotAnArtifact)?;
        Ok(Self { decoder, position: 0 })
    }

    /// The first entry.
    fn manifest(&mut self, limits: &ReadLimits) -> Result<Manifest, ReadError> {
        let entry = self.next_entry()?.ok_or(ReadError::NoManifest)?;
        if entry.header.kind != Kind::File || entry.header.path.as_deref() != Ok(MANIFEST_NAME) {
            return Err(ReadError::NoManifest);
        }
        let bytes = entry.header.size;
        let max = limits.manifest_bytes_max;
        let size = usize::try_from(bytes).ok().filter(|size| *size <= max);
        let json = self.take(size.ok_or(ReadError::ManifestTooLarge { bytes, max })?)?;
        self.padding(bytes)?;
        let any: AnyManifest = serde_json::from_slice(&json).map_err(ReadError::ManifestSyntax)?;
        match any.format {
            FORMAT => {}
            found if found > FORMAT => return Err(ReadError::NewerFormat { found }),
            found => return Err(ReadError::UnknownFormat { found }),
        }
        let manifest = serde_json::from_slice(&json).map_err(ReadError::ManifestSyntax)?;
        rules::check(&manifest, limits)?;
        Ok(manifest)
    }

    /// The next entry's header, or `None` at the end of the archive, after which nothing may follow.
    fn next_entry(&mut self) -> Result<Option<Entry>, ReadError> {
        let position = self.position;
        let at = |fault| ReadError::Header { position, fault };
        let block = self.block()?;
        if block == [0; BLOCK] {
            return self.end().map(|()| None);
        }
        let mut header = Header::decode(&block).map_err(at)?;
        if header.kind == Kind::Extended {
            let size = usize::try_from(header.size).ok().filter(|_| header.size <= EXTENDED_BYTES_MAX);
            let content = self.take(size.ok_or(at(HeaderFault::Extended))?)?;
            self.padding(header.size)?;
            let path = decode_extended(&content).map_err(at)?;
            let position = self.position;
            header = Header::decode(&self.block()?).map_err(|fault| ReadError::Header { position, fault })?;
            if header.kind == Kind::Extended {
                return Err(at(HeaderFault::Dangling));
            }
            header.path = path;
        }
        Ok(Some(Entry { header }))
    }

    /// Gives the content of `file` to `sink` and makes sure of it.
    fn content(&mut self, file: &FileEntry, sink: &mut dyn Sink) -> Result<(), ReadError> {
        let mut content = Content { archive: self, file, left: file.size, sha256: Some(Sha256::new()), failure: None };
        let kept = sink.file(file, &mut content);
        if let Some(failure) = content.failure.take() {
            // The sink's error, if it has one, only repeats this.
            return Err(failure);
        }
        kept.map_err(ReadError::Sink)?;
        let mut rest = vec![0; usize::try_from(content.left).unwrap_or(CHUNK_BYTES).clamp(1, CHUNK_BYTES)];
        while content.advance(&mut rest)? > 0 {}
        self.padding(file.size)
    }

    /// Exactly `size` bytes.
    fn take(&mut self, size: usize) -> Result<Vec<u8>, ReadError> {
        // Grows with what really comes: the claimed size of a truncated input costs nothing.
        let mut bytes = Vec::new();
        let read = (&mut self.decoder).take(size as u64).read_to_end(&mut bytes).map_err(input_error)?;
        self.position += read as u64;
        if read < size { Err(ReadError::Truncated) } else { Ok(bytes) }
    }

    fn block(&mut self) -> Result<Block, ReadError> {
        let mut block = [0; BLOCK];
        self.decoder.read_exact(&mut block).map_err(input_error)?;
        self.position += BLOCK as u64;
        Ok(block)
    }

    /// The zeros after `size` bytes of content.
    fn padding(&mut self, size: u64) -> Result<(), ReadError> {
        let missing = usize::try_from(size.next_multiple_of(BLOCK as u64) - size).unwrap_or_default();
        let mut padding = [0; BLOCK];
        self.decoder.read_exact(&mut padding[..missing]).map_err(input_error)?;
        self.position += missing as u64;
        if padding == [0; BLOCK] { Ok(()) } else { Err(ReadError::Padding { position: self.position }) }
    }

    /// The second block of zeros, and then nothing.
    fn end(&mut self) -> Result<(), ReadError> {
        if self.block()? != [0; BLOCK] {
            return Err(ReadError::TrailingArchive);
        }
        // Reading on also lets the decompressor check its checksum.
        loop {
            return match self.decoder.read(&mut [0]) {
                Ok(0) => Ok(()),
                Ok(_) => Err(ReadError::TrailingArchive),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => Err(input_error(error)),
            };
        }
    }

    /// The digest and size of the input, which must be at its end.
    fn finish(self) -> Result<(Digest, u64), ReadError> {
        let (digest, bytes) = self.decoder.finish().map_err(input_error)?.ok_or(ReadError::TrailingFile)?;
        Ok((Digest::from_bytes(digest), bytes))
    }
}

/// Tells the input's own failures, an early end and damage apart.
fn input_error(error: io::Error) -> ReadError {
    match error.downcast::<InputFailure>() {
        Ok(InputFailure(error)) => ReadError::Input(error),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => ReadError::Truncated,
        Err(error) => ReadError::Damaged(error),
    }
}

/// The content of one file on its way to a sink.
struct Content<'c, 'a> {
    archive: &'c mut Archive<'a>,
    file: &'c FileEntry,
    left: u64,
    /// Taken when the digest is made, after the last byte.
    sha256: Option<Sha256>,
    /// The first failure, which the sink got as an `io::Error` and may have lost.
    failure: Option<ReadError>,
}

impl Content<'_, '_> {
    /// Reads on; 0 at the end, and only when the digest is right.
    fn advance(&mut self, buffer: &mut [u8]) -> Result<usize, ReadError> {
        if self.left > 0 {
            let wanted = usize::try_from(self.left).unwrap_or(usize::MAX).min(buffer.len());
            let read = self.archive.decoder.read(&mut buffer[..wanted]).map_err(input_error)?;
            if read == 0 && wanted > 0 {
                return Err(ReadError::Truncated);
            }
            self.archive.position += read as u64;
            self.left -= read as u64;
            if let Some(sha256) = &mut self.sha256 {
                sha256.update(&buffer[..read]);
            }
            return Ok(read);
        }
        let Some(sha256) = self.sha256.take() else { return Ok(0) };
        let found = Digest::from_bytes(sha256.finalize().into());
        if found == self.file.sha256 { Ok(0) } else { Err(ReadError::Digest(self.file.path.clone())) }
    }
}

impl Read for Content<'_, '_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.failure.is_some() {
            return Err(io::Error::other("the artifact was refused"));
        }
        self.advance(buffer).map_err(|failure| {
            let error = io::Error::new(io::ErrorKind::InvalidData, failure.to_string());
            self.failure = Some(failure);
            error
        })
    }
}
