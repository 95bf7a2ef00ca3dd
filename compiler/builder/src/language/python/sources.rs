//! Packages that are published as sources only: built where there is no network.
//!
//! What a source distribution depends on, and what it is built with, may be known only to its own code. So fetching and building
//! take turns. uv fetches with its interpreter in sight and not to be run: it downloads what it can tell to be needed, sources and
//! the tools to build them (these as wheels), and stops where code would have to be run. Then it does the same again without a
//! network, from what it has downloaded, and runs that code; what is learnt there lets the next turn download more. So first is
//! found what is needed at all, then wheels are fetched, then each source is built, and at last all is installed at once, from the
//! cache and by the author's own hashes.
//!
//! All of it works in a cache of its own, which goes when this is done: code of a package never writes to what another app gets.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use ignite_compiler_sandbox::Phase;

use super::{INDEX_VARIABLES, Uv, install_hint};
use crate::cache::made;
use crate::error::CompileError;
use crate::sandbox::plain_text;
use crate::session::{Run, Session};

/// The name of the file of what is needed.
const PINS: &str = "pins.txt";

/// Turns at most: how deep packages that are sources only may depend on each other.
const TURNS_MAX: usize = 8;

/// Entries of the cache that are looked at at most.
const SEEN_MAX: usize = 200_000;

/// Whether it was for want of wheels that nothing was installed. uv is pinned, and says it in these words.
pub(super) fn are_needed(lines: &[String]) -> bool {
    let has = |words: &str| lines.iter().any(|line| line.contains(words));
    has("no usable wheels") || has("has no wheels") || has("building from source is disabled")
}

/// Installs `requirements` into `into`, which is below `folder`.
pub(super) fn install(
    session: &mut Session<'_>,
    uv: &Uv<'_>,
    folder: &Path,
    into: &Path,
    requirements: &Path,
) -> Result<(), CompileError> {
    session.remark("packages without wheels are built from their sources, without a network");
    let sources = Sources {
        uv,
        cache: made(folder.join("uv"))?,
        folder,
        unused: made(folder.join("unused"))?,
        hashes: hashes(uv.app, requirements),
    };
    // It asks the interpreter what it is, once, where it can be run.
    session.ask("uv python find", &sources.build(&["python", "find", "--quiet"]).arg(&uv.python))?;
    sources.turns(session, "uv pip install --dry-run", &["--dry-run"], requirements)?;

    let compile =
        sources.build(&["pip", "compile", "--offline", "--quiet", "--no-header", "--no-annotate", "--python"]);
    let compile = compile.arg(&uv.python).arg(requirements).arg("--output-file").arg(sources.pins());
    session.run_hinted("uv pip compile", &compile, &install_hint)?;
    let (sourced, wheels): (Vec<String>, Vec<String>) = {
        let pins = plain_text(folder, PINS);
        let names = names(&sources.cache);
        // Names only: no line of another kind is handed to what has a network.
        let named = pins.lines().filter(|pin| pin.starts_with(|first: char| first.is_ascii_alphanumeric()));
        named.map(str::to_owned).partition(|pin| is_source(pin, &names))
    };
    if !wheels.is_empty() {
        let list = sources.list("wheels.txt", &wheels.join("\n"))?;
        let fetch = uv.fetch(&sources.cache, &["pip", "install", "--only-binary", ":all:", "--no-deps"]);
        let fetch = uv.installs(fetch.args(&sources.hashes), &sources.unused, &list);
        session.run_hinted("uv pip install (wheels)", &fetch, &install_hint)?;
    }
    for (number, pin) in sourced.iter().enumerate() {
        let list = sources.list(&format!("source-{number}.txt"), pin)?;
        sources.turns(session, &format!("build {pin}"), &["--no-deps"], &list)?;
    }
    let install = uv.installs(sources.build(&["pip", "install", "--offline"]), into, requirements);
    session.run_hinted("uv pip install", &install, &install_hint)
}

