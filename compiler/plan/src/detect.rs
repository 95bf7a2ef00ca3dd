//! Which language a folder is written in.

use std::fmt::Write as _;

use ignite_core_model::Runtime;

use crate::go;
use crate::mistake::{Mistake, Mistakes};
use crate::select::is_own_file;
use crate::tree::SourceTree;

/// Files named at most when nothing fits.
const NAMED_FILES_MAX: usize = 5;

/// Finds the language by the files in the root of the folder.
///
/// # Errors
/// One mistake, one clear sentence: nothing fits, or several do.
pub fn detect(tree: &SourceTree) -> Result<Runtime, Mistakes> {
    let found = candidates(tree);
    match found.as_slice() {
        [(runtime, _)] => Ok(*runtime),
        [] => Err(nothing(tree).into()),
        several => {
            let list = several.iter().map(|(runtime, file)| format!("{} ({file})", title(*runtime)));
            let words = several.iter().map(|(runtime, _)| format!("`runtime = \"{runtime}\"`"));
            Err(Mistake::new(format!("this folder can be read as {}", join(list, "and")))
                .next(format!("say which in ignite.toml: {}", join(words, "or")))
                .into())
        }
    }
}

/// How a language is called in a sentence.
fn title(runtime: Runtime) -> &'static str {
    match runtime {
        Runtime::Python => "Python",
        Runtime::Go => "Go",
        Runtime::Deno => "Deno",
        Runtime::Rust => "Rust",
        Runtime::Component => "a WebAssembly component",
    }
}

fn candidates(tree: &SourceTree) -> Vec<(Runtime, String)> {
    let mut found = Vec::new();
    let mut add = |runtime, file: Option<&str>| {
        if let Some(file) = file {
            found.push((runtime, file.to_owned()));
        }
    };
    add(Runtime::Python, first(tree, &["handler.py"]));
    add(Runtime::Go, go::main_file(tree));
    add(Runtime::Deno, first(tree, &["main.ts", "main.js"]));
    add(Runtime::Rust, first(tree, &["Cargo.toml"]));
    // A component beside sources is their output, or data.
    if found.is_empty() {
        let mut wasm = tree.root_files().filter(|file| file.path.ends_with(".wasm"));
        if let (Some(only), None) = (wasm.next(), wasm.next()) {
            found.push((Runtime::Component, only.path.clone()));
        }
    }
    found
}

fn first<'a>(tree: &SourceTree, names: &[&'a str]) -> Option<&'a str> {
    names.iter().copied().find(|name| tree.has(name))
}

fn nothing(tree: &SourceTree) -> Mistake {
    let mut files = tree.files().iter().filter(|file| !is_own_file(&file.path)).map(|file| file.path.as_str());
    let named: Vec<&str> = files.by_ref().take(NAMED_FILES_MAX).collect();
    let more = files.count();
    if named.is_empty() {
        return Mistake::new("this folder is empty").next(
            "write a handler.py, main.go, main.ts or Cargo.toml here, or begin with `ignite new NAME --runtime python`",
        );
    }
    let mut what = format!("nothing here is a handler: found {}", named.join(", "));
    if more > 0 {
        let _ = write!(what, " and {more} more");
    }
    Mistake::new(what).next(near(tree).unwrap_or_else(|| {
        "expected one of handler.py (Python), main.go (Go), main.ts or main.js (Deno), Cargo.toml (Rust) or one .wasm \
         component"
            .to_owned()
    }))
}

