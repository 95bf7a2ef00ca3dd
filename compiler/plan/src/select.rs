//! Which files take part.

use ignore::Match;
use ignore::gitignore::{Gitignore, GitignoreBuilder};

use crate::mistake::{Mistake, Mistakes};

pub use ignite_core_model::MANIFEST_FILE;
pub use ignite_core_source::is_left_out as is_never_packed;

/// Files that tell us what to do and are no part of the app.
const OWN_FILES: [&str; 4] = [MANIFEST_FILE, ".gitignore", ".igniteignore", ".dockerignore"];

/// Whether the file at `path` is one that steers the compile and is not itself packed.
#[must_use]
pub fn is_own_file(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path);
    OWN_FILES.contains(&name)
}

/// The `include` and `exclude` of an author, in the language of `.gitignore`.
#[derive(Debug, Clone)]
pub struct Patterns {
    include: Gitignore,
    exclude: Gitignore,
}

impl Patterns {
    /// Reads both lists.
    ///
    /// # Errors
    /// A [`Mistake`] for every pattern that cannot be read.
    pub fn new(include: &[String], exclude: &[String]) -> Result<Self, Mistakes> {
        let mut mistakes = Vec::new();
        let patterns = Self {
            include: build("include", include, &mut mistakes),
            exclude: build("exclude", exclude, &mut mistakes),
        };
        if mistakes.is_empty() { Ok(patterns) } else { Err(Mistakes(mistakes)) }
    }

    /// Whether the author asks for the file at `path` by name.
    #[must_use]
    pub fn includes(&self, path: &str) -> bool {
        matches(&self.include, path)
    }

    /// Whether the author leaves the file at `path` out.
    #[must_use]
    pub fn excludes(&self, path: &str) -> bool {
        matches(&self.exclude, path)
    }

    /// Whether anything is asked for.
    #[must_use]
    pub fn has_includes(&self) -> bool {
        !self.include.is_empty()
    }
}

fn matches(patterns: &Gitignore, path: &str) -> bool {
    matches!(patterns.matched_path_or_any_parents(path, false), Match::Ignore(_))
}

fn build(key: &str, lines: &[String], mistakes: &mut Vec<Mistake>) -> Gitignore {
    let mut builder = GitignoreBuilder::new("");
    for line in lines {
        let outside = line.starts_with("../") || line.contains("/../");
        let read = if outside { Err("it leaves the folder".to_owned()) } else { add(&mut builder, line) };
        if let Err(cause) = read {
            mistakes.push(Mistake::new(format!("`{line}` in `{key}` of {MANIFEST_FILE} is not a pattern: {cause}")));
        }
    }
    builder.build().unwrap_or_else(|error| {
        mistakes.push(Mistake::new(format!("`{key}` of {MANIFEST_FILE} cannot be read: {error}")));
        Gitignore::empty()
    })
}

fn add(builder: &mut GitignoreBuilder, line: &str) -> Result<(), String> {
    builder.add_line(None, line).map(|_| ()).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test")]
    use super::*;

    #[test]
    fn patterns_are_those_of_gitignore() {
        let words = |list: &[&str]| list.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
        let patterns = Patterns::new(&words(&["data/", "/model.bin"]), &words(&["*.md", "!README.md"])).unwrap();
        assert!(patterns.includes("data/a/b.txt") && patterns.includes("model.bin"));
        assert!(!patterns.includes("sub/model.bin"));
        assert!(patterns.excludes("docs/x.md") && !patterns.excludes("README.md"));
        let error = Patterns::new(&words(&["../secret", "a{", "ok"]), &[]).unwrap_err();
        assert_eq!(error.0.len(), 2, "{error}");
    }
}
