//! Which paths a payload file may have.

use unicode_normalization::UnicodeNormalization;

/// Longest path in an artifact, in bytes: leaves room in Linux' 4096 for the folder it is unpacked into.
pub(crate) const PATH_BYTES_MAX: usize = 1024;

/// Longest part of a path, in bytes: what every common file system takes.
const PART_BYTES_MAX: usize = 255;

/// Why a path is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PathFault {
    /// No characters.
    #[error("is empty")]
    Empty,
    /// Begins with `/`.
    #[error("is absolute")]
    Absolute,
    /// A part is `..`.
    #[error("leads to a parent folder with `..`")]
    Parent,
    /// A part is `.` or empty: the same file would have several spellings.
    #[error("has an empty part or `.`")]
    NotNormal,
    /// A NUL, line break or other control character, which would forge lines of logs.
    #[error("has a control character")]
    Control,
    /// `\`, which separates folders on some systems.
    #[error("has a backslash")]
    Backslash,
    /// Not UTF-8.
    #[error("is not UTF-8")]
    NotUtf8,
    /// More than 1024 bytes, or a part of more than 255.
    #[error("is longer than 1024 bytes or has a part longer than 255")]
    TooLong,
}

/// Checks that `path` stays inside whatever folder it is joined to, and has one spelling.
///
/// # Errors
///
/// [`PathFault`], the first that is found.
pub fn check_path(path: &str) -> Result<(), PathFault> {
    if path.is_empty() {
        return Err(PathFault::Empty);
    }
    if path.starts_with('/') {
        return Err(PathFault::Absolute);
    }
    if path.len() > PATH_BYTES_MAX {
        return Err(PathFault::TooLong);
    }
    if path.chars().any(char::is_control) {
        return Err(PathFault::Control);
    }
    if path.contains('\\') {
        return Err(PathFault::Backslash);
    }
    for part in path.split('/') {
        match part {
            ".." => return Err(PathFault::Parent),
            "" | "." => return Err(PathFault::NotNormal),
            _ if part.len() > PART_BYTES_MAX => return Err(PathFault::TooLong),
            _ => {}
        }
    }
    Ok(())
}

/// What a file system that ignores case and Unicode normal forms takes `path` for.
#[must_use]
pub fn folded(path: &str) -> String {
    if path.is_ascii() {
        return path.to_ascii_lowercase();
    }
    // Upper case first: it folds `ß` and `ss`, `ſ` and `s` together, which lower case alone does not.
    path.nfd().flat_map(char::to_uppercase).flat_map(char::to_lowercase).nfd().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ordinary_paths_are_taken() {
        for path in ["app", "handler.py", "vendor/a-1.0.dist-info/METADATA", "data/größe ☃.txt", "...", "a/..b", ".env"]
        {
            assert_eq!(check_path(path), Ok(()), "{path}");
        }
        assert_eq!(check_path(&["a".repeat(255), "b".repeat(255)].join("/")), Ok(()));
    }

    #[test]
    fn every_other_path_has_its_fault() {
        let long = "a".repeat(256);
        let deep = "a/".repeat(512) + "a";
        for (path, fault) in [
            ("", PathFault::Empty),
            ("/etc/passwd", PathFault::Absolute),
            ("/", PathFault::Absolute),
            ("..", PathFault::Parent),
            ("../a", PathFault::Parent),
            ("a/../../b", PathFault::Parent),
            ("a/..", PathFault::Parent),
            ("./a", PathFault::NotNormal),
            ("a//b", PathFault::NotNormal),
            ("a/", PathFault::NotNormal),
            ("a/./b", PathFault::NotNormal),
            ("a\0b", PathFault::Control),
            ("a\nb", PathFault::Control),
            ("a\u{85}b", PathFault::Control),
            ("..\\a", PathFault::Backslash),
            (&long, PathFault::TooLong),
            (&deep, PathFault::TooLong),
        ] {
            assert_eq!(check_path(path), Err(fault), "{path:?}");
        }
    }

    #[test]
    fn folding_joins_what_some_file_systems_join() {
        for (one, other) in [("A/b", "a/B"), ("größe", "GRO\u{308}SSE"), ("é", "e\u{301}"), ("\u{212B}", "å")] {
            assert_eq!(folded(one), folded(other));
        }
        assert_ne!(folded("a"), folded("b"));
        assert_ne!(folded("o"), folded("ö"));
    }
}
