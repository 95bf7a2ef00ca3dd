//! What contenders are made of: tools of this machine, packages in a cache outside the checkout.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use ignite_tests::product::{binary, repository};

/// Longest time one package may take to install.
const INSTALL_MAX: Duration = Duration::from_secs(15 * 60);
/// Longest time the engine of a peer may take to build; it is built once.
pub(crate) const BUILD_MAX: Duration = Duration::from_secs(90 * 60);

/// Folders and tools.
pub(crate) struct Kit {
    /// Packages and built peers, kept between runs.
    pub(crate) cache: PathBuf,
    /// Artifacts and other files of this run.
    pub(crate) work: PathBuf,
}

impl Kit {
    /// Uses `$IGNITE_BENCH_CACHE`, or `~/.cache/ignite/bench`.
    ///
    /// # Errors
    /// When neither can be had.
    pub(crate) fn new(work: &Path) -> Result<Self> {
        let cache = match std::env::var_os("IGNITE_BENCH_CACHE").filter(|value| !value.is_empty()) {
            Some(folder) => std::path::absolute(folder)?,
            None => home()?.join(".cache/ignite/bench"),
        };
        std::fs::create_dir_all(&cache).with_context(|| format!("could not make {}", cache.display()))?;
        Ok(Self { cache, work: work.to_owned() })
    }

    /// Python 3.12.
    ///
    /// # Errors
    /// When there is none.
    pub(crate) fn python(&self) -> Result<PathBuf> {
        let mut candidates = given("IGNITE_PYTHON");
        candidates.extend(on_path("python3.12"));
        let versions = home()?.join(".pyenv/versions");
        let versions = std::fs::read_dir(versions).into_iter().flatten().flatten();
        candidates.extend(versions.map(|version| version.path().join("bin/python3.12")).filter(|path| path.is_file()));
        candidates.into_iter().next().context("there is no python3.12; `cargo xtask toolchains` tells how to get it")
    }

    /// Python 3.12 and what it reads at its start.
    ///
    /// # Errors
    /// When there is none.
    pub(crate) fn python_files(&self) -> Result<Vec<PathBuf>> {
        /// In the library's folder, but no part of it.
        const OTHERS: [&str; 2] = ["site-packages", "test"];
        let python = self.python()?;
        let prefix = python.canonicalize()?.parent().and_then(Path::parent).map(Path::to_owned);
        let library = prefix.context("an interpreter lies in a folder")?.join("lib/python3.12");
        let parts = std::fs::read_dir(&library).into_iter().flatten().flatten();
        let parts = parts.filter(|part| OTHERS.iter().all(|other| part.file_name() != *other)).map(|part| part.path());
        Ok(std::iter::once(python).chain(parts).collect())
    }

    /// Deno.
    ///
    /// # Errors
    /// When there is none.
    pub(crate) fn deno(&self) -> Result<PathBuf> {
        let mut candidates = given("IGNITE_DENO");
        candidates.push(home()?.join(".cache/ignite/toolchains/deno/bin/deno"));
        candidates.extend(on_path("deno"));
        candidates
            .into_iter()
            .find(|path| path.is_file())
            .context("there is no deno; `cargo xtask toolchains` installs it")
    }

    /// Go.
    ///
    /// # Errors
    /// When there is none.
    pub(crate) fn go(&self) -> Result<PathBuf> {
        given("IGNITE_GO").into_iter().next().map_or_else(|| self.tool("go"), Ok)
    }

    /// A tool on PATH.
    ///
    /// # Errors
    /// When it is not there.
    pub(crate) fn tool(&self, name: &str) -> Result<PathBuf> {
        on_path(name).into_iter().next().with_context(|| format!("there is no `{name}` on PATH"))
    }

    /// Does `work` once for each `stamp`, in an empty folder of the cache, and says where that is.
    ///
    /// # Errors
    /// When the work fails; then it is done again the next time.
    pub(crate) fn once(&self, name: &str, stamp: &str, work: impl FnOnce(&Path) -> Result<()>) -> Result<PathBuf> {
        let folder = self.cache.join(name);
        let file = folder.join(".installed");
        if std::fs::read_to_string(&file).is_ok_and(|known| known == stamp) {
            return Ok(folder);
        }
        crate::say(&format!("installing {name}"));
        if folder.exists() {
            std::fs::remove_dir_all(&folder)?;
        }
        std::fs::create_dir_all(&folder)?;
        work(&folder)?;
        std::fs::write(&file, stamp)?;
        Ok(folder)
    }