struct Sources<'a> {
    uv: &'a Uv<'a>,
    cache: PathBuf,
    folder: &'a Path,
    /// Where what is installed only to have it in the cache goes.
    unused: PathBuf,
    /// Arguments by which the author's hashes hold for each package alone.
    hashes: Vec<PathBuf>,
}

impl Sources<'_> {
    /// Fetches and runs by turns until `requirements` are there.
    fn turns(
        &self,
        session: &mut Session<'_>,
        step: &str,
        args: &[&str],
        requirements: &Path,
    ) -> Result<(), CompileError> {
        let mut seen = 0;
        for turn in 1.. {
            let fetch = self.uv.fetch(&self.cache, &["pip", "install"]).args(args).never_runs(self.never_run());
            let fetch = self.uv.installs(fetch.args(&self.hashes), &self.unused, requirements);
            let fetched = match session.run_hinted(&format!("{step} (fetch)"), &fetch, &install_hint) {
                Ok(()) => None,
                Err(error @ CompileError::Step { .. }) => Some(error),
                Err(error) => return Err(error),
            };
            let build = self.build(&["pip", "install", "--offline"]).args(args);
            let build = self.uv.installs(build.args(&self.hashes), &self.unused, requirements);
            match session.run_hinted(&format!("{step} (run)"), &build, &install_hint) {
                Ok(()) => return Ok(()),
                Err(error @ CompileError::Step { .. }) => {
                    let now = entries(&self.cache, &mut |_| {});
                    if turn >= TURNS_MAX || now == seen {
                        return Err(fetched.filter(|fetched| !was_to_run(fetched)).unwrap_or(error));
                    }
                    seen = now;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// A step without a network that may run code of packages. It looks for packages under the addresses they were fetched
    /// from, without the passwords in them.
    fn build(&self, args: &[&str]) -> Run {
        let run = self.uv.with_own(Run::new(Phase::Build, &self.uv.program, self.uv.app), &self.cache, args);
        let addresses = self.uv.context.pass(INDEX_VARIABLES).into_iter();
        let addresses = addresses.filter(|(name, _)| name != "UV_CONFIG_FILE" && name != "UV_FIND_LINKS");
        let run = run.envs(addresses.map(|(name, value)| (name, public(&value).into()))).env("UV_NO_CONFIG", "1");
        run.reads(self.trusted())
    }

    /// What decides where uv asks and which interpreter it starts, once it is there: code that runs must not change it, since
    /// there is a network again when uv reads it next.
    fn trusted(&self) -> Vec<PathBuf> {
        let in_folder = fs::read_dir(self.folder).into_iter().flatten().flatten().map(|entry| entry.path());
        let lists = in_folder.filter(|path| path.extension().is_some_and(|kind| kind == "txt") && *path != self.pins());
        let in_cache = fs::read_dir(&self.cache).into_iter().flatten().flatten();
        let answers = in_cache.filter(|entry| entry.file_name().to_string_lossy().starts_with("interpreter-"));
        lists.chain(answers.map(|entry| entry.path())).collect()
    }

    /// Where uv writes what it has found to be needed.
    fn pins(&self) -> PathBuf {
        self.folder.join(PINS)
    }

    /// Programs that would run code of packages, or fetch in ways of their own.
    fn never_run(&self) -> Vec<PathBuf> {
        let git = ["/usr/bin/git", "/usr/local/bin/git"].into_iter().map(PathBuf::from);
        std::iter::once(self.uv.python.clone()).chain(git.filter(|git| git.is_file())).collect()
    }

    /// A file of requirements, which no code that ran had a hand in.
    fn list(&self, name: &str, text: &str) -> Result<PathBuf, CompileError> {
        let path = self.folder.join(name);
        // What ran may have laid a link there.
        let _ = fs::remove_file(&path);
        let written =
            fs::File::create_new(&path).and_then(|mut file| std::io::Write::write_all(&mut file, text.as_bytes()));
        written.map_err(|cause| CompileError::Cache { path: path.clone(), cause })?;
        Ok(path)
    }
}

/// The author's hashes as constraints, where there may be any.
fn hashes(app: &Path, requirements: &Path) -> Vec<PathBuf> {
    let path = app.join(requirements);
    let text = fs::read_to_string(&path).unwrap_or_default();
    let is_list = path.extension().is_some_and(|kind| kind == "txt");
    let may_have = text.contains("--hash") || text.lines().any(|line| line.trim_start().starts_with("-r"));
    if is_list && may_have { vec!["--constraint".into(), path] } else { Vec::new() }
}

/// Whether what is pinned so was taken from sources.
fn is_source(pin: &str, names: &[(String, String)]) -> bool {
    let pin = pin.split(';').next().unwrap_or_default().trim();
    match pin.split_once("==") {
        Some((name, version)) => {
            let name = name.split('[').next().unwrap_or_default().trim();
            names.iter().any(|(known, of)| known == name && of == version.trim())
        }
        // By address or path.
        None => !pin.ends_with(".whl"),
    }
}

/// Names and versions of which uv has sources: folders in each other, somewhere below its folder of sources.
fn names(cache: &Path) -> Vec<(String, String)> {
    let mut found = Vec::new();
    entries(cache, &mut |path| {
        let below = path.strip_prefix(cache).unwrap_or(path);
        let of_sources = below.iter().next().and_then(OsStr::to_str).is_some_and(|name| name.starts_with("sdists-"));
        let name = path.parent().and_then(Path::file_name).and_then(OsStr::to_str);
        if let (true, Some(name), Some(version)) = (of_sources, name, path.file_name().and_then(OsStr::to_str)) {
            found.push((name.to_owned(), version.to_owned()));
        }
    });
    found
}

/// Calls `each` with the folders of a cache and gives the number of its entries. It only grows.
fn entries(cache: &Path, each: &mut dyn FnMut(&Path)) -> usize {
    let (mut count, mut folders) = (0, vec![cache.to_owned()]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            count += 1;
            if count >= SEEN_MAX {
                return count;
            }
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                each(&entry.path());
                folders.push(entry.path());
            }
        }
    }
    count
}

/// Addresses without what stands before an `@`.
fn public(addresses: &OsStr) -> String {
    let text = addresses.to_string_lossy();
    let without = |address: &str| match address.split_once("://") {
        Some((scheme, rest)) => {
            let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
            format!("{scheme}://{}{path}", host.rsplit_once('@').map_or(host, |(_, host)| host))
        }
        None => address.to_owned(),
    };
    text.split_whitespace().map(without).collect::<Vec<_>>().join(" ")
}

/// Whether the step stopped where it was to run what it may not.
fn was_to_run(error: &CompileError) -> bool {
    let CompileError::Step { output, .. } = error else { return false };
    output.iter().any(|line| line.contains("Permission denied"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_taken_out_of_addresses() {
        for (address, expected) in [
            ("https://user:secret@host/simple", "https://host/simple"),
            ("https://host/a@b/simple", "https://host/a@b/simple"),
            ("one=https://t@h:8/x https://i/y", "one=https://h:8/x https://i/y"),
            ("/a/folder", "/a/folder"),
        ] {
            assert_eq!(public(OsStr::new(address)), expected, "{address}");
        }
    }

    #[test]
    fn what_is_pinned_is_told_from_wheels() {
        let names = [("docopt".to_owned(), "0.6.2".to_owned())];
        for (pin, expected) in [
            ("docopt==0.6.2", true),
            ("docopt==0.6.1", false),
            ("docopt[x]==0.6.2 ; python_version > '3'", true),
            ("tabulate==0.9.0", false),
            ("own @ file:///app/own", true),
            ("own @ https://host/own-1.0-py3-none-any.whl", false),
        ] {
            assert_eq!(is_source(pin, &names), expected, "{pin}");
        }
    }
}
