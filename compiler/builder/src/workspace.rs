//! A folder for who hands sources to the builder.

use std::io;
use std::path::Path;

use crate::cache::Fresh;

/// A private folder, for an archive that is to be compiled and the artifact that comes of it. It is removed when this is
/// dropped; when its process is killed, the next [`Builder::sweep`](crate::Builder::sweep) removes it.
#[derive(Debug)]
pub struct Workspace(Fresh);

impl Workspace {
    /// An empty folder below `root`, which is made if it is not there. Use [`Builder::workspace`](crate::Builder::workspace):
    /// only what lies in a builder's cache is swept.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn below(root: &Path) -> io::Result<Self> {
        Fresh::folder(root).map(Self)
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.0.path()
    }
}

impl From<Fresh> for Workspace {
    fn from(fresh: Fresh) -> Self {
        Self(fresh)
    }
}