    /// Packages of the Python registry in an environment of their own; its `bin`.
    ///
    /// # Errors
    /// When they cannot be installed.
    pub(crate) fn python_packages(&self, name: &str, packages: &[&str]) -> Result<PathBuf> {
        let python = self.python()?;
        let stamp = format!("{} {}", python.display(), packages.join(" "));
        let folder = self.once(name, &stamp, |folder| {
            run(Command::new(&python).args(["-m", "venv"]).arg(folder))?;
            run(Command::new(folder.join("bin/pip"))
                .args(["install", "--quiet", "--disable-pip-version-check"])
                .args(packages))
        })?;
        Ok(folder.join("bin"))
    }

    /// Writes a source of a peer to the cache, where it differs.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(crate) fn source(&self, path: &str, text: &str) -> Result<PathBuf> {
        let file = self.cache.join("sources").join(path);
        if std::fs::read_to_string(&file).is_ok_and(|known| known == text) {
            return Ok(file);
        }
        std::fs::create_dir_all(file.parent().context("a file lies in a folder")?)?;
        std::fs::write(&file, text)?;
        Ok(file)
    }

    /// Compiles an app of `tests/bench/apps`, or a component, with `ignite compile`.
    ///
    /// # Errors
    /// With everything the compiler said.
    pub(crate) fn compile(&self, name: &str, source: &Path, flags: &[&str]) -> Result<PathBuf> {
        let artifact = self.work.join(format!("{name}.tar.zst"));
        if !artifact.is_file() {
            run(Command::new(binary("ignite")?).arg("compile").arg(source).arg("--out").arg(&artifact).args(flags))?;
        }
        Ok(artifact)
    }

    /// A folder in which hosts keep things between their starts.
    pub(crate) fn kept(&self, name: &str) -> PathBuf {
        home().unwrap_or_default().join(".cache/ignite").join(name)
    }

    /// An app of `tests/bench/apps`.
    pub(crate) fn app(&self, name: &str) -> PathBuf {
        repository().join("tests/bench/apps").join(name)
    }
}

/// Runs an installer; a failure shows the end of what it said.
///
/// # Errors
/// When it fails or takes too long.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    run_within(command, INSTALL_MAX)
}

/// As [`run`], with another bound.
///
/// # Errors
/// As there.
pub(crate) fn run_within(command: &mut Command, wall_max: Duration) -> Result<()> {
    let name = Path::new(command.get_program()).file_name().unwrap_or_default().to_string_lossy().into_owned();
    let said = tempfile::NamedTempFile::new()?;
    let log = said.reopen()?;
    let mut child = command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).spawn().context(name.clone())?;
    let started = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        if started.elapsed() > wall_max {
            child.kill()?;
            child.wait()?;
            bail!("`{name}` took longer than {wall_max:?}");
        }
        std::thread::sleep(Duration::from_millis(20));
    };
    if !status.success() {
        let text = std::fs::read(said.path()).unwrap_or_default();
        let text = String::from_utf8_lossy(&text).trim().to_owned();
        let last: Vec<&str> = text.lines().rev().take(6).collect();
        bail!("`{name}` failed: {}", last.into_iter().rev().collect::<Vec<_>>().join(" · "));
    }
    Ok(())
}

/// The first line a program prints.
///
/// # Errors
/// When it cannot be started.
pub(crate) fn first_line(program: &Path, arguments: &[&str]) -> Result<String> {
    let output = Command::new(program).args(arguments).stdin(Stdio::null()).output()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    Ok(text.lines().next().unwrap_or_default().trim().to_owned())
}

fn home() -> Result<PathBuf> {
    std::env::var_os("HOME").filter(|home| !home.is_empty()).map(PathBuf::from).context("HOME is not set")
}

fn given(variable: &str) -> Vec<PathBuf> {
    std::env::var_os(variable).filter(|value| !value.is_empty()).map(PathBuf::from).into_iter().collect()
}

/// Files called `name` on PATH, but for version managers' shims: those answer to every name and fail when started.
fn on_path(name: &str) -> Vec<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).filter(|folder| !folder.iter().any(|part| part == OsStr::new("shims")));
    folders.map(|folder| folder.join(name)).filter(|file| file.is_file()).collect()
}
