//! Everything a reader refuses.

use std::io;

use ignite_core_model::Fault;

use crate::{FORMAT, HeaderFault, MANIFEST_NAME, ManifestFault, PathFault};

/// Why an artifact was refused. Each variant is one refusal.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The input failed; the artifact may be sound.
    #[error("could not read the artifact")]
    Input(#[source] io::Error),
    /// Neither zstd nor gzip.
    #[error("the artifact is not an artifact: it is neither a tar.zst nor a tar.gz file")]
    NotAnArtifact,
    /// The decompressor refused it.
    #[error("the artifact is damaged: it cannot be decompressed")]
    Damaged(#[source] io::Error),
    /// It ends too early.
    #[error("the artifact is truncated: it ends before its last entry does")]
    Truncated,
    /// A header of its archive is wrong.
    #[error("the artifact is damaged: the header at byte {position} of its archive {fault}")]
    Header {
        /// Where the header begins in the decompressed archive.
        position: u64,
        /// What is wrong with it.
        fault: HeaderFault,
    },
    /// The zeros after a content are not zeros.
    #[error("the artifact has data between its entries, before byte {position} of its archive")]
    Padding {
        /// Where the next entry begins in the decompressed archive.
        position: u64,
    },
    /// Something follows the archive's end, inside the compressed frame.
    #[error("the artifact has data after the end of its archive")]
    TrailingArchive,
    /// Something follows the compressed frame.
    #[error("the artifact has data after its end")]
    TrailingFile,
    /// The first entry is not the manifest.
    #[error("the artifact is not an artifact: its first entry is not `{MANIFEST_NAME}`")]
    NoManifest,
    /// The manifest is too large.
    #[error("the artifact has a manifest of {bytes} bytes, more than {max}")]
    ManifestTooLarge {
        /// Its size.
        bytes: u64,
        /// How large it may be.
        max: usize,
    },
    /// The manifest is not JSON of the right form.
    #[error("the artifact has a manifest that cannot be read")]
    ManifestSyntax(#[source] serde_json::Error),
    /// It was made by a newer Ignite.
    #[error(
        "the artifact was made by a newer ignite: it has format {found}, and this one reads up to {FORMAT}; update ignite"
    )]
    NewerFormat {
        /// Its format.
        found: u32,
    },
    /// A format that never was.
    #[error("the artifact has format {found}, which does not exist")]
    UnknownFormat {
        /// Its format.
        found: u32,
    },
    /// The manifest claims what is not allowed.
    #[error(transparent)]
    Manifest(#[from] ManifestFault),
    /// An entry's path leaves the folder it is unpacked into, or has another spelling.
    #[error("the artifact is refused: the path {path:?} of an entry {fault}")]
    Path {
        /// The path, as far as it can be shown.
        path: String,
        /// What is wrong with it.
        fault: PathFault,
    },
    /// A symbolic or hard link, wherever it leads.
    #[error("the artifact is refused: {path:?} is a link to {target:?}, and an artifact has no links")]
    Link {
        /// The link.
        path: String,
        /// Where it leads.
        target: String,
    },
    /// A device node or named pipe.
    #[error("the artifact is refused: {path:?} is a device or a pipe")]
    Device {
        /// The entry.
        path: String,
    },
    /// A folder: they come into being with their files.
    #[error("the artifact is refused: {path:?} is the entry of a folder, and an artifact has files alone")]
    Folder {
        /// The entry.
        path: String,
    },
    /// Any other kind of entry.
    #[error("the artifact is refused: {path:?} is an entry of the unknown kind {kind:?}")]
    EntryKind {
        /// The entry.
        path: String,
        /// The archive's letter for it.
        kind: char,
    },
    /// An entry with the set-user-id, set-group-id or sticky bit.
    #[error(
        "the artifact is refused: {path:?} has mode {mode:04o}, and set-user-id, set-group-id and sticky bits are refused"
    )]
    SpecialMode {
        /// The entry.
        path: String,
        /// Its mode.
        mode: u32,
    },
    /// An entry that the manifest does not list.
    #[error("the artifact is refused: {0:?} is not in its manifest")]
    NotInManifest(String),
    /// An entry that came before.
    #[error("the artifact is refused: {0:?} comes twice")]
    Duplicate(String),
    /// An entry whose size is not the manifest's.
    #[error("the artifact is refused: `{path}` has {found} bytes, and {expected} in its manifest")]
    Size {
        /// The entry.
        path: String,
        /// Its size.
        found: u64,
        /// Its size in the manifest.
        expected: u64,
    },
    /// An entry whose mode is not the manifest's.
    #[error("the artifact is refused: `{path}` has mode {found:04o}, and {expected:04o} in its manifest")]
    Mode {
        /// The entry.
        path: String,
        /// Its mode.
        found: u32,
        /// Its mode in the manifest.
        expected: u32,
    },
    /// An entry whose content is not what the manifest says.
    #[error("the artifact is refused: the content of `{0}` is not what its manifest says")]
    Digest(String),
    /// Files of the manifest that did not come.
    #[error("the artifact lacks `{first}`{}, which its manifest lists", others(*.more))]
    Missing {
        /// The first of them.
        first: String,
        /// How many more are missing.
        more: usize,
    },
    /// The sink failed.
    #[error("could not keep what was read")]
    Sink(#[source] io::Error),
}

fn others(more: usize) -> String {
    if more == 0 { String::new() } else { format!(" and {more} more") }
}

impl ReadError {
    /// Whose fault it is: the input's and the sink's failures are ours, all else lies in the artifact.
    #[must_use]
    pub fn fault(&self) -> Fault {
        match self {
            Self::Input(_) | Self::Sink(_) => Fault::Internal,
            _ => Fault::Caller,
        }
    }
}
