//! Finds the pinned tools, and remembers their versions.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use ignite_compiler_sandbox::{Cancel, Place, Step, StepLimits, Stream, run};
use ignite_core_model::toolchain::{Pins, Probe, Tool, Version, candidates, parse_version, probe};

pub(crate) use crate::cache::write_whole;
use crate::compile::Env;

/// A tool that can be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundTool {
    /// Which.
    pub tool: Tool,
    /// Where it is: a program, or a folder for [`Tool::WasmRoot`].
    pub path: PathBuf,
    /// Its version.
    pub version: Version,
}

/// Why a tool cannot be used.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{tool} {needed} was not found{}", tried_in_words(tried))]
pub struct ToolError {
    /// The tool.
    pub tool: Tool,
    /// The accepted versions in words.
    pub needed: String,
    /// What was there and did not do: path and reason.
    pub tried: Vec<(PathBuf, String)>,
    /// How to get it.
    pub get: String,
}

impl ToolError {
    /// What to do next.
    #[must_use]
    pub fn hint(&self) -> String {
        format!("to get it, {}", self.get)
    }
}

fn tried_in_words(tried: &[(PathBuf, String)]) -> String {
    let words: Vec<String> = tried.iter().map(|(path, reason)| format!("{} ({reason})", path.display())).collect();
    if words.is_empty() { String::new() } else { format!("; looked at {}", words.join(", ")) }
}

/// Longest time a tool may take to tell its version.
const PROBE_TIME: Duration = Duration::from_secs(20);
/// Candidates that exist and are asked at most.
const ASKED_MAX: usize = 12;
/// Largest status file of a root file system that is read, in bytes.
const STATUS_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// Finds tools; versions are remembered by path, size and time of change, here and in a file.
pub(crate) struct Tools {
    env: Env,
    file: PathBuf,
    known: Mutex<BTreeMap<String, Answer>>,
}

/// A Rust toolchain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Rust {
    /// Its folder.
    pub(crate) sysroot: PathBuf,
    /// The target it runs on, and compiles for where nothing else is said.
    pub(crate) host: String,
}

/// What a candidate answered when it had this stamp.
#[derive(Debug, Clone, serde::Serialize, serde::Deserialize)]
struct Answer {
    stamp: String,
    /// What it wrote; `None` when it does not run.
    text: Option<String>,
}

impl Tools {
    pub(crate) fn new(env: Env, file: PathBuf) -> Self {
        // A file that cannot be read is no loss: the tools are asked again.
        let known = fs::read(&file).ok().and_then(|text| serde_json::from_slice(&text).ok()).unwrap_or_default();
        Self { env, file, known: Mutex::new(known) }
    }

    /// The first candidate of the pinned version.
    pub(crate) fn find(&self, tool: Tool) -> Result<FoundTool, ToolError> {
        let pin = Pins::embedded().pin(tool);
        let mut tried = Vec::new();
        let candidates = candidates(tool, &|name| (self.env)(name));
        // One that was named, and so is the only one, is told about; of the usual places only those that have something.
        if let [named] = candidates.as_slice()
            && !named.exists()
        {
            tried.push((named.clone(), "there is no such file".to_owned()));
        }
        for path in candidates.into_iter().filter(|path| path.exists()).take(ASKED_MAX) {
            match self.version(tool, &path) {
                None => tried.push((path, "it does not tell its version".to_owned())),
                Some(version) => match pin.check(version) {
                    Ok(()) => return Ok(FoundTool { tool, path, version }),
                    Err(wrong) => tried.push((path, wrong.to_string())),
                },
            }
        }
        Err(ToolError { tool, needed: pin.needed(), tried, get: pin.get.clone() })
    }

    /// The toolchain that `cargo` belongs to.
    pub(crate) fn rust(&self, cargo: &FoundTool) -> Option<Rust> {
        let rustc = cargo.path.with_file_name("rustc");
        let text = self.answer("rustc", &rustc, &self.stamp(Tool::Cargo, &rustc)?, || {
            self.ask(&rustc, &["--print", "sysroot", "--print", "host-tuple"])
        })?;
        let mut lines = text.lines();
        Some(Rust { sysroot: lines.next()?.into(), host: lines.next()?.to_owned() })
    }

    /// The program itself, past links, and what of this machine it needs to run beside the machine's own programs.
    pub(crate) fn program(&self, found: &FoundTool) -> (PathBuf, Vec<PathBuf>) {
        let program = found.path.canonicalize().unwrap_or_else(|_| found.path.clone());
        let prefix = |program: &Path| program.parent().and_then(Path::parent).map(Path::to_owned);
        match found.tool {
            Tool::Python => {
                let reads = prefix(&program).into_iter().collect();
                (program, reads)
            }
            Tool::Go => {
                let root = self.go_root(&found.path).or_else(|| prefix(&program));
                let own = root.as_ref().map(|root| root.join("bin/go")).filter(|own| own.is_file());
                (own.unwrap_or(program), root.into_iter().collect())
            }
            // One file.
            _ => (program.clone(), vec![program]),
        }
    }

