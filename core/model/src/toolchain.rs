//! The pinned toolchains: which versions are accepted, where to look for them, what to say when there are none.
//!
//! Everything here is pure. Whoever looks takes the [`candidates`] of a [`Tool`] in their order, asks each for its
//! version as [`probe`] says, reads the answer with [`parse_version`], and uses the first that [`Pin::check`] accepts.
//! A file that exists proves nothing: the `python3.12` of a version switcher can be there and fail.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::OnceLock;

use serde::Deserialize;

/// A tool the compiler or the host starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Tool {
    /// The Python interpreter that runs handlers.
    Python,
    /// `uv`, which installs Python dependencies.
    Uv,
    /// The Go command.
    Go,
    /// Deno, which checks, bundles and runs TypeScript.
    Deno,
    /// Cargo, for native Rust.
    Cargo,
    /// A root file system with a Rust that compiles to `wasm32-wasip2`; a directory.
    WasmRoot,
    /// `wasm-component-ld`, the linker that makes a component.
    WasmLinker,
}

impl Tool {
    /// Every tool, in the order `ignite doctor` lists them.
    pub const ALL: &'static [Self] =
        &[Self::Python, Self::Uv, Self::Go, Self::Deno, Self::Cargo, Self::WasmRoot, Self::WasmLinker];

    /// Its name in `toolchains.toml`, in manifests and in messages.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Python => "python",
            Self::Uv => "uv",
            Self::Go => "go",
            Self::Deno => "deno",
            Self::Cargo => "cargo",
            Self::WasmRoot => "wasm-root",
            Self::WasmLinker => "wasm-linker",
        }
    }

    /// The environment variable that names the one place to look.
    #[must_use]
    pub fn env_override(self) -> &'static str {
        match self {
            Self::Python => "IGNITE_PYTHON",
            Self::Uv => "IGNITE_UV",
            Self::Go => "IGNITE_GO",
            Self::Deno => "IGNITE_DENO",
            Self::Cargo => "IGNITE_CARGO",
            Self::WasmRoot => "IGNITE_WASM_ROOT",
            Self::WasmLinker => "IGNITE_WASM_LINKER",
        }
    }

    /// Where it lies below the toolchains directory.
    fn places(self) -> &'static [&'static str] {
        match self {
            Self::Python => &["python/bin/python3.12", "python/bin/python3"],
            Self::Uv => &["uv/bin/uv"],
            Self::Go => &["go/bin/go"],
            Self::Deno => &["deno/bin/deno"],
            Self::Cargo => &["rust/bin/cargo"],
            Self::WasmRoot => &["rust-wasm-rootfs"],
            Self::WasmLinker => &["wasm-component-ld/bin/wasm-component-ld"],
        }
    }

    /// What it is called on `PATH`, the surest name first.
    fn programs(self) -> &'static [&'static str] {
        match self {
            Self::Python => &["python3.12", "python3", "python"],
            Self::Uv => &["uv"],
            Self::Go => &["go"],
            Self::Deno => &["deno"],
            Self::Cargo => &["cargo"],
            Self::WasmRoot => &[],
            Self::WasmLinker => &["wasm-component-ld"],
        }
    }

    /// Where its own installer puts it, below the home directory or absolute.
    fn installed(self) -> &'static [&'static str] {
        match self {
            Self::Python | Self::WasmRoot => &[],
            Self::Uv => &[".local/bin/uv", ".cargo/bin/uv"],
            Self::Go => &["/usr/local/go/bin/go"],
            Self::Deno => &[".deno/bin/deno"],
            Self::Cargo => &[".cargo/bin/cargo"],
            Self::WasmLinker => &[".cargo/bin/wasm-component-ld"],
        }
    }
}

impl fmt::Display for Tool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// How a candidate tells its version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Probe {
    /// Run the candidate with these arguments and read its standard output.
    Run(&'static [&'static str]),
    /// Read this file below the candidate.
    Read(&'static str),
}

/// How to ask a candidate of `tool` for its version.
///
/// Set `GOTOOLCHAIN=local` for Go, or the answer is another toolchain's that `go.mod` or the environment asks for.
#[must_use]
pub fn probe(tool: Tool) -> Probe {
    match tool {
        Tool::Go => Probe::Run(&["version"]),
        // Its rustc runs only inside; what the package manager wrote down needs no sandbox.
        Tool::WasmRoot => Probe::Read("var/lib/dpkg/status"),
        _ => Probe::Run(&["--version"]),
    }
}

/// A version of a tool. What follows the numbers (`-nightly`, `rc1`, `+dfsg1`) is not compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Version {
    /// The first number.
    pub major: u32,
    /// The second number.
    pub minor: u32,
    /// The third number, 0 where the tool leaves it out.
    pub patch: u32,
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{}.{}.{}", self.major, self.minor, self.patch))
    }
}

