//! Requirement files, `pyproject.toml` and `uv.lock`: where packages come from. Settings of pip and uv do not count.

use toml_edit::{Item, TableLike};

use super::SetAside;
use super::file::{File, inside, key_span, texts};
use super::requirement::refused;
use crate::mistake::Mistake;
use crate::python::Dependencies;
use crate::tree::SourceTree;

/// Requirement files that name each other, at most; there are two or three in real projects.
const FILES_MAX: usize = 64;

const INDEX_NEXT: &str = "take it out: from which index packages come is set by whoever runs the compiler";

pub(super) fn check(tree: &SourceTree, mistakes: &mut Vec<Mistake>, aside: &mut SetAside) {
    for path in ["pip.conf", "pip.ini", ".pip/pip.conf", ".config/pip/pip.conf", ".pypirc", ".python-version"] {
        if tree.has(path) {
            aside.note(format!("{path} is not used: the settings of tools are Ignite's"));
        }
    }
    if let Some(file) = File::find(tree, "uv.toml")
        && let Some(document) = file.toml()
    {
        indexes(file, document.as_table(), "", mistakes);
        aside.note("uv.toml is not used: the settings of tools are Ignite's");
    }
    match crate::python::dependencies(tree) {
        Ok(Dependencies::Requirements) => requirements(tree, mistakes),
        Ok(wanted @ (Dependencies::Project | Dependencies::Locked)) => {
            project(tree, mistakes, aside);
            if wanted == Dependencies::Locked {
                locked(tree, mistakes);
            }
        }
        // What is wrong there is told elsewhere.
        Ok(Dependencies::None) | Err(_) => {}
    }
}

/// Settings that say from which index packages come. To pass over them silently would take a package of the same name
/// from another index.
fn indexes(file: File<'_>, table: &dyn TableLike, prefix: &str, mistakes: &mut Vec<Mistake>) {
    for key in [
        "index",
        "index-url",
        "extra-index-url",
        "find-links",
        "no-index",
        "allow-insecure-host",
        "index-strategy",
        "keyring-provider",
        "config-settings",
        "python-install-mirror",
        "no-binary",
        "no-binary-package",
    ] {
        if table.contains_key(key) {
            let what = format!("`{prefix}{key}` would change from where packages come, or how they are built");
            mistakes.push(file.at_span(key_span(table, key), what).next(INDEX_NEXT));
        }
    }
    if let Some(pip) = table.get("pip").and_then(Item::as_table_like) {
        indexes(file, pip, &format!("{prefix}pip."), mistakes);
    }
}

fn requirements(tree: &SourceTree, mistakes: &mut Vec<Mistake>) {
    let mut todo = vec!["requirements.txt".to_owned()];
    let mut seen: Vec<String> = Vec::new();
    while let Some(path) = todo.pop() {
        let Some(file) = File::find(tree, &path).filter(|_| !seen.contains(&path)) else { continue };
        if seen.len() >= FILES_MAX {
            mistakes.push(Mistake::new(format!("more than {FILES_MAX} requirement files name each other")));
            return;
        }
        seen.push(path.clone());
        let folder = path.rsplit_once('/').map_or(".", |(folder, _)| folder);
        for (line, text) in logical_lines(file.text) {
            requirement_line(tree, file, folder, line, &text, &mut todo, mistakes);
        }
    }
}

/// Lines without comments, those that end with `\` joined; each with the number of its first line.
fn logical_lines(text: &str) -> Vec<(usize, String)> {
    let mut lines = Vec::new();
    let mut open: Option<(usize, String)> = None;
    // Some editors begin a file with a mark.
    for (index, line) in text.trim_start_matches('\u{feff}').lines().enumerate() {
        let line = line.trim_end();
        let (number, mut whole) = open.take().unwrap_or((index + 1, String::new()));
        if let Some(begin) = line.strip_suffix('\\') {
            whole.push_str(begin);
            open = Some((number, whole));
            continue;
        }
        whole.push_str(line);
        lines.push((number, whole));
    }
    lines.extend(open);
    let bare = |line: String| {
        let end =
            if line.trim_start().starts_with('#') { Some(0) } else { line.find(" #").or_else(|| line.find("\t#")) };
        line[..end.unwrap_or(line.len())].trim().to_owned()
    };
    lines.into_iter().map(|(number, line)| (number, bare(line))).filter(|(_, line)| !line.is_empty()).collect()
}

