//! Makes archives byte by byte, sound ones and others.

use std::collections::BTreeMap;
use std::io::{self, Cursor, Read, Write as _};

use ignite_core_source::{ArchiveLimits, ReadError, ReadSource, Sink, SourceEntry, read};

/// What a sink got: content and whether it is a program.
#[derive(Default)]
pub(crate) struct Got(pub(crate) BTreeMap<String, (Vec<u8>, bool)>);

impl Sink for Got {
    fn file(&mut self, file: &SourceEntry, content: &mut dyn Read) -> io::Result<()> {
        let mut bytes = Vec::new();
        content.read_to_end(&mut bytes)?;
        assert_eq!(bytes.len() as u64, file.size);
        assert!(self.0.insert(file.path.clone(), (bytes, file.executable)).is_none());
        Ok(())
    }

    fn copy(&mut self, from: &str, file: &SourceEntry) -> io::Result<()> {
        let (bytes, executable) = self.0.get(from).unwrap().clone();
        assert_eq!((bytes.len() as u64, executable), (file.size, file.executable));
        assert!(self.0.insert(file.path.clone(), (bytes, executable)).is_none());
        Ok(())
    }
}

impl Got {
    pub(crate) fn lines(&self) -> String {
        let line = |(path, (bytes, executable)): (&String, &(Vec<u8>, bool))| {
            format!("{path}{} {:?}\n", if *executable { "*" } else { "" }, String::from_utf8_lossy(bytes))
        };
        self.0.iter().map(line).collect()
    }
}

pub(crate) fn take(archive: &[u8], limits: &ArchiveLimits) -> Result<(ReadSource, Got), ReadError> {
    let mut got = Got::default();
    let read = read(&mut Cursor::new(archive), limits, &mut got)?;
    Ok((read, got))
}

/// Files as lines, or the refusal with what to do next.
pub(crate) fn outcome(archive: &[u8], limits: &ArchiveLimits) -> String {
    match take(archive, limits) {
        Ok((_, got)) => got.lines(),
        Err(error) => format!("{error}\nhint: {}\n", error.next().unwrap_or("-")),
    }
}

/// One entry of a tar archive.
#[derive(Clone)]
pub(crate) struct TarEntry {
    pub(crate) name: Vec<u8>,
    pub(crate) kind: u8,
    pub(crate) mode: u32,
    pub(crate) size: u64,
    pub(crate) link: Vec<u8>,
    pub(crate) content: Vec<u8>,
}

pub(crate) fn file(name: &str, content: &str) -> TarEntry {
    TarEntry {
        name: name.as_bytes().to_vec(),
        kind: b'0',
        mode: 0o644,
        size: content.len() as u64,
        link: Vec::new(),
        content: content.as_bytes().to_vec(),
    }
}

pub(crate) fn of_kind(name: &str, kind: u8) -> TarEntry {
    TarEntry { kind, ..file(name, "") }
}

pub(crate) fn link(name: &str, target: &str) -> TarEntry {
    TarEntry { link: target.as_bytes().to_vec(), ..of_kind(name, b'2') }
}

impl TarEntry {
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut header = [0u8; 512];
        header[..self.name.len()].copy_from_slice(&self.name);
        header[100..107].copy_from_slice(format!("{:07o}", self.mode).as_bytes());
        header[124..135].copy_from_slice(format!("{:011o}", self.size).as_bytes());
        header[136..147].copy_from_slice(b"00000000000");
        header[156] = self.kind;
        header[157..157 + self.link.len()].copy_from_slice(&self.link);
        header[257..265].copy_from_slice(b"ustar\x0000");
        let mut bytes = summed(header).to_vec();
        bytes.extend_from_slice(&self.content);
        bytes.resize(bytes.len().next_multiple_of(512), 0);
        bytes
    }
}

/// The header with its checksum.
pub(crate) fn summed(mut header: [u8; 512]) -> [u8; 512] {
    header[148..156].copy_from_slice(b"        ");
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    header
}

pub(crate) fn tar(entries: &[TarEntry]) -> Vec<u8> {
    let mut bytes: Vec<u8> = entries.iter().flat_map(TarEntry::bytes).collect();
    bytes.resize(bytes.len() + 1024, 0);
    bytes
}

pub(crate) fn gz(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

pub(crate) fn zst(bytes: &[u8]) -> Vec<u8> {
    zstd::encode_all(bytes, 3).unwrap()
}

/// One entry of a zip archive, as the list at the end has it and as stands before its content.
#[derive(Clone)]
pub(crate) struct ZipEntry {
    pub(crate) name: Vec<u8>,
    pub(crate) local_name: Vec<u8>,
    pub(crate) mode: u32,
    pub(crate) method: u16,
    pub(crate) flags: u16,
    pub(crate) crc: u32,
    pub(crate) size: u32,
    pub(crate) packed: Vec<u8>,
    /// Where the list says that it begins, if not where it does.
    pub(crate) offset: Option<u32>,
}

pub(crate) fn deflated(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

pub(crate) fn zipped(name: &str, content: &str) -> ZipEntry {
    let mut crc = flate2::Crc::new();
    crc.update(content.as_bytes());
    ZipEntry {
        name: name.as_bytes().to_vec(),
        local_name: name.as_bytes().to_vec(),
        mode: 0o100_644,
        method: 8,
        flags: 0,
        crc: crc.sum(),
        size: u32::try_from(content.len()).unwrap(),
        packed: deflated(content.as_bytes()),
        offset: None,
    }
}

pub(crate) fn zip(entries: &[ZipEntry]) -> Vec<u8> {
    let (mut out, mut list) = (Vec::new(), Vec::new());
    for entry in entries {
        let offset = entry.offset.unwrap_or(u32::try_from(out.len()).unwrap());
        let later = entry.flags & 8 != 0;
        let packed = u32::try_from(entry.packed.len()).unwrap();
        let sums = |later: bool| {
            let of = |value: u32| if later { 0 } else { value }.to_le_bytes();
            [of(entry.crc), of(packed), of(entry.size)].concat()
        };
        let shared = |name: &[u8], later: bool| {
            let mut bytes = [20u16.to_le_bytes(), entry.flags.to_le_bytes(), entry.method.to_le_bytes()].concat();
            bytes.extend([0; 4]);
            bytes.extend(sums(later));
            bytes.extend(u16::try_from(name.len()).unwrap().to_le_bytes());
            bytes.extend([0; 2]);
            bytes
        };
        out.extend(b"PK\x03\x04");
        out.extend(shared(&entry.local_name, later));
        out.extend(&entry.local_name);
        out.extend(&entry.packed);
        if later {
            out.extend(b"PK\x07\x08");
            out.extend(sums(false));
        }
        list.extend(b"PK\x01\x02");
        list.extend([20, 3]);
        list.extend(shared(&entry.name, false));
        list.extend([0; 6]);
        list.extend((entry.mode << 16).to_le_bytes());
        list.extend(offset.to_le_bytes());
        list.extend(&entry.name);
    }
    let (begin, length) = (u32::try_from(out.len()).unwrap(), u32::try_from(list.len()).unwrap());
    let count = u16::try_from(entries.len()).unwrap().to_le_bytes();
    out.extend(list);
    out.extend(b"PK\x05\x06\0\0\0\0");
    out.extend([count, count].concat());
    out.extend(length.to_le_bytes());
    out.extend(begin.to_le_bytes());
    out.extend([0; 2]);
    out
}
