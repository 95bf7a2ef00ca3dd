//! Tar archives as the common tools write them: the headers of ustar, GNU and before, with long names in either extension.
//!
//! What two readers could see differently is refused: a size in two places, a number that is not one, a content where none
//! can be, a name for all entries at once.

use ignite_core_artifact::MANIFEST_NAME;

use crate::error::ReadError;
use crate::format::Stream;
use crate::intake::{Content, Entry, EntryKind, Intake};
use crate::limits::EXTENDED_BYTES_MAX;
use crate::name::shown;

/// Everything in a tar archive stands in blocks of this size.
pub(crate) const BLOCK: usize = 512;

/// A block of a tar archive.
pub(crate) type Block = [u8; BLOCK];

const NAME: std::ops::Range<usize> = 0..100;
const MODE: std::ops::Range<usize> = 100..108;
const SIZE: std::ops::Range<usize> = 124..136;
const CHECKSUM: std::ops::Range<usize> = 148..156;
const KIND: usize = 156;
const LINK: std::ops::Range<usize> = 157..257;
const MAGIC: std::ops::Range<usize> = 257..263;
const PREFIX: std::ops::Range<usize> = 345..500;

/// Why a block is not a header of a tar archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HeaderFault {
    /// The checksum is wrong.
    #[error("has a wrong checksum")]
    Checksum,
    /// A number that cannot be read.
    #[error("has a number that cannot be read")]
    Number,
    /// A folder or link with a content, or two sizes that differ.
    #[error("has a size that it cannot have")]
    Size,
    /// An extended header that is too long or not of the form.
    #[error("is an extended header that cannot be read")]
    Extended,
    /// An extended header that names or sizes every entry after it.
    #[error("names all entries after it")]
    Global,
    /// An extended header without an entry.
    #[error("is an extended header without an entry")]
    Dangling,
    /// A file that is stored in pieces.
    #[error("is of a sparse file")]
    Sparse,
}

/// Whether an input begins like a tar archive.
pub(crate) fn looks_like_tar(start: &[u8]) -> bool {
    let Ok(block) = <&Block>::try_from(start) else { return false };
    octal(&block[CHECKSUM]) == Some(u64::from(checksum(block)))
}

/// What extended headers said about the next entry.
#[derive(Default)]
struct Extended {
    path: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
    size: Option<u64>,
    any: bool,
}

/// Reads all entries.
pub(crate) fn read(stream: &mut Stream<'_>, intake: &mut Intake<'_>) -> Result<(), ReadError> {
    let mut extended = Extended::default();
    loop {
        let position = stream.position();
        let at = |fault| ReadError::Header { position, fault };
        let block = stream.block()?;
        if block == [0; BLOCK] {
            if extended.any {
                return Err(at(HeaderFault::Dangling));
            }
            // The second block of zeros; whoever cut the archive here would have cut it too.
            return if stream.block()? == [0; BLOCK] {
                stream.end()
            } else {
                Err(ReadError::Stray("after the end of its archive"))
            };
        }
        if !looks_like_tar(&block) {
            return Err(match position {
                0 => ReadError::NotAnArchive { found: Some("compressed, but no tar archive") },
                _ => at(HeaderFault::Checksum),
            });
        }
        let size = number(&block[SIZE]).ok_or(at(HeaderFault::Number))?;
        match block[KIND] {
            b'L' => {
                extended.path = Some(long(stream, size).map_err(|error| error.unwrap_or(at(HeaderFault::Extended)))?)
            }
            b'K' => {
                extended.link = Some(long(stream, size).map_err(|error| error.unwrap_or(at(HeaderFault::Extended)))?)
            }
            b'x' | b'X' | b'g' => {
                let records = take(stream, size).map_err(|error| error.unwrap_or(at(HeaderFault::Extended)))?;
                pax(&records, block[KIND] == b'g', &mut extended).map_err(at)?;
            }
            _ => {
                entry(stream, intake, &block, size, std::mem::take(&mut extended), position)?;
                continue;
            }
        }
        extended.any |= block[KIND] != b'g';
    }
}