/// Reads what a tool answered to its [`probe`]; `None` when it is not that tool's answer.
#[must_use]
pub fn parse_version(tool: Tool, output: &str) -> Option<Version> {
    let text = match tool {
        Tool::Python => output.strip_prefix("Python ")?,
        Tool::Uv => output.strip_prefix("uv ")?,
        Tool::Go => output.strip_prefix("go version go")?,
        Tool::Deno => output.strip_prefix("deno ")?,
        Tool::Cargo => output.strip_prefix("cargo ")?,
        Tool::WasmLinker => output.strip_prefix("wasm-component-ld ")?,
        Tool::WasmRoot => installed_rustc(output)?,
    };
    let numbers = Numbers::leading(text)?;
    Some(Version { major: numbers.0[0]?, minor: numbers.0[1]?, patch: numbers.0[2].unwrap_or(0) })
}

/// The version of the package `rustc` in a dpkg status file.
fn installed_rustc(status: &str) -> Option<&str> {
    let package = status.split("\n\n").find(|package| package.lines().any(|line| line == "Package: rustc"))?;
    package.lines().find_map(|line| line.strip_prefix("Version: "))
}

/// Up to three numbers with points between them, filled from the front.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Numbers([Option<u32>; 3]);

impl Numbers {
    /// The numbers `text` begins with; what follows them is left alone. `None` without any.
    fn leading(text: &str) -> Option<Self> {
        let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
        let mut numbers = [None; 3];
        for (number, part) in numbers.iter_mut().zip(text[..end].split('.')) {
            match part.parse() {
                Ok(value) => *number = Some(value),
                Err(_) => break,
            }
        }
        numbers[0].map(|_| Self(numbers))
    }
}

/// Which versions besides the pinned one will do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Accept {
    /// The pinned numbers are equal; those that the pin leaves out may be any.
    Series,
    /// The same or any later version.
    Newer,
}

/// One pinned tool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pin {
    /// The tool.
    pub tool: Tool,
    /// The pinned version as written, such as `3.12`: what an installer is asked for.
    pub version: String,
    /// Which others will do.
    pub accept: Accept,
    /// How a person gets it: a clause that follows "to get it, ".
    pub get: String,
    numbers: Numbers,
}

impl Pin {
    /// Whether a tool that answered `found` may be used.
    ///
    /// # Errors
    ///
    /// [`WrongVersion`], which says what is needed.
    pub fn check(&self, found: Version) -> Result<(), WrongVersion> {
        let found_numbers = [found.major, found.minor, found.patch];
        let accepted = match self.accept {
            Accept::Series => self
                .numbers
                .0
                .iter()
                .zip(found_numbers)
                .all(|(pinned, found)| pinned.is_none_or(|pinned| pinned == found)),
            Accept::Newer => found_numbers >= self.numbers.0.map(Option::unwrap_or_default),
        };
        if accepted { Ok(()) } else { Err(WrongVersion { tool: self.tool, found, needed: self.needed() }) }
    }

    /// The accepted versions in words: `3.12.x`, `2.7.14`, `1.93 or newer`.
    #[must_use]
    pub fn needed(&self) -> String {
        match (self.accept, self.numbers.0[2]) {
            (Accept::Newer, _) => format!("{} or newer", self.version),
            (Accept::Series, Some(_)) => self.version.clone(),
            (Accept::Series, None) => format!("{}.x", self.version),
        }
    }
}

/// A tool was found, but not in a version that may be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{tool} is {found}, needed is {needed}")]
pub struct WrongVersion {
    /// The tool.
    pub tool: Tool,
    /// What it answered.
    pub found: Version,
    /// What would do, in words.
    pub needed: String,
}

/// Why a text is not a list of pins.
#[derive(Debug, thiserror::Error)]
pub enum PinsError {
    /// Not TOML, or not of the form of `toolchains.toml`.
    #[error("could not read the pinned toolchains")]
    Syntax(#[from] toml::de::Error),
    /// Not one to three numbers with points between them.
    #[error("`{version}` of {tool} is not a version: write one to three numbers with points between them")]
    Version {
        /// The tool.
        tool: Tool,
        /// The version as written.
        version: String,
    },
    /// A tool without a pin.
    #[error("{0} has no pinned version")]
    Missing(Tool),
}

/// The pinned version of every tool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pins(BTreeMap<Tool, Pin>);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenPin {
    version: String,
    accept: Accept,
    get: String,
}

