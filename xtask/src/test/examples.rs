//! The examples' own tests, each run as its author would in the example's folder.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};

use super::counts::{self, Counts};
use super::suite::{Log, agree, check};
use super::{Context, Run, deno, go, python};
use crate::examples::Example;
use crate::process::{retry, run as run_program, stream};

const INSTALL_MAX: Duration = Duration::from_secs(5 * 60);
const CHECK_MAX: Duration = Duration::from_secs(5 * 60);
/// The first one builds the SDK's dependencies.
const RUST_MAX: Duration = Duration::from_secs(15 * 60);

pub(super) fn suites(context: &Context, run: &mut Run) {
    let examples = match Example::load_all(context.workspace) {
        Ok(examples) => examples,
        Err(error) => return run.suite("examples", |_| Err(error)),
    };
    let scratch = context.workspace.target.join("examples");
    run.suite("examples format", |log| format(context, &examples, log));
    for example in &examples {
        let name = format!("example {}", example.name);
        run.suite(&name, |log| {
            std::fs::create_dir_all(&scratch)?;
            test(context, &example.folder, &scratch, log)
        });
    }
}

fn test(context: &Context, folder: &Path, scratch: &Path, log: &mut Log) -> Result<Counts> {
    if folder.join("handler.py").is_file() {
        return test_python(context, folder, scratch, log);
    }
    if folder.join("main.go").is_file() {
        return go::test(context, &go_copy(context, folder, scratch)?, log);
    }
    if folder.join("main.ts").is_file() {
        return deno::test(context, folder, log);
    }
    if folder.join("Cargo.toml").is_file() {
        return test_rust(context, folder, scratch, log);
    }
    bail!("{} is in no language that is known here", folder.display())
}

/// With the author's requirements in a folder of their own.
fn test_python(context: &Context, folder: &Path, scratch: &Path, log: &mut Log) -> Result<Counts> {
    let requirements = folder.join("requirements.txt");
    let mut packages = None;
    if requirements.is_file() {
        let target = scratch.join(folder.file_name().context("it has a name")?).join("packages");
        retry("requirements", || {
            let mut install = context.workspace.command(&context.tools.uv);
            install
                .args(["pip", "install", "--quiet", "--only-binary", ":all:", "--python"])
                .arg(&context.tools.python);
            install.arg("--target").arg(&target).arg("--requirement").arg(&requirements);
            run_program(install, INSTALL_MAX)
        })?;
        packages = Some(target);
    }
    python::unittest(context, folder, ".", packages.as_deref(), log)
}

/// In a copy whose go.mod leads to the SDK of this checkout: an author needs no go.mod, the compiler makes one too.
fn go_copy(context: &Context, folder: &Path, scratch: &Path) -> Result<PathBuf> {
    let copy = scratch.join(folder.file_name().context("it has a name")?);
    if copy.exists() {
        std::fs::remove_dir_all(&copy)?;
    }
    std::fs::create_dir_all(&copy)?;
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        ensure!(entry.file_type()?.is_file(), "{} is not a file: go_copy copies only those", entry.path().display());
        std::fs::copy(entry.path(), copy.join(entry.file_name()))?;
    }
    let sdk = context.workspace.root.join("runtimes/go");
    let go = |arguments: &[&str]| run_program(go::go(context, &copy, arguments), INSTALL_MAX);
    if !copy.join("go.mod").exists() {
        go(&["mod", "init", "example"])?;
    }
    let replace = format!("-replace=ignite={}", sdk.display());
    go(&["mod", "edit", "-require=ignite@v0.0.0", &replace])?;
    retry("go mod tidy", || go(&["mod", "tidy"]))?;
    go(&["vet", "./..."])?;
    Ok(copy)
}

/// Lints and tests, in one target folder for all examples: they share the SDK and most dependencies.
fn test_rust(context: &Context, folder: &Path, scratch: &Path, log: &mut Log) -> Result<Counts> {
    let cargo = |arguments: &[&str]| {
        let mut command = context.workspace.cargo();
        command.current_dir(folder).args(arguments).env("CARGO_TARGET_DIR", scratch.join("target"));
        command
    };
    let lints = check(cargo(&["clippy", "--locked", "--all-targets", "--", "--deny", "warnings"]), RUST_MAX)?;
    let mut total: Option<Counts> = None;
    let status = stream(cargo(&["test", "--locked", "--no-fail-fast"]), RUST_MAX, &mut |line| {
        println!("{line}");
        if let Some(found) = counts::rust(line) {
            *total.get_or_insert_default() += found;
        }
        if let Some(name) = line.strip_prefix("test ").and_then(|rest| rest.strip_suffix(" ... FAILED")) {
            log.failure(name);
        }
    })?;
    let mut counts = agree(status, total)?;
    counts += lints;
    Ok(counts)
}

/// Every example in its language's own format.
fn format(context: &Context, examples: &[Example], log: &mut Log) -> Result<Counts> {
    let root = context.workspace.root.join("examples");
    let mut counts = Counts::default();
    for arguments in [&["format", "--check", "."][..], &["check", "."]] {
        let mut ruff = context.workspace.command(&context.tools.ruff);
        ruff.current_dir(&root).args(arguments).arg("--no-cache");
        counts += check(ruff, CHECK_MAX)?;
    }
    counts += go::format(context, &root, log)?;
    for example in examples.iter().filter(|example| example.folder.join("main.ts").is_file()) {
        for arguments in [&["fmt", "--check"][..], &["lint"], &["check", "."]] {
            counts += check(deno::deno(context, &example.folder, arguments), CHECK_MAX)?;
        }
    }
    for example in examples.iter().filter(|example| example.folder.join("Cargo.toml").is_file()) {
        let mut cargo = context.workspace.cargo();
        cargo.current_dir(&example.folder).args(["fmt", "--check"]);
        counts += check(cargo, CHECK_MAX)?;
    }
    Ok(counts)
}
