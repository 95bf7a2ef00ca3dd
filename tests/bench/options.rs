//! What the bench is asked for.

use std::path::PathBuf;

use anyhow::{Context as _, Result, bail};
use ignite_tests::product::repository;

/// The options of `ignite-bench host` and `ignite-bench deadlines`.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Options {
    /// One short round: whether all works, not how fast it is.
    pub(crate) quick: bool,
    /// Only these contenders; empty: all.
    pub(crate) only: Vec<String>,
    /// Where the page and the charts are written. A part of the contenders or a quick run is not written unless asked to.
    pub(crate) out: Option<PathBuf>,
}

impl Options {
    /// Reads `[--quick] [--only NAME,…] [--out FOLDER]`.
    ///
    /// # Errors
    /// When there is anything else.
    pub(crate) fn parse(arguments: &[String]) -> Result<Self> {
        let mut options = Self::default();
        let mut arguments = arguments.iter();
        while let Some(argument) = arguments.next() {
            let mut value = || arguments.next().with_context(|| format!("{argument} needs a value"));
            match argument.as_str() {
                "--quick" => options.quick = true,
                "--only" => options.only.extend(value()?.split(',').map(|name| name.trim().to_owned())),
                "--out" => options.out = Some(value()?.into()),
                _ => bail!("usage: bench host|deadlines [--quick] [--only NAME,…] [--out FOLDER]"),
            }
        }
        if options.out.is_none() && !options.quick && options.only.is_empty() {
            options.out = Some(repository().join("docs/reference"));
        }
        Ok(options)
    }

    /// Whether a contender is asked for by its name.
    pub(crate) fn names(&self, name: &str) -> bool {
        self.only.iter().any(|only| only.eq_ignore_ascii_case(name))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test")]
    use super::*;

    fn parse(text: &str) -> Result<Options> {
        Options::parse(&text.split_whitespace().map(String::from).collect::<Vec<_>>())
    }

    #[test]
    fn only_a_whole_run_writes_the_page_unasked() {
        assert!(parse("").unwrap().out.is_some());
        assert!(parse("--quick").unwrap().out.is_none());
        assert!(parse("--only echo,Rust").unwrap().out.is_none());
        assert_eq!(parse("--quick --out x").unwrap().out, Some("x".into()));
        assert!(parse("--fast").is_err() && parse("--only").is_err());
    }
}
