//! Deno: one minified module, or one self-contained program.

use serde_json::{Map, Value};

use crate::jsonc;
use crate::mistake::{Mistake, Mistakes};
use crate::tree::SourceTree;

/// Extensions an entry may have.
const EXTENSIONS: [&str; 6] = ["ts", "js", "mts", "mjs", "tsx", "jsx"];
/// The names an author imports from the SDK; each has its module in the SDK's folder.
pub const SDK_IMPORTS: [(&str, &str); 2] = [("ignite", "mod.ts"), ("ignite/testing", "testing.ts")];

/// The module to begin with, after a cheap look whether anything would be served.
///
/// # Errors
/// When it does not exist, or no module calls `start` of the SDK.
pub fn entry(tree: &SourceTree, wished: Option<&str>) -> Result<String, Mistakes> {
    let path = entry_file(tree, wished)?;
    check_start(tree, &path)?;
    Ok(path)
}

fn entry_file(tree: &SourceTree, wished: Option<&str>) -> Result<String, Mistakes> {
    if let Some(path) = wished {
        return if !tree.has(path) {
            Err(Mistake::new(format!("there is no {path}, which `entrypoint` names")).into())
        } else if is_module(path) {
            Ok(path.to_owned())
        } else {
            Err(Mistake::new(format!("entrypoint `{path}` is neither TypeScript nor JavaScript")).into())
        };
    }
    ["main.ts", "main.js"].into_iter().find(|path| tree.has(path)).map(str::to_owned).ok_or_else(|| {
        Mistake::new("there is no main.ts or main.js in this folder")
            .next("write main.ts: `import { start } from \"ignite\";` and `start((payload, ctx) => …);`")
            .into()
    })
}

fn is_module(path: &str) -> bool {
    path.rsplit_once('.').is_some_and(|(_, extension)| EXTENSIONS.contains(&extension))
}

/// A program that never calls `start` compiles and would end at once. The call may stand in any module. Only what is
/// certain is refused: a name that is bound otherwise, or a module that cannot be looked into, may hold the call.
fn check_start(tree: &SourceTree, entry: &str) -> Result<(), Mistakes> {
    let mut importer = None;
    for file in tree.files().iter().filter(|file| is_module(&file.path)) {
        let Some(text) = file.text.as_deref() else { return Ok(()) };
        if !(text.contains("\"ignite\"") || text.contains("'ignite'")) {
            continue;
        }
        let squeezed: String = text.chars().filter(|c| !c.is_whitespace()).collect();
        if squeezed.contains("start(") || squeezed.contains("start<") || squeezed.contains("startas") {
            return Ok(());
        }
        let is_line = |line: &str| line.contains("\"ignite\"") || line.contains("'ignite'");
        let line = text.lines().position(is_line).unwrap_or(0);
        importer.get_or_insert((file, line + 1, text.lines().nth(line)));
    }
    let start = "start((payload, ctx) => …);";
    Err(match importer {
        Some((file, line, text)) => Mistake::new("`start` is never called, so nothing would be served")
            .at(&file.path, line, text)
            .next(format!("`{start}`")),
        None => Mistake::new(format!("{entry} does not import \"ignite\", so nothing would be served"))
            .next(format!("add `import {{ start }} from \"ignite\";` and `{start}`")),
    }
    .into())
}

/// The name of the author's configuration, if there is one; Deno's own order.
#[must_use]
pub fn config_file(tree: &SourceTree) -> Option<&'static str> {
    ["deno.json", "deno.jsonc"].into_iter().find(|path| tree.has(path))
}

/// The configuration to compile with: the author's, with the SDK's names in its import map. The author's `importMap`
/// file is merged too, because Deno ignores it where `imports` is present. `sdk_url` ends with `/`.
///
/// # Errors
/// When a file of the author cannot be read, or maps a name of the SDK to something else.
pub fn config(tree: &SourceTree, sdk_url: &str) -> Result<String, Mistakes> {
    let mut config = match config_file(tree) {
        Some(path) => object(tree, path)?,
        None => Map::new(),
    };
    let mut imports = Map::new();
    if let Some(Value::String(path)) = config.remove("importMap") {
        let path = path.trim_start_matches("./").to_owned();
        if path.contains("://") {
            return Err(Mistake::new(format!("the import map {path} is not in this folder"))
                .next("keep the import map beside deno.json, or write its `imports` into deno.json")
                .into());
        }
        let mut map = object(tree, &path)?;
        if let Some((folder, _)) = path.rsplit_once('/') {
            map.values_mut().for_each(|value| rebase(value, folder));
        }
        if let Some(Value::Object(found)) = map.remove("imports") {
            imports.extend(found);
        }
        if let Some(scopes) = map.remove("scopes") {
            config.entry("scopes").or_insert(scopes);
        }
    }
    if let Some(Value::Object(found)) = config.remove("imports") {
        imports.extend(found);
    }
    for (name, module) in SDK_IMPORTS {
        if let Some(other) = imports.insert(name.to_owned(), Value::String(format!("{sdk_url}{module}"))) {
            return Err(Mistake::new(format!("`{name}` is mapped to {other}, but it is the name of the SDK"))
                .next(format!("take `\"{name}\"` out of `imports`: the compiler adds it"))
                .into());
        }
    }
    config.insert("imports".to_owned(), Value::Object(imports));
    // What does not count, of which `guard` makes a note.
    config.remove("tasks");
    if lock_elsewhere(&config) {
        config.remove("lock");
    }
    // Beside a package.json Deno expects packages in node_modules, which is never copied; its own cache serves as well.
    if tree.has("package.json") && config.get("nodeModulesDir").and_then(Value::as_str) != Some("auto") {
        config.insert("nodeModulesDir".to_owned(), Value::String("none".to_owned()));
    }
    Ok(serde_json::to_string_pretty(&Value::Object(config)).unwrap_or_default())
}