    fn go_root(&self, go: &Path) -> Option<PathBuf> {
        let root = self.answer("go-root", go, &self.stamp(Tool::Go, go)?, || self.ask(go, &["env", "GOROOT"]))?;
        Some(PathBuf::from(root.trim())).filter(|root| root.is_absolute())?.canonicalize().ok()
    }

    fn version(&self, tool: Tool, path: &Path) -> Option<Version> {
        let text = self.answer(tool.as_str(), path, &self.stamp(tool, path)?, || match probe(tool) {
            Probe::Run(args) => self.ask(path, args),
            Probe::Read(below) => {
                let file = path.join(below);
                let fits = fs::metadata(&file).is_ok_and(|metadata| metadata.len() <= STATUS_BYTES_MAX);
                let text = fits.then(|| fs::read_to_string(&file).ok())??;
                // Of a long file only what is needed is remembered.
                text.split("\n\n").find(|part| parse_version(tool, part).is_some()).map(str::to_owned)
            }
        })?;
        parse_version(tool, &text)
    }

    /// What a candidate answers, from memory where it is the same as when it was asked. `what` is one word.
    fn answer(&self, what: &str, path: &Path, stamp: &str, ask: impl FnOnce() -> Option<String>) -> Option<String> {
        let name = format!("{what} {}", path.display());
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner).get(&name).cloned();
        if let Some(answer) = known.filter(|answer| answer.stamp == stamp) {
            return answer.text;
        }
        let text = ask();
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.insert(name, Answer { stamp: stamp.to_owned(), text: text.clone() });
        // Forgetting is cheap, a long list is not.
        known.retain(|name, _| name.split_once(' ').is_some_and(|(_, path)| Path::new(path).exists()));
        // A file that cannot be written costs time, not correctness.
        let _ = write_whole(&self.file, &serde_json::to_vec_pretty(&*known).unwrap_or_default());
        text
    }

    /// Changes whenever the answer of the candidate may change.
    fn stamp(&self, tool: Tool, path: &Path) -> Option<String> {
        let file = match probe(tool) {
            Probe::Run(_) => path.to_owned(),
            Probe::Read(below) => path.join(below),
        };
        let mut stamp = one_stamp(&file)?;
        // What stands in ~/.cargo/bin is rustup, which starts another file by its own settings.
        if tool == Tool::Cargo
            && let Some(rustup) = rustup_home(&self.env)
        {
            for name in ["settings.toml", "toolchains", "update-hashes"] {
                stamp.push_str(&one_stamp(&rustup.join(name)).unwrap_or_default());
            }
        }
        Some(stamp)
    }

    /// What a program writes to its standard output, if it ends well.
    fn ask(&self, path: &Path, args: &[&str]) -> Option<String> {
        let mut env = vec![("GOTOOLCHAIN".into(), "local".into())];
        for name in ["PATH", "HOME", "RUSTUP_HOME", "RUSTUP_TOOLCHAIN"] {
            env.extend((self.env)(name).map(|value| (name.into(), value)));
        }
        let step = Step {
            program: path.to_owned(),
            args: args.iter().map(Into::into).collect(),
            env,
            cwd: "/".into(),
            place: Place::Open,
            limits: StepLimits { wall_time: PROBE_TIME, lines_max: 100, ..StepLimits::default() },
        };
        let mut text = String::new();
        let done = run(&step, &Cancel::default(), &mut |stream, line| {
            if stream == Stream::Stdout {
                text.push_str(line);
                text.push('\n');
            }
        });
        done.is_ok_and(|done| done.exit.success()).then_some(text)
    }
}

/// Where rustup keeps its toolchains.
fn rustup_home(env: &Env) -> Option<PathBuf> {
    let set = |name| env(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    set("RUSTUP_HOME").or_else(|| Some(set("HOME")?.join(".rustup")))
}

fn one_stamp(path: &Path) -> Option<String> {
    let metadata = fs::metadata(path).ok()?;
    Some(format!("{}.{}:{}:{};", metadata.mtime(), metadata.mtime_nsec(), metadata.size(), metadata.ino()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test")]
    use std::os::unix::fs::PermissionsExt as _;
    use std::sync::Arc;

    use ignite_core_model::toolchain::Version;

    use super::*;

    #[test]
    fn where_go_lies_is_asked_once() {
        let dir = tempfile::tempdir().unwrap();
        let (go, asked) = (dir.path().join("go"), dir.path().join("asked"));
        let script = format!("#!/bin/sh\necho asked >> {}\necho {}\n", asked.display(), dir.path().display());
        fs::write(&go, script).unwrap();
        fs::set_permissions(&go, fs::Permissions::from_mode(0o755)).unwrap();
        let found = FoundTool { tool: Tool::Go, path: go, version: Version { major: 1, minor: 26, patch: 0 } };
        for _ in 0..3 {
            // As in three compiles, each a process of its own.
            let tools = Tools::new(Arc::new(|_| None), dir.path().join("tools.json"));
            assert_eq!(tools.program(&found).1, [dir.path().canonicalize().unwrap()]);
        }
        assert_eq!(fs::read_to_string(&asked).unwrap(), "asked\n");
    }
}
