//! What an author sees whose folder tries to steer the tools: each folder of `tests/cases/hostile`, compiled with the real
//! tools among guarded neighbours. `expected.txt` is the whole report, or the notes and `compiled`; `UPDATE_GOLDEN=1` writes
//! it anew.

use std::fs;
use std::path::{Path, PathBuf};

use ignite_compiler_builder::{CompileEvent, CompileRequest};

use super::everything;
use crate::mistakes::{copy, normal};
use crate::support::{builder, cache, slow, write};

/// What stands above and beside the folder. If any of it counted, nothing would compile.
const ABOVE: [(&str, &str); 9] = [
    (".cargo/config.toml", "[build]\nrustc-wrapper = \"/nonexistent/evil\"\n"),
    ("rust-toolchain.toml", "[toolchain]\nchannel = \"evil\"\n"),
    ("go.work", "go 1.26\nuse ./nothing\n"),
    ("uv.toml", "offline = \"evil\"\n"),
    ("pyproject.toml", "[tool.uv]\nrequired-version = \"==0.0.1\"\n"),
    ("deno.json", "{ evil"),
    ("package.json", "{ evil"),
    (".npmrc", "registry=http://127.0.0.1:9/\n"),
    ("neighbour/secret.txt", "of another tenant"),
];

#[test]
fn every_attempt_is_refused_or_set_aside() {
    if !slow() {
        return;
    }
    let cases = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/cases/hostile");
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
    let guarded = tempfile::tempdir().unwrap();
    write(guarded.path(), &ABOVE);
    let source = guarded.path().join("app");
    copy(case, &source, true);
    let before = everything(guarded.path());
    let out = tempfile::tempdir().unwrap();
    let out = out.path().join("app.tar.zst");
    let mut notes = String::new();
    let mut steps = 0;
    let done = builder(cache()).compile(&CompileRequest::new(&source, &out), &mut |event| match event {
        CompileEvent::Line { step: "source", line, .. } => {
            notes.push_str(line);
            notes.push('\n');
        }
        CompileEvent::Started { .. } => steps += 1,
        _ => {}
    });
    let report = match done {
        Ok(_) => "compiled\n".to_owned(),
        Err(error) => {
            let before_any_step = if steps == 0 { "" } else { "after a step:\n" };
            format!("{before_any_step}{}\n", error.report())
        }
    };
    assert_eq!(everything(guarded.path()), before, "{}: something outside was changed", case.display());
    assert!(report == "compiled\n" || !out.exists(), "{}: an artifact was written", case.display());
    normal(&format!("{notes}{report}"), guarded.path())
}
