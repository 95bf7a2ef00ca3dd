//! The manifests of the workspace's crates.

use anyhow::{Context, Result};
use toml::{Table, Value};

use super::House;

/// Crates the compiler hands to authors' builds: they are built outside this workspace and cannot inherit from it, so
/// they write out what the others inherit, and this rule holds it equal.
const STANDALONE: &[&str] = &["core/abi", "sdk-macros", "sdk-rust"];

pub(super) fn versions(house: &House) -> Result<Vec<String>> {
    let root = load(house, "Cargo.toml")?;
    let mut findings = Vec::new();
    for (package, place) in house.metadata.members() {
        let manifest = load(house, &format!("{place}/Cargo.toml"))?;
        debug_assert!(package.manifest.ends_with("Cargo.toml"));
        let standalone = STANDALONE.contains(&place);
        findings.extend(fields(&manifest, &root, standalone).into_iter().map(|finding| format!("{place}: {finding}")));
        findings.extend(
            dependencies(&manifest, &root, standalone).into_iter().map(|finding| format!("{place}: {finding}")),
        );
    }
    Ok(findings)
}

pub(super) fn lints(house: &House) -> Result<Vec<String>> {
    let mut findings = Vec::new();
    for (_, place) in house.metadata.members() {
        let manifest = load(house, &format!("{place}/Cargo.toml"))?;
        let lints = manifest.get("lints");
        let inherited = lints.and_then(|lints| lints.get("workspace")).and_then(Value::as_bool) == Some(true);
        let own = STANDALONE.contains(&place) && lints.and_then(|lints| lints.get("rust")).is_some();
        if !inherited && !own {
            findings.push(format!("{place}: add `[lints] workspace = true`"));
        }
    }
    Ok(findings)
}

fn load(house: &House, name: &str) -> Result<Table> {
    let text = std::fs::read_to_string(house.workspace.root.join(name)).with_context(|| name.to_string())?;
    text.parse().with_context(|| name.to_string())
}

fn fields(manifest: &Table, root: &Table, standalone: bool) -> Vec<String> {
    let package = &manifest["package"];
    let shared = root["workspace"]["package"].as_table().into_iter().flatten();
    let check = |(key, expected): (&String, &Value)| match package.get(key) {
        Some(value) if value.get("workspace").is_some() && !standalone => None,
        Some(value) if value == expected && standalone => None,
        _ if standalone => Some(format!("`{key}` is not {expected} as in the root manifest")),
        _ => Some(format!("write `{key}.workspace = true`")),
    };
    shared.filter_map(check).collect()
}

fn dependencies(manifest: &Table, root: &Table, standalone: bool) -> Vec<String> {
    let known = &root["workspace"]["dependencies"];
    let mut findings = Vec::new();
    for (name, dependency) in all_dependencies(manifest) {
        if dependency.get("workspace").is_some() {
            if standalone {
                findings.push(format!("`{name}` is inherited, which an author's build cannot read: write its version"));
            }
            continue;
        }
        let version = version(dependency);
        if !standalone {
            findings.push(format!(
                "`{name}` has a version of its own: write it in the root manifest and `{name}.workspace = true`"
            ));
        } else if version.is_some() && known.get(name).is_some_and(|root| self::version(root) != version) {
            findings.push(format!("`{name}` is {version:?}, in the root manifest {:?}", self::version(&known[name])));
        }
    }
    findings
}

/// Every dependency of a manifest, of all kinds and targets.
fn all_dependencies(manifest: &Table) -> Vec<(&str, &Value)> {
    const KINDS: [&str; 3] = ["dependencies", "dev-dependencies", "build-dependencies"];
    let targets = manifest
        .get("target")
        .and_then(Value::as_table)
        .into_iter()
        .flatten()
        .filter_map(|(_, target)| target.as_table());
    let tables = std::iter::once(manifest).chain(targets);
    let kinds = tables.flat_map(|table| KINDS.iter().filter_map(|kind| table.get(*kind)?.as_table()));
    kinds.flatten().map(|(name, value)| (name.as_str(), value)).collect()
}

fn version(dependency: &Value) -> Option<&str> {
    dependency.as_str().or_else(|| dependency.get("version")?.as_str())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test")]
    use super::*;

    fn table(text: &str) -> Table {
        text.parse().unwrap()
    }

    #[test]
    fn a_version_of_its_own_is_found() {
        let root =
            table("[workspace.package]\nversion = '1.0.0'\n[workspace.dependencies]\nserde = { version = '1.2' }");
        let member = table("[package]\nversion.workspace = true\n[target.'cfg(unix)'.dependencies]\nserde = '1.2'");
        assert_eq!(fields(&member, &root, false), Vec::<String>::new());
        assert_eq!(dependencies(&member, &root, false).len(), 1);

        let standalone = table("[package]\nversion = '1.0.0'\n[dependencies]\nserde = '1.2'\nother = { path = 'x' }");
        assert_eq!(fields(&standalone, &root, true), Vec::<String>::new());
        assert_eq!(dependencies(&standalone, &root, true), Vec::<String>::new());
        let drifted = table("[package]\nversion = '1.0.1'\n[dependencies]\nserde = '1.3'");
        assert_eq!((fields(&drifted, &root, true).len(), dependencies(&drifted, &root, true).len()), (1, 1));
    }
}
