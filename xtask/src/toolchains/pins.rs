//! The pinned versions, from `toolchains.toml`.

use std::path::Path;

use anyhow::{Context, Result, bail};
use toml::Table;

/// What `toolchains.toml` says.
pub(crate) struct Pins(Table);

/// The pin of one tool.
pub(super) struct Pin<'a> {
    /// The version; parts it lacks may be any.
    pub(super) version: &'a str,
    newer: bool,
    /// What to tell who lacks the tool.
    pub(super) get: &'a str,
}

impl Pins {
    /// Reads the file at `path`.
    pub(crate) fn load(path: &Path) -> Result<Self> {
        let wrong = || format!("could not read {}", path.display());
        let text = std::fs::read_to_string(path).with_context(wrong)?;
        Ok(Self(text.parse().with_context(wrong)?))
    }

    /// The pin of `tool`.
    pub(super) fn pin(&self, tool: &str) -> Result<Pin<'_>> {
        let text = |key: &str| {
            let value = self.0.get(tool).and_then(|pin| pin.get(key)).and_then(|value| value.as_str());
            value.with_context(|| format!("toolchains.toml has no `{key}` in [{tool}]"))
        };
        let newer = match text("accept")? {
            "newer" => true,
            "series" => false,
            other => bail!("toolchains.toml: `accept = \"{other}\"` in [{tool}] is neither series nor newer"),
        };
        Ok(Pin { version: text("version")?, newer, get: text("get")? })
    }
}

impl<'a> Pin<'a> {
    /// A pin that stands in the code: a tool only this repository's checks use.
    pub(super) fn exact(version: &'a str) -> Self {
        Self { version, newer: false, get: "" }
    }

    /// Whether a tool of `version` will do.
    pub(super) fn accepts(&self, version: &str) -> bool {
        if self.newer { numbers(version) >= numbers(self.version) } else { begins_with(version, self.version) }
    }

    /// For package managers: `==1.2.3`, or `==1.2.*` where the last number may be any.
    pub(super) fn requirement(&self) -> String {
        let any = if self.version.split('.').count() < 3 { ".*" } else { "" };
        format!("=={}{any}", self.version)
    }
}

fn begins_with(version: &str, pin: &str) -> bool {
    let mut parts = version.split('.');
    pin.split('.').all(|wanted| parts.next() == Some(wanted))
}

fn numbers(text: &str) -> Vec<u32> {
    text.split('.').map(|part| part.parse().unwrap_or(0)).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test")]
    use super::*;

    fn pins() -> Pins {
        Pins(
            "[a]\nversion = '3.12'\naccept = 'series'\nget = ''\n[b]\nversion = '1.93'\naccept = 'newer'\nget = ''"
                .parse()
                .unwrap(),
        )
    }

    #[test]
    fn a_series_is_compared_part_by_part() {
        let pins = pins();
        let pin = pins.pin("a").unwrap();
        assert!(pin.accepts("3.12.1") && pin.accepts("3.12"));
        assert!(!pin.accepts("3.120.1") && !pin.accepts("3") && !pin.accepts("3.13.0"));
        assert_eq!(pin.requirement(), "==3.12.*");
        assert_eq!(Pin::exact("2.7.14").requirement(), "==2.7.14");
    }

    #[test]
    fn newer_is_compared_by_number() {
        let pins = pins();
        let pin = pins.pin("b").unwrap();
        assert!(pin.accepts("1.95.0") && pin.accepts("1.93") && pin.accepts("2.0"));
        assert!(!pin.accepts("1.92.9") && !pin.accepts("1.9.0"));
    }

    #[test]
    fn what_is_missing_is_named() {
        let error = pins().pin("c").err().unwrap().to_string();
        assert_eq!(error, "toolchains.toml has no `accept` in [c]");
    }
}
