//! What is wrong with a manifest.

use std::fmt;

use crate::Fault;

/// One fault in a manifest.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
#[error("line {line}: {message}")]
pub struct ManifestError {
    /// The line it is on, the first being 1.
    pub line: usize,
    /// What is wrong and what to write instead.
    pub message: String,
}

/// Every fault in a manifest, in the order of their lines; there is at least one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ManifestErrors(pub Vec<ManifestError>);

impl ManifestErrors {
    /// Whose fault it is: the author's.
    #[must_use]
    pub fn fault(&self) -> Fault {
        Fault::Caller
    }
}

impl fmt::Display for ManifestErrors {
    /// A line for each fault.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, error) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            error.fmt(f)?;
        }
        Ok(())
    }
}

impl std::error::Error for ManifestErrors {}
