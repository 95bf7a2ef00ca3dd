//! A Rust that compiles to `wasm32-wasip2`.
//!
//! The machine's own, when its standard library for the target is there or rustup can add it. Else a Debian release that
//! packages the target, unpacked into a folder, and the linker that Debian does not package, built from its source.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use super::{Found, find};
use crate::log::say;
use crate::process::{capture, output, retry, run};
use crate::workspace::Workspace;

pub(super) const TARGET: &str = "wasm32-wasip2";
const RUSTUP_MAX: Duration = Duration::from_secs(3 * 60);
const APT_MAX: Duration = Duration::from_secs(5 * 60);
const ROOT_MAX: Duration = Duration::from_secs(10 * 60);
const LINKER_MAX: Duration = Duration::from_secs(15 * 60);
/// The distribution whose Rust has the target, and what is taken of it.
pub(crate) const RELEASE: &str = "forky";
pub(crate) const PACKAGES: [&str; 5] = ["ca-certificates", "cargo", "libstd-rust-dev-wasm32", "lld", "rustc"];
/// Written into the root file system: what it was made of.
const STAMP: &str = "ignite-stamp";

pub(super) fn find(workspace: &Workspace) -> Result<Found> {
    match find_own(workspace) {
        Ok(found) => Ok(found),
        Err(own) => find_root(workspace).with_context(|| format!("{own:#}, and there is no root file system with it")),
    }
}

pub(super) fn install(workspace: &Workspace) -> Result<()> {
    if !find::on_path("rustup").is_empty() {
        let mut add = workspace.command("rustup");
        add.args(["target", "add", TARGET]);
        match capture(add, RUSTUP_MAX) {
            Ok(added) if added.status.success() => return Ok(()),
            Ok(added) => say(&format!("rustup cannot add {TARGET}: {}", last_line(&added.stderr))),
            Err(error) => say(&format!("rustup cannot add {TARGET}: {error:#}")),
        }
    }
    if find_linker(workspace).is_err() {
        install_linker(workspace)?;
    }
    if find_root_file_system(workspace).is_err() {
        let made = install_root(workspace, &root_folder(workspace), RELEASE, &PACKAGES);
        made.with_context(|| format!("without it: `rustup target add {TARGET}`"))?;
    }
    Ok(())
}

pub(super) fn find_own(workspace: &Workspace) -> Result<Found> {
    let mut command = workspace.command("rustc");
    command.args(["--print", "target-libdir", "--target", TARGET]);
    let folder = PathBuf::from(output(command, RUSTUP_MAX)?.trim());
    let there = std::fs::read_dir(&folder).is_ok_and(|mut files| files.next().is_some());
    ensure!(there, "the machine's Rust has no {TARGET}");
    Ok(Found { version: find::version(workspace, Path::new("rustc"), &["--version"])?, path: folder })
}

fn find_root(workspace: &Workspace) -> Result<Found> {
    let version = find_root_file_system(workspace)?;
    find_linker(workspace).context("wasm-component-ld")?;
    Ok(Found { version, path: root_folder(workspace) })
}

pub(crate) fn root_folder(workspace: &Workspace) -> PathBuf {
    workspace.toolchains.join("rust-wasm-rootfs")
}

fn recipe(release: &str, packages: &[&str]) -> String {
    format!("{release} {}\n", packages.join(" "))
}

/// Whether the root file system in `folder` was made of this.
pub(crate) fn is_made_of(folder: &Path, release: &str, packages: &[&str]) -> bool {
    std::fs::read_to_string(folder.join(STAMP)).is_ok_and(|made_of| made_of == recipe(release, packages))
}

