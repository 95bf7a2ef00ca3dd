//! What files of a folder are left out by the author's own rules.

use std::rc::Rc;

use ignore::Match;
use ignore::gitignore::{Gitignore, GitignoreBuilder};

/// Patterns of a `.dockerignore` that count; the file is small in every project that has one.
const DOCKER_PATTERNS_MAX: usize = 1000;

/// The rules of a `.dockerignore`: patterns begin at the root, the last that fits a path or a folder above it decides.
#[derive(Debug, Clone, Default)]
pub struct DockerIgnore {
    /// Whether what fits is kept, and what fits.
    patterns: Vec<(bool, Gitignore)>,
}

impl DockerIgnore {
    /// Reads the text of a `.dockerignore`.
    ///
    /// # Errors
    /// What is wrong, in words: a pattern that cannot be read, or too many.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut patterns = Vec::new();
        for line in text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
            let (kept, pattern) = line.strip_prefix('!').map_or((false, line), |rest| (true, rest.trim()));
            let pattern = pattern.trim_start_matches("./").trim_matches('/');
            if matches!(pattern, "" | ".") {
                continue;
            }
            if patterns.len() >= DOCKER_PATTERNS_MAX {
                return Err(format!("it has more than {DOCKER_PATTERNS_MAX} patterns"));
            }
            let mut builder = GitignoreBuilder::new("");
            // With a slash before it a pattern begins at the root here too.
            let built = builder.add_line(None, &format!("/{pattern}")).and_then(|builder| builder.build());
            patterns.push((kept, built.map_err(|error| error.to_string())?));
        }
        Ok(Self { patterns })
    }

    /// Whether the file at `path` is left out.
    #[must_use]
    pub fn ignores(&self, path: &str) -> bool {
        let fits = |rule: &Gitignore| rule.matched_path_or_any_parents(path, false).is_ignore();
        self.patterns.iter().rev().find(|(_, rule)| fits(rule)).is_some_and(|(kept, _)| !kept)
    }
}

/// The rules of a folder and of those above it, up to the root.
#[derive(Clone, Default)]
pub(crate) struct Rules(Option<Rc<Level>>);

struct Level {
    /// The folder, with `/` at its end; empty for the root.
    folder: String,
    git: Gitignore,
    ignite: Gitignore,
    above: Rules,
}

impl Rules {
    /// These rules and those of a folder below. Lines that are no patterns have no effect, as in git.
    pub(crate) fn below(&self, folder: &str, git: Option<&str>, ignite: Option<&str>) -> Self {
        if git.is_none() && ignite.is_none() {
            return self.clone();
        }
        let folder = if folder.is_empty() { String::new() } else { format!("{folder}/") };
        Self(Some(Rc::new(Level { folder, git: rules(git), ignite: rules(ignite), above: self.clone() })))
    }

    /// Whether git leaves a file or folder out, whose parents are not left out. The nearest rule decides.
    pub(crate) fn git_ignores(&self, path: &str, is_folder: bool) -> bool {
        self.decide(path, is_folder, &|level| &level.git)
    }

    /// Whether `.igniteignore` does.
    pub(crate) fn ignite_ignores(&self, path: &str, is_folder: bool) -> bool {
        self.decide(path, is_folder, &|level| &level.ignite)
    }

    /// Whether `.igniteignore` takes back what git leaves out.
    pub(crate) fn ignite_keeps(&self, path: &str, is_folder: bool) -> bool {
        matches!(self.find(path, is_folder, &|level| &level.ignite), Match::Whitelist(()))
    }

    fn decide(&self, path: &str, is_folder: bool, of: &dyn Fn(&Level) -> &Gitignore) -> bool {
        matches!(self.find(path, is_folder, of), Match::Ignore(()))
    }

    fn find(&self, path: &str, is_folder: bool, of: &dyn Fn(&Level) -> &Gitignore) -> Match<()> {
        let mut at = &self.0;
        while let Some(level) = at {
            let below = path.strip_prefix(level.folder.as_str()).unwrap_or(path);
            match of(level).matched(below, is_folder) {
                Match::None => at = &level.above.0,
                found => return found.map(|_| ()),
            }
        }
        Match::None
    }
}

fn rules(text: Option<&str>) -> Gitignore {
    let mut builder = GitignoreBuilder::new("");
    for line in text.unwrap_or_default().lines() {
        let _ = builder.add_line(None, line);
    }
    builder.build().unwrap_or_else(|_| Gitignore::empty())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test")]
    use super::*;

    #[test]
    fn docker_patterns_begin_at_the_root_and_the_last_decides() {
        let ignore =
            DockerIgnore::parse("# all but\n*\n!src\n!./go.mod\n!docs/**\nsrc/secret\n**/*.log\n!src/kept.log\n")
                .unwrap();
        for (path, ignored) in [
            ("README.md", true),
            ("src/main.go", false),
            ("src/secret/key", true),
            ("src/a.log", true),
            ("src/kept.log", false),
            ("go.mod", false),
            ("docs/a/b.md", false),
            ("other/src/x", true),
        ] {
            assert_eq!(ignore.ignores(path), ignored, "{path}");
        }
        let anchored = DockerIgnore::parse("temp\n").unwrap();
        assert!(anchored.ignores("temp/x") && !anchored.ignores("a/temp/x"));
        assert!(DockerIgnore::parse(&"a\n".repeat(1001)).is_err());
    }

    #[test]
    fn the_nearest_rule_of_git_decides() {
        let root = Rules::default().below("", Some("*.log\n/data\nnot/a/[pattern\n"), None);
        let sub = root.below("sub", Some("!kept.log\n"), Some("own.txt\n!back.log\n"));
        assert!(
            root.git_ignores("a.log", false) && root.git_ignores("data", true) && !root.git_ignores("sub/data", true)
        );
        assert!(!sub.git_ignores("sub/kept.log", false) && sub.git_ignores("sub/other.log", false));
        assert!(sub.ignite_ignores("sub/own.txt", false) && !sub.git_ignores("sub/own.txt", false));
        assert!(sub.ignite_keeps("sub/back.log", false) && !sub.ignite_keeps("sub/x", false));
    }
}
