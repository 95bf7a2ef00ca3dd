//! Settings that lie above the copy on which tools work: they are the machine's, and count for no author's code.

use std::fs;

use ignite_compiler_builder::{CompileError, CompileRequest, Compiled};

use super::everything;
use crate::support::{builder, compile, folder, slow, write};

const PYTHON: &[(&str, &str)] =
    &[("handler.py", "def handler(payload, ctx):\n    return payload\n"), ("requirements.txt", "tabulate==0.9.0\n")];
const GO: &[(&str, &str)] = &[(
    "main.go",
    "package main\n\nimport \"ignite\"\n\nfunc handler(payload []byte, ctx *ignite.Context) ([]byte, error) {\n\treturn payload, nil\n}\n\nfunc main() { ignite.Start(handler) }\n",
)];
const DENO: &[(&str, &str)] = &[("main.ts", "import { start } from \"ignite\";\nstart(() => \"hello\");\n")];

/// A package that Cargo cannot fetch: what it says shows where it looked, and that it could start its compiler.
const RUST: &[(&str, &str)] = &[
    (
        "Cargo.toml",
        "[package]\nname = \"hello\"\nversion = \"0.1.0\"\nedition = \"2024\"\n[dependencies]\nignite-has-no-such-crate-4711 = \"1\"\n",
    ),
    ("src/lib.rs", "use ignite::prelude::*;\n#[ignite::main]\nasync fn handler() {}\n"),
];

/// Compiles with a cache that has hostile settings of every tool above it.
fn below_hostile_settings(files: &[(&str, &str)]) -> Result<Compiled, CompileError> {
    let guarded = folder(&[]);
    write(
        guarded.path(),
        &[
            (
                ".cargo/config.toml",
                "[build]\nrustc-wrapper = \"/nonexistent/evil\"\n[source.crates-io]\nreplace-with = \"evil\"\n[source.evil]\nregistry = \"sparse+http://127.0.0.1:9/\"\n",
            ),
            ("rust-toolchain.toml", "[toolchain]\nchannel = \"evil\"\n"),
            ("go.work", "go 1.26\nuse ./nothing\n"),
            ("uv.toml", "index-url = \"http://127.0.0.1:9/\"\n"),
            ("pyproject.toml", "[tool.uv]\nrequired-version = \"==0.0.1\"\n"),
            (".npmrc", "registry=http://127.0.0.1:9/\n"),
        ],
    );
    let before = everything(guarded.path());
    let source = folder(files);
    let cache = guarded.path().join("cache");
    let done = compile(&builder(cache.clone()), &CompileRequest::new(source.path(), source.path().join("app.tar.zst")));
    fs::remove_dir_all(cache).unwrap();
    assert_eq!(everything(guarded.path()), before);
    done
}

fn compiles_below_hostile_settings(files: &[(&str, &str)]) {
    if slow() {
        below_hostile_settings(files).unwrap_or_else(|error| panic!("{}", error.report()));
    }
}

#[test]
fn cargo_obeys_no_settings_above_it() {
    if slow() {
        let report = below_hostile_settings(RUST).unwrap_err().report();
        assert!(report.contains("location searched: crates.io index"), "{report}");
    }
}

#[test]
fn python_obeys_no_settings_above_it() {
    compiles_below_hostile_settings(PYTHON);
}

#[test]
fn go_obeys_no_settings_above_it() {
    compiles_below_hostile_settings(GO);
}

#[test]
fn deno_obeys_no_settings_above_it() {
    compiles_below_hostile_settings(DENO);
}
