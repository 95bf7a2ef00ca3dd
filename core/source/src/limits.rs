//! The bounds of an archive.

/// How much an archive may hold. Every error that one of these causes names it in words and tells its value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ArchiveLimits {
    /// Bytes of the archive itself. Default 256 MiB.
    pub archive_bytes_max: u64,
    /// Bytes of all files that are handed on, links counted as copies of what they lead to. Default 512 MiB.
    pub unpacked_bytes_max: u64,
    /// Bytes of everything inside the archive, with headers and with what is left out. Default 1 GiB.
    pub read_bytes_max: u64,
    /// Bytes that one byte of the archive may become, looked at beyond `ratio_free_bytes`. Default 200.
    pub ratio_max: u64,
    /// Bytes that may come out before `ratio_max` counts: a small folder of repetitive files is no attack. Default 16 MiB.
    pub ratio_free_bytes: u64,
    /// Entries of any kind, with folders and with what is left out. Default 100,000.
    pub entries_max: usize,
    /// Files that are handed on. Default 20,000.
    pub files_max: usize,
    /// Folders that these files stand in. Default 20,000.
    pub folders_max: usize,
    /// Parts of a path: folders and the file's own name. Default 64.
    pub depth_max: usize,
}

impl Default for ArchiveLimits {
    fn default() -> Self {
        Self {
            archive_bytes_max: 256 * MIB,
            unpacked_bytes_max: 512 * MIB,
            read_bytes_max: 1024 * MIB,
            ratio_max: 200,
            ratio_free_bytes: 16 * MIB,
            entries_max: 100_000,
            files_max: 20_000,
            folders_max: 20_000,
            depth_max: 64,
        }
    }
}

const MIB: u64 = 1024 * 1024;

/// Longest extended header of a tar archive, in bytes. Some systems put whole attributes of a file there.
pub(crate) const EXTENDED_BYTES_MAX: u64 = MIB;

/// Longest target of a link, in bytes: what Linux takes.
pub(crate) const LINK_BYTES_MAX: u64 = 4096;

/// Links that are followed from one to the next: what Linux follows.
pub(crate) const LINK_HOPS_MAX: usize = 40;

/// The base-2 logarithm of the largest window of zstd, and thus of its memory: 128 MiB, what the `zstd` tool takes unasked.
pub(crate) const WINDOW_LOG_MAX: u32 = 27;

/// Bytes asked from the input at once.
pub(crate) const CHUNK_BYTES: usize = 128 * 1024;

/// A number of bytes in words, for errors.
pub(crate) fn in_words(bytes: u64) -> String {
    if bytes >= MIB && bytes.is_multiple_of(MIB) { format!("{} MiB", bytes / MIB) } else { format!("{bytes} bytes") }
}
