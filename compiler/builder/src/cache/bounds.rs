//! How large the cache may become, and what goes first.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// The bounds of one kind of entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bound {
    /// Entries that are kept.
    pub entries_max: usize,
    /// Bytes that they may take together.
    pub bytes_max: u64,
}

/// How large the cache of a builder may become. Beyond a bound, what was used longest ago goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CacheLimits {
    /// Finished artifacts. Default 256 and 4 GiB.
    pub artifacts: Bound,
    /// Copies of authors' folders with what tools made in them. Default 64 and 16 GiB.
    pub works: Bound,
    /// Sets of compiled Rust dependencies. Default 32 and 8 GiB.
    pub dependencies: Bound,
    /// Sets of vendored Python packages. Default 32 and 4 GiB.
    pub vendored: Bound,
    /// Downloads that a digest proves, which all tenants share. Default 8192 and 8 GiB.
    pub depot: Bound,
    /// Downloads and intermediate results of tools, for each tool and tenant. Default 64 tools' folders and 16 GiB.
    pub downloads: Bound,
}

const GIB: u64 = 1024 * 1024 * 1024;

impl Default for CacheLimits {
    fn default() -> Self {
        let bound = |entries_max, gib| Bound { entries_max, bytes_max: gib * GIB };
        Self {
            artifacts: bound(256, 4),
            works: bound(64, 16),
            dependencies: bound(32, 8),
            vendored: bound(32, 4),
            depot: bound(8192, 8),
            downloads: bound(64, 16),
        }
    }
}

/// The entries of a folder that go so that the rest keeps to `bound`, the one used longest ago first.
pub(super) fn beyond(folder: &Path, bound: Bound) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut entries: Vec<(SystemTime, PathBuf)> =
        entries.filter_map(|entry| Some((entry.metadata().ok()?.modified().ok()?, entry.path()))).collect();
    entries.sort_by(|a, b| b.cmp(a));
    let mut bytes: u64 = 0;
    let mut going: Vec<PathBuf> = Vec::new();
    for (index, (_, path)) in entries.into_iter().enumerate() {
        bytes = bytes.saturating_add(size(&path));
        // What was used last stays even where it alone is too large: it is in use.
        if index >= bound.entries_max || (index > 0 && bytes > bound.bytes_max) {
            going.push(path);
        }
    }
    going.reverse();
    going
}

/// What an entry takes, in bytes of contents; a file with several names counts for each.
pub(super) fn size(path: &Path) -> u64 {
    let Ok(metadata) = fs::symlink_metadata(path) else { return 0 };
    if !metadata.is_dir() {
        return metadata.len();
    }
    let entries = fs::read_dir(path).into_iter().flatten().flatten();
    entries.map(|entry| size(&entry.path())).fold(0, u64::saturating_add)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test")]
    use std::fs::File;
    use std::time::Duration;

    use super::*;

    #[test]
    fn what_was_used_last_is_kept() {
        let dir = tempfile::tempdir().unwrap();
        for (index, name) in ["a", "b", "c"].into_iter().enumerate() {
            let folder = dir.path().join(name);
            fs::create_dir(&folder).unwrap();
            fs::write(folder.join("ten"), "0123456789").unwrap();
            let time = SystemTime::UNIX_EPOCH + Duration::from_secs(index as u64);
            File::open(&folder).unwrap().set_modified(time).unwrap();
        }
        let gone = |entries_max, bytes_max| {
            let gone = beyond(dir.path(), Bound { entries_max, bytes_max });
            gone.iter().map(|path| path.file_name().unwrap().to_str().unwrap().to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(gone(3, 30), Vec::<String>::new());
        assert_eq!(gone(2, 30), ["a"]);
        assert_eq!(gone(3, 29), ["a"], "bytes count too");
        assert_eq!(gone(3, 5), ["a", "b"], "the last one stays, whatever its size");
        super::super::touch(&dir.path().join("a"));
        assert_eq!(gone(2, 30), ["b"]);
    }
}
