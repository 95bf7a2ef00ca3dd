//! A source tree as a value.

use std::sync::Arc;

use ignite_core_model::Digest;

use crate::key::KeyBuilder;

/// Largest file whose text is looked at here, in bytes.
pub const TEXT_BYTES_MAX: u64 = 1024 * 1024;

/// One file of a source tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceFile {
    /// Relative to the root, with `/`, without `.` or `..`.
    pub path: String,
    /// In bytes.
    pub size: u64,
    /// Whether its owner may execute it.
    pub executable: bool,
    /// Of its content.
    pub digest: Digest,
    /// Its text, where [`wants_text`] asked for it and it is UTF-8.
    pub text: Option<Arc<str>>,
}

/// The files of an author's folder that take part, sorted by path.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SourceTree {
    files: Vec<SourceFile>,
}

impl SourceTree {
    /// A tree of these files, in any order. Of two with one path the first is kept.
    #[must_use]
    pub fn new(mut files: Vec<SourceFile>) -> Self {
        files.sort_by(|a, b| a.path.cmp(&b.path));
        files.dedup_by(|a, b| a.path == b.path);
        Self { files }
    }

    /// All files, sorted by path.
    #[must_use]
    pub fn files(&self) -> &[SourceFile] {
        &self.files
    }

    /// The file at `path`.
    #[must_use]
    pub fn find_file(&self, path: &str) -> Option<&SourceFile> {
        self.files.binary_search_by(|file| file.path.as_str().cmp(path)).ok().map(|index| &self.files[index])
    }

    /// Whether there is a file at `path`.
    #[must_use]
    pub fn has(&self, path: &str) -> bool {
        self.find_file(path).is_some()
    }

    /// The text of the file at `path`.
    #[must_use]
    pub fn find_text(&self, path: &str) -> Option<&str> {
        self.find_file(path)?.text.as_deref()
    }

    /// The files directly in the root.
    pub fn root_files(&self) -> impl Iterator<Item = &SourceFile> {
        self.files.iter().filter(|file| !file.path.contains('/'))
    }

    /// The same tree without the files at these paths.
    #[must_use]
    pub fn without(mut self, paths: &[String]) -> Self {
        self.files.retain(|file| !paths.contains(&file.path));
        self
    }

    /// Of every path, mode and content; nothing else, so that it is the same in another folder on another day.
    #[must_use]
    pub fn digest(&self) -> Digest {
        let mut key = KeyBuilder::new("source tree 1");
        for file in &self.files {
            key = key.with(&file.path, if file.executable { "x" } else { "-" }).with("digest", file.digest.as_bytes());
        }
        key.finish()
    }
}

/// Whether the text of the file at `path` is needed to plan. Others are only hashed.
#[must_use]
pub fn wants_text(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path);
    let extension = name.rsplit_once('.').map_or("", |(_, extension)| extension);
    matches!(
        extension,
        "go" | "rs"
            | "ts"
            | "js"
            | "mts"
            | "mjs"
            | "tsx"
            | "jsx"
            | "toml"
            | "json"
            | "jsonc"
            | "lock"
            | "txt"
            | "in"
            | "mod"
    ) || matches!(name, ".npmrc" | "config")
}

#[cfg(test)]
pub(crate) mod tests {
    #![allow(clippy::unwrap_used, reason = "a test")]
    use super::*;

    /// A tree of `(path, text)`.
    pub(crate) fn tree(files: &[(&str, &str)]) -> SourceTree {
        SourceTree::new(
            files
                .iter()
                .map(|(path, text)| SourceFile {
                    path: (*path).to_owned(),
                    size: text.len() as u64,
                    executable: false,
                    digest: Digest::of(text.as_bytes()),
                    text: Some((*text).into()),
                })
                .collect(),
        )
    }

    #[test]
    fn the_digest_depends_on_path_mode_and_content_only() {
        let one = tree(&[("b", "2"), ("a", "1")]);
        assert_eq!(one.digest(), tree(&[("a", "1"), ("b", "2")]).digest());
        assert_ne!(one.digest(), tree(&[("a", "1"), ("b", "3")]).digest());
        assert_ne!(one.digest(), tree(&[("a", "1"), ("c", "2")]).digest());
        let mut files = one.files().to_vec();
        files[0].executable = true;
        assert_ne!(one.digest(), SourceTree::new(files).digest());
    }

    #[test]
    fn files_are_found_by_path() {
        let tree = tree(&[("src/lib.rs", ""), ("a.py", "x"), ("a/b", "")]);
        assert_eq!(tree.find_text("a.py"), Some("x"));
        assert!(!tree.has("src"));
        assert_eq!(tree.root_files().count(), 1);
    }
}
