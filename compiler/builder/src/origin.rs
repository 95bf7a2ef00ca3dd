//! Where the parts of a compile came from.

use std::fmt;

/// A part of a compile that need not be made anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Part {
    /// The artifact itself.
    Artifact,
    /// What the app depends on, compiled.
    Dependencies,
    /// What the app depends on, as published.
    Downloads,
}

/// Where a part came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Whence {
    /// Kept from an earlier compile of the same app, by the same tenant.
    Kept,
    /// From the cache that all compiles with the same dependencies share.
    Shared,
    /// Made, or fetched, by this compile.
    Made,
}

/// One part and where it came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// The part.
    pub part: Part,
    /// Where it came from.
    pub whence: Whence,
    /// What there is to say about it, such as how many packages it is; may be empty.
    pub detail: String,
}

impl Part {
    /// The word for it in reports.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Artifact => "artifact",
            Self::Dependencies => "dependencies",
            Self::Downloads => "downloads",
        }
    }
}

impl Whence {
    /// The word for it in reports.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Kept => "kept",
            Self::Shared => "shared",
            Self::Made => "made",
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.part.as_str(), self.whence.as_str())?;
        if self.detail.is_empty() { Ok(()) } else { write!(f, " ({})", self.detail) }
    }
}
