//! Zip archives. Their list at the end and the headers between the contents must say the same: tools differ in which of the
//! two they believe, and what a scanner saw would else not be what is compiled.

use std::io::{self, BufRead, BufReader, Read};

use ignite_core_artifact::PathFault;
use rawzip::{
    CompressionMethod, CreatorSystem, ErrorKind, MAX_CENTRAL_DIRECTORY_RECORD_SIZE, ZipArchive,
    ZipArchiveEntryWayfinder,
};

use crate::ArchiveLimits;
use crate::error::ReadError;
use crate::format::check_volume;
use crate::intake::{Content, Entry, EntryKind, Intake};
use crate::limits::CHUNK_BYTES;
use crate::name::shown;
use crate::read::ReadSeek;

/// Longest name of an entry that is kept until it is looked at, in bytes: a path, and what may be taken off it.
const NAME_BYTES_KEPT: usize = 1024 + 16;

/// An entry of the list.
struct Listed {
    name: Vec<u8>,
    mode: u32,
    method: CompressionMethod,
    encrypted: bool,
    described_after: bool,
    crc: u32,
    packed: u64,
    size: u64,
    offset: u64,
    way: ZipArchiveEntryWayfinder,
}

/// Reads all entries, in the order of their contents.
pub(crate) fn read(
    input: &mut dyn ReadSeek,
    archive_bytes: u64,
    limits: &ArchiveLimits,
    intake: &mut Intake<'_>,
) -> Result<(), ReadError> {
    let mut buffer = vec![0; MAX_CENTRAL_DIRECTORY_RECORD_SIZE];
    let archive = ZipArchive::from_seekable(input, &mut buffer).map_err(|error| failed(&error))?;
    if archive.end_offset() != archive_bytes {
        return Err(ReadError::Stray("after its end"));
    }
    let mut listed = Vec::new();
    let mut entries = archive.entries(&mut buffer);
    while let Some(entry) = entries.next_entry().map_err(|error| failed(&error))? {
        if listed.len() >= limits.entries_max {
            return Err(ReadError::Entries { max: limits.entries_max });
        }
        let name = entry.file_path().as_bytes();
        if name.len() > NAME_BYTES_KEPT {
            return Err(ReadError::Path { path: shown(name), fault: PathFault::TooLong });
        }
        listed.push(Listed {
            name: name.to_vec(),
            mode: match entry.version_made_by().creator_system() {
                CreatorSystem::UNIX | CreatorSystem::MACOS => entry.external_attributes() >> 16,
                // Elsewhere there is none, and nobody can tell which files are programs.
                _ => 0,
            },
            method: entry.compression_method(),
            encrypted: entry.flags().is_encrypted(),
            described_after: entry.flags().has_data_descriptor(),
            crc: entry.crc32(),
            packed: entry.compressed_size_hint(),
            size: entry.uncompressed_size_hint(),
            offset: entry.local_header_offset(),
            way: entry.wayfinder(),
        });
    }
    if listed.len() as u64 != archive.entries_hint() {
        return Err(ReadError::Zip("its list has another number of entries than it says".to_owned()));
    }
    listed.sort_by_key(|entry| entry.offset);
    if listed.first().map_or(archive.directory_offset(), |entry| entry.offset) != 0 {
        return Err(ReadError::Stray("before its first entry"));
    }
    let mut volume = Volume { out: 0, archive_bytes, limits };
    let mut free = 0;
    for entry in &listed {
        let wrong = |what| ReadError::Mismatch { path: shown(&entry.name), what };
        let found = archive.get_entry(entry.way).map_err(|error| failed(&error))?;
        let (begin, end) = found.compressed_data_range();
        if entry.offset < free {
            return Err(wrong("shares its bytes with another entry"));
        }
        if end > archive.directory_offset() {
            return Err(wrong("reaches into the list at the end"));
        }
        free = end;
        if entry.encrypted {
            return Err(ReadError::Encrypted { path: shown(&entry.name) });
        }
        if !matches!(entry.method, CompressionMethod::STORE | CompressionMethod::DEFLATE) {
            let method = entry.method.name().map_or_else(|| format!("method {}", entry.method.as_u16()), str::to_owned);
            return Err(ReadError::Method { path: shown(&entry.name), method });
        }
        let local = found.local_header(&mut buffer).map_err(|error| failed(&error))?;
        if local.file_path().as_bytes() != entry.name || local.compression_method() != entry.method {
            return Err(wrong("is called otherwise before its content than in the list at the end"));
        }
        let same = local.crc32() == entry.crc
            && local.compressed_size_hint() == entry.packed
            && local.uncompressed_size_hint() == entry.size;
        // Who writes a stream knows these only afterwards, and has zeros before the content.
        if !entry.described_after && !same {
            return Err(wrong("has another size before its content than in the list at the end"));
        }
        if entry.method == CompressionMethod::STORE && end - begin != entry.size {
            return Err(wrong("has another size than its content"));
        }
        let input = BufReader::with_capacity(CHUNK_BYTES, found.reader());
        let unpacker = match entry.method {
            CompressionMethod::STORE => Unpacker::Stored(input),
            _ => Unpacker::Deflated(Box::new(flate2::bufread::DeflateDecoder::new(input))),
        };
        let mut content =
            ZipContent { entry, unpacker, crc: flate2::Crc::new(), out: 0, volume: &mut volume, ended: false };
        let kind = kind(entry);
        if kind == EntryKind::Folder && entry.size != 0 {
            return Err(wrong("is a folder with a content"));
        }
        let as_entry = Entry { name: &entry.name, kind, mode: entry.mode, size: entry.size, target: &[] };
        intake.take(&as_entry, &mut content)?;
    }
    Ok(())
}