/// What an author most likely meant.
fn near(tree: &SourceTree) -> Option<String> {
    let root: Vec<&str> = tree.root_files().map(|file| file.path.as_str()).collect();
    let with = |extensions: &[&str]| {
        root.iter()
            .copied()
            .find(|path| path.rsplit_once('.').is_some_and(|(_, extension)| extensions.contains(&extension)))
    };
    if let Some(file) = with(&["py"]) {
        return Some(format!(
            "a Python handler stands in handler.py: rename {file}, or set `entrypoint = \"{file}\"` and `runtime = \"python\"` in ignite.toml"
        ));
    }
    if root.contains(&"requirements.txt") || root.contains(&"pyproject.toml") {
        return Some(
            "a Python handler stands in handler.py beside its requirements: write `def handler(payload, ctx):` there"
                .to_owned(),
        );
    }
    if let Some(file) = with(&["go"]) {
        return Some(format!(
            "{file} is not `package main`: a Go handler is a program that calls ignite.Start(handler)"
        ));
    }
    if root.contains(&"go.mod") {
        return Some("the folder of a Go handler holds its `package main`: write main.go beside go.mod".to_owned());
    }
    if let Some(file) = with(&["ts", "js", "mts", "mjs"]) {
        return Some(format!(
            "a Deno handler stands in main.ts or main.js: rename {file}, or set `entrypoint = \"{file}\"` and `runtime = \"deno\"` in ignite.toml"
        ));
    }
    if with(&["rs"]).is_some() || tree.files().iter().any(|file| file.path.ends_with(".rs")) {
        return Some("a Rust handler is a package: add a Cargo.toml with `[package]`".to_owned());
    }
    // The folder above the one that was meant.
    let nested = tree.files().iter().find(|file| {
        let Some((folder, name)) = file.path.rsplit_once('/') else { return false };
        !folder.contains('/') && matches!(name, "handler.py" | "main.go" | "main.ts" | "main.js" | "Cargo.toml")
    });
    nested.map(|file| format!("there is a {}: compile that folder", file.path))
}

fn join(words: impl Iterator<Item = String>, last: &str) -> String {
    let words: Vec<String> = words.collect();
    match words.split_last() {
        Some((end, [])) => end.clone(),
        Some((end, rest)) => format!("{} {last} {end}", rest.join(", ")),
        None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::tests::tree;
    use expect_test::{Expect, expect};

    fn check(files: &[(&str, &str)], expected: &Expect) {
        let text: String = match detect(&tree(files)) {
            Ok(runtime) => runtime.to_string(),
            Err(Mistakes(mistakes)) => mistakes
                .iter()
                .map(|mistake| format!("{mistake}\nhint: {}", mistake.next.as_deref().unwrap_or("-")))
                .collect(),
        };
        expected.assert_eq(&text);
    }

    #[test]
    fn each_language_is_recognised() {
        check(&[("handler.py", ""), ("requirements.txt", "")], &expect!["python"]);
        check(&[("server.go", "// x\npackage main\n"), ("lib/a.go", "package lib")], &expect!["go"]);
        check(&[("main.ts", ""), ("deno.json", "{}")], &expect!["deno"]);
        check(&[("main.js", "")], &expect!["deno"]);
        check(&[("Cargo.toml", ""), ("src/lib.rs", "")], &expect!["rust"]);
        check(&[("app.wasm", ""), ("README.md", "")], &expect!["component"]);
        check(&[("main.ts", ""), ("image.wasm", "")], &expect!["deno"]);
    }

    #[test]
    fn several_are_named() {
        check(
            &[("handler.py", ""), ("main.go", "package main"), ("Cargo.toml", "")],
            &expect![[r#"
                this folder can be read as Python (handler.py), Go (main.go) and Rust (Cargo.toml)
                hint: say which in ignite.toml: `runtime = "python"`, `runtime = "go"` or `runtime = "rust"`"#]],
        );
    }

    #[test]
    fn nothing_is_said_with_the_likeliest_cure() {
        check(
            &[("ignite.toml", "")],
            &expect![[r#"
                this folder is empty
                hint: write a handler.py, main.go, main.ts or Cargo.toml here, or begin with `ignite new NAME --runtime python`"#]],
        );
        check(
            &[("app.py", ""), ("a", ""), ("b", ""), ("c", ""), ("d", ""), ("e", "")],
            &expect![[r#"
                nothing here is a handler: found a, app.py, b, c, d and 1 more
                hint: a Python handler stands in handler.py: rename app.py, or set `entrypoint = "app.py"` and `runtime = "python"` in ignite.toml"#]],
        );
        check(
            &[("hello/main.go", "package main"), ("README.md", "")],
            &expect![[r#"
                nothing here is a handler: found README.md, hello/main.go
                hint: there is a hello/main.go: compile that folder"#]],
        );
        check(
            &[("util.go", "package util")],
            &expect![[r#"
                nothing here is a handler: found util.go
                hint: util.go is not `package main`: a Go handler is a program that calls ignite.Start(handler)"#]],
        );
    }
}
