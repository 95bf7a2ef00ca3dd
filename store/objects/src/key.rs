//! Keys of objects.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use ignite_core_model::{Digest, Fault};

/// Longest key, in bytes. S3 allows 1024; a folder's file names allow 255 each, and room is needed for a prefix.
pub const KEY_BYTES_MAX: usize = 512;

/// Longest segment of a key, in bytes.
const SEGMENT_BYTES_MAX: usize = 200;

/// Why a text is not a key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not the key of an object")]
pub struct KeyError(String);

impl KeyError {
    /// Whose fault it is.
    #[must_use]
    pub fn fault(&self) -> Fault {
        Fault::Caller
    }
}

/// The key of an object: segments of letters, digits, `.`, `_` and `-`, joined by `/`. No segment begins with `.`, so no
/// key leads out of the root or to a hidden file.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ObjectKey(Arc<str>);

impl ObjectKey {
    /// Where an artifact is, by its digest.
    #[must_use]
    pub fn artifact(digest: &Digest) -> Self {
        Self(format!("artifacts/sha256/{}", digest.to_hex()).into())
    }

    /// Where an archive of source is, by its digest.
    #[must_use]
    pub fn source(digest: &Digest) -> Self {
        Self(format!("sources/sha256/{}", digest.to_hex()).into())
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ObjectKey {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        let segment = |segment: &str| {
            !segment.is_empty()
                && segment.len() <= SEGMENT_BYTES_MAX
                && !segment.starts_with('.')
                && segment.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
        };
        if text.len() <= KEY_BYTES_MAX && text.split('/').all(segment) {
            Ok(Self(text.into()))
        } else {
            Err(KeyError(text.chars().take(80).collect()))
        }
    }
}

impl fmt::Display for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test")]
    use super::*;

    #[test]
    fn a_key_stays_below_the_root() {
        for good in ["a", "artifacts/sha256/ab12", "inputs/01J/body.json", "a..b/c-_.d"] {
            assert_eq!(good.parse::<ObjectKey>().unwrap().as_str(), good);
        }
        let long = format!("a/{}", "b".repeat(201));
        for bad in [
            "",
            "/",
            "/a",
            "a/",
            "a//b",
            ".",
            "..",
            "../a",
            "a/../b",
            "a/.hidden",
            "a\\b",
            "a b",
            "a#1",
            "a%2e",
            "ä",
            "a\0b",
            &long,
            &"a/".repeat(300),
        ] {
            assert!(bad.parse::<ObjectKey>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn content_has_its_place() {
        let digest = Digest::of(b"abc");
        assert!(ObjectKey::artifact(&digest).as_str().starts_with("artifacts/sha256/ba7816bf"));
        let source = ObjectKey::source(&digest);
        assert!(source.as_str().starts_with("sources/sha256/ba7816bf"));
        assert_eq!(source.as_str().parse::<ObjectKey>().unwrap(), source);
    }
}
