//! The product's own binaries and what they make.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};

/// The repository's root.
#[must_use]
pub fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("this crate lies in the repository").to_owned()
}

/// The binary `name`, built beside this test. `cargo xtask test` builds both before it runs any test.
///
/// # Errors
/// When it has not been built.
pub fn binary(name: &str) -> Result<PathBuf> {
    let test = std::env::current_exe().context("a test has a path")?;
    let found = test.ancestors().skip(1).take(2).map(|dir| dir.join(name)).find(|path| path.is_file());
    found.with_context(|| {
        format!(
            "`{name}` is not built beside {}; run `cargo build --release -p ignite-cli -p ignite-runtimes-host`",
            test.display()
        )
    })
}

/// Compiles `project` with `ignite compile` and returns the artifact, which lies in `out_dir`.
///
/// # Errors
/// When the compiler refuses, with everything it said.
pub fn compile(project: &Path, out_dir: &Path, flags: &[&str]) -> Result<PathBuf> {
    let out = out_dir.join(format!(
        "{}{}.tar.zst",
        project.file_name().unwrap_or(OsStr::new("app")).to_string_lossy(),
        flags.concat()
    ));
    let output = Command::new(binary("ignite")?)
        .arg("compile")
        .arg(project)
        .arg("--out")
        .arg(&out)
        .args(flags)
        .stdin(Stdio::null())
        .output()
        .context("`ignite compile` could not be started")?;
    if !output.status.success() {
        bail!(
            "`ignite compile {}` ended with {}:\n{}",
            project.display(),
            output.status,
            String::from_utf8_lossy(&output.stderr)
        );
    }
    Ok(out)
}
