//! Where things stand: the checkout, and the caches outside of it.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::log::say;
use crate::process::run;
use crate::tidy::Metadata;
use crate::toolchains::Pins;

const CLEAN_MAX: Duration = Duration::from_secs(5 * 60);

/// The checkout and the folders xtask works in.
pub(crate) struct Workspace {
    /// The checkout.
    pub(crate) root: PathBuf,
    /// `$IGNITE_TOOLCHAINS`, or `~/.cache/ignite/toolchains`.
    pub(crate) toolchains: PathBuf,
    /// `$CARGO_TARGET_DIR`, or `~/.cache/ignite/target`: outside the checkout, so that a fresh clone finds it warm.
    pub(crate) target: PathBuf,
    /// Versions of all toolchains.
    pub(crate) pins: Pins,
}

impl Workspace {
    /// The workspace this program was started in.
    pub(crate) fn find() -> Result<Self> {
        // Set by `cargo run`; the other is right for who starts the program by hand.
        let manifest =
            std::env::var_os("CARGO_MANIFEST_DIR").map_or(PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
        let root = manifest.parent().context("xtask has no folder above it")?.to_path_buf();
        let cache = || -> Result<PathBuf> {
            let home = std::env::var_os("HOME").filter(|home| !home.is_empty());
            let home = home.context("HOME is not set: set it, or IGNITE_TOOLCHAINS and CARGO_TARGET_DIR")?;
            Ok(Path::new(&home).join(".cache/ignite"))
        };
        let folder = |variable: &str, name: &str| -> Result<PathBuf> {
            match std::env::var_os(variable).filter(|value| !value.is_empty()) {
                // A relative folder is taken from here, once: the commands run in many folders.
                Some(value) => Ok(std::path::absolute(value)?),
                None => Ok(cache()?.join(name)),
            }
        };
        let pins = Pins::load(&root.join("toolchains.toml"))?;
        Ok(Self {
            toolchains: folder("IGNITE_TOOLCHAINS", "toolchains")?,
            target: folder("CARGO_TARGET_DIR", "target")?,
            root,
            pins,
        })
    }

    /// Programs and tests of the release profile.
    pub(crate) fn release(&self) -> PathBuf {
        self.target.join("release")
    }

    /// Programs of the profile that is shipped and measured.
    pub(crate) fn dist(&self) -> PathBuf {
        self.target.join("dist")
    }

    /// `program`, started in the checkout with the caches of this workspace and without colours.
    pub(crate) fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new(program);
        command.current_dir(&self.root);
        command.env("CARGO_TARGET_DIR", &self.target);
        // Where it is the default, the product is to find it by itself.
        if std::env::var_os("IGNITE_TOOLCHAINS").is_some() {
            command.env("IGNITE_TOOLCHAINS", &self.toolchains);
        }
        command.env("CARGO_TERM_COLOR", "never").env("CARGO_TERM_PROGRESS_WHEN", "never").env("NO_COLOR", "1");
        // Certificates of the machine, not a list compiled in; no question to a server whether there is something newer.
        command.env("DENO_TLS_CA_STORE", "system").env("DENO_NO_UPDATE_CHECK", "1");
        // What `cargo run` told this program about itself is not meant for the cargo runs it starts.
        let own = |name: &str| name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_");
        for (name, _) in std::env::vars_os() {
            if name.to_str().is_some_and(|name| own(name) || name == "LD_LIBRARY_PATH") {
                command.env_remove(name);
            }
        }
        command
    }

    /// The cargo that started this program.
    pub(crate) fn cargo(&self) -> Command {
        self.command(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
    }

    /// Makes the target folder safe to share between checkouts.
    ///
    /// Cargo tells a changed source by its time alone, and calls the crates of two checkouts by one name: sources of
    /// this checkout that are older than the other's build would be taken for built. So when the checkout changes, the
    /// members' own artefacts go, and the dependencies' (minutes of work) stay.
    pub(crate) fn claim_target(&self) -> Result<()> {
        let stamp = self.target.join("ignite-checkout");
        let here = self.root.to_string_lossy().into_owned();
        let before = std::fs::read_to_string(&stamp).ok();
        if before.as_deref() == Some(&here) {
            return Ok(());
        }
        if before.is_some() {
            say("the target folder was used by another checkout: its crates are built anew, dependencies stay");
            let mut clean = self.cargo();
            clean.args(["clean", "--quiet", "--release"]);
            for member in Metadata::load(self)?.member_names() {
                clean.args(["--package", &member]);
            }
            run(clean, CLEAN_MAX)?;
            // Small, and all of it is made from the checkout.
            for folder in
                ["examples", "components", "bench-component", "demo", "fuzz"].map(|name| self.target.join(name))
            {
                if folder.exists() {
                    std::fs::remove_dir_all(&folder)
                        .with_context(|| format!("could not remove {}", folder.display()))?;
                }
            }
        }
        std::fs::create_dir_all(&self.target)?;
        std::fs::write(&stamp, here).with_context(|| format!("could not write {}", stamp.display()))
    }
}
