//! The folder of apps: one artifact for each, named by the hostname label it is served under.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use ignite_core_artifact::MANIFEST_NAME;
use ignite_core_model::HostLabel;

/// How the name of an artifact file ends, after the label.
const ENDINGS: [&str; 2] = [".tar.zst", ".tar.gz"];

/// What changes when an artifact does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stamp {
    device: u64,
    inode: u64,
    bytes: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

/// An artifact in the folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    /// The file, or the folder it was unpacked to. Either may be reached by a symbolic link.
    pub(crate) path: PathBuf,
    pub(crate) unpacked: bool,
    pub(crate) stamp: Stamp,
}

/// What lies in the folder.
#[derive(Debug, Default)]
pub(crate) struct Listing {
    pub(crate) entries: BTreeMap<HostLabel, Entry>,
    /// Names that are passed over, and why.
    pub(crate) refused: BTreeMap<String, String>,
}

/// Looks at all of `dir`. Names that begin with `.` are nobody's concern: that is where a copy is made before it gets its
/// name.
pub(crate) fn list(dir: &Path) -> io::Result<Listing> {
    let mut listing = Listing::default();
    let mut names: Vec<String> = Vec::new();
    for entry in fs::read_dir(dir)? {
        match entry?.file_name().into_string() {
            Ok(name) if name.starts_with('.') => {}
            Ok(name) => names.push(name),
            Err(name) => drop(listing.refused.insert(name.to_string_lossy().into_owned(), "it is not UTF-8".into())),
        }
    }
    // So that of two with one label it is always the same one that is served.
    names.sort_unstable();
    for name in names {
        let path = dir.join(&name);
        let stem = ENDINGS.iter().find_map(|ending| name.strip_suffix(ending));
        // What a link leads to is what is served. One that leads nowhere, or was removed meanwhile, is not there.
        let Ok(metadata) = fs::metadata(&path) else { continue };
        let (label, unpacked, metadata) = match (stem, metadata.is_dir()) {
            (Some(stem), false) => (stem, false, metadata),
            (_, true) => match fs::metadata(path.join(MANIFEST_NAME)) {
                Ok(manifest) => (name.as_str(), true, manifest),
                Err(_) => {
                    listing.refused.insert(name, format!("the folder has no {MANIFEST_NAME}"));
                    continue;
                }
            },
            (None, false) => {
                listing.refused.insert(name, "the name of an artifact ends with .tar.zst or .tar.gz".into());
                continue;
            }
        };
        match label.parse::<HostLabel>() {
            Ok(label) if listing.entries.contains_key(&label) => {
                listing.refused.insert(name, format!("another artifact is served as {label}"));
            }
            Ok(label) => {
                let stamp = stamp(&metadata);
                listing.entries.insert(label, Entry { path, unpacked, stamp });
            }
            Err(error) => drop(listing.refused.insert(name, error.to_string())),
        }
    }
    Ok(listing)
}

fn stamp(metadata: &fs::Metadata) -> Stamp {
    Stamp {
        device: metadata.dev(),
        inode: metadata.ino(),
        bytes: metadata.size(),
        modified: (metadata.mtime(), metadata.mtime_nsec()),
        changed: (metadata.ctime(), metadata.ctime_nsec()),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test")]
    use super::*;

    #[test]
    fn names_are_labels_and_the_first_of_two_counts() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        for name in ["b.tar.gz", "a.tar.zst", "a.tar.gz", ".c.tar.gz", "notes.txt", "no_label.tar.gz"] {
            fs::write(at(name), name).unwrap();
        }
        fs::create_dir(at("d")).unwrap();
        fs::write(at("d").join(MANIFEST_NAME), "{}").unwrap();
        fs::create_dir(at("empty")).unwrap();
        std::os::unix::fs::symlink(at("b.tar.gz"), at("linked.tar.gz")).unwrap();
        std::os::unix::fs::symlink("nowhere", at("dangling.tar.gz")).unwrap();
        let listing = list(dir.path()).unwrap();
        let labels: Vec<_> = listing.entries.keys().map(HostLabel::as_str).collect();
        assert_eq!(labels, ["a", "b", "d", "linked"]);
        assert!(listing.entries[&"d".parse().unwrap()].unpacked);
        assert_eq!(listing.entries[&"a".parse().unwrap()].path, at("a.tar.gz"));
        let refused: Vec<_> = listing.refused.keys().map(String::as_str).collect();
        assert_eq!(refused, ["a.tar.zst", "empty", "no_label.tar.gz", "notes.txt"]);
    }

    #[test]
    fn a_replaced_file_has_another_stamp() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.tar.gz");
        fs::write(&path, "one").unwrap();
        let stamp = |_| list(dir.path()).unwrap().entries[&"a".parse().unwrap()].stamp;
        let first = stamp(());
        assert_eq!(stamp(()), first);
        fs::write(dir.path().join(".new"), "two").unwrap();
        fs::rename(dir.path().join(".new"), &path).unwrap();
        assert_ne!(stamp(()), first);
    }
}
