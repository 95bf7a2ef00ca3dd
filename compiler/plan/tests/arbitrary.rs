//! No text of an author makes the planner panic or loop.

use ignite_compiler_plan::{Patterns, SourceFile, SourceTree, Wishes, deno, plan, python, rust};
use ignite_core_model::{Digest, Runtime, Target};
use proptest::prelude::*;

/// Texts near what the planner looks for, and any other.
fn text() -> impl Strategy<Value = String> {
    let words = prop::sample::select(vec![
        "package main",
        "import",
        "\"ignite\"",
        "ignite.Start(",
        "func main()",
        "//",
        "/*",
        "*/",
        "`",
        "\"",
        "'",
        "\\",
        "\n",
        "{",
        "}",
        "[",
        "]",
        ",",
        ":",
        "\"imports\"",
        "\"importMap\"",
        "-e ",
        "-r ",
        "${",
        "git+",
        "file:",
        "@",
        "../",
        "replace",
        "=>",
        "[tool.uv",
        "rustflags = ",
        "-C",
        "[package]",
        "[workspace]",
        "[dependencies]",
        "[profile.release]",
        "[lib]",
        "[[bin]]",
        "name = \"a\"",
        "path = \"../b\"",
        "crate-type = [\"cdylib\"]",
        "panic = \"abort\"",
        "workspace = true",
        "dependencies = []",
        "[project]",
        "#[ignite::main]",
        "start(",
        "ä",
        "\u{0}",
        "=",
        ".",
        "@",
    ]);
    prop_oneof![
        prop::collection::vec(words, 0..24).prop_map(|words| words.join(" ")),
        prop::collection::vec(any::<char>(), 0..64).prop_map(|chars| chars.into_iter().collect()),
    ]
}

const PATHS: [&str; 18] = [
    "main.go",
    "go.mod",
    "main.ts",
    "deno.json",
    "deno.jsonc",
    "map.json",
    "Cargo.toml",
    "src/lib.rs",
    "src/main.rs",
    "handler.py",
    "pyproject.toml",
    "requirements.txt",
    "uv.lock",
    "uv.toml",
    "package.json",
    ".npmrc",
    ".cargo/config.toml",
    "shared/Cargo.toml",
];

proptest! {
    #[test]
    fn any_tree_is_planned_or_refused(texts in prop::collection::vec(prop::option::of(text()), PATHS.len()), entrypoint in prop::option::of(text())) {
        let files = PATHS.iter().zip(&texts).filter_map(|(path, text)| {
            let text = text.as_deref()?;
            Some(SourceFile {
                path: (*path).to_owned(),
                size: text.len() as u64,
                executable: false,
                digest: Digest::of(text.as_bytes()),
                text: Some(text.into()),
            })
        });
        let tree = SourceTree::new(files.collect());
        for runtime in [None, Some(Runtime::Go), Some(Runtime::Deno), Some(Runtime::Rust), Some(Runtime::Python), Some(Runtime::Component)] {
            let wishes = Wishes { runtime, entrypoint: entrypoint.clone(), ..Wishes::default() };
            if let Err(mistakes) = plan(&tree, &wishes) {
                prop_assert!(!mistakes.0.is_empty());
                prop_assert!(!mistakes.to_string().is_empty());
            }
        }
        let _ = deno::config(&tree, "../sdk/");
        let _ = python::dependencies(&tree);
        if let Ok(package) = rust::Package::read(&tree, ".") {
            for target in [Target::Native, Target::Wasm] {
                for (path, text) in package.rewritten(target) {
                    prop_assert!(!path.ends_with(".toml") || text.parse::<toml_edit::DocumentMut>().is_ok(), "{path}: {text}");
                }
            }
        }
    }

    #[test]
    fn any_pattern_is_read_or_refused(include in text(), path in text()) {
        if let Ok(patterns) = Patterns::new(&[include], &[]) {
            let _ = patterns.includes(path.trim_start_matches('/'));
        }
    }
}