/// What an entry is, by its mode on Unix and its name elsewhere.
fn kind(entry: &Listed) -> EntryKind {
    match entry.mode & 0o170_000 {
        0o120_000 => EntryKind::Link,
        0o020_000 | 0o060_000 => EntryKind::Special("a device"),
        0o010_000 => EntryKind::Special("a named pipe"),
        0o140_000 => EntryKind::Special("a socket"),
        0o040_000 => EntryKind::Folder,
        _ if entry.name.ends_with(b"/") => EntryKind::Folder,
        _ => EntryKind::File,
    }
}

/// What came out of the whole archive.
struct Volume<'a> {
    out: u64,
    archive_bytes: u64,
    limits: &'a ArchiveLimits,
}

enum Unpacker<R: Read> {
    Stored(BufReader<R>),
    Deflated(Box<flate2::bufread::DeflateDecoder<BufReader<R>>>),
}

struct ZipContent<'c, 'l, R: Read> {
    entry: &'c Listed,
    unpacker: Unpacker<R>,
    crc: flate2::Crc,
    out: u64,
    volume: &'c mut Volume<'l>,
    ended: bool,
}

impl<R: Read> ZipContent<'_, '_, R> {
    fn wrong(&self, what: &'static str) -> ReadError {
        ReadError::Mismatch { path: shown(&self.entry.name), what }
    }

    fn check_end(&mut self) -> Result<(), ReadError> {
        if self.out != self.entry.size {
            return Err(self.wrong("has another size than the list says"));
        }
        if self.crc.sum() != self.entry.crc {
            return Err(self.wrong("has another checksum than the list says"));
        }
        let rest = match &mut self.unpacker {
            Unpacker::Stored(input) => input,
            Unpacker::Deflated(decoder) => decoder.get_mut(),
        };
        if rest.fill_buf().map_err(ReadError::Input)?.is_empty() {
            Ok(())
        } else {
            Err(self.wrong("has data after its content"))
        }
    }
}

impl<R: Read> Content for ZipContent<'_, '_, R> {
    fn pull(&mut self, buffer: &mut [u8]) -> Result<usize, ReadError> {
        if self.ended || buffer.is_empty() {
            return Ok(0);
        }
        let read = loop {
            let (read, deflated) = match &mut self.unpacker {
                Unpacker::Stored(input) => (input.read(buffer), false),
                Unpacker::Deflated(decoder) => (decoder.read(buffer), true),
            };
            match read {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                    return Err(ReadError::Truncated { entry: Some(shown(&self.entry.name)) });
                }
                // The decoder's own complaint is about the bytes, the input's about the input.
                Err(error) if deflated && error.kind() == io::ErrorKind::InvalidInput => {
                    return Err(ReadError::Damaged(error));
                }
                read => break read.map_err(ReadError::Input)?,
            }
        };
        if read == 0 {
            self.ended = true;
            self.check_end()?;
            return Ok(0);
        }
        self.out += read as u64;
        self.volume.out += read as u64;
        self.crc.update(&buffer[..read]);
        check_volume(self.volume.out, self.volume.archive_bytes, self.volume.limits)?;
        if self.out > self.entry.size {
            return Err(self.wrong("has another size than the list says"));
        }
        Ok(read)
    }
}

fn failed(error: &rawzip::Error) -> ReadError {
    match error.kind() {
        ErrorKind::IO(cause) if cause.kind() == io::ErrorKind::UnexpectedEof => ReadError::Truncated { entry: None },
        ErrorKind::IO(cause) => ReadError::Input(io::Error::new(cause.kind(), cause.to_string())),
        ErrorKind::Eof | ErrorKind::MissingEndOfCentralDirectory => ReadError::Truncated { entry: None },
        _ => ReadError::Zip(format!("its list cannot be read: {error}")),
    }
}
