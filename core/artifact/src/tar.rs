//! The subset of the tar format (POSIX.1-2024, `pax`) that an artifact uses: regular files in ustar headers, with one
//! extended record for a path that does not fit. Everything else is told apart, so that it can be refused by its name.

use crate::path::{PATH_BYTES_MAX, PathFault};

/// Everything in a tar archive stands in blocks of this size.
pub(crate) const BLOCK: usize = 512;

/// A block of a tar archive.
pub(crate) type Block = [u8; BLOCK];

/// Longest extended header: its one record with the longest path.
pub(crate) const EXTENDED_BYTES_MAX: u64 = PATH_BYTES_MAX as u64 + 32;

/// Largest file a header can hold: eleven octal digits.
pub(crate) const FILE_BYTES_MAX: u64 = 0o777_7777_7777;

const NAME: std::ops::Range<usize> = 0..100;
const MODE: std::ops::Range<usize> = 100..108;
const UID: std::ops::Range<usize> = 108..116;
const GID: std::ops::Range<usize> = 116..124;
const SIZE: std::ops::Range<usize> = 124..136;
const MTIME: std::ops::Range<usize> = 136..148;
const CHECKSUM: std::ops::Range<usize> = 148..156;
const KIND: usize = 156;
const LINK: std::ops::Range<usize> = 157..257;
const MAGIC: std::ops::Range<usize> = 257..265;
const DEVICE_MAJOR: std::ops::Range<usize> = 329..337;
const DEVICE_MINOR: std::ops::Range<usize> = 337..345;
const PREFIX: std::ops::Range<usize> = 345..500;

/// Why a block is not a header of an artifact's archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HeaderFault {
    /// Not a ustar header.
    #[error("is not a ustar header")]
    Magic,
    /// The checksum is wrong.
    #[error("has a wrong checksum")]
    Checksum,
    /// A number is not written in octal digits.
    #[error("has a number that is not octal")]
    Number,
    /// The name is in two parts, for which artifacts use extended headers.
    #[error("splits its name")]
    Prefix,
    /// An extended header that is anything but one path.
    #[error("is an extended header with other than one path")]
    Extended,
    /// An extended header without the file it belongs to.
    #[error("is an extended header without a file")]
    Dangling,
}

/// What an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    File,
    /// An extended header for the next entry.
    Extended,
    HardLink,
    SymbolicLink,
    Folder,
    CharacterDevice,
    BlockDevice,
    Fifo,
    Other(u8),
}

impl Kind {
    fn from_byte(byte: u8) -> Self {
        match byte {
            // NUL is how files were written before ustar.
            b'0' | 0 => Self::File,
            b'1' => Self::HardLink,
            b'2' => Self::SymbolicLink,
            b'3' => Self::CharacterDevice,
            b'4' => Self::BlockDevice,
            b'5' => Self::Folder,
            b'6' => Self::Fifo,
            b'x' => Self::Extended,
            other => Self::Other(other),
        }
    }
}

/// A header, decoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) path: Result<String, PathFault>,
    pub(crate) mode: u32,
    pub(crate) size: u64,
    pub(crate) kind: Kind,
    pub(crate) link: String,
}

impl Header {
    /// Decodes a header block.
    pub(crate) fn decode(block: &Block) -> Result<Self, HeaderFault> {
        if &block[MAGIC] != b"ustar\x0000" {
            return Err(HeaderFault::Magic);
        }
        if octal(&block[CHECKSUM])? != u64::from(checksum(block)) {
            return Err(HeaderFault::Checksum);
        }
        if block[PREFIX.start] != 0 {
            return Err(HeaderFault::Prefix);
        }
        let path = String::from_utf8(text(&block[NAME]).to_vec()).map_err(|_| PathFault::NotUtf8);
        Ok(Self {
            path,
            // Seven octal digits always fit.
            mode: u32::try_from(octal(&block[MODE])?).map_err(|_| HeaderFault::Number)?,
            size: octal(&block[SIZE])?,
            kind: Kind::from_byte(block[KIND]),
            link: String::from_utf8_lossy(text(&block[LINK])).into_owned(),
        })
    }
}

/// A field's bytes up to its first NUL.
fn text(field: &[u8]) -> &[u8] {
    field.split(|byte| *byte == 0).next().unwrap_or_default()
}

/// A number in octal digits, ended by NUL, space or the field's end.
fn octal(field: &[u8]) -> Result<u64, HeaderFault> {
    let digits = field.iter().take_while(|byte| matches!(byte, b'0'..=b'7'));
    // Twelve digits at most: 36 bits.
    let (count, value) = digits.fold((0, 0), |(count, value), digit| (count + 1, value << 3 | u64::from(digit - b'0')));
    let ended = field[count..].iter().all(|byte| matches!(byte, 0 | b' '));
    if count > 0 && ended { Ok(value) } else { Err(HeaderFault::Number) }
}

/// The sum of all bytes, those of the checksum itself taken as spaces.
fn checksum(block: &Block) -> u32 {
    let sum = |bytes: &[u8]| bytes.iter().map(|byte| u32::from(*byte)).sum::<u32>();
    sum(&block[..CHECKSUM.start]) + 8 * u32::from(b' ') + sum(&block[CHECKSUM.end..])
}