/// Rewrites the relative paths of an import map that lies in `folder` as they are written in the root.
fn rebase(value: &mut Value, folder: &str) {
    let rebased = |text: &str| text.starts_with("./") || text.starts_with("../");
    match value {
        Value::String(text) if rebased(text) => *text = format!("./{folder}/{text}"),
        Value::Object(object) => {
            let entries = std::mem::take(object);
            for (key, mut value) in entries {
                rebase(&mut value, folder);
                // Scopes are paths too; names of imports may be.
                let key = if rebased(&key) { format!("./{folder}/{key}") } else { key };
                object.insert(key, value);
            }
        }
        _ => {}
    }
}

/// Whether `lock` turns the lock file off, or has it in another place than beside the configuration.
pub(crate) fn lock_elsewhere(config: &Map<String, Value>) -> bool {
    match config.get("lock") {
        None | Some(Value::Bool(true)) => false,
        Some(Value::Object(lock)) => lock.get("path").is_some_and(|path| path.as_str() != Some("deno.lock")),
        Some(lock) => lock.as_str() != Some("deno.lock"),
    }
}

fn object(tree: &SourceTree, path: &str) -> Result<Map<String, Value>, Mistakes> {
    let text = tree.find_text(path).ok_or_else(|| Mistake::new(format!("there is no {path}, or it is not text")))?;
    match serde_json::from_str::<Value>(&jsonc::to_json(text)) {
        Ok(Value::Object(object)) => Ok(object),
        Ok(_) => Err(Mistake::new(format!("{path} is not an object")).at(path, 1, text.lines().next()).into()),
        Err(error) => {
            let what = error.to_string();
            // The place is told apart, below.
            let what = what.split(" at line ").next().unwrap_or(&what);
            let line = error.line().max(1);
            Err(Mistake::new(format!("{path} is not JSON: {what}")).at(path, line, text.lines().nth(line - 1)).into())
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test")]
    use super::*;
    use crate::tree::tests::tree;
    use expect_test::{Expect, expect};

    fn check(files: &[(&str, &str)], expected: &Expect) {
        expected.assert_eq(&config(&tree(files), "file:///sdk/").unwrap_or_else(|mistakes| mistakes.to_string()));
    }

    #[test]
    fn the_authors_configuration_is_kept() {
        check(
            &[
                (
                    "deno.json",
                    "{\n // ours\n \"importMap\": \"./map.json\", \"compilerOptions\": {\"strict\": false},}",
                ),
                ("map.json", "{\"imports\": {\"zod\": \"npm:zod@3\"}}"),
            ],
            &expect![[r#"
                {
                  "compilerOptions": {
                    "strict": false
                  },
                  "imports": {
                    "ignite": "file:///sdk/mod.ts",
                    "ignite/testing": "file:///sdk/testing.ts",
                    "zod": "npm:zod@3"
                  }
                }"#]],
        );
    }

    #[test]
    fn a_map_in_a_folder_means_what_it_says_there() {
        check(
            &[
                ("deno.json", "{\"importMap\": \"config/map.json\"}"),
                (
                    "config/map.json",
                    "{\"imports\": {\"own\": \"../lib/mod.ts\", \"zod\": \"npm:zod@3\"}, \"scopes\": {\"../lib/\": {\"x\": \"./x.ts\"}}}",
                ),
            ],
            &expect![[r#"
                {
                  "imports": {
                    "ignite": "file:///sdk/mod.ts",
                    "ignite/testing": "file:///sdk/testing.ts",
                    "own": "./config/../lib/mod.ts",
                    "zod": "npm:zod@3"
                  },
                  "scopes": {
                    "./config/../lib/": {
                      "x": "./config/./x.ts"
                    }
                  }
                }"#]],
        );
    }

    #[test]
    fn packages_of_a_node_project_are_found_without_its_folder() {
        check(
            &[("deno.json", "{\"nodeModulesDir\": \"manual\"}"), ("package.json", "{}")],
            &expect![[r#"
                {
                  "imports": {
                    "ignite": "file:///sdk/mod.ts",
                    "ignite/testing": "file:///sdk/testing.ts"
                  },
                  "nodeModulesDir": "none"
                }"#]],
        );
    }

    #[test]
    fn a_broken_or_clashing_configuration_is_refused() {
        check(
            &[("deno.json", "{\n \"imports\": {,\n}")],
            &expect![[r#"
                deno.json is not JSON: EOF while parsing an object
                  --> deno.json:3
                  | }"#]],
        );
        check(
            &[("deno.json", "{\"imports\": {\"ignite\": \"npm:ignite\"}}")],
            &expect![[r#"`ignite` is mapped to "npm:ignite", but it is the name of the SDK"#]],
        );
    }
}
