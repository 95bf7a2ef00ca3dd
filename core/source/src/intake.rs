//! Takes entries one by one, whatever archive they come from: checks what each adds to those before it, and hands files on.

use std::collections::HashMap;
use std::io::{self, Read};

use ignite_core_artifact::PathFault;

use crate::ArchiveLimits;
use crate::error::ReadError;
use crate::limits::{CHUNK_BYTES, LINK_BYTES_MAX};
use crate::link::{LinkFault, resolve, target_path};
use crate::name::{Name, is_path_left_out, name, shown};
use crate::names::{Names, check_depth};

/// A file of a source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceEntry {
    /// Relative to the root, with `/`, without `.` and `..`; of one spelling in the whole source.
    pub path: String,
    /// In bytes.
    pub size: u64,
    /// Whether its owner may execute it. No other mode is taken over.
    pub executable: bool,
}

/// Takes the files of an archive.
///
/// Until [`read`](crate::read()) has returned, a sink keeps what it got where nobody uses it.
pub trait Sink {
    /// Called for each file once. `content` gives exactly `file.size` bytes, or an error in place of its end. What the sink
    /// leaves unread is read and checked all the same.
    ///
    /// # Errors
    /// Whatever stops the reading; it is returned as [`ReadError::Sink`].
    fn file(&mut self, file: &SourceEntry, content: &mut dyn Read) -> io::Result<()>;

    /// Called for each link, after the file it leads to: `file` is to become a copy of the file at `from`.
    ///
    /// # Errors
    /// Whatever stops the reading; it is returned as [`ReadError::Sink`].
    fn copy(&mut self, from: &str, file: &SourceEntry) -> io::Result<()>;
}

/// Gives the content of one entry.
pub(crate) trait Content {
    /// Reads on; 0 at the end, and only when all of it came and is right.
    fn pull(&mut self, buffer: &mut [u8]) -> Result<usize, ReadError>;
}

/// What an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum EntryKind {
    File,
    Folder,
    /// Its content, or a field of its header, is where it leads.
    Link,
    /// The same file as an earlier entry.
    HardLink,
    /// What no source has, in words.
    Special(&'static str),
    /// Unknown, with the archive's letter.
    Other(char),
}

/// An entry as the archive has it.
pub(crate) struct Entry<'a> {
    pub(crate) name: &'a [u8],
    pub(crate) kind: EntryKind,
    pub(crate) mode: u32,
    pub(crate) size: u64,
    /// Where a link leads, if the header tells.
    pub(crate) target: &'a [u8],
}

pub(crate) struct Intake<'a> {
    limits: &'a ArchiveLimits,
    sink: &'a mut dyn Sink,
    names: Names<'a>,
    /// In the order of the archive.
    links: Vec<(String, String)>,
    entries: usize,
    left_out: usize,
}

/// What was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Taken {
    pub(crate) files: usize,
    pub(crate) bytes: u64,
    pub(crate) left_out: usize,
}

impl<'a> Intake<'a> {
    pub(crate) fn new(limits: &'a ArchiveLimits, sink: &'a mut dyn Sink) -> Self {
        Self { limits, sink, names: Names::new(limits), links: Vec::new(), entries: 0, left_out: 0 }
    }

    /// Takes one entry with its content, which is read to its end.
    pub(crate) fn take(&mut self, entry: &Entry<'_>, content: &mut dyn Content) -> Result<(), ReadError> {
        self.entries += 1;
        if self.entries > self.limits.entries_max {
            return Err(ReadError::Entries { max: self.limits.entries_max });
        }
        let named = name(entry.name).map_err(|fault| ReadError::Path { path: shown(entry.name), fault })?;
        let Name::Path { path, folder } = named else {
            return if entry.kind == EntryKind::Folder {
                drain(content)
            } else {
                Err(ReadError::Path { path: shown(entry.name), fault: PathFault::NotNormal })
            };
        };
        check_depth(&path, self.limits)?;
        if is_path_left_out(&path) {
            self.left_out += 1;
            return drain(content);
        }
        match entry.kind {
            EntryKind::Folder => {
                self.names.add_folder(&path)?;
                drain(content)
            }
            // Only a folder's name ends so.
            _ if folder => Err(ReadError::FileAndFolder { path }),
            EntryKind::File => {
                if entry.mode & 0o7000 != 0 {
                    return Err(ReadError::SpecialMode { path, mode: entry.mode & 0o7777 });
                }
                self.file(path, entry, content)
            }
            EntryKind::HardLink => self.hard_link(path, entry, content),
            EntryKind::Link => self.link(path, entry, content),
            EntryKind::Special(what) => Err(ReadError::Special { path, what }),
            EntryKind::Other(kind) => Err(ReadError::Kind { path, kind }),
        }
    }