fn entry(
    stream: &mut Stream<'_>,
    intake: &mut Intake<'_>,
    block: &Block,
    size: u64,
    extended: Extended,
    position: u64,
) -> Result<(), ReadError> {
    let at = |fault| ReadError::Header { position, fault };
    let name = extended.path.unwrap_or_else(|| short_name(block));
    let target = extended.link.unwrap_or_else(|| text(&block[LINK]).to_vec());
    if position == 0 && name == MANIFEST_NAME.as_bytes() {
        return Err(ReadError::Artifact);
    }
    if extended.size.is_some_and(|other| other != size) {
        return Err(at(HeaderFault::Size));
    }
    let kind = match block[KIND] {
        // NUL is how files were written before ustar, and folders as files whose name ends so.
        0 | b'0' | b'7' if name.ends_with(b"/") => EntryKind::Folder,
        0 | b'0' | b'7' => EntryKind::File,
        b'1' => EntryKind::HardLink,
        b'2' => EntryKind::Link,
        b'3' | b'4' => EntryKind::Special("a device"),
        b'5' => EntryKind::Folder,
        b'6' => EntryKind::Special("a named pipe"),
        b'S' => return Err(at(HeaderFault::Sparse)),
        other => EntryKind::Other(char::from(other)),
    };
    if kind != EntryKind::File && size != 0 {
        return Err(at(HeaderFault::Size));
    }
    if kind == EntryKind::Link && target.is_empty() {
        return Err(ReadError::LinkNowhere { path: shown(&name), target: String::new() });
    }
    let mode = number(&block[MODE]).and_then(|mode| u32::try_from(mode).ok()).ok_or(at(HeaderFault::Number))?;
    let mut content = TarContent { stream, name: &name, left: size, padding: padding_of(size) };
    intake.take(&Entry { name: &name, kind, mode, size, target: &target }, &mut content)?;
    content.finish()
}

/// The content of an entry, and the zeros after it.
struct TarContent<'c, 'a> {
    stream: &'c mut Stream<'a>,
    name: &'c [u8],
    left: u64,
    padding: usize,
}

impl TarContent<'_, '_> {
    fn cut(&self) -> ReadError {
        ReadError::Truncated { entry: Some(shown(self.name)) }
    }

    /// Skips the padding. What stands in it is nobody's: old tools left what was in their memory.
    fn finish(self) -> Result<(), ReadError> {
        debug_assert_eq!(self.left, 0, "the intake reads to the end");
        let mut padding = [0; BLOCK];
        self.stream.exact(&mut padding[..self.padding])
    }
}

impl Content for TarContent<'_, '_> {
    fn pull(&mut self, buffer: &mut [u8]) -> Result<usize, ReadError> {
        let wanted = usize::try_from(self.left).unwrap_or(usize::MAX).min(buffer.len());
        if wanted == 0 {
            return Ok(0);
        }
        match self.stream.fill(&mut buffer[..wanted]) {
            Ok(0) | Err(ReadError::Truncated { .. }) => Err(self.cut()),
            Ok(read) => {
                self.left -= read as u64;
                Ok(read)
            }
            Err(error) => Err(error),
        }
    }
}

fn padding_of(size: u64) -> usize {
    let over = usize::try_from(size % BLOCK as u64).unwrap_or_default();
    if over == 0 { 0 } else { BLOCK - over }
}

/// The content of an extended header. `Err(None)` when it is too long.
fn take(stream: &mut Stream<'_>, size: u64) -> Result<Vec<u8>, Option<ReadError>> {
    if size > EXTENDED_BYTES_MAX {
        return Err(None);
    }
    let size = usize::try_from(size).unwrap_or_default();
    let mut bytes = vec![0; size + padding_of(size as u64)];
    stream.exact(&mut bytes)?;
    bytes.truncate(size);
    Ok(bytes)
}

/// A long name of GNU, which ends with NUL.
fn long(stream: &mut Stream<'_>, size: u64) -> Result<Vec<u8>, Option<ReadError>> {
    let mut bytes = take(stream, size)?;
    if bytes.pop() != Some(0) || bytes.contains(&0) {
        return Err(None);
    }
    Ok(bytes)
}

/// The records of an extended header: `LENGTH KEY=VALUE` and a line feed each; a value may hold anything.
fn pax(mut records: &[u8], global: bool, extended: &mut Extended) -> Result<(), HeaderFault> {
    while !records.is_empty() {
        let space = records.iter().position(|byte| *byte == b' ').ok_or(HeaderFault::Extended)?;
        let length = decimal(&records[..space]).ok_or(HeaderFault::Extended)?;
        let length = usize::try_from(length).ok().filter(|length| *length > space + 1 && *length <= records.len());
        let (record, rest) = records.split_at(length.ok_or(HeaderFault::Extended)?);
        let record = record[space + 1..].strip_suffix(b"\n").ok_or(HeaderFault::Extended)?;
        let equals = record.iter().position(|byte| *byte == b'=').ok_or(HeaderFault::Extended)?;
        let (key, value) = (&record[..equals], &record[equals + 1..]);
        records = rest;
        match key {
            b"path" | b"linkpath" | b"size" if global => return Err(HeaderFault::Global),
            b"path" => extended.path = Some(value.to_vec()),
            b"linkpath" => extended.link = Some(value.to_vec()),
            b"size" => extended.size = Some(decimal(value).ok_or(HeaderFault::Number)?),
            key if key.starts_with(b"GNU.sparse.") => return Err(HeaderFault::Sparse),
            // Times, owners, attributes: nothing of them is taken over.
            _ => {}
        }
    }
    Ok(())
}