fn requirement_line(
    tree: &SourceTree,
    file: File<'_>,
    folder: &str,
    line: usize,
    text: &str,
    todo: &mut Vec<String>,
    mistakes: &mut Vec<Mistake>,
) {
    let mut refuse = |what: String, next: &str| mistakes.push(file.at_line(line, what).next(next));
    if !text.starts_with('-') {
        // Hashes stand behind a requirement.
        let requirement = text.split(" --").next().unwrap_or(text).trim();
        if let Some((what, next)) = refused(tree, folder, requirement) {
            refuse(what, next);
        }
        return;
    }
    let split = text.find(|c: char| c.is_whitespace() || c == '=').unwrap_or(text.len());
    let (mut option, mut value) = (&text[..split], text[split..].trim_start_matches(['=', ' ', '\t']).trim());
    // `-rother.txt` is one word.
    if !option.starts_with("--") && option.len() > 2 && option.is_char_boundary(2) {
        (option, value) = (&text[..2], text[2..].trim());
    }
    match option {
        "-e" | "--editable" => refuse(
            format!("`{text}` would run the code of a package to install it"),
            "take the line out; a package of this folder is imported as it lies there",
        ),
        "-i" | "--index-url" | "--pypi-url" | "--extra-index-url" | "-f" | "--find-links" | "--no-index"
        | "--trusted-host" => refuse(format!("`{option}` would change from where packages come"), INDEX_NEXT),
        "--no-binary" | "--config-settings" | "--global-option" | "--install-option" => refuse(
            format!("`{option}` would run the code of packages to install them"),
            "take the line out: a package is built only where it has no wheels",
        ),
        "-r" | "--requirement" | "-c" | "--constraint" => match (value.contains("://"), inside(folder, value)) {
            (true, _) => refuse(
                format!("`{value}` is elsewhere, and only this folder is compiled"),
                "put the file into this folder",
            ),
            (false, None) => {
                refuse(
                    format!("`{value}` is outside this folder, and only this folder is compiled"),
                    "put the file into this folder",
                );
            }
            (false, Some(path)) if tree.has(&path) => todo.push(path),
            (false, Some(path)) => refuse(
                format!("there is no {path}, which `{option}` names"),
                "check the path, and that .gitignore and .igniteignore do not leave it out",
            ),
        },
        // What only says which versions are taken: `--pre`, `--require-hashes`, `--only-binary`, `--prefer-binary`.
        _ => {}
    }
}

fn project(tree: &SourceTree, mistakes: &mut Vec<Mistake>, aside: &mut SetAside) {
    let Some(file) = File::find(tree, "pyproject.toml") else { return };
    let Some(document) = file.toml() else { return };
    let table = |path: &[&str]| {
        path.iter().try_fold(document.as_item(), |item, key| item.get(key)).and_then(Item::as_table_like)
    };
    if let Some(project) = table(&["project"]) {
        for (name, span) in project.get("dynamic").map(texts).unwrap_or_default() {
            if name == "dependencies" {
                let what = "the dependencies are made by the code of a build backend, which is not run";
                mistakes.push(
                    file.at_span(span, what).next("write them as `dependencies = […]`, or into requirements.txt"),
                );
            }
        }
        for (requirement, span) in project.get("dependencies").map(texts).unwrap_or_default() {
            if let Some((what, next)) = refused(tree, ".", requirement) {
                mistakes.push(file.at_span(span, what).next(next));
            }
        }
    }
    let Some(uv) = table(&["tool", "uv"]) else { return };
    indexes(file, uv, "tool.uv.", mistakes);
    for (name, source) in uv.get("sources").and_then(Item::as_table_like).into_iter().flat_map(|table| table.iter()) {
        let what = format!("`tool.uv.sources.{name}` would take the package from elsewhere than the index");
        mistakes.push(file.at_span(source.span(), what).next("take it out, and name a version that is published"));
    }
    for key in ["override-dependencies", "constraint-dependencies"] {
        for (requirement, span) in uv.get(key).map(texts).unwrap_or_default() {
            if let Some((what, next)) = refused(tree, ".", requirement) {
                mistakes.push(file.at_span(span, what).next(next));
            }
        }
    }
    aside.note("`tool.uv` in pyproject.toml is not used: the settings of tools are Ignite's");
}

/// A lock file says of each package where it was found.
fn locked(tree: &SourceTree, mistakes: &mut Vec<Mistake>) {
    let Some(file) = File::find(tree, "uv.lock") else { return };
    let Some(document) = file.toml() else { return };
    let packages = document.as_table().get("package").and_then(Item::as_array_of_tables);
    for package in packages.into_iter().flatten() {
        let name = package.get("name").and_then(Item::as_str).unwrap_or("?");
        let Some(source) = package.get("source").and_then(Item::as_table_like) else { continue };
        for (kind, value) in source.iter() {
            let value_text = value.as_str().unwrap_or_default();
            let why = match kind {
                "registry" if value_text.starts_with("https://") => continue,
                // The app itself.
                "virtual" | "editable" | "directory" if value_text == "." => continue,
                "url" if value_text.starts_with("https://") && value_text.ends_with(".whl") => continue,
                "virtual" | "editable" | "directory" | "path" => {
                    "it is a folder or a file, and only published packages are installed"
                }
                "git" => "its code would have to be run to install it",
                "registry" | "url" => "only packages by https can be fetched",
                _ => continue,
            };
            let what = format!("package `{name}` of uv.lock cannot be fetched from `{value_text}`: {why}");
            mistakes.push(file.at_span(value.span(), what).next("name a version that is published, and run `uv lock`"));
        }
    }
}
