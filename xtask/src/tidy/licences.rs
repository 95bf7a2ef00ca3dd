//! Licences of all dependencies against the list in `deny.toml`.

use anyhow::{Context, Result};
use toml::Value;

use super::House;

pub(super) fn check(house: &House) -> Result<Vec<String>> {
    let list =
        |key: &str| house.deny.get("licenses").and_then(|section| section.get(key)).and_then(|list| list.as_array());
    let allowed = list("allow").context("deny.toml has no [licenses] allow")?;
    let allowed: Vec<&str> = allowed.iter().filter_map(Value::as_str).collect();
    let findings = house.metadata.packages.iter().filter_map(|package| {
        let what = format!("{} {}", package.name, package.version);
        let exceptions = list("exceptions").into_iter().flatten();
        let own = exceptions.filter(|exception| exception.get("crate").and_then(Value::as_str) == Some(&package.name));
        let own = own.filter_map(|exception| exception.get("allow")?.as_array()).flatten().filter_map(Value::as_str);
        let allowed: Vec<&str> = allowed.iter().copied().chain(own).collect();
        match &package.licence {
            None => Some(format!("{what} names no licence")),
            Some(licence) if !holds(licence, &allowed) => Some(format!("{what} is under {licence}")),
            Some(_) => None,
        }
    });
    Ok(findings.collect())
}

/// Whether an SPDX expression can be met with the `allowed` licences. `/` is an old spelling of `OR`.
fn holds(expression: &str, allowed: &[&str]) -> bool {
    let spaced = expression.replace('(', " ( ").replace(')', " ) ").replace('/', " OR ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let mut rest = words.as_slice();
    either(&mut rest, allowed) && rest.is_empty()
}

fn either(words: &mut &[&str], allowed: &[&str]) -> bool {
    let mut holds = all(words, allowed);
    while words.first() == Some(&"OR") {
        *words = &words[1..];
        holds |= all(words, allowed);
    }
    holds
}

fn all(words: &mut &[&str], allowed: &[&str]) -> bool {
    let mut holds = one(words, allowed);
    while words.first() == Some(&"AND") {
        *words = &words[1..];
        holds &= one(words, allowed);
    }
    holds
}

fn one(words: &mut &[&str], allowed: &[&str]) -> bool {
    match *words {
        ["(", rest @ ..] => {
            *words = rest;
            let holds = either(words, allowed);
            let closed = words.first() == Some(&")");
            *words = words.get(1..).unwrap_or_default();
            holds && closed
        }
        // An exception permits more than its licence does, so the licence alone will do as well.
        [licence, "WITH", exception, rest @ ..] => {
            let whole = format!("{licence} WITH {exception}");
            let holds = allowed.contains(licence) || allowed.contains(&whole.as_str());
            *words = rest;
            holds
        }
        [licence, rest @ ..] => {
            let holds = allowed.contains(licence);
            *words = rest;
            holds
        }
        [] => false,
    }
}

#[cfg(test)]
mod tests {
    use super::holds;

    #[test]
    fn expressions() {
        let allowed = ["MIT", "Apache-2.0", "Unicode-3.0", "LGPL-3.0 WITH linking"];
        for good in [
            "MIT",
            "MIT/Apache-2.0",
            "GPL-3.0 OR MIT",
            "(MIT OR Apache-2.0) AND Unicode-3.0",
            "Apache-2.0 WITH LLVM-exception OR GPL-2.0",
            "(MIT OR GPL-2.0) AND (Apache-2.0)",
            "LGPL-3.0 WITH linking",
        ] {
            assert!(holds(good, &allowed), "{good}");
        }
        for bad in ["", "GPL-3.0", "LGPL-3.0", "MIT AND GPL-3.0", "(MIT", "MIT GPL-3.0", "GPL-3.0 WITH MIT"] {
            assert!(!holds(bad, &allowed), "{bad}");
        }
    }
}