/// The name in a header, of which ustar has two parts.
fn short_name(block: &Block) -> Vec<u8> {
    let name = text(&block[NAME]);
    // GNU has other things in the place of the prefix.
    let prefix = if &block[MAGIC] == b"ustar\0" { text(&block[PREFIX]) } else { &[] };
    if prefix.is_empty() { name.to_vec() } else { [prefix, b"/", name].concat() }
}

/// A field's bytes up to its first NUL.
fn text(field: &[u8]) -> &[u8] {
    field.split(|byte| *byte == 0).next().unwrap_or_default()
}

/// A number: octal digits, or big-endian with the first bit set as GNU writes what needs more.
fn number(field: &[u8]) -> Option<u64> {
    match field.first()? {
        0x80 => {
            let (high, low) = field[1..].split_at(field.len().saturating_sub(9));
            let value = low.iter().fold(0, |value: u64, byte| value << 8 | u64::from(*byte));
            high.iter().all(|byte| *byte == 0).then_some(value)
        }
        _ => octal(field),
    }
}

/// Octal digits with spaces before and spaces or NUL after; an empty field is zero.
fn octal(field: &[u8]) -> Option<u64> {
    let start = field.iter().position(|byte| *byte != b' ').unwrap_or(field.len());
    let mut value: u64 = 0;
    let mut end = start;
    while let Some(digit @ b'0'..=b'7') = field.get(end) {
        // Twelve digits at most: 36 bits.
        value = value << 3 | u64::from(digit - b'0');
        end += 1;
    }
    field[end..].iter().all(|byte| matches!(byte, 0 | b' ')).then_some(value)
}

fn decimal(digits: &[u8]) -> Option<u64> {
    let sound = !digits.is_empty() && digits.len() <= 18 && digits.iter().all(u8::is_ascii_digit);
    sound.then(|| digits.iter().fold(0, |value, digit| value * 10 + u64::from(digit - b'0')))
}

/// The sum of all bytes, those of the checksum itself taken as spaces.
fn checksum(block: &Block) -> u32 {
    let sum = |bytes: &[u8]| bytes.iter().map(|byte| u32::from(*byte)).sum::<u32>();
    sum(&block[..CHECKSUM.start]) + 8 * u32::from(b' ') + sum(&block[CHECKSUM.end..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_octal_or_binary() {
        assert_eq!(number(b"0000644\0"), Some(0o644));
        assert_eq!(number(b"   644 \0"), Some(0o644));
        assert_eq!(number(b"\0\0\0\0"), Some(0));
        assert_eq!(number(b"\x80\0\0\0\0\0\0\0\0\0\x01\0"), Some(256));
        for field in [
            &b"8"[..],
            b"12x",
            b"1 2",
            b"-1",
            b"+1",
            b"\x80\0\0\x01\0\0\0\0\0\0\0\0",
            b"\xff\xff\xff\xff\xff\xff\xff\xff",
        ] {
            assert_eq!(number(field), None, "{field:?}");
        }
    }

    #[test]
    fn records_are_read_by_their_length() {
        let read = |records: &[u8], global| {
            let mut extended = Extended::default();
            pax(records, global, &mut extended).map(|()| (extended.path, extended.size))
        };
        assert_eq!(read(b"12 path=abc\n16 size=12345678\n", false).map(|read| read.0), Err(HeaderFault::Extended));
        assert_eq!(read(b"12 path=abc\n11 size=12\n", false), Ok((Some(b"abc".to_vec()), Some(12))));
        assert_eq!(read(b"19 x.attr=a\n=b\n\0 c\n12 path=abc\n", false), Ok((Some(b"abc".to_vec()), None)));
        assert_eq!(read(b"16 comment=abcd\n", true), Ok((None, None)));
        assert_eq!(read(b"12 path=abc\n", true), Err(HeaderFault::Global));
        assert_eq!(read(b"11 size=1x\n", false), Err(HeaderFault::Number));
        assert_eq!(read(b"22 GNU.sparse.major=1\n", false), Err(HeaderFault::Sparse));
        for records in [&b"x"[..], b"12 path=abc", b"99 path=abc\n", b"3 \n", b"0 a=b\n", b"8 path\n\n"] {
            assert_eq!(read(records, false), Err(HeaderFault::Extended), "{records:?}");
        }
    }
}
