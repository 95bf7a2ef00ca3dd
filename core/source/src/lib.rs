//! Sources as archives: what an author uploads is read, refused or handed on file by file; what a folder holds is written
//! as one archive, the same bytes for the same files.
//!
//! An upload is a stranger's bytes: a tar archive (plain, gzip, zstd) or a zip. [`read`] takes it apart as it streams, under
//! [`ArchiveLimits`], and hands a [`Sink`] plain files with sound paths and nothing else: no link, no device, no mode but
//! whether a file is a program. `docs/reference/source.md` is the list of what is taken and what is refused.
//!
//! This crate opens no file and knows no directory. It gets a reader that can seek (a zip has its list at the end) and a
//! sink, or a [`Folder`] that lists and opens, and a writer. Begin with [`read`] and [`write()`].
#![forbid(unsafe_code)]

mod error;
mod folder;
mod format;
mod ignores;
mod intake;
mod limits;
mod link;
mod name;
mod names;
mod read;
mod select;
mod tar;
mod write;
mod zip;

pub use error::ReadError;
pub use folder::{Folder, Item, ItemKind};
pub use format::ArchiveFormat;
pub use ignores::DockerIgnore;
pub use intake::{Sink, SourceEntry};
pub use limits::ArchiveLimits;
pub use name::is_left_out;
pub use read::{ReadSeek, ReadSource, read};
pub use select::{Choice, SelectError, Selected, select};
pub use tar::HeaderFault;
pub use write::{Packed, WriteError, write};
