//! `cargo xtask images`: the root file systems that compiles run in, unpacked without a container engine.
//!
//! What is in them stands in the Dockerfiles of `images/`, for who builds containers, and is read from there. Two are
//! unpacked: `compile-base`, which the images of Python, Go, Deno and Rust are made from by adding a toolchain, which the
//! sandbox mounts instead; and `compile-wasm`, whose toolchain comes as packages.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};

use crate::log::say;
use crate::table;
use crate::toolchains::wasm;
use crate::workspace::Workspace;

/// The images that are `compile-base` and a toolchain.
const WITH_TOOLCHAIN: [&str; 4] = ["compile-python", "compile-go", "compile-deno", "compile-rust"];
const BASE: &str = "compile-base";
const WASM: &str = "compile-wasm";

/// `images [--check]`.
pub(crate) fn command(workspace: &Workspace, arguments: &[String]) -> Result<bool> {
    let only_look = match arguments {
        [] => false,
        [flag] if flag == "--check" => true,
        _ => bail!("usage: cargo xtask images [--check]"),
    };
    let folder = workspace.toolchains.with_file_name("images");
    std::fs::create_dir_all(&folder).with_context(|| format!("could not make {}", folder.display()))?;
    let wasm_root = wasm::root_folder(workspace);
    let mut rows = Vec::new();
    let mut all_there = true;
    for (name, root) in [(BASE, folder.join(BASE)), (WASM, wasm_root)] {
        let recipe = Recipe::of(&dockerfile(workspace, name)?).with_context(|| format!("images/{name}/Dockerfile"))?;
        let packages: Vec<&str> = recipe.packages.iter().map(String::as_str).collect();
        if !wasm::is_made_of(&root, &recipe.release, &packages) && !only_look {
            say(&format!("{name}: unpacking {} packages of {}", packages.len(), recipe.release));
            wasm::install_root(workspace, &root, &recipe.release, &packages)?;
        }
        let there = wasm::is_made_of(&root, &recipe.release, &packages);
        all_there &= there;
        rows.push(row(name, if there { "unpacked" } else { "missing" }, &root));
    }
    for name in WITH_TOOLCHAIN {
        ensure!(dockerfile(workspace, name)?.contains("\nFROM ignite/compile-base\n"), "{name} has another base");
        rows.push(row(name, "base, toolchain mounted", &folder.join(BASE)));
    }
    print!("{}", table::render(&["image", "state", "where"], &rows, &[]));
    Ok(all_there)
}

fn row(name: &str, state: &str, root: &Path) -> Vec<String> {
    vec![name.to_owned(), state.to_owned(), root.display().to_string()]
}

fn dockerfile(workspace: &Workspace, name: &str) -> Result<String> {
    let path: PathBuf = workspace.root.join("images").join(name).join("Dockerfile");
    std::fs::read_to_string(&path).with_context(|| format!("could not read {}", path.display()))
}

/// What is unpacked.
#[derive(Debug, PartialEq, Eq)]
struct Recipe {
    release: String,
    packages: Vec<String>,
}

impl Recipe {
    /// Of the last stage: its release of Debian, and the packages it installs.
    fn of(dockerfile: &str) -> Result<Self> {
        let joined = dockerfile.replace("\\\n", " ");
        let mut lines = joined.lines().rev();
        let mut packages = Vec::new();
        let release = loop {
            let line = lines.next().context("it has no `FROM debian:`")?;
            if let Some((_, list)) = line.split_once("apt-get install --yes --no-install-recommends") {
                let list = list.split("&&").next().unwrap_or_default();
                packages.extend(list.split_whitespace().map(str::to_owned));
            }
            if let Some(release) = line.strip_prefix("FROM debian:") {
                break release.trim().to_owned();
            }
        };
        ensure!(!packages.is_empty(), "its last stage installs nothing");
        packages.sort();
        Ok(Self { release, packages })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(name: &str) -> String {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../images").join(name).join("Dockerfile");
        std::fs::read_to_string(path).expect("there is a Dockerfile for each image")
    }

    #[test]
    fn the_recipe_is_that_of_the_last_stage() {
        let text = "FROM debian:a AS b\nRUN apt-get install --yes --no-install-recommends x\n\nFROM debian:c\nRUN apt-get update \\\n \
                    && apt-get install --yes --no-install-recommends \\\n    z y \\\n && rm -rf /x\n";
        let recipe = Recipe::of(text).expect("it can be read");
        assert_eq!(recipe, Recipe { release: "c".into(), packages: vec!["y".into(), "z".into()] });
        assert!(Recipe::of("FROM scratch\n").is_err());
    }

    #[test]
    fn the_image_for_components_is_the_toolchain() {
        let recipe = Recipe::of(&text(WASM)).expect("it can be read");
        assert_eq!(
            recipe,
            Recipe { release: wasm::RELEASE.into(), packages: wasm::PACKAGES.map(str::to_owned).into() }
        );
    }

    #[test]
    fn images_hold_the_pinned_toolchains() {
        let pins = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../toolchains.toml"));
        let pins: toml::Table = pins.expect("there are pins").parse().expect("they are TOML");
        for (image, argument, tool) in [
            ("compile-python", "PYTHON", "python"),
            ("compile-python", "UV", "uv"),
            ("compile-go", "GO", "go"),
            ("compile-deno", "DENO", "deno"),
        ] {
            let version = pins[tool]["version"].as_str().expect("a pin has a version");
            assert!(text(image).contains(&format!("ARG {argument}={version}\n")), "{image}: {tool} is {version}");
        }
    }
}