/// The path in the content of an extended header, which must be its only record: `LENGTH path=PATH` and a line feed.
pub(crate) fn decode_extended(content: &[u8]) -> Result<Result<String, PathFault>, HeaderFault> {
    let space = content.iter().position(|byte| *byte == b' ').ok_or(HeaderFault::Extended)?;
    let (length, rest) = content.split_at(space);
    if length != content.len().to_string().as_bytes() {
        return Err(HeaderFault::Extended);
    }
    let path = rest.strip_prefix(b" path=").and_then(|rest| rest.strip_suffix(b"\n")).ok_or(HeaderFault::Extended)?;
    Ok(String::from_utf8(path.to_vec()).map_err(|_| PathFault::NotUtf8))
}

/// Everything that stands before a file's content. `size` is at most [`FILE_BYTES_MAX`].
pub(crate) fn encode_headers(path: &str, mode: u32, size: u64) -> Vec<u8> {
    let mut out = Vec::with_capacity(BLOCK);
    if path.len() > NAME.len() || !path.is_ascii() {
        let record = extended_record(path);
        out.extend(encode_header("ignite-extended-header", 0o644, record.len() as u64, b'x'));
        out.extend(record.as_bytes());
        out.resize(out.len().next_multiple_of(BLOCK), 0);
        // Who does not know extended headers sees a name that cannot be taken for the path.
        out.extend(encode_header("ignite-long-name", mode, size, b'0'));
    } else {
        out.extend(encode_header(path, mode, size, b'0'));
    }
    out
}

/// Bytes from the start of a file's header to the start of the next entry's.
pub(crate) fn entry_bytes(path: &str, size: u64) -> u64 {
    encode_headers(path, 0, 0).len() as u64 + size.next_multiple_of(BLOCK as u64)
}

/// A record whose length counts its own digits.
fn extended_record(path: &str) -> String {
    let rest = format!(" path={path}\n");
    let mut length = rest.len();
    loop {
        let record = format!("{length}{rest}");
        if record.len() == length {
            return record;
        }
        length = record.len();
    }
}

/// One header block. `name` has at most 100 bytes.
fn encode_header(name: &str, mode: u32, size: u64, kind: u8) -> Block {
    let mut block = [0; BLOCK];
    block[..name.len()].copy_from_slice(name.as_bytes());
    put_octal(&mut block[MODE], mode.into());
    put_octal(&mut block[UID], 0);
    put_octal(&mut block[GID], 0);
    put_octal(&mut block[SIZE], size);
    put_octal(&mut block[MTIME], 0);
    block[KIND] = kind;
    block[MAGIC].copy_from_slice(b"ustar\x0000");
    put_octal(&mut block[DEVICE_MAJOR], 0);
    put_octal(&mut block[DEVICE_MINOR], 0);
    let sum = checksum(&block);
    block[CHECKSUM].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    block
}

/// Writes `value` as octal digits over the whole field but its last byte, a NUL.
fn put_octal(field: &mut [u8], value: u64) {
    let digits = field.len() - 1;
    field[..digits].copy_from_slice(format!("{value:0digits$o}").as_bytes());
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test")]
    use super::*;

    fn first_block(bytes: &[u8]) -> Block {
        bytes[..BLOCK].try_into().unwrap()
    }

    #[test]
    fn a_header_reads_back() {
        for (path, size) in [("app", 0), (&*"a".repeat(100), FILE_BYTES_MAX)] {
            let header = Header::decode(&first_block(&encode_headers(path, 0o755, size))).unwrap();
            let expected =
                Header { path: Ok(path.to_owned()), mode: 0o755, size, kind: Kind::File, link: String::new() };
            assert_eq!(header, expected);
        }
    }

    #[test]
    fn a_long_path_reads_back() {
        for path in [&*"a/".repeat(60), "größe", &*"b".repeat(PATH_BYTES_MAX), &*"c".repeat(101)] {
            let bytes = encode_headers(path, 0o644, 7);
            assert_eq!(bytes.len() as u64, entry_bytes(path, 0));
            let header = Header::decode(&first_block(&bytes)).unwrap();
            assert_eq!(header.kind, Kind::Extended);
            assert!(header.size <= EXTENDED_BYTES_MAX);
            let content = &bytes[BLOCK..BLOCK + usize::try_from(header.size).unwrap()];
            assert_eq!(decode_extended(content), Ok(Ok(path.to_owned())));
        }
    }

    #[test]
    fn records_count_their_own_digits() {
        for length in 1..1200 {
            let record = extended_record(&"p".repeat(length));
            assert_eq!(record.split_once(' ').unwrap().0, record.len().to_string());
        }
    }

    #[test]
    fn numbers_are_octal_digits() {
        assert_eq!(octal(b"0000644\0"), Ok(0o644));
        assert_eq!(octal(b"777777777777"), Ok(0o7777_7777_7777));
        for field in [&b"\0\0\0\0"[..], b"   7", b"8", b"12x", b"\x80\0\0\x01", b"1 2", b"-1"] {
            assert_eq!(octal(field), Err(HeaderFault::Number), "{field:?}");
        }
    }

    #[test]
    fn other_extended_headers_are_refused() {
        for content in [
            &b""[..],
            b"12 path=abc\n",
            b"11 path=abc\n11 path=abd\n",
            b"13 size=1234\n",
            b"+12 path=abc\n",
            b"12 path=abcd",
        ] {
            let decoded = decode_extended(content);
            // The first well-formed one shows that the others fail for what they are.
            assert_eq!(decoded.is_ok(), content == b"12 path=abc\n", "{content:?}");
        }
        assert_eq!(decode_extended(b"12 path=\xff\xff\xff\n"), Ok(Err(PathFault::NotUtf8)));
    }
}
