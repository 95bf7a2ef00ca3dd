//! Rust: a native binary or a component, from a copy of the package with what is missing added.

use toml_edit::{Array, DocumentMut, InlineTable, Item, Table, TableLike, Value, value};

use ignite_core_model::Target;

use crate::mistake::{Mistake, Mistakes};
use crate::tree::SourceTree;

/// Where the SDK's sources stand in the copy, below its root: inside, because Cargo then names them by a relative path
/// and the result does not depend on where the copy is.
pub const SDK_FOLDER: &str = ".ignite";
/// The binary that is added for a handler in a library.
pub const WORKER_BIN: &str = "ignite-worker";

/// The folder of the package.
///
/// # Errors
/// When there is no package that can be compiled.
pub fn entry(tree: &SourceTree, wished: Option<&str>) -> Result<String, Mistakes> {
    let folder = match wished {
        None | Some("" | "." | "src/lib.rs" | "src/main.rs") => ".",
        Some(path) if path.ends_with(".rs") => path.split_once("/src/").map_or(".", |(folder, _)| folder),
        Some(folder) => folder,
    };
    Package::read(tree, folder)?;
    Ok(folder.to_owned())
}

/// A package of the tree that can be compiled.
#[derive(Debug, Clone)]
pub struct Package {
    /// Its folder; `.` is the root.
    pub folder: String,
    /// Its name.
    pub name: String,
    /// The file with the handler, relative to the root of the tree.
    pub handler: String,
    /// Whether that file is the library's root rather than a program's.
    pub is_library: bool,
    library: String,
    manifest: DocumentMut,
    root: DocumentMut,
}

impl Package {
    /// Reads the package in `folder` of the tree.
    ///
    /// # Errors
    /// Every mistake in its manifest that Cargo would report less clearly in a copy.
    pub fn read(tree: &SourceTree, folder: &str) -> Result<Self, Mistakes> {
        let path = join(folder, "Cargo.toml");
        let manifest = document(tree, &path)?;
        let root = if folder == "." { manifest.clone() } else { document(tree, "Cargo.toml")? };
        let Some(package) = manifest.get("package").and_then(Item::as_table_like) else {
            return Err(no_package(&path, &manifest).into());
        };
        let name = package.get("name").and_then(Item::as_str).unwrap_or("handler").to_owned();
        let mut mistakes = Vec::new();
        let workspace = root.get("workspace").is_some();
        if !workspace && let Some(line) = inherits(tree, &path) {
            mistakes.push(
                Mistake::new(format!("{name} inherits from a workspace that is not in this folder"))
                    .at(&path, line.0, Some(line.1))
                    .next("compile the workspace's folder, with `entrypoint = \"MEMBER\"` in its ignite.toml, or write the value here"),
            );
        }
        outside(&manifest, folder, tree, &path, &mut mistakes);
        if let Some(panic) = profile(&root).and_then(|release| release.get("panic")).and_then(Item::as_str)
            && panic == "abort"
        {
            mistakes.push(
                Mistake::new("`panic = \"abort\"` would let one failed execution take all others down")
                    .next("take it out of [profile.release]: a panic is caught and answered"),
            );
        }
        let found = handler(tree, folder, &manifest);
        if let Err(Mistakes(more)) = &found {
            mistakes.extend(more.iter().cloned());
        }
        let library = library_name(&manifest, &name);
        match found {
            Ok((handler, is_library)) if mistakes.is_empty() => {
                Ok(Self { folder: folder.to_owned(), name, handler, is_library, library, manifest, root })
            }
            _ => Err(Mistakes(mistakes)),
        }
    }

    /// The files of the copy that differ from the author's: manifests, and the worker's program for a library.
    #[must_use]
    pub fn rewritten(&self, target: Target) -> Vec<(String, String)> {
        let mut manifest = self.manifest.clone();
        let mut files = Vec::new();
        remove_dev_dependencies(&mut manifest);
        add_dependencies(&mut manifest, &self.folder);
        let wrapped = self.is_library && target == Target::Native;
        if wrapped {
            add_worker(&mut manifest);
            let program = format!("fn main() {{\n    {}::__ignite_main()\n}}\n", self.library);
            files.push((join(&self.folder, &format!("{WORKER_BIN}.rs")), program));
        }
        if self.folder == "." {
            add_profile(&mut manifest);
            add_workspace(&mut manifest);
        } else {
            let mut root = self.root.clone();
            add_profile(&mut root);
            add_workspace(&mut root);
            files.push(("Cargo.toml".to_owned(), root.to_string()));
        }
        files.push((join(&self.folder, "Cargo.toml"), manifest.to_string()));
        files
    }
}

fn join(folder: &str, file: &str) -> String {
    if folder == "." { file.to_owned() } else { format!("{folder}/{file}") }
}

fn document(tree: &SourceTree, path: &str) -> Result<DocumentMut, Mistakes> {
    let text = tree.find_text(path).ok_or_else(|| {
        Mistake::new(format!("there is no {path}"))
            .next("a Rust handler is a package: begin with `ignite new NAME --runtime rust`")
    })?;
    text.parse().map_err(|error: toml_edit::TomlError| {
        let line = error.span().map_or(1, |span| text[..span.start.min(text.len())].matches('\n').count() + 1);
        Mistake::new(format!("{path} cannot be read: {}", error.message().trim().replace('\n', " ")))
            .at(path, line, text.lines().nth(line - 1))
            .into()
    })
}

