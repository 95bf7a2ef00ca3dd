//! The paths of a source: what each new one adds to those before it, within the bounds.

use std::collections::HashMap;

use ignite_core_artifact::folded;

use crate::ArchiveLimits;
use crate::error::ReadError;
use crate::intake::SourceEntry;
use crate::name::shown;

#[derive(Clone, Copy, PartialEq, Eq)]
enum NodeKind {
    File,
    Folder,
}

struct Node {
    path: String,
    kind: NodeKind,
}

/// All paths so far.
pub(crate) struct Names<'a> {
    limits: &'a ArchiveLimits,
    /// By what a careless file system takes the path for.
    nodes: HashMap<String, Node>,
    files: HashMap<String, (u64, bool)>,
    folders: usize,
    bytes: u64,
}

impl<'a> Names<'a> {
    pub(crate) fn new(limits: &'a ArchiveLimits) -> Self {
        Self { limits, nodes: HashMap::new(), files: HashMap::new(), folders: 0, bytes: 0 }
    }

    /// How many files there are.
    pub(crate) fn files(&self) -> usize {
        self.files.len()
    }

    /// How many bytes they have together.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Size of the file at `path`, and whether it is a program.
    pub(crate) fn find_file(&self, path: &str) -> Option<(u64, bool)> {
        self.files.get(path).copied()
    }

    pub(crate) fn is_folder(&self, path: &str) -> bool {
        self.nodes.get(&folded(path)).is_some_and(|node| node.kind == NodeKind::Folder && node.path == path)
    }

    pub(crate) fn add_folder(&mut self, path: &str) -> Result<(), ReadError> {
        self.add(path, NodeKind::Folder)
    }

    /// Notes the place of a link; it is counted when it is known what it leads to.
    pub(crate) fn add_link(&mut self, path: &str) -> Result<(), ReadError> {
        self.add(path, NodeKind::File)
    }

    pub(crate) fn add_file(&mut self, path: String, size: u64, executable: bool) -> Result<SourceEntry, ReadError> {
        self.add(&path, NodeKind::File)?;
        self.count_file(path, size, executable)
    }

    /// Counts a file whose path is noted.
    pub(crate) fn count_file(&mut self, path: String, size: u64, executable: bool) -> Result<SourceEntry, ReadError> {
        if self.files.len() >= self.limits.files_max {
            return Err(ReadError::Files { max: self.limits.files_max });
        }
        self.bytes = self.bytes.saturating_add(size);
        if self.bytes > self.limits.unpacked_bytes_max {
            return Err(ReadError::UnpackedBytes { path, max: self.limits.unpacked_bytes_max });
        }
        self.files.insert(path.clone(), (size, executable));
        Ok(SourceEntry { path, size, executable })
    }

    /// Notes a path with the folders above it, which need no entries of their own.
    fn add(&mut self, path: &str, kind: NodeKind) -> Result<(), ReadError> {
        for (slash, _) in path.match_indices('/') {
            self.add_one(&path[..slash], NodeKind::Folder)?;
        }
        self.add_one(path, kind)
    }

    fn add_one(&mut self, path: &str, kind: NodeKind) -> Result<(), ReadError> {
        let key = folded(path);
        if let Some(known) = self.nodes.get(&key) {
            if known.path != path {
                return Err(ReadError::Clash { path: path.to_owned(), other: known.path.clone() });
            }
            return match (known.kind, kind) {
                (NodeKind::Folder, NodeKind::Folder) => Ok(()),
                (NodeKind::File, NodeKind::File) => Err(ReadError::Duplicate { path: path.to_owned() }),
                _ => Err(ReadError::FileAndFolder { path: path.to_owned() }),
            };
        }
        if kind == NodeKind::Folder {
            self.folders += 1;
            if self.folders > self.limits.folders_max {
                return Err(ReadError::Folders { max: self.limits.folders_max });
            }
        }
        self.nodes.insert(key, Node { path: path.to_owned(), kind });
        Ok(())
    }
}

pub(crate) fn check_depth(path: &str, limits: &ArchiveLimits) -> Result<(), ReadError> {
    if path.split('/').count() > limits.depth_max {
        return Err(ReadError::Depth { path: shown(path.as_bytes()), max: limits.depth_max });
    }
    Ok(())
}
