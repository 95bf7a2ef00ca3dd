//! What an author did that cannot work, said so that it can be mended.

use std::fmt;

/// One mistake in an author's folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    /// What is wrong, in one sentence without a full stop.
    pub what: String,
    /// Where.
    pub at: Option<At>,
    /// More lines about it, such as what a tool said.
    pub detail: Vec<String>,
    /// What to do next.
    pub next: Option<String>,
}

/// A place in a source file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct At {
    /// The file, relative to the author's folder.
    pub path: String,
    /// The line, from 1.
    pub line: usize,
    /// The text of that line.
    pub text: Option<String>,
}

impl Mistake {
    /// A mistake that is nowhere in particular.
    #[must_use]
    pub fn new(what: impl Into<String>) -> Self {
        Self { what: what.into(), at: None, detail: Vec::new(), next: None }
    }

    /// The same, at a line of a file.
    #[must_use]
    pub fn at(mut self, path: &str, line: usize, text: Option<&str>) -> Self {
        self.at = Some(At { path: path.to_owned(), line, text: text.map(|text| text.trim_end().to_owned()) });
        self
    }

    /// The same, with what to do next.
    #[must_use]
    pub fn next(mut self, next: impl Into<String>) -> Self {
        self.next = Some(next.into());
        self
    }
}

impl fmt::Display for Mistake {
    /// The sentence alone when there is no place, else the sentence and the place; several lines.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)?;
        if let Some(at) = &self.at {
            write!(f, "\n  --> {}:{}", at.path, at.line)?;
            if let Some(text) = &at.text {
                write!(f, "\n  | {text}")?;
            }
        }
        for line in &self.detail {
            write!(f, "\n  {line}")?;
        }
        Ok(())
    }
}

/// At least one mistake; all that were found at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistakes(pub Vec<Mistake>);

impl From<Mistake> for Mistakes {
    fn from(mistake: Mistake) -> Self {
        Self(vec![mistake])
    }
}

impl fmt::Display for Mistakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, mistake) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            mistake.fmt(f)?;
        }
        Ok(())
    }
}

impl std::error::Error for Mistakes {}