fn no_package(path: &str, manifest: &DocumentMut) -> Mistake {
    let Some(workspace) = manifest.get("workspace").and_then(Item::as_table_like) else {
        return Mistake::new(format!("{path} has no [package]"))
            .next("add `[package]` with `name`, `version` and `edition = \"2024\"`");
    };
    let members: Vec<&str> = workspace
        .get("members")
        .and_then(Item::as_array)
        .map(|list| list.iter().filter_map(Value::as_str).collect())
        .unwrap_or_default();
    let first = members.first().copied().unwrap_or("MEMBER");
    Mistake::new(format!("{path} is a workspace, and an app is one package of it: {}", members.join(", ")))
        .next(format!("say which in ignite.toml beside it: `entrypoint = \"{first}\"`"))
}

/// The first line by which a manifest inherits from a workspace.
fn inherits<'a>(tree: &'a SourceTree, path: &str) -> Option<(usize, &'a str)> {
    let text = tree.find_text(path)?;
    let squeezed = |line: &str| line.chars().filter(|c| !c.is_whitespace()).collect::<String>();
    text.lines().enumerate().find_map(|(index, line)| {
        let plain = squeezed(line);
        let inherits = !plain.starts_with('#') && (plain.contains("workspace=true"));
        inherits.then_some((index + 1, line))
    })
}

/// Refuses path dependencies that leave the tree: only the tree is copied.
fn outside(manifest: &DocumentMut, folder: &str, tree: &SourceTree, path: &str, mistakes: &mut Vec<Mistake>) {
    let targets = manifest.get("target").and_then(Item::as_table_like);
    let targets = targets.into_iter().flat_map(|table| table.iter()).filter_map(|(_, target)| target.as_table_like());
    let tables = std::iter::once(manifest.as_table() as &dyn TableLike)
        .chain(targets)
        .flat_map(|table| ["dependencies", "build-dependencies"].map(|name| table.get(name)))
        .flatten()
        .filter_map(Item::as_table_like);
    for (name, dependency) in tables.flat_map(|table| table.iter()) {
        let Some(to) = dependency.as_table_like().and_then(|table| table.get("path")).and_then(Item::as_str) else {
            continue;
        };
        if name == "ignite" || stays_inside(folder, to) {
            continue;
        }
        let text = tree.find_text(path).unwrap_or_default();
        let line = text.lines().position(|line| line.contains(to)).unwrap_or(0);
        mistakes.push(
            Mistake::new(format!("dependency `{name}` is outside this folder, and only this folder is compiled"))
                .at(path, line + 1, text.lines().nth(line))
                .next("compile the folder that holds both, as a workspace with `entrypoint = \"MEMBER\"` in its ignite.toml"),
        );
    }
}

fn stays_inside(folder: &str, to: &str) -> bool {
    let mut depth = if folder == "." { 0 } else { folder.split('/').count() };
    for part in to.split('/') {
        match part {
            "" | "." => {}
            ".." if depth == 0 => return false,
            ".." => depth -= 1,
            _ => depth += 1,
        }
    }
    !to.starts_with('/')
}

/// The file with `#[ignite::main]`, and whether it is the root of a library.
fn handler(tree: &SourceTree, folder: &str, manifest: &DocumentMut) -> Result<(String, bool), Mistakes> {
    let path_in = |table: &dyn TableLike| table.get("path").and_then(Item::as_str).map(str::to_owned);
    let mut roots: Vec<(String, bool)> = Vec::new();
    if let Some(bins) = manifest.get("bin").and_then(Item::as_array_of_tables) {
        roots.extend(bins.iter().filter_map(|bin| path_in(bin)).map(|path| (join(folder, &path), false)));
    }
    roots.push((join(folder, "src/main.rs"), false));
    let library = manifest.get("lib").and_then(Item::as_table_like).and_then(path_in);
    roots.push((join(folder, library.as_deref().unwrap_or("src/lib.rs")), true));
    roots.retain(|(path, _)| tree.has(path));
    if roots.is_empty() {
        return Err(Mistake::new(format!(
            "there is neither {} nor {}",
            join(folder, "src/lib.rs"),
            join(folder, "src/main.rs")
        ))
        .next("write src/lib.rs with `#[ignite::main] async fn handler(req: Request, ctx: Context) -> …`")
        .into());
    }
    let marked = |path: &str| tree.find_text(path).is_some_and(has_attribute);
    if let Some(root) = roots.iter().find(|(path, _)| marked(path)) {
        return Ok(root.clone());
    }
    let names: Vec<&str> = roots.iter().map(|(path, _)| path.as_str()).collect();
    let elsewhere = tree.files().iter().find(|file| file.path.ends_with(".rs") && marked(&file.path));
    let mistake = Mistake::new(format!("no function in {} is marked `#[ignite::main]`", names.join(" or ")));
    let mistake = match elsewhere {
        Some(file) => mistake.next(format!("move the handler from {} to {}", file.path, names[0])),
        None => mistake.next("write `#[ignite::main]` above `async fn handler(req: Request, ctx: Context)`"),
    };
    Err(mistake.into())
}

