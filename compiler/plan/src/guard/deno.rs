//! `deno.json`, import maps, `package.json` and `.npmrc`: where modules come from.

use serde_json::{Map, Value};

use super::SetAside;
use super::file::{File, inside};
use super::url::{GIT_NEXT, refused_git};
use crate::deno::{config_file, lock_elsewhere};
use crate::jsonc;
use crate::mistake::Mistake;
use crate::tree::SourceTree;

const FOLDER_NEXT: &str = "put it into this folder, and name it there";

/// Dependencies of a package.json that are fetched.
const PACKAGE_DEPENDENCIES: [&str; 2] = ["dependencies", "optionalDependencies"];

/// Scripts that other tools run while they install.
const INSTALL_SCRIPTS: [&str; 6] = ["preinstall", "install", "postinstall", "prepare", "preprepare", "postprepare"];

pub(super) fn check(tree: &SourceTree, mistakes: &mut Vec<Mistake>, aside: &mut SetAside) {
    if let Some(path) = config_file(tree)
        && let Some((file, config)) = object(tree, path)
    {
        configuration(tree, file, &config, mistakes, aside);
    }
    if let Some((file, package)) = object(tree, "package.json") {
        package_json(file, &package, mistakes, aside);
    }
    npmrc(tree, mistakes, aside);
}

/// A file that can be read; others are told by whoever reads them.
fn object<'a>(tree: &'a SourceTree, path: &str) -> Option<(File<'a>, Map<String, Value>)> {
    let file = File::find(tree, path)?;
    match serde_json::from_str(&jsonc::to_json(file.text)) {
        Ok(Value::Object(object)) => Some((file, object)),
        _ => None,
    }
}

fn configuration(
    tree: &SourceTree,
    file: File<'_>,
    config: &Map<String, Value>,
    mistakes: &mut Vec<Mistake>,
    aside: &mut SetAside,
) {
    import_map(file, config, mistakes);
    if let Some(Value::String(path)) = config.get("importMap") {
        match inside(".", path.strip_prefix("file:").unwrap_or(path)) {
            _ if path.contains("://") => {} // Told where it is merged.
            None => {
                let what = format!("the import map {path} is outside this folder, and only this folder is compiled");
                mistakes.push(file.at_words("\"importMap\"", what).next(FOLDER_NEXT));
            }
            Some(path) => {
                if let Some((file, map)) = object(tree, &path) {
                    import_map(file, &map, mistakes);
                }
            }
        }
    }
    if config.contains_key("allowScripts") {
        let what = "`allowScripts` would run the code of packages while they are installed";
        mistakes.push(file.at_words("\"allowScripts\"", what).next("take it out: no script of a package is run"));
    }
    let members = match config.get("workspace") {
        Some(Value::Object(workspace)) => workspace.get("members").into_iter().flat_map(strings).collect(),
        Some(list) => strings(list),
        None => Vec::new(),
    };
    let named = [("workspace", members), ("links", listed(config, "links")), ("patch", listed(config, "patch"))];
    for (key, paths) in named {
        for path in paths {
            let Some(folder) = inside(".", path) else {
                let what = format!("`{path}` in `{key}` is outside this folder, and only this folder is compiled");
                mistakes.push(file.at_words(path, what).next(FOLDER_NEXT));
                continue;
            };
            // Each has names of its own.
            let member = ["deno.json", "deno.jsonc"].iter().find_map(|name| object(tree, &format!("{folder}/{name}")));
            if let Some((file, config)) = member {
                import_map(file, &config, mistakes);
            }
            if let Some((file, package)) = object(tree, &format!("{folder}/package.json")) {
                package_json(file, &package, mistakes, aside);
            }
        }
    }
    let types = config.get("compilerOptions").and_then(|options| options.get("types")).map(strings).unwrap_or_default();
    for path in types.into_iter().filter(|path| leaves(".", path)) {
        let what =
            format!("`{path}` in `compilerOptions.types` is outside this folder, and only this folder is compiled");
        mistakes.push(file.at_words(path, what).next(FOLDER_NEXT));
    }
    for (key, there, why) in [
        ("tasks", config.contains_key("tasks"), "no task is run"),
        ("lock", lock_elsewhere(config), "the lock file is deno.lock in this folder"),
    ] {
        if there {
            aside.note(format!("`{key}` in {} is not used: {why}", file.path));
        }
    }
}

fn listed<'a>(config: &'a Map<String, Value>, key: &str) -> Vec<&'a str> {
    config.get(key).map(strings).unwrap_or_default()
}

fn strings(value: &Value) -> Vec<&str> {
    value.as_array().into_iter().flatten().filter_map(Value::as_str).collect()
}

