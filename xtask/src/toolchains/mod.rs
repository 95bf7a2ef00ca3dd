//! `cargo xtask toolchains`: what the product and its tests need, on a machine that has only the language kits.
//!
//! Each part is looked for first, and installed only where it is missing or not the pinned one. What is installed goes
//! to one folder outside the checkout; only `mmdebstrap` comes by the system's package manager.

mod deno_uv;
mod find;
mod go;
mod linters;
mod lock;
mod pins;
mod python;
mod rust;
mod venv;
pub(crate) mod wasm;
mod wasm_build;

use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context, Result, bail};

use crate::log::{human, say};
use crate::table;
use crate::workspace::Workspace;

pub(crate) use pins::Pins;
pub(crate) use wasm_build::wasm_build;

/// A part: its name, how it is found (what was found, or why it was not), and how it is installed.
struct Part {
    name: &'static str,
    find: fn(&Workspace) -> Result<Found>,
    install: fn(&Workspace) -> Result<()>,
}

/// What was found.
struct Found {
    version: String,
    path: PathBuf,
}

const PARTS: &[Part] = &[
    Part { name: "rust", find: rust::find, install: rust::install },
    Part { name: "python", find: python::find, install: python::install },
    Part { name: "uv", find: deno_uv::find_uv, install: deno_uv::install_uv },
    Part { name: "deno", find: deno_uv::find_deno, install: deno_uv::install_deno },
    Part { name: "go", find: go::find, install: go::install },
    Part { name: "wasm32-wasip2", find: wasm::find, install: wasm::install },
    Part { name: "ruff", find: linters::find_ruff, install: linters::install_ruff },
    Part { name: "pyright", find: linters::find_pyright, install: linters::install_pyright },
];

/// Where the programs are that the suites start.
pub(crate) struct Tools {
    /// A Python of the pinned version.
    pub(crate) python: PathBuf,
    /// uv.
    pub(crate) uv: PathBuf,
    /// Deno.
    pub(crate) deno: PathBuf,
    /// Go.
    pub(crate) go: PathBuf,
    /// The formatter that belongs to that Go.
    pub(crate) gofmt: PathBuf,
    /// Ruff.
    pub(crate) ruff: PathBuf,
    /// Pyright.
    pub(crate) pyright: PathBuf,
}

/// `toolchains [--check]`.
pub(crate) fn command(workspace: &Workspace, arguments: &[String]) -> Result<bool> {
    let all_there = match arguments {
        [] => {
            install(workspace)?;
            true
        }
        [flag] if flag == "--check" => PARTS.iter().all(|part| (part.find)(workspace).is_ok()),
        _ => bail!("usage: cargo xtask toolchains [--check]"),
    };
    let rows: Vec<Vec<String>> = PARTS
        .iter()
        .map(|part| match (part.find)(workspace) {
            Ok(found) => vec![part.name.into(), found.version, found.path.display().to_string()],
            Err(error) => vec![part.name.into(), "missing".into(), format!("{error:#}")],
        })
        .collect();
    print!("{}", table::render(&["toolchain", "version", "where"], &rows, &[]));
    Ok(all_there)
}

/// Installs every part that is missing and tells where the programs are.
///
/// # Errors
/// When a part cannot be had; the message says which and what to do.
pub(crate) fn install(workspace: &Workspace) -> Result<Tools> {
    let folder = &workspace.toolchains;
    std::fs::create_dir_all(folder).with_context(|| format!("could not make {}", folder.display()))?;
    // Two runs at once would install into each other's folders.
    let _lock = lock::take(&folder.join("xtask.lock"))?;
    for part in PARTS {
        let Err(reason) = (part.find)(workspace) else { continue };
        say(&format!("{}: {reason:#}; installing", part.name));
        let started = Instant::now();
        (part.install)(workspace).with_context(|| format!("could not install {}", part.name))?;
        let found = (part.find)(workspace).with_context(|| format!("{} is installed but does not work", part.name))?;
        say(&format!("{}: installed {} in {}", part.name, found.version, human(started.elapsed())));
    }
    Tools::find(workspace)
}

impl Tools {
    fn find(workspace: &Workspace) -> Result<Self> {
        let go = go::find(workspace)?.path;
        Ok(Self {
            python: python::find(workspace)?.path,
            uv: deno_uv::find_uv(workspace)?.path,
            deno: deno_uv::find_deno(workspace)?.path,
            gofmt: go::gofmt(workspace, &go)?,
            go,
            ruff: linters::find_ruff(workspace)?.path,
            pyright: linters::find_pyright(workspace)?.path,
        })
    }
}