fn has_attribute(text: &str) -> bool {
    text.lines().map(str::trim_start).any(|line| {
        let line = line.strip_prefix("#[").map(str::trim_start).unwrap_or_default();
        let line = line.strip_prefix("::").unwrap_or(line);
        line.starts_with("ignite::main") || line.starts_with("ignite :: main") || line.starts_with("main]")
    })
}

fn library_name(manifest: &DocumentMut, package: &str) -> String {
    let own = manifest.get("lib").and_then(Item::as_table_like).and_then(|lib| lib.get("name")).and_then(Item::as_str);
    own.unwrap_or(package).replace('-', "_")
}

fn profile(root: &DocumentMut) -> Option<&dyn TableLike> {
    root.get("profile")?.get("release")?.as_table_like()
}

fn table<'a>(document: &'a mut Table, name: &str) -> Option<&'a mut dyn TableLike> {
    document.entry(name).or_insert_with(|| Item::Table(Table::new())).as_table_like_mut()
}

/// Tests are not compiled here, and what they need may lie outside the copy.
fn remove_dev_dependencies(manifest: &mut DocumentMut) {
    manifest.remove("dev-dependencies");
    let targets = manifest.get_mut("target").and_then(Item::as_table_like_mut);
    for (_, target) in targets.into_iter().flat_map(|table| table.iter_mut()) {
        if let Some(target) = target.as_table_like_mut() {
            target.remove("dev-dependencies");
        }
    }
}

/// Adds what an author may leave out. What is there stays, but the SDK always comes from the compiler.
fn add_dependencies(manifest: &mut DocumentMut, folder: &str) {
    let Some(dependencies) = table(manifest.as_table_mut(), "dependencies") else { return };
    let up = if folder == "." { String::new() } else { "../".repeat(folder.split('/').count()) };
    let mut sdk = InlineTable::new();
    sdk.insert("path", format!("{up}{SDK_FOLDER}/sdk-rust").into());
    dependencies.insert("ignite", value(sdk));
    let with = |version: &str, features: &[&str], defaults: bool| {
        let mut table = InlineTable::new();
        table.insert("version", version.into());
        if !defaults {
            table.insert("default-features", false.into());
        }
        if !features.is_empty() {
            table.insert("features", Value::Array(features.iter().copied().collect::<Array>()));
        }
        value(table)
    };
    let added = [
        ("serde", with("1", &["derive"], true)),
        ("serde_json", with("1", &[], true)),
        // No more than WebAssembly can have: Tokio refuses its other features there.
        ("tokio", with("1", &["rt", "time", "sync", "macros", "io-util"], false)),
    ];
    for (name, dependency) in added {
        if !dependencies.contains_key(name) {
            dependencies.insert(name, dependency);
        }
    }
}

/// Adds the program that runs a library's handler.
fn add_worker(manifest: &mut DocumentMut) {
    let mut bin = Table::new();
    bin.insert("name", value(WORKER_BIN));
    bin.insert("path", value(format!("{WORKER_BIN}.rs")));
    let bins =
        manifest.as_table_mut().entry("bin").or_insert_with(|| Item::ArrayOfTables(toml_edit::ArrayOfTables::new()));
    if let Some(bins) = bins.as_array_of_tables_mut() {
        bins.push(bin);
    }
    // A `cdylib` alone cannot be linked into the program.
    if let Some(lib) = manifest.get_mut("lib").and_then(Item::as_table_like_mut) {
        for key in ["crate-type", "crate_type"] {
            if let Some(types) = lib.get_mut(key).and_then(Item::as_array_mut)
                && !types.iter().any(|kind| matches!(kind.as_str(), Some("lib" | "rlib")))
            {
                types.push("lib");
            }
        }
    }
}

/// Small and fast, where the author chose nothing else.
fn add_profile(root: &mut DocumentMut) {
    let Some(profiles) = table(root.as_table_mut(), "profile") else { return };
    let release = profiles.entry("release").or_insert_with(|| Item::Table(Table::new()));
    let Some(release) = release.as_table_like_mut() else { return };
    for (key, default) in [("lto", value("thin")), ("strip", value(true)), ("codegen-units", value(1))] {
        if !release.contains_key(key) {
            release.insert(key, default);
        }
    }
    if let Some(profiles) = root.get_mut("profile").and_then(Item::as_table_mut) {
        profiles.set_implicit(true);
    }
}

/// Makes the copy a workspace of its own, so that nothing above it is looked at, with the SDK beside its members.
fn add_workspace(root: &mut DocumentMut) {
    let Some(workspace) = table(root.as_table_mut(), "workspace") else { return };
    let exclude = workspace.entry("exclude").or_insert_with(|| value(Array::new()));
    if let Some(exclude) = exclude.as_array_mut() {
        exclude.push(SDK_FOLDER);
    }
}

#[cfg(test)]
mod tests;
