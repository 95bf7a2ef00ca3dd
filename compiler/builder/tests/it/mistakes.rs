//! What an author sees for each of the mistakes in `tests/cases/mistakes`.
//!
//! A case is a folder as an author would have it, and `expected.txt`, which is not part of it: the whole report.
//! `UPDATE_GOLDEN=1` writes the files anew.

use std::fs;
use std::path::{Path, PathBuf};

use ignite_compiler_builder::CompileRequest;

use crate::support::{builder, cache, compile, slow};

#[test]
fn every_mistake_is_reported_as_expected() {
    if !slow() {
        return;
    }
    let cases = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/cases/mistakes");
    let mut names: Vec<PathBuf> = fs::read_dir(&cases).unwrap().map(|entry| entry.unwrap().path()).collect();
    names.sort();
    assert!(names.len() >= 20, "only {} cases", names.len());
    let only = std::env::var("CASE").unwrap_or_default();
    let update = std::env::var_os("UPDATE_GOLDEN").is_some();
    let mut wrong = Vec::new();
    for case in names.iter().filter(|case| case.ends_with(&only) || only.is_empty()) {
        let name = case.file_name().unwrap().to_string_lossy();
        let report = report(case);
        let file = case.join("expected.txt");
        if update {
            fs::write(&file, &report).unwrap();
        } else if fs::read_to_string(&file).unwrap_or_default() != report {
            let expected = fs::read_to_string(&file).unwrap_or_default();
            wrong.push(format!("== {name}\n-- expected\n{expected}-- found\n{report}"));
        }
    }
    assert!(wrong.is_empty(), "{} of {} cases differ\n{}", wrong.len(), names.len(), wrong.join("\n"));
}

fn report(case: &Path) -> String {
    let dir = tempfile::tempdir().unwrap();
    let source = dir.path().join("app");
    copy(case, &source, true);
    let before = listing(&source);
    let out = dir.path().join("app.tar.zst");
    let report = match compile(&builder(cache()), &CompileRequest::new(&source, &out)) {
        Ok(_) => "compiled\n".to_owned(),
        Err(error) => format!("{}\n", error.report()),
    };
    assert_eq!(listing(&source), before, "{} was written to", case.display());
    assert!(report == "compiled\n" || !out.exists(), "{}: an artifact was written", case.display());
    normal(&report, dir.path())
}

pub(crate) fn copy(from: &Path, to: &Path, top: bool) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap();
        if path.is_dir() {
            copy(&path, &to.join(name), false);
        } else if !(top && name == "expected.txt") {
            fs::copy(&path, to.join(name)).unwrap();
        }
    }
}

/// Every file below a folder with its content.
fn listing(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(listing(&path));
        } else {
            found.push((path.clone(), fs::read(&path).unwrap()));
        }
    }
    found.sort();
    found
}

/// Lines that depend on what was downloaded or compiled before.
const PROGRESS: [&str; 17] = [
    "Download ",
    "Downloading ",
    "Downloaded ",
    "Compiling ",
    "Updating ",
    "Locking ",
    "Adding ",
    "Blocking ",
    "Checking ",
    "Using CPython",
    "Resolved ",
    "Prepared ",
    "go: downloading ",
    "go: finding module ",
    "Check main.ts",
    "warning: build failed, waiting",
    "Initialize ",
];

/// Takes out what differs between machines and days: folders, versions, hosts.
pub(crate) fn normal(report: &str, dir: &Path) -> String {
    let cache = cache();
    let mut out = String::new();
    let mut in_sdk = false;
    for line in report.lines() {
        let bare = line.trim_start_matches([' ', '|']);
        // An excerpt of the SDK's own sources, which change: its lines are numbered.
        in_sdk = bare.contains("--> .ignite/")
            || in_sdk && (bare.is_empty() || bare.starts_with(|c: char| c.is_ascii_digit() || c == '^'));
        if in_sdk || PROGRESS.iter().any(|word| bare.starts_with(word)) {
            continue;
        }
        let line = line.replace(&*cache.to_string_lossy(), "[cache]").replace(&*dir.to_string_lossy(), "[folder]");
        let line = between(&line, "[cache]/compile/logs/", ".log", "[key]");
        let line = between(&line, "[cache]/compile/work/", "/", "[key]");
        let line = between(&line, "[cache]/compile/rust/", "/", "[key]");
        let line = between(&line, "https://", "/", "[host]");
        // Why a module cannot be had depends on the proxy, and where the library is on the machine.
        let line = between(&format!("{line}\n"), "example.invalid/nothing/here: ", "\n", "[why]");
        let line = between(&line, "is not in std (", ")", "[root]");
        out.push_str(line.trim_end());
        out.push('\n');
    }
    out
}

/// Replaces what stands between two marks.
fn between(line: &str, before: &str, after: &str, by: &str) -> String {
    let Some(start) = line.find(before).map(|at| at + before.len()) else { return line.to_owned() };
    let Some(end) = line[start..].find(after).map(|at| start + at) else { return line.to_owned() };
    format!("{}{by}{}", &line[..start], &line[end..])
}
