//! `Cargo.toml`: where dependencies and build scripts come from.

use std::collections::BTreeSet;

use ignore::gitignore::GitignoreBuilder;
use toml_edit::{Item, Table, TableLike};

use super::file::{File, inside, key_span, texts};
use super::url::{GIT_NEXT, refused_git};
use crate::mistake::Mistake;
use crate::tree::SourceTree;

const FOLDER_NEXT: &str =
    "compile the folder that holds both, as a workspace with `entrypoint = \"MEMBER\"` in its ignite.toml";

/// Looks at the manifest of the app, of its workspace, and of every package these name by path.
pub(super) fn check(tree: &SourceTree, entry: &str, mistakes: &mut Vec<Mistake>) {
    let mut todo = vec![".".to_owned(), entry.to_owned()];
    let mut seen = BTreeSet::new();
    while let Some(folder) = todo.pop() {
        if !seen.insert(folder.clone()) {
            continue;
        }
        let path = join(&folder, "Cargo.toml");
        let Some(file) = File::find(tree, &path) else { continue };
        // One that cannot be read is told by Cargo, or was told before.
        let Some(document) = file.toml() else { continue };
        let mut manifest = Manifest { tree, file, folder: &folder, own: folder == entry, mistakes, next: Vec::new() };
        manifest.check(document.as_table());
        todo.append(&mut manifest.next);
    }
}

fn join(folder: &str, name: &str) -> String {
    if folder == "." || folder.is_empty() { name.to_owned() } else { format!("{folder}/{name}") }
}

struct Manifest<'a> {
    tree: &'a SourceTree,
    file: File<'a>,
    folder: &'a str,
    /// Whether it is the app's own, of which tests are not compiled.
    own: bool,
    mistakes: &'a mut Vec<Mistake>,
    /// Folders of packages that it names.
    next: Vec<String>,
}

impl Manifest<'_> {
    fn check(&mut self, root: &Table) {
        if root.contains_key("cargo-features") {
            let mistake =
                self.file.at_span(key_span(root, "cargo-features"), "`cargo-features` are for nightly toolchains");
            self.mistakes.push(mistake.next("take the line out: the toolchain is a stable one"));
        }
        if let Some(package) = table(root, "package") {
            for key in ["build", "workspace"] {
                self.stays(package, key, &format!("`package.{key}`"));
            }
        }
        if let Some(library) = table(root, "lib") {
            self.stays(library, "path", "`lib.path`");
        }
        for program in root.get("bin").and_then(Item::as_array_of_tables).into_iter().flatten() {
            self.stays(program, "path", "the `path` of a program");
        }
        self.dependencies(root);
        for (_, target) in table(root, "target").into_iter().flat_map(|targets| targets.iter()) {
            if let Some(target) = target.as_table_like() {
                self.dependencies(target);
            }
        }
        for (_, source) in table(root, "patch").into_iter().flat_map(|patches| patches.iter()) {
            self.each(source.as_table_like(), "patch");
        }
        self.each(table(root, "replace"), "replacement");
        if let Some(workspace) = table(root, "workspace") {
            self.each(table(workspace, "dependencies"), "dependency");
            self.members(workspace);
        }
    }

    /// A path that may not leave the tree.
    fn stays(&mut self, table: &dyn TableLike, key: &str, what: &str) {
        let Some(item) = table.get(key) else { return };
        for (path, span) in texts(item) {
            if inside(self.folder, path).is_none() {
                let mistake = self
                    .file
                    .at_span(span, format!("{what} leads out of this folder, and only this folder is compiled"));
                self.mistakes.push(mistake.next("put the file into this folder, and name it there"));
            }
        }
    }

    fn dependencies(&mut self, table: &dyn TableLike) {
        let kinds: &[&str] = if self.own {
            &["dependencies", "build-dependencies"]
        } else {
            &["dependencies", "build-dependencies", "dev-dependencies"]
        };
        for kind in kinds {
            self.each(table.get(kind).and_then(Item::as_table_like), "dependency");
        }
    }

    fn each(&mut self, table: Option<&dyn TableLike>, what: &str) {
        for (name, item) in table.into_iter().flat_map(|table| table.iter()) {
            // The SDK is the compiler's own, whatever is written.
            if let (Some(dependency), false) = (item.as_table_like(), name == "ignite" && self.own) {
                self.one(name, dependency, what);
            }
        }
    }

    fn one(&mut self, name: &str, dependency: &dyn TableLike, what: &str) {
        if let Some(item) = dependency.get("git")
            && let Some(url) = item.as_str()
            && let Some(why) = refused_git(url)
        {
            let mistake =
                self.file.at_span(item.span(), format!("{what} `{name}` cannot be fetched from `{url}`: {why}"));
            self.mistakes.push(mistake.next(GIT_NEXT));
        }
        if let Some(item) = dependency.get("registry-index") {
            let mistake = self.file.at_span(item.span(), format!("{what} `{name}` names a registry by its address"));
            let next = "name it by `registry`; its address is set by whoever runs the compiler";
            self.mistakes.push(mistake.next(next));
        }
        let Some(item) = dependency.get("path") else { return };
        let Some(path) = item.as_str() else { return };
        let Some(folder) = inside(self.folder, path) else {
            let text = format!("{what} `{name}` is outside this folder, and only this folder is compiled");
            self.mistakes.push(self.file.at_span(item.span(), text).next(FOLDER_NEXT));
            return;
        };
        let manifest = join(&folder, "Cargo.toml");
        if self.tree.has(&manifest) {
            self.next.push(if folder.is_empty() { ".".to_owned() } else { folder });
            return;
        }
        let other = self.tree.files().iter().find(|file| file.path.eq_ignore_ascii_case(&manifest));
        let mistake = self
            .file
            .at_span(item.span(), format!("{what} `{name}` is to be in {folder}, where there is no Cargo.toml"));
        let next = match other {
            Some(file) => format!("write it as the folder is called: {}", file.path.trim_end_matches("/Cargo.toml")),
            None => "check the path, and that .gitignore and .igniteignore do not leave it out".to_owned(),
        };
        self.mistakes.push(mistake.next(next));
    }

    fn members(&mut self, workspace: &dyn TableLike) {
        for key in ["members", "default-members"] {
            for (pattern, span) in workspace.get(key).map(texts).unwrap_or_default() {
                if inside(self.folder, pattern).is_none() {
                    let text = format!("member `{pattern}` is outside this folder, and only this folder is compiled");
                    self.mistakes.push(self.file.at_span(span, text).next(FOLDER_NEXT));
                    continue;
                }
                let mut builder = GitignoreBuilder::new("");
                let line = format!("/{}", pattern.trim_start_matches("./").trim_end_matches('/'));
                let Ok(rule) = builder.add_line(None, &line).and_then(|builder| builder.build()) else { continue };
                for file in self.tree.files() {
                    if let Some(folder) = file.path.strip_suffix("/Cargo.toml")
                        && rule.matched(folder, true).is_ignore()
                    {
                        self.next.push(folder.to_owned());
                    }
                }
            }
        }
    }
}

fn table<'a>(table: &'a dyn TableLike, key: &str) -> Option<&'a dyn TableLike> {
    table.get(key)?.as_table_like()
}
