//! Every example compiles, is served, and answers as `examples/examples.toml` says.

use anyhow::{Result, ensure};
use ignite_tests::examples::{Example, load};
use ignite_tests::host::Host;
use ignite_tests::product::{compile, repository};
use ignite_tests::tree::files;

fn examples() -> Vec<Example> {
    load(&repository().join("examples")).unwrap()
}

/// Compiles, serves and calls those of `language` for `target`; all failures are told at once.
fn check(language: &str, target: &str) {
    let chosen: Vec<Example> = examples()
        .into_iter()
        .filter(|example| example.language == language && example.targets.iter().any(|name| name == target))
        .filter(|example| example.component.is_none())
        .collect();
    assert!(!chosen.is_empty(), "there are examples in {language} for {target}");
    let failures: Vec<String> = chosen
        .iter()
        .filter_map(|example| run(example, target).err().map(|error| format!("{}: {error:#}", example.name)))
        .collect();
    assert!(failures.is_empty(), "{} examples fail for {target}:\n- {}", failures.len(), failures.join("\n- "));
}

fn run(example: &Example, target: &str) -> Result<()> {
    let folder = repository().join("examples").join(&example.name);
    let before = status(&folder)?;
    let out = tempfile::tempdir()?;
    let artifact = compile(&folder, out.path(), &["--target", target])?;
    ensure!(status(&folder)? == before, "the compile wrote to the author's folder");
    let host = Host::serve(&artifact, &[])?;
    for call in &example.call {
        call.check(host.address(), &folder)?;
    }
    Ok(())
}

/// The folder's files and their bytes, without what other tools of the repository keep there.
fn status(folder: &std::path::Path) -> Result<Vec<(std::path::PathBuf, Vec<u8>)>> {
    let kept = ["target", "__pycache__", ".ignite", ".ruff_cache", "node_modules"];
    let of_a_tool = |path: &std::path::Path| path.iter().any(|part| kept.iter().any(|name| part == *name));
    Ok(files(folder)?.into_iter().filter(|(path, _)| !of_a_tool(path)).collect())
}

#[test]
fn python() {
    check("Python", "native");
}

#[test]
fn go() {
    check("Go", "native");
}

#[test]
fn deno() {
    check("Deno", "native");
}

#[test]
fn rust_native() {
    check("Rust", "native");
}

#[test]
fn rust_wasm() {
    check("Rust", "wasm");
}

#[test]
fn none_is_forgotten() {
    for example in examples() {
        let checked = ["Python", "Go", "Deno", "Rust"].contains(&example.language.as_str());
        assert!(checked || example.component.is_some(), "{} is run by no test", example.name);
    }
}