/// The names of an import map and of its scopes.
fn import_map(file: File<'_>, map: &Map<String, Value>, mistakes: &mut Vec<Mistake>) {
    let scopes = map.get("scopes").and_then(Value::as_object).into_iter().flat_map(|scopes| scopes.values());
    let maps = map.get("imports").into_iter().chain(scopes).filter_map(Value::as_object);
    let folder = file.path.rsplit_once('/').map_or(".", |(folder, _)| folder);
    for (name, target) in maps.flatten() {
        let Some(target) = target.as_str() else { continue };
        let lower = target.to_ascii_lowercase();
        let (what, next) = if leaves(folder, target) {
            (
                format!("`{name}` is mapped to `{target}`, outside this folder, and only this folder is compiled"),
                FOLDER_NEXT,
            )
        } else if lower.starts_with("http:") {
            (format!("`{name}` is mapped to `{target}`, and nothing protects that on its way"), "name it by `https://`")
        } else {
            continue;
        };
        mistakes.push(file.at_words(target, what).next(next));
    }
}

/// Whether a path that is written in `folder`, and no name of a package or address, leads out.
fn leaves(folder: &str, target: &str) -> bool {
    target.to_ascii_lowercase().starts_with("file:")
        || target.starts_with(['.', '/', '~']) && inside(folder, target).is_none()
}

fn package_json(file: File<'_>, package: &Map<String, Value>, mistakes: &mut Vec<Mistake>, aside: &mut SetAside) {
    let tables = PACKAGE_DEPENDENCIES.into_iter().filter_map(|key| package.get(key)?.as_object());
    for (name, wanted) in tables.flatten() {
        let Some(wanted) = wanted.as_str() else { continue };
        let lower = wanted.to_ascii_lowercase();
        let path = ["file:", "link:", "portal:"]
            .iter()
            .find_map(|prefix| lower.starts_with(prefix).then(|| &wanted[prefix.len()..]));
        let is_git =
            lower.starts_with("git") || lower.starts_with("ssh:") || lower.contains("::") || is_shorthand(wanted);
        let (what, next) = match path {
            Some(path) if inside(".", path.trim_start_matches("//")).is_none() || path.starts_with("//") => {
                (format!("dependency `{name}` is outside this folder, and only this folder is compiled"), FOLDER_NEXT)
            }
            Some(_) => (
                format!("dependency `{name}` is a folder, and Deno takes packages from npm and jsr"),
                "map its name to the folder in `imports` of deno.json",
            ),
            None if is_git => {
                let only = "Deno takes packages from npm and jsr";
                let why = refused_git(wanted).filter(|_| !is_shorthand(wanted)).unwrap_or(only);
                (format!("dependency `{name}` cannot be fetched from `{wanted}`: {why}"), GIT_NEXT)
            }
            None if lower.contains("://") => (
                format!("dependency `{name}` cannot be fetched from `{wanted}`: Deno takes packages from npm and jsr"),
                "name a version that is published",
            ),
            None => continue,
        };
        mistakes.push(file.at_words(wanted, what).next(next));
    }
    for path in listed(package, "workspaces").into_iter().filter(|path| leaves(".", path)) {
        let what = format!("`{path}` in `workspaces` is outside this folder, and only this folder is compiled");
        mistakes.push(file.at_words(path, what).next(FOLDER_NEXT));
    }
    let scripts = package.get("scripts").and_then(Value::as_object);
    let run: Vec<&str> =
        INSTALL_SCRIPTS.into_iter().filter(|name| scripts.is_some_and(|scripts| scripts.contains_key(*name))).collect();
    if !run.is_empty() {
        aside.note(format!("`{}` in package.json is not run: no script of a package is", run.join("`, `")));
    }
}

/// `OWNER/REPOSITORY`, which npm takes for a repository.
fn is_shorthand(wanted: &str) -> bool {
    wanted.split_once('/').is_some_and(|(owner, _)| !owner.is_empty() && !owner.contains([':', '@', ' ', '.']))
}

/// Settings of npm. Where a registry is chosen, passing over it silently would take packages from another one.
fn npmrc(tree: &SourceTree, mistakes: &mut Vec<Mistake>, aside: &mut SetAside) {
    for found in tree.files().iter().filter(|file| file.path == ".npmrc" || file.path.ends_with("/.npmrc")) {
        aside.files.push(found.path.clone());
        aside.note(format!("{} is not used: the settings of tools are Ignite's", found.path));
    }
    let Some(file) = File::find(tree, ".npmrc") else { return };
    for (index, line) in file.text.lines().enumerate() {
        let key = line.split('=').next().unwrap_or_default().trim();
        if line.trim_start().starts_with(['#', ';']) {
            continue;
        }
        let what = if key == "registry" || key.ends_with(":registry") {
            format!("`{key}` would change from where packages come")
        } else if key.starts_with("//") || key.starts_with("_auth") || key.ends_with("proxy") {
            // The line has a password in it.
            let name = key.rsplit(':').next().unwrap_or_default();
            let mistake = Mistake::new(format!("`{name}` is for a registry that whoever runs the compiler sets"));
            let mistake = mistake.at(file.path, index + 1, None);
            mistakes.push(mistake.next("take it out of the source; set NPM_CONFIG_REGISTRY where the compiler runs"));
            continue;
        } else {
            continue;
        };
        let mistake = file.at_line(index + 1, what);
        mistakes.push(mistake.next("take it out; set NPM_CONFIG_REGISTRY where the compiler runs"));
    }
}
