//! A folder as this crate sees it: through whoever may open files.

use std::io::{self, Read};

/// What stands in a folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// Its name, as the system has it.
    pub name: Vec<u8>,
    /// What it is; a link is not followed.
    pub kind: ItemKind,
}

/// What something in a folder is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ItemKind {
    /// A regular file.
    File {
        /// In bytes.
        size: u64,
        /// Whether its owner may execute it.
        executable: bool,
    },
    /// A folder.
    Folder,
    /// A symbolic link.
    Link {
        /// The text of it.
        target: Vec<u8>,
    },
    /// A device, pipe or socket.
    Other,
}

/// Lists and opens what is below one root. Paths are relative to it, with `/`; the root is the empty path.
pub trait Folder {
    /// Everything directly in a folder, in any order.
    ///
    /// # Errors
    /// Whatever the system says.
    fn list(&self, folder: &str) -> io::Result<Vec<Item>>;

    /// What is at a path, if anything is; links above it may be followed below the root, it itself is not.
    ///
    /// # Errors
    /// Whatever the system says.
    fn find(&self, path: &str) -> io::Result<Option<ItemKind>>;

    /// Opens a regular file.
    ///
    /// # Errors
    /// Whatever the system says.
    fn open(&self, path: &str) -> io::Result<Box<dyn Read + '_>>;
}
