//! Builds a component as someone outside Ignite would: `cargo build --release --target wasm32-wasip2`.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};

use super::wasm::{TARGET, find_linker, find_own, root_folder};
use crate::process::{output, retry, run};
use crate::workspace::Workspace;

const VENDOR_MAX: Duration = Duration::from_secs(5 * 60);
const BUILD_MAX: Duration = Duration::from_secs(10 * 60);

/// What stands inside the root file system, in a mount namespace that ends with the script.
const INSIDE: &str = r#"
set -eu
mount -t tmpfs none "$ROOT/mnt"
mount -t tmpfs none "$ROOT/tmp"
mkdir "$ROOT/mnt/source" "$ROOT/mnt/out" "$ROOT/mnt/linker"
mount --bind "$SOURCE" "$ROOT/mnt/source"
mount --bind "$OUT" "$ROOT/mnt/out"
mount --bind "$LINKER" "$ROOT/mnt/linker"
mount --rbind /dev "$ROOT/dev"
mount --rbind /proc "$ROOT/proc"
exec chroot "$ROOT" /usr/bin/env -i PATH=/mnt/linker:/usr/bin:/bin HOME=/tmp CARGO_HOME=/tmp/cargo \
    CARGO_TARGET_DIR=/mnt/out /bin/sh -c 'cd /mnt/source && exec cargo build --release --offline --locked --target "$1" \
    --config source.crates-io.replace-with=\"vendored\" --config source.vendored.directory=\"/mnt/out/vendor\"' sh "$TARGET"
"#;

/// Builds the package in `folder`; the products stand in `out`, as cargo lays them out.
///
/// # Errors
/// When there is no Rust with the target, or the build fails.
pub(crate) fn wasm_build(workspace: &Workspace, folder: &Path, out: &Path) -> Result<()> {
    std::fs::create_dir_all(out).with_context(|| format!("could not make {}", out.display()))?;
    if find_own(workspace).is_ok() {
        let mut build = workspace.cargo();
        build.current_dir(folder).args(["build", "--release", "--locked", "--target", TARGET]);
        build.env("CARGO_TARGET_DIR", out);
        return run(build, BUILD_MAX);
    }
    // The Rust in the root file system is another one: it is given the sources, and needs no network.
    let vendor = out.join("vendor");
    retry("cargo vendor", || {
        let mut fetch = workspace.cargo();
        fetch.current_dir(folder).args(["vendor", "--quiet", "--locked", "--versioned-dirs"]).arg(&vendor);
        output(fetch, VENDOR_MAX)
    })?;
    let linker = find_linker(workspace)?.path;
    let mut build = workspace.command("unshare");
    build.args(["--user", "--map-root-user", "--mount", "/bin/sh", "-c", INSIDE]);
    build.env("ROOT", root_folder(workspace)).env("SOURCE", folder).env("OUT", out).env("TARGET", TARGET);
    build.env("LINKER", linker.parent().context("the linker is in a folder")?);
    run(build, BUILD_MAX).context("could not build in the root file system")
}