/// The version of the Rust in the root file system, if that was made as pinned.
fn find_root_file_system(workspace: &Workspace) -> Result<String> {
    let folder = root_folder(workspace);
    ensure!(folder.is_dir(), "not made yet");
    ensure!(is_made_of(&folder, RELEASE, &PACKAGES), "made of something else than what is pinned");
    // The program cannot be asked from outside of its root.
    let status = std::fs::read_to_string(folder.join("var/lib/dpkg/status"))?;
    let rustc = status.split("\n\n").find(|package| package.starts_with("Package: rustc\n"));
    let version = rustc.and_then(|package| package.lines().find_map(|line| line.strip_prefix("Version: ")));
    let version = version.context("it holds no rustc")?;
    let version = version.split(['+', '-']).next().unwrap_or(version);
    let pin = workspace.pins.pin("wasm-root")?;
    ensure!(pin.accepts(version), "it holds rustc {version}, pinned is {}", pin.version);
    Ok(version.to_string())
}

pub(super) fn find_linker(workspace: &Workspace) -> Result<Found> {
    let program = workspace.toolchains.join("wasm-component-ld/bin/wasm-component-ld");
    find::pinned(workspace, program, &["--version"], &workspace.pins.pin("wasm-linker")?)
}

fn install_linker(workspace: &Workspace) -> Result<()> {
    let pin = workspace.pins.pin("wasm-linker")?;
    retry("wasm-component-ld", || {
        let mut install = workspace.cargo();
        install.args(["install", "--quiet", "--locked", "--force", "--version", pin.version, "--root"]);
        install.arg(workspace.toolchains.join("wasm-component-ld")).arg("wasm-component-ld");
        run(install, LINKER_MAX)
    })
}

/// Unpacks packages of a release into a root file system: under another name, put in its place only when it is whole.
pub(crate) fn install_root(workspace: &Workspace, folder: &Path, release: &str, packages: &[&str]) -> Result<()> {
    if find::on_path("mmdebstrap").is_empty() {
        install_mmdebstrap(workspace)?;
    }
    let new = folder.with_extension("new");
    let archive = folder.with_extension("tar");
    remove(&new)?;
    retry("root file system", || run(mmdebstrap(workspace, &archive, release, packages)?, ROOT_MAX))?;
    std::fs::create_dir(&new)?;
    // Unpacked by whoever runs this, so that an ordinary user owns it and can remove it; devices need more than that,
    // and the sandbox brings its own.
    let mut unpack = workspace.command("tar");
    unpack.arg("--extract").arg("--file").arg(&archive).arg("--directory").arg(&new);
    unpack.args(["--no-same-owner", "--same-permissions", "--exclude=./dev/*"]);
    run(unpack, ROOT_MAX)?;
    remove(&archive)?;
    std::fs::write(new.join(STAMP), recipe(release, packages))?;
    // Moved aside first: removing takes seconds, and a compile must find one of the two.
    let old = folder.with_extension("old");
    remove(&old)?;
    if folder.exists() {
        std::fs::rename(folder, &old)?;
    }
    std::fs::rename(&new, folder).with_context(|| format!("could not move {} into place", new.display()))?;
    remove(&old)
}

fn mmdebstrap(
    workspace: &Workspace,
    archive: &Path,
    release: &str,
    packages: &[&str],
) -> Result<std::process::Command> {
    let source = apt_source()?;
    let mut command = workspace.command("mmdebstrap");
    command.args(["--quiet", "--variant=apt"]);
    // A release in the making may stand still for longer than its index says.
    command.arg("--aptopt=Acquire::Check-Valid-Until \"false\"");
    for unread in ["doc", "man", "info", "locale", "bash-completion", "lintian"] {
        command.arg(format!("--dpkgopt=path-exclude=/usr/share/{unread}/*"));
    }
    command.arg(format!("--include={}", packages.join(",")));
    command.arg(release).arg(archive);
    command.arg(format!("deb {}{} {release} main", source.options, source.uri));
    Ok(command)
}

fn install_mmdebstrap(workspace: &Workspace) -> Result<()> {
    let mut id = workspace.command("id");
    id.arg("-u");
    if output(id, RUSTUP_MAX)?.trim() != "0" {
        bail!("mmdebstrap is missing: `sudo apt-get install mmdebstrap`, or `rustup target add {TARGET}`");
    }
    retry("mmdebstrap", || {
        for arguments in
            [&["update", "--quiet"][..], &["install", "--yes", "--quiet", "--no-install-recommends", "mmdebstrap"]]
        {
            let mut apt = workspace.command("apt-get");
            apt.env("DEBIAN_FRONTEND", "noninteractive").args(arguments);
            run(apt, APT_MAX)?;
        }
        Ok(())
    })
}

