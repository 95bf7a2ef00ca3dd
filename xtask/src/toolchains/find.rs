//! Looking for programs and asking them for their version.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use super::Found;
use super::pins::Pin;
use crate::process::output;
use crate::workspace::Workspace;

/// A program that does not tell its version within this time is broken.
const VERSION_WAIT_MAX: Duration = Duration::from_secs(30);

/// Every file called `name` in the folders of PATH, but for version managers' shims: a shim answers to every name and
/// fails when it is started.
pub(super) fn on_path(name: &str) -> Vec<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders =
        std::env::split_paths(&path).filter(|folder| !folder.components().any(|part| part.as_os_str() == "shims"));
    folders.map(|folder| folder.join(name)).filter(|file| file.is_file()).collect()
}

/// The first number of the form `1.2[.3]` in what `program arguments` prints.
pub(super) fn version(workspace: &Workspace, program: &Path, arguments: &[&str]) -> Result<String> {
    let mut command = workspace.command(program);
    command.args(arguments);
    let text = output(command, VERSION_WAIT_MAX)?;
    first_version(&text).with_context(|| format!("{} did not tell its version", program.display()))
}

/// `program` with its version, if that is the pinned one.
pub(super) fn pinned(workspace: &Workspace, program: PathBuf, arguments: &[&str], pin: &Pin) -> Result<Found> {
    ensure!(program.is_file(), "not installed");
    let version = version(workspace, &program, arguments)?;
    if !pin.accepts(&version) {
        bail!("{} is {version}, pinned is {}", program.display(), pin.version);
    }
    Ok(Found { version, path: program })
}

fn first_version(text: &str) -> Option<String> {
    let words = text.split(|character: char| !character.is_ascii_digit() && character != '.');
    let mut numbers = words.map(|word| word.trim_matches('.'));
    numbers.find(|word| word.contains('.')).map(String::from)
}

#[cfg(test)]
mod tests {
    use super::first_version;

    #[test]
    fn versions_are_found_in_what_programs_say() {
        for (said, expected) in [
            ("deno 2.7.14 (stable, release, x86_64)\nv8 14.7.1", Some("2.7.14")),
            ("go version go1.26.8 linux/amd64", Some("1.26.8")),
            ("rustc 1.95.0 (59807616e 2026-04-14)", Some("1.95.0")),
            ("Python 3.12.1", Some("3.12.1")),
            ("no version. At all", None),
        ] {
            assert_eq!(first_version(said).as_deref(), expected, "{said}");
        }
    }
}
