//! `go.mod`: where modules come from. Workspaces, toolchain lines and environments of Go do not count.

use super::SetAside;
use super::file::{File, inside};
use crate::go::SDK_MODULE;
use crate::mistake::Mistake;
use crate::tree::SourceTree;

pub(super) fn check(tree: &SourceTree, mistakes: &mut Vec<Mistake>, aside: &mut SetAside) {
    for (path, why) in [
        ("go.work", "the module of this folder is compiled by itself"),
        ("go.env", "Go's settings are Ignite's"),
        (".go/env", "Go's settings are Ignite's"),
        ("vendor/modules.txt", "modules are fetched, and checked by go.sum"),
    ] {
        if tree.has(path) {
            aside.note(format!("{path} is not used: {why}"));
        }
    }
    if let Some(file) = File::find(tree, "go.mod") {
        lines(tree, file, mistakes, aside);
    }
}

fn lines(tree: &SourceTree, file: File<'_>, mistakes: &mut Vec<Mistake>, aside: &mut SetAside) {
    let mut block = String::new();
    for (index, line) in file.text.lines().enumerate() {
        let line = line.split("//").next().unwrap_or_default().trim();
        if line == ")" {
            block.clear();
            continue;
        }
        let mut words: Vec<&str> = line.split_whitespace().collect();
        if words.last() == Some(&"(") || line.ends_with('(') {
            block = line.trim_end_matches('(').trim().to_owned();
            continue;
        }
        if !block.is_empty() {
            words.insert(0, &block);
        }
        match words.as_slice() {
            ["toolchain", name] => {
                aside.note(format!("`toolchain {name}` in go.mod is not used: the toolchain is Ignite's"))
            }
            ["replace", module, rest @ ..] => {
                let to = rest.iter().position(|word| *word == "=>").and_then(|at| rest.get(at + 1));
                let (module, to) = (unquoted(module), unquoted(to.copied().unwrap_or_default()));
                // The compiler puts its own in place of this one.
                if module != SDK_MODULE && is_folder(to) {
                    replaced(tree, file, index + 1, module, to, mistakes);
                }
            }
            _ => {}
        }
    }
}

fn replaced(tree: &SourceTree, file: File<'_>, line: usize, module: &str, to: &str, mistakes: &mut Vec<Mistake>) {
    let Some(folder) = inside(".", to) else {
        let what = format!("module `{module}` is outside this folder, and only this folder is compiled");
        let next = "put it into this folder, or require it from where it is published and take the `replace` out";
        mistakes.push(file.at_line(line, what).next(next));
        return;
    };
    let manifest = format!("{folder}/go.mod");
    if tree.has(&manifest) {
        return;
    }
    let other = tree.files().iter().find(|file| file.path.eq_ignore_ascii_case(&manifest));
    let what = format!("module `{module}` is to be in {folder}, where there is no go.mod");
    mistakes.push(file.at_line(line, what).next(match other {
        Some(file) => format!("write it as the folder is called: {}", file.path.trim_end_matches("/go.mod")),
        None => "check the path, and that .gitignore and .igniteignore do not leave it out".to_owned(),
    }));
}

/// Go takes what begins so for a folder, and everything else for the name of a module.
fn is_folder(to: &str) -> bool {
    to == "." || to == ".." || to.starts_with("./") || to.starts_with("../") || to.starts_with('/')
}

fn unquoted(word: &str) -> &str {
    word.trim_matches(['"', '`'])
}
