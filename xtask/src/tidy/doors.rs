//! One door for each heavy dependency, as `deny.toml` lists them, and for unsafe code.

use anyhow::{Context, Result};

use super::House;

/// Folders and files that may allow unsafe code, each with its reason.
const UNSAFE_DOORS: &[(&str, &str)] = &[
    ("compiler/sandbox/", "system calls"),
    ("runtimes/host/src/mapped.rs", "unmaps what this program can map again"),
    ("runtimes/process/", "one system call between fork and exec"),
    ("runtimes/wasm/", "maps machine code that this program has compiled itself"),
    ("scheduling/", "one system call"),
    ("sdk-rust/", "code generated from the WIT world"),
];

/// Who may depend directly on what `[bans] deny` lists: its `wrappers` and nobody else.
pub(super) fn crates(house: &House) -> Result<Vec<String>> {
    let denied = house.deny.get("bans").and_then(|bans| bans.get("deny")).and_then(|deny| deny.as_array());
    let mut findings = Vec::new();
    for entry in denied.context("deny.toml has no [bans] deny")? {
        let name =
            entry.get("crate").and_then(|name| name.as_str()).context("an entry of [bans] deny has no `crate`")?;
        let wrappers = entry.get("wrappers").and_then(|wrappers| wrappers.as_array());
        let wrappers: Vec<&str> = wrappers.into_iter().flatten().filter_map(|wrapper| wrapper.as_str()).collect();
        let users =
            house.metadata.packages.iter().filter(|package| package.dependencies.iter().any(|other| other == name));
        let strangers = users.filter(|package| !wrappers.contains(&package.name.as_str()));
        findings.extend(
            strangers.map(|package| format!("{} depends on {name}, whose doors are {wrappers:?}", package.name)),
        );
    }
    Ok(findings)
}

/// Which files lift the ban on unsafe code.
pub(super) fn unsafe_code(house: &House) -> Result<Vec<String>> {
    let mut findings = Vec::new();
    for file in house.files.iter().filter(|file| file.extension().is_some_and(|extension| extension == "rs")) {
        let name = file.display().to_string();
        if UNSAFE_DOORS.iter().any(|(door, _)| name.starts_with(door)) {
            continue;
        }
        let text = std::fs::read_to_string(house.workspace.root.join(file))?;
        let lifts = ["allow(", "expect("].iter().any(|attribute| text.contains(&format!("{attribute}unsafe_code")));
        if lifts {
            findings.push(format!("{name} lifts the ban on unsafe code; doors are {UNSAFE_DOORS:?}"));
        }
    }
    Ok(findings)
}