/// Where this machine's own packages come from.
#[derive(Debug, PartialEq)]
struct AptSource {
    uri: String,
    /// `[signed-by=…] ` or empty.
    options: String,
}

fn apt_source() -> Result<AptSource> {
    let mut files = vec![PathBuf::from("/etc/apt/sources.list")];
    let more = std::fs::read_dir("/etc/apt/sources.list.d").into_iter().flatten().flatten().map(|entry| entry.path());
    files.extend(more);
    files.sort();
    let sources = files.iter().flat_map(|file| {
        let text = std::fs::read_to_string(file).unwrap_or_default();
        if file.extension() == Some(&OsString::from("sources")) { stanzas(&text) } else { one_line(&text) }
    });
    // The archive itself, not the security updates beside it nor a vendor's own.
    let mut archives = sources.filter(|source| source.uri.trim_end_matches('/').ends_with("/debian"));
    archives
        .next()
        .context("the machine's apt sources name no Debian archive: run `rustup target add wasm32-wasip2` instead")
}

fn stanzas(text: &str) -> Vec<AptSource> {
    let field = |stanza: &str, name: &str| {
        let line = stanza.lines().find_map(|line| line.strip_prefix(name));
        line.and_then(|value| value.split_whitespace().next()).map(String::from)
    };
    let parse = |stanza: &str| {
        // A key written into the stanza itself spans lines and cannot be passed on; then apt's trusted keys decide.
        let key = field(stanza, "Signed-By:").filter(|key| key.starts_with('/'));
        let options = key.map(|key| format!("[signed-by={key}] ")).unwrap_or_default();
        field(stanza, "URIs:").map(|uri| AptSource { uri, options })
    };
    text.split("\n\n").filter_map(parse).collect()
}

fn one_line(text: &str) -> Vec<AptSource> {
    let parse = |line: &str| {
        let rest = line.trim().strip_prefix("deb ")?.trim_start();
        let (options, rest) = match rest.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            Some((options, rest)) => {
                let key = options.split_whitespace().find(|option| option.starts_with("signed-by="));
                (key.map(|key| format!("[{key}] ")).unwrap_or_default(), rest)
            }
            None => (String::new(), rest),
        };
        Some(AptSource { uri: rest.split_whitespace().next()?.to_string(), options })
    };
    text.lines().filter_map(parse).collect()
}

fn remove(path: &Path) -> Result<()> {
    let removed = match path.symlink_metadata() {
        Err(_) => return Ok(()),
        Ok(metadata) if metadata.is_dir() => std::fs::remove_dir_all(path),
        Ok(_) => std::fs::remove_file(path),
    };
    removed.with_context(|| format!("could not remove {}", path.display()))
}

fn last_line(text: &str) -> &str {
    text.trim().lines().last().unwrap_or("it said nothing")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn apt_sources_are_read_in_both_forms() {
        let source = |options: &str| AptSource { uri: "http://mirror.test/debian".into(), options: options.into() };
        let stanza = "Types: deb\n# a note\nURIs: http://mirror.test/debian\nSuites: bookworm\nSigned-By: /k.gpg\n";
        assert_eq!(stanzas(stanza), [source("[signed-by=/k.gpg] ")]);
        assert_eq!(stanzas("Types: deb\nURIs: http://mirror.test/debian\nSigned-By:\n -----BEGIN\n"), [source("")]);
        let lines = "# deb http://old.test/debian x main\ndeb http://mirror.test/debian bookworm main\n\
                     deb [arch=amd64 signed-by=/k.gpg] http://mirror.test/debian bookworm main\n";
        assert_eq!(one_line(lines), [source(""), source("[signed-by=/k.gpg] ")]);
    }
}