    fn file(&mut self, path: String, entry: &Entry<'_>, content: &mut dyn Content) -> Result<(), ReadError> {
        let file = self.names.add_file(path, entry.size, entry.mode & 0o100 != 0)?;
        let mut reader = Reader { content, left: file.size, ended: false, failure: None };
        let kept = self.sink.file(&file, &mut reader);
        if let Some(failure) = reader.failure.take() {
            // The sink's error, if it has one, only repeats this.
            return Err(failure);
        }
        kept.map_err(ReadError::Sink)?;
        reader.finish()
    }

    fn hard_link(&mut self, path: String, entry: &Entry<'_>, content: &mut dyn Content) -> Result<(), ReadError> {
        drain(content)?;
        let target = shown(entry.target);
        let fault = |fault| ReadError::link(path.clone(), target.clone(), fault);
        // A hard link names an entry rather than a place beside it.
        let from = match name(entry.target) {
            Ok(Name::Path { path, .. }) => path,
            Ok(Name::Root) => return Err(fault(LinkFault::Folder)),
            Err(PathFault::Absolute | PathFault::Parent) => return Err(fault(LinkFault::Outside)),
            Err(_) => return Err(fault(LinkFault::Nowhere)),
        };
        let Some((size, executable)) = self.names.find_file(&from) else { return Err(fault(LinkFault::Nowhere)) };
        let file = self.names.add_file(path, size, executable)?;
        self.sink.copy(&from, &file).map_err(ReadError::Sink)
    }

    fn link(&mut self, path: String, entry: &Entry<'_>, content: &mut dyn Content) -> Result<(), ReadError> {
        let target = if entry.target.is_empty() { all(&path, content)? } else { entry.target.to_vec() };
        drain(content)?;
        let shown = shown(&target);
        let Ok(target) = String::from_utf8(target) else {
            return Err(ReadError::link(path, shown, LinkFault::Nowhere));
        };
        if let Err(fault) = target_path(&path, &target) {
            return Err(ReadError::link(path, shown, fault));
        }
        self.names.add_link(&path)?;
        self.links.push((path, target));
        Ok(())
    }

    /// Makes copies of what links lead to, after everything else is known.
    pub(crate) fn finish(mut self) -> Result<Taken, ReadError> {
        let links: HashMap<String, String> = self.links.iter().cloned().collect();
        for (path, target) in std::mem::take(&mut self.links) {
            let names = &self.names;
            let is_file = |at: &str| !links.contains_key(at) && names.find_file(at).is_some();
            let from = resolve(&path, &links, is_file, |at| names.is_folder(at))
                .map_err(|fault| ReadError::link(path.clone(), shown(target.as_bytes()), fault))?;
            let (size, executable) = names.find_file(&from).unwrap_or_default();
            let file = self.names.count_file(path, size, executable)?;
            self.sink.copy(&from, &file).map_err(ReadError::Sink)?;
        }
        if self.names.files() == 0 {
            return Err(ReadError::Empty);
        }
        Ok(Taken { files: self.names.files(), bytes: self.names.bytes(), left_out: self.left_out })
    }
}

fn drain(content: &mut dyn Content) -> Result<(), ReadError> {
    let mut chunk = vec![0; CHUNK_BYTES];
    while content.pull(&mut chunk)? > 0 {}
    Ok(())
}

/// A short content: the target of a link.
fn all(path: &str, content: &mut dyn Content) -> Result<Vec<u8>, ReadError> {
    let mut bytes = Vec::new();
    let mut chunk = [0; 1024];
    loop {
        let read = content.pull(&mut chunk)?;
        if read == 0 {
            return Ok(bytes);
        }
        bytes.extend_from_slice(&chunk[..read]);
        if bytes.len() as u64 > LINK_BYTES_MAX {
            return Err(ReadError::link(path.to_owned(), shown(&bytes), LinkFault::Nowhere));
        }
    }
}

/// A content on its way to a sink.
struct Reader<'a> {
    content: &'a mut dyn Content,
    left: u64,
    ended: bool,
    /// The first failure, which the sink got as an `io::Error` and may have lost.
    failure: Option<ReadError>,
}

impl Reader<'_> {
    fn advance(&mut self, buffer: &mut [u8]) -> Result<usize, ReadError> {
        if self.ended || buffer.is_empty() {
            return Ok(0);
        }
        let read = self.content.pull(buffer)?;
        self.left = self.left.saturating_sub(read as u64);
        self.ended = read == 0;
        Ok(read)
    }

    fn finish(mut self) -> Result<(), ReadError> {
        let mut rest = vec![0; usize::try_from(self.left).unwrap_or(CHUNK_BYTES).clamp(1, CHUNK_BYTES)];
        while self.advance(&mut rest)? > 0 {}
        Ok(())
    }
}

impl Read for Reader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.failure.is_some() {
            return Err(io::Error::other("the archive was refused"));
        }
        self.advance(buffer).map_err(|failure| {
            let error = io::Error::new(io::ErrorKind::InvalidData, failure.to_string());
            self.failure = Some(failure);
            error
        })
    }
}
