//! From the name of an entry to a path.

use ignite_core_artifact::{PathFault, check_path};

/// Names that are never part of a source, at any depth: histories, what tools made, and secrets. In `.ignite` stand our own
/// outputs.
const LEFT_OUT: [&str; 9] =
    [".git", ".ignite", "node_modules", "__pycache__", "target", ".venv", ".env", ".DS_Store", "__MACOSX"];

/// Whether a file or folder of this name is left out of every source, whatever the author says. Beside the list in
/// `docs/reference/source.md` these are the files `._NAME` in which macOS keeps attributes of `NAME`.
#[must_use]
pub fn is_left_out(name: &str) -> bool {
    LEFT_OUT.contains(&name) || name.starts_with("._")
}

/// Whether some part of a path is left out.
pub(crate) fn is_path_left_out(path: &str) -> bool {
    path.split('/').any(is_left_out)
}

/// What an entry's name says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Name {
    /// The root itself: `./`.
    Root,
    /// A path, and whether it was written as a folder's, with `/` at its end.
    Path { path: String, folder: bool },
}

/// Reads the name of an entry. `./` before it is taken off, as `tar` writes it for `.`; nothing else is repaired.
pub(crate) fn name(bytes: &[u8]) -> Result<Name, PathFault> {
    let text = std::str::from_utf8(bytes).map_err(|_| PathFault::NotUtf8)?;
    let mut rest = text;
    while let Some(shorter) = rest.strip_prefix("./") {
        rest = shorter;
    }
    if rest == "." || (rest.is_empty() && !text.is_empty()) {
        return Ok(Name::Root);
    }
    let (path, folder) = rest.strip_suffix('/').map_or((rest, false), |path| (path, true));
    // A lone `/` is absolute rather than empty.
    check_path(if path.is_empty() { rest } else { path })?;
    Ok(Name::Path { path: path.to_owned(), folder })
}

/// A name as it may be shown: bounded, and with nothing in it that a terminal obeys.
pub(crate) fn shown(bytes: &[u8]) -> String {
    const SHOWN_CHARS_MAX: usize = 200;
    let text = String::from_utf8_lossy(bytes);
    let mut shown = String::new();
    for c in text.chars().take(SHOWN_CHARS_MAX) {
        if c.is_control() { shown.extend(c.escape_default()) } else { shown.push(c) }
    }
    if text.chars().nth(SHOWN_CHARS_MAX).is_some() {
        shown.push('…');
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> Result<(String, bool), PathFault> {
        match name(text.as_bytes())? {
            Name::Root => Ok((String::new(), true)),
            Name::Path { path, folder } => Ok((path, folder)),
        }
    }

    #[test]
    fn names_of_common_tools_are_read() {
        for (text, expected) in [
            ("handler.py", ("handler.py", false)),
            ("./src/a.rs", ("src/a.rs", false)),
            ("././a", ("a", false)),
            ("src/", ("src", true)),
            ("./", ("", true)),
            (".", ("", true)),
            (".cargo/config.toml", (".cargo/config.toml", false)),
        ] {
            assert_eq!(path(text), Ok((expected.0.to_owned(), expected.1)), "{text}");
        }
    }

    #[test]
    fn every_other_name_has_its_fault() {
        for (text, fault) in [
            ("", PathFault::Empty),
            ("/", PathFault::Absolute),
            ("/etc/passwd", PathFault::Absolute),
            (".//etc/passwd", PathFault::Absolute),
            ("../a", PathFault::Parent),
            ("./../a", PathFault::Parent),
            ("a/../../b", PathFault::Parent),
            ("a//b", PathFault::NotNormal),
            ("a/./b", PathFault::NotNormal),
            ("a//", PathFault::NotNormal),
            ("a\\b", PathFault::Backslash),
            ("a\0b", PathFault::Control),
        ] {
            assert_eq!(path(text), Err(fault), "{text:?}");
        }
        assert_eq!(name(b"\xff"), Err(PathFault::NotUtf8));
    }

    #[test]
    fn a_shown_name_is_harmless() {
        assert_eq!(shown(b"a\x1b[2Jb\n"), "a\\u{1b}[2Jb\\n");
        assert_eq!(shown(&[b'x'; 300]).chars().count(), 201);
    }
}
