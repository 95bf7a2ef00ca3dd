//! What the author's manifest and the request ask for, taken together.

use std::fmt::Write as _;

use ignite_compiler_plan::{Mistake, Mistakes, Patterns, Wishes};
use ignite_core_artifact::DeclaredLimits;
use ignite_core_model::AppName;

use crate::error::CompileError;
use crate::request::CompileRequest;

/// What is asked for. The request has won over the manifest.
pub(crate) struct Settings {
    pub(crate) wishes: Wishes,
    pub(crate) patterns: Patterns,
    pub(crate) name: Option<AppName>,
    pub(crate) limits: DeclaredLimits,
    /// Names of variables, never their values.
    pub(crate) env: Vec<String>,
    includes: Vec<String>,
}

impl Settings {
    /// Takes the text of `ignite.toml` and the request together.
    ///
    /// # Errors
    /// Every mistake in the manifest.
    pub(crate) fn read(text: Option<&str>, request: &CompileRequest) -> Result<Self, CompileError> {
        let document: toml_edit::DocumentMut = text
            .unwrap_or_default()
            .parse()
            .map_err(|error| Mistakes::from(Mistake::new(format!("ignite.toml cannot be read: {error}"))))?;
        let word = |key: &str| document.get(key).and_then(|item| item.as_str());
        let list = |key: &str| -> Vec<String> {
            let items = document.get(key).and_then(|item| item.as_array());
            items
                .map(|list| list.iter().filter_map(|value| value.as_str().map(str::to_owned)).collect())
                .unwrap_or_default()
        };
        let (include, exclude) = (list("include"), list("exclude"));
        let wishes = Wishes {
            runtime: request.runtime.or_else(|| word("runtime")?.parse().ok()),
            target: request.target.or_else(|| word("target")?.parse().ok()),
            kind: request.kind.or_else(|| word("kind")?.parse().ok()),
            entrypoint: word("entrypoint").map(str::to_owned),
        };
        Ok(Self {
            wishes,
            patterns: Patterns::new(&include, &exclude)?,
            name: word("name").and_then(|name| name.parse().ok()),
            limits: DeclaredLimits::default(),
            env: Vec::new(),
            includes: include,
        })
    }

    /// What of it is in the artifact or decides what is, in words, for the cache key.
    pub(crate) fn declared(&self) -> String {
        let mut words = String::new();
        let _ = write!(words, "{:?} {:?} {:?} {:?}", self.name, self.limits, self.env, self.includes);
        words
    }
}
