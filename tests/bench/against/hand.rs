//! How Go, Deno and Python are compiled by hand.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result};
use ignite_tests::product::repository;

use super::timed;
use crate::kit::Kit;

/// One language.
pub(crate) struct Language {
    /// Its name.
    pub(crate) name: &'static str,
    /// The example that is compiled.
    pub(crate) project: &'static str,
    /// The file that changes.
    pub(crate) file: &'static str,
    /// What begins a line that changes nothing but the file.
    pub(crate) comment: &'static str,
    /// What is done by hand, in words.
    pub(crate) by_hand: &'static str,
    /// Makes a folder ready for it, and says how it is done.
    pub(crate) prepare: fn(&Kit, &Path) -> Result<ByHand>,
}

/// Does it once.
pub(crate) type ByHand = Box<dyn Fn() -> Result<Duration>>;

/// All but Rust.
pub(crate) const LANGUAGES: &[Language] = &[
    Language { name: "Go", project: "hello-go", file: "main.go", comment: "//", by_hand: "go build", prepare: go },
    Language {
        name: "Deno",
        project: "hello-deno",
        file: "main.ts",
        comment: "//",
        by_hand: "deno check && deno bundle --minify",
        prepare: deno,
    },
    Language {
        name: "Python",
        project: "python-pydantic",
        file: "handler.py",
        comment: "#",
        by_hand: "uv pip install --target && compileall",
        prepare: python,
    },
];

/// With the flags of a release: no paths, no symbols.
fn go(kit: &Kit, folder: &Path) -> Result<ByHand> {
    let sdk = repository().join("runtimes/go");
    let module = format!("module hello\n\ngo 1.26\n\nrequire ignite v0.0.0\n\nreplace ignite => {}\n", sdk.display());
    std::fs::write(folder.join("go.mod"), module)?;
    let (go, folder) = (kit.go()?, folder.to_owned());
    Ok(Box::new(move || {
        timed(
            Command::new(&go)
                .args(["build", "-trimpath", "-buildvcs=false", "-ldflags=-s -w", "-o", "app", "."])
                .current_dir(&folder)
                .env("CGO_ENABLED", "0")
                .env("GOTOOLCHAIN", "local")
                .env("GOWORK", "off"),
        )
    }))
}

fn deno(kit: &Kit, folder: &Path) -> Result<ByHand> {
    let sdk = repository().join("runtimes/deno/mod.ts");
    std::fs::write(
        folder.join("deno.json"),
        format!("{{\"imports\": {{\"ignite\": \"file://{}\"}}}}\n", sdk.display()),
    )?;
    let (deno, folder) = (kit.deno()?, folder.to_owned());
    Ok(Box::new(move || {
        let run = |arguments: &[&str]| {
            let mut command = Command::new(&deno);
            command.args(arguments).current_dir(&folder).env("DENO_NO_UPDATE_CHECK", "1");
            timed(command.env("DENO_TLS_CA_STORE", "system"))
        };
        Ok(run(&["check", "main.ts"])?
            + run(&["bundle", "--quiet", "--minify", "--platform", "deno", "--output", "main.js", "main.ts"])?)
    }))
}

/// The packages from uv's cache, and byte code of everything.
fn python(kit: &Kit, folder: &Path) -> Result<ByHand> {
    let python = kit.python()?;
    let home = std::env::var_os("HOME").context("HOME is not set")?;
    let uv = Path::new(&home).join(".cache/ignite/toolchains/uv/bin/uv");
    let uv = if uv.is_file() { uv } else { kit.tool("uv")? };
    let folder = folder.to_owned();
    Ok(Box::new(move || {
        let vendor = folder.join("vendor");
        if vendor.exists() {
            std::fs::remove_dir_all(&vendor)?;
        }
        let mut install = Command::new(&uv);
        install.args(["pip", "install", "--quiet", "--only-binary", ":all:", "--requirement", "requirements.txt"]);
        install.arg("--python").arg(&python).arg("--target").arg(&vendor).current_dir(&folder);
        let mut compile = Command::new(&python);
        compile.args(["-m", "compileall", "-q", "-f", "."]).current_dir(&folder);
        Ok(timed(&mut install)? + timed(&mut compile)?)
    }))
}
