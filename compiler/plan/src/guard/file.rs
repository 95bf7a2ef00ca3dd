//! A file with its lines, for mistakes that say where they are.

use std::ops::Range;

use toml_edit::{Document, Item, TableLike};

use crate::mistake::Mistake;
use crate::tree::SourceTree;

/// A text file of the tree.
#[derive(Clone, Copy)]
pub(super) struct File<'a> {
    pub(super) path: &'a str,
    pub(super) text: &'a str,
}

impl<'a> File<'a> {
    pub(super) fn find(tree: &'a SourceTree, path: &str) -> Option<Self> {
        let file = tree.find_file(path)?;
        Some(Self { path: &file.path, text: file.text.as_deref()? })
    }

    /// A mistake at a line, from 1.
    pub(super) fn at_line(self, line: usize, what: impl Into<String>) -> Mistake {
        Mistake::new(what).at(self.path, line, line.checked_sub(1).and_then(|at| self.text.lines().nth(at)))
    }

    /// A mistake at a place in the text.
    pub(super) fn at_span(self, span: Option<Range<usize>>, what: impl Into<String>) -> Mistake {
        let start = span.map_or(0, |span| span.start.min(self.text.len()));
        let before = self.text.as_bytes().get(..start).unwrap_or_default();
        self.at_line(before.iter().filter(|byte| **byte == b'\n').count() + 1, what)
    }

    /// A mistake at the first line with these words.
    pub(super) fn at_words(self, words: &str, what: impl Into<String>) -> Mistake {
        let line = self.text.lines().position(|line| line.contains(words)).unwrap_or(0);
        self.at_line(line + 1, what)
    }

    /// The file as TOML; one that cannot be read is told by whoever reads it.
    pub(super) fn toml(self) -> Option<Document<&'a str>> {
        Document::parse(self.text).ok()
    }
}

/// Where a key of a table stands.
pub(super) fn key_span(table: &dyn TableLike, key: &str) -> Option<Range<usize>> {
    let (key, item) = table.get_key_value(key)?;
    key.span().or_else(|| item.span())
}

/// All texts in an item: itself, or those of a list.
pub(super) fn texts(item: &Item) -> Vec<(&str, Option<Range<usize>>)> {
    match (item.as_str(), item.as_array()) {
        (Some(text), _) => vec![(text, item.span())],
        (None, Some(list)) => list.iter().filter_map(|value| Some((value.as_str()?, value.span()))).collect(),
        (None, None) => Vec::new(),
    }
}

/// The path that `to` means in `folder` (`.` is the root), if it stays in the tree. Empty for the root itself.
pub(super) fn inside(folder: &str, to: &str) -> Option<String> {
    if to.starts_with(['/', '~', '\\']) || to.contains(":\\") {
        return None;
    }
    let mut parts: Vec<&str> = if folder == "." { Vec::new() } else { folder.split('/').collect() };
    for part in to.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            name => parts.push(name),
        }
    }
    Some(parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_stay_inside_or_are_none() {
        assert_eq!(inside(".", "a/../b/./c").as_deref(), Some("b/c"));
        assert_eq!(inside("api/v1", "../shared").as_deref(), Some("api/shared"));
        assert_eq!(inside("api", "..").as_deref(), Some(""));
        for to in ["../x", "/etc", "~/x", "a/../../x", "C:\\x"] {
            assert_eq!(inside(".", to), None, "{to}");
        }
    }
}