impl Pins {
    /// The pins of this build: `toolchains.toml` at the root of the repository.
    #[must_use]
    pub fn embedded() -> &'static Self {
        static PINS: OnceLock<Pins> = OnceLock::new();
        PINS.get_or_init(|| {
            include_str!("../../../toolchains.toml").parse().expect("the embedded file is parsed by a test")
        })
    }

    /// The pin of `tool`; every tool has one.
    #[must_use]
    pub fn pin(&self, tool: Tool) -> &Pin {
        &self.0[&tool]
    }
}

impl FromStr for Pins {
    type Err = PinsError;

    fn from_str(text: &str) -> Result<Self, PinsError> {
        let written: BTreeMap<Tool, WrittenPin> = toml::from_str(text)?;
        let mut pins = BTreeMap::new();
        for (tool, WrittenPin { version, accept, get }) in written {
            let numbers =
                exact_numbers(&version).ok_or_else(|| PinsError::Version { tool, version: version.clone() })?;
            pins.insert(tool, Pin { tool, version, accept, get, numbers });
        }
        match Tool::ALL.iter().find(|tool| !pins.contains_key(tool)) {
            Some(tool) => Err(PinsError::Missing(*tool)),
            None => Ok(Self(pins)),
        }
    }
}

/// One to three numbers and nothing else.
fn exact_numbers(text: &str) -> Option<Numbers> {
    let numbers = Numbers::leading(text)?;
    let again = numbers.0.iter().flatten().map(u32::to_string).collect::<Vec<_>>().join(".");
    (again == text).then_some(numbers)
}

/// The directory of Ignite's own toolchains: `IGNITE_TOOLCHAINS`, else `~/.cache/ignite/toolchains`. `None` when neither
/// is known.
#[must_use]
pub fn toolchains_dir(env: &dyn Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    set(env, "IGNITE_TOOLCHAINS").or_else(|| Some(set(env, "HOME")?.join(".cache/ignite/toolchains")))
}

/// The paths at which `tool` may lie, the first choice first. None of them need exist.
///
/// With the tool's own variable set ([`Tool::env_override`]) there is just that one: who names a place wants to hear that
/// it does not work, not to get another. Else: the toolchains directory, `PATH`, where installers put it, and for Python
/// the versions that pyenv keeps. Relative entries of `PATH` are left out, since they would run what lies in an author's
/// folder; so are pyenv's shims, which choose by the current folder and fail where they have nothing to choose.
#[must_use]
pub fn candidates(tool: Tool, env: &dyn Fn(&str) -> Option<OsString>) -> Vec<PathBuf> {
    if let Some(path) = set(env, tool.env_override()) {
        return vec![path];
    }
    let mut found = Vec::new();
    if let Some(dir) = toolchains_dir(env) {
        found.extend(tool.places().iter().map(|place| dir.join(place)));
    }
    let home = set(env, "HOME");
    let pyenv = set(env, "PYENV_ROOT").or_else(|| Some(home.as_deref()?.join(".pyenv")));
    let path = env("PATH").unwrap_or_default();
    let dirs: Vec<PathBuf> = std::env::split_paths(&path)
        .filter(|dir| dir.is_absolute() && !is_pyenv_shims(dir, pyenv.as_deref()))
        .collect();
    for (index, program) in tool.programs().iter().enumerate() {
        found.extend(dirs.iter().map(|dir| dir.join(program)));
        // An exact Python of pyenv is a better guess than whatever `python3` is.
        if let (Tool::Python, 0, Some(root)) = (tool, index, &pyenv) {
            found.extend(pyenv_versions(root));
        }
    }
    for place in tool.installed() {
        // Joined to an absolute path, the home directory falls away.
        found.push(home.as_deref().unwrap_or(Path::new("/")).join(place));
    }
    let mut seen = std::collections::HashSet::new();
    found.retain(|path| seen.insert(path.clone()));
    found
}

/// Highest patch number of a Python series that is looked for: its releases stop in the twenties.
const PYENV_PATCH_MAX: u32 = 40;

/// The interpreters pyenv may keep of the pinned series, the newest first. Its folders bear full version numbers, and all
/// of them are named here, so that nobody has to list a directory.
fn pyenv_versions(root: &Path) -> Vec<PathBuf> {
    let series = &Pins::embedded().pin(Tool::Python).version;
    (0..=PYENV_PATCH_MAX)
        .rev()
        .map(|patch| root.join(format!("versions/{series}.{patch}/bin/python{series}")))
        .collect()
}

fn is_pyenv_shims(dir: &Path, root: Option<&Path>) -> bool {
    dir.ends_with(".pyenv/shims") || root.is_some_and(|root| dir == root.join("shims"))
}

/// A variable that is set and not empty, as a path.
fn set(env: &dyn Fn(&str) -> Option<OsString>, name: &str) -> Option<PathBuf> {
    env(name).filter(|value| !value.is_empty()).map(PathBuf::from)
}

#[cfg(test)]
mod tests;
