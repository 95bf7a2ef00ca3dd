//! Everything a reader refuses.

use std::io;

use ignite_core_artifact::PathFault;
use ignite_core_model::Fault;

use crate::limits::in_words;
use crate::link::LinkFault;
use crate::tar::HeaderFault;

/// Why an archive was refused. Each variant is one refusal, and names the entry where there is one.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The input failed; the archive may be sound.
    #[error("could not read the archive")]
    Input(#[source] io::Error),
    /// None of the four forms.
    #[error("it is {}, and a source is a tar.zst, tar.gz, tar or zip file", found.unwrap_or("no archive that is known"))]
    NotAnArchive {
        /// What it is, where that can be told.
        found: Option<&'static str>,
    },
    /// It was compiled already.
    #[error("it is an artifact, which was compiled already, and no source")]
    Artifact,
    /// Nothing is in it, or everything in it is left out.
    #[error("there are no files in it")]
    Empty,
    /// The archive itself is too big.
    #[error("it has {bytes} bytes, more than {}", in_words(*max))]
    ArchiveBytes {
        /// Its size.
        bytes: u64,
        /// `archive_bytes_max`.
        max: u64,
    },
    /// Its files are too big together.
    #[error("its files have more than {} together, with `{path}`", in_words(*max))]
    UnpackedBytes {
        /// The first file beyond.
        path: String,
        /// `unpacked_bytes_max`.
        max: u64,
    },
    /// What comes out of it is too much, whatever it is.
    #[error("more than {} come out of it", in_words(*max))]
    ReadBytes {
        /// `read_bytes_max`.
        max: u64,
    },
    /// It unpacks to far more than it is.
    #[error("it unpacks to more than {max} times its size, as an archive does that is made to fill a disk")]
    Ratio {
        /// `ratio_max`.
        max: u64,
    },
    /// Too many entries.
    #[error("it has more than {max} entries")]
    Entries {
        /// `entries_max`.
        max: usize,
    },
    /// Too many files.
    #[error("it has more than {max} files")]
    Files {
        /// `files_max`.
        max: usize,
    },
    /// Too many folders.
    #[error("it has more than {max} folders")]
    Folders {
        /// `folders_max`.
        max: usize,
    },
    /// A path with too many parts.
    #[error("`{path}` is more than {max} folders deep")]
    Depth {
        /// The entry.
        path: String,
        /// `depth_max`.
        max: usize,
    },
    /// The decompressor refused it.
    #[error("it is damaged: it cannot be decompressed")]
    Damaged(#[source] io::Error),
    /// It ends too early.
    #[error("it is truncated: it ends {}", entry.as_ref().map_or("before its last entry does".to_owned(), |path| format!("within `{path}`")))]
    Truncated {
        /// The entry it ends in, if it ends in one.
        entry: Option<String>,
    },
    /// Something follows its end, or stands before its beginning.
    #[error("there is other data {0}")]
    Stray(&'static str),
    /// A header of a tar archive is wrong.
    #[error("it is damaged: the header at byte {position} of its archive {fault}")]
    Header {
        /// Where the header begins in the decompressed archive.
        position: u64,
        /// What is wrong with it.
        fault: HeaderFault,
    },
    /// The list of a zip archive is wrong.
    #[error("it is damaged: {0}")]
    Zip(String),
    /// The two descriptions of an entry of a zip archive, or its content, do not agree.
    #[error("it is damaged: `{path}` {what}")]
    Mismatch {
        /// The entry.
        path: String,
        /// What does not agree.
        what: &'static str,
    },
    /// An encrypted entry.
    #[error("`{path}` is encrypted")]
    Encrypted {
        /// The entry.
        path: String,
    },
    /// An entry that is compressed in a rare way.
    #[error("`{path}` is compressed with {method}, and a zip is read with deflate or nothing")]
    Method {
        /// The entry.
        path: String,
        /// How it is compressed.
        method: String,
    },
    /// An entry's path leaves the root, or has another spelling.
    #[error("the path `{path}` of an entry {fault}")]
    Path {
        /// The path, as far as it can be shown.
        path: String,
        /// What is wrong with it.
        fault: PathFault,
    },
    /// A link that leads out of the root.
    #[error("`{path}` is a link to `{target}`, out of its root")]
    LinkOutside {
        /// The link.
        path: String,
        /// Where it leads.
        target: String,
    },
    /// A link that leads to nothing.
    #[error("`{path}` is a link to `{target}`, and there is no such file")]
    LinkNowhere {
        /// The link.
        path: String,
        /// Where it leads.
        target: String,
    },
    /// A link that leads to a folder.
    #[error("`{path}` is a link to `{target}`, which is a folder")]
    LinkToFolder {
        /// The link.
        path: String,
        /// Where it leads.
        target: String,
    },
    /// A link that leads to itself.
    #[error("`{path}` is a link to `{target}`, which leads back or through too many links")]
    LinkLoop {
        /// The link.
        path: String,
        /// Where it leads.
        target: String,
    },
    /// A device, named pipe or socket.
    #[error("`{path}` is {what}")]
    Special {
        /// The entry.
        path: String,
        /// What it is, with an article.
        what: &'static str,
    },
    /// Any other kind of entry.
    #[error("`{path}` is an entry of the kind {kind:?}, which no source needs")]
    Kind {
        /// The entry.
        path: String,
        /// The archive's letter for it.
        kind: char,
    },
    /// A file with the set-user-id, set-group-id or sticky bit.
    #[error("`{path}` has mode {mode:04o}, and no source may set user, group or sticky bits")]
    SpecialMode {
        /// The file.
        path: String,
        /// Its mode.
        mode: u32,
    },
    /// A file that came before.
    #[error("`{path}` comes twice")]
    Duplicate {
        /// The file.
        path: String,
    },
    /// Two paths that some systems take for one.
    #[error("`{path}` and `{other}` differ only by case or by Unicode's normal form")]
    Clash {
        /// The later one.
        path: String,
        /// The earlier one.
        other: String,
    },
    /// A path that is both a file and a folder.
    #[error("`{path}` is both a file and a folder")]
    FileAndFolder {
        /// The path.
        path: String,
    },
    /// The sink failed.
    #[error("could not keep what was read")]
    Sink(#[source] io::Error),
}

impl ReadError {
    /// Whose fault it is: the input's and the sink's failures are ours, all else lies in the archive.
    #[must_use]
    pub fn fault(&self) -> Fault {
        match self {
            Self::Input(_) | Self::Sink(_) => Fault::Internal,
            _ => Fault::Caller,
        }
    }

    /// What to do next, where that can be said.
    #[must_use]
    pub fn next(&self) -> Option<&'static str> {
        Some(match self {
            Self::NotAnArchive { .. } => "pack the folder: `tar czf app.tar.gz -C DIR .`",
            Self::Artifact => "serve it with `ignite run FILE`",
            Self::Empty => "pack the folder with the handler in it: `tar czf app.tar.gz -C DIR .`",
            Self::ArchiveBytes { .. }
            | Self::UnpackedBytes { .. }
            | Self::ReadBytes { .. }
            | Self::Ratio { .. }
            | Self::Entries { .. }
            | Self::Files { .. }
            | Self::Folders { .. }
            | Self::Depth { .. } => "leave out what the handler does not need, with .igniteignore",
            Self::Damaged(_)
            | Self::Truncated { .. }
            | Self::Stray(_)
            | Self::Header { .. }
            | Self::Zip(_)
            | Self::Mismatch { .. } => "make the archive again, and upload the whole of it",
            Self::Encrypted { .. } => "pack the folder without a password",
            Self::Method { .. } => "pack the folder with `zip -r`, or as a tar.gz",
            Self::Path { .. } => {
                "pack the folder from inside it, so that names begin there: `tar czf app.tar.gz -C DIR .`"
            }
            Self::LinkOutside { .. } | Self::LinkNowhere { .. } | Self::LinkToFolder { .. } | Self::LinkLoop { .. } => {
                "put the files themselves in place of the link, or leave it out with .igniteignore"
            }
            Self::Special { .. } | Self::Kind { .. } | Self::FileAndFolder { .. } | Self::Duplicate { .. } => {
                "take it out of the archive"
            }
            Self::SpecialMode { .. } => "take the bits away: `chmod u-s,g-s,-t FILE`",
            Self::Clash { .. } => "rename one of them",
            Self::Input(_) | Self::Sink(_) => return None,
        })
    }

    pub(crate) fn link(path: String, target: String, fault: LinkFault) -> Self {
        match fault {
            LinkFault::Outside => Self::LinkOutside { path, target },
            LinkFault::Nowhere => Self::LinkNowhere { path, target },
            LinkFault::Folder => Self::LinkToFolder { path, target },
            LinkFault::Loop => Self::LinkLoop { path, target },
        }
    }
}
