//! Where steps run: each in a sandbox of its phase, or nowhere, unless a person allowed less.

use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use ignite_compiler_sandbox::{Access, Features, Phase, Place, Sandbox, StepLimits, ToolRoot};

use crate::error::CompileError;
use crate::session::Run;

/// How steps are locked up.
#[derive(Debug, Clone, Default)]
pub struct SandboxOptions {
    /// Whether a compile goes on where this machine lacks a protection. What is lacking is said in every log.
    pub allow_unsandboxed: bool,
    /// The bounds of every step; its wall time is what is left of the compile's.
    pub limits: StepLimits,
    /// An unpacked compile image (`images/compile-base`) whose programs and libraries take the place of this machine's. The
    /// toolchains are mounted into it.
    pub image: Option<PathBuf>,
}

/// Where an image has its own programs.
const TOP: [&str; 6] = ["/usr", "/bin", "/sbin", "/lib", "/lib64", "/etc"];
/// Where this machine's are seen in it instead.
const TOOLS: &str = "/ignite/tools";

/// Decides where each step runs.
pub(crate) struct Sandboxes {
    pub(crate) options: SandboxOptions,
    /// A folder on the disk that steps write to.
    scratch: PathBuf,
}

impl Sandboxes {
    pub(crate) fn new(options: SandboxOptions, scratch: PathBuf) -> Self {
        Self { options, scratch }
    }

    /// What is there, in the words of a log; each line is one protection that is missing, or one on how limits are held.
    ///
    /// # Errors
    /// When something is missing that nobody allowed to be.
    pub(crate) fn features(&self) -> Result<Features, CompileError> {
        let features = self.look()?;
        if features.missing.is_empty() || self.options.allow_unsandboxed {
            return Ok(features);
        }
        let missing = features.missing.iter().map(ToString::to_string).collect();
        Err(CompileError::Unprotected { missing })
    }

    /// What is there, whether or not it will do.
    pub(crate) fn look(&self) -> Result<Features, CompileError> {
        std::fs::create_dir_all(&self.scratch)
            .map_err(|cause| CompileError::Cache { path: self.scratch.clone(), cause })?;
        Ok(Features::at(&self.scratch))
    }

    /// The step as it runs in an image, where it does: what it reads of this machine's programs and certificates is put
    /// elsewhere, since their places are the image's own there.
    pub(crate) fn in_image(&self, run: &Run) -> Run {
        let mut run = run.clone();
        if let (ToolRoot::Machine, Some(image)) = (&run.root, &self.options.image) {
            run.root = ToolRoot::Image(image.clone());
        }
        if run.root == ToolRoot::Machine {
            return run;
        }
        let mut moved = Vec::new();
        for (number, mount) in run.mounts.iter_mut().enumerate() {
            if mount.access == Access::ReadOnly && TOP.iter().any(|top| mount.inside.starts_with(top)) {
                let name = mount.inside.file_name().unwrap_or_default();
                let to = Path::new(TOOLS).join(number.to_string()).join(name);
                moved.push((std::mem::replace(&mut mount.inside, to.clone()), to));
            }
        }
        let follow = |path: &Path| {
            let place = moved.iter().find_map(|(from, to)| Some((path.strip_prefix(from).ok()?, to)));
            place.map(|(below, to)| if below.as_os_str().is_empty() { to.clone() } else { to.join(below) })
        };
        for mount in run.mounts.iter_mut().filter(|mount| mount.access == Access::Inert) {
            // Where what it keeps from running was put.
            if let Some(path) = follow(&mount.inside) {
                mount.inside = path;
            }
        }
        if let Some(program) = follow(&run.program) {
            run.program = program;
        }
        for arg in &mut run.args {
            if let Some(path) = follow(Path::new(arg)) {
                *arg = path.into();
            }
        }
        for (_, value) in &mut run.env {
            // One path, or several as in PATH.
            let parts = std::env::split_paths(value).map(|path| follow(&path).unwrap_or(path));
            if let Ok(joined) = std::env::join_paths(parts) {
                *value = joined;
            }
        }
        run
    }

    /// Where a step runs.
    pub(crate) fn place(&self, step: &str, run: &Run) -> Result<Place, CompileError> {
        let features = self.features()?;
        if features.has_sandbox() {
            return Ok(Place::Sandbox(Sandbox {
                phase: run.phase,
                root: run.root.clone(),
                mounts: run.mounts.clone(),
                without: features.without(),
            }));
        }
        match run.root {
            ToolRoot::Machine => Ok(Place::Open),
            // Its tools cannot be seen without namespaces, whatever is allowed.
            ToolRoot::Image(_) => Err(CompileError::Unprotected {
                missing: vec![format!("`{step}` runs in an image of its own, which this machine cannot show it")],
            }),
        }
    }
}

/// The file `below` a folder that a step could write to, if it and every folder on the way is what it seems: a step may
/// have laid a link there, to have us read or write something else. No process of it is left that could do so after.
///
/// # Errors
/// When it is not there, or something on the way is a link, or it is not a file.
pub(crate) fn plain_file(base: &Path, below: impl AsRef<Path>) -> io::Result<PathBuf> {
    let mut path = plain_folder(base, below.as_ref().parent().unwrap_or(Path::new("")))?;
    path.push(below.as_ref().file_name().unwrap_or_default());
    if std::fs::symlink_metadata(&path)?.is_file() {
        return Ok(path);
    }
    Err(io::Error::new(io::ErrorKind::InvalidData, "it is not a file"))
}

/// The folder `below` another one, likewise.
///
/// # Errors
/// When it is not there, or something on the way is a link or no folder.
pub(crate) fn plain_folder(base: &Path, below: &Path) -> io::Result<PathBuf> {
    let mut path = base.to_owned();
    for part in below.components() {
        path.push(part);
        if !std::fs::symlink_metadata(&path)?.is_dir() {
            return Err(io::Error::new(io::ErrorKind::InvalidData, format!("{} is not a folder", path.display())));
        }
    }
    Ok(path)
}

/// The text of such a file; empty where there is none, or none that can be read.
pub(crate) fn plain_text(base: &Path, below: &str) -> String {
    let read = || {
        let file = std::fs::File::open(plain_file(base, below)?)?;
        let mut text = String::new();
        file.take(TEXT_BYTES_MAX).read_to_string(&mut text).map(|_| text)
    };
    read().unwrap_or_default()
}

/// Largest text that is read from a folder of a step, in bytes.
const TEXT_BYTES_MAX: u64 = 32 * 1024 * 1024;

/// The variables that every step has, whatever its tool.
pub(crate) fn basic_env(phase: Phase, folders: &[PathBuf]) -> Vec<(std::ffi::OsString, std::ffi::OsString)> {
    let mut path = std::ffi::OsString::new();
    for folder in folders {
        path.push(folder);
        path.push(":");
    }
    path.push("/usr/local/bin:/usr/bin:/bin");
    let mut env = vec![("PATH".into(), path)];
    if phase == Phase::Build {
        env.push(("HOME".into(), "/tmp".into()));
    }
    env
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test")]
    use super::*;

    #[test]
    fn tools_of_this_machine_have_a_place_of_their_own_in_an_image() {
        let options = SandboxOptions { image: Some("/image".into()), ..SandboxOptions::default() };
        let sandboxes = Sandboxes::new(options, "/scratch".into());
        let run = Run::new(Phase::Build, "/usr/local/go/bin/go", "/work").reads(["/usr/local/go", "/opt/python"]);
        let run = run.args(["--python", "/opt/python/bin/python3", "/usr/local/go", "/usr/share/x"]);
        let run = sandboxes.in_image(&run);
        assert_eq!(run.program, Path::new("/ignite/tools/0/go/bin/go"));
        assert_eq!(run.args, ["--python", "/opt/python/bin/python3", "/ignite/tools/0/go", "/usr/share/x"]);
        assert_eq!(run.env[0].1, "/ignite/tools/0/go/bin:/usr/local/bin:/usr/bin:/bin");
        let seen: Vec<_> = run.mounts.iter().map(|mount| (mount.source.as_path(), mount.inside.as_path())).collect();
        let expected = [("/usr/local/go", "/ignite/tools/0/go"), ("/opt/python", "/opt/python")];
        assert_eq!(seen, expected.map(|(from, to)| (Path::new(from), Path::new(to))));
    }

    #[test]
    fn what_a_step_left_is_read_only_where_it_is_what_it_seems() {
        let (base, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        std::fs::create_dir_all(base.path().join("a/b")).unwrap();
        std::fs::write(base.path().join("a/b/file"), "own").unwrap();
        std::fs::create_dir(other.path().join("b")).unwrap();
        std::fs::write(other.path().join("b/file"), "secret").unwrap();
        std::os::unix::fs::symlink(other.path(), base.path().join("link")).unwrap();
        std::os::unix::fs::symlink(other.path().join("b/file"), base.path().join("a/b/linked")).unwrap();
        assert_eq!(plain_text(base.path(), "a/b/file"), "own");
        for hidden in ["link/b/file", "a/b/linked", "a/b", "a/nowhere"] {
            assert!(plain_file(base.path(), hidden).is_err(), "{hidden}");
            assert_eq!(plain_text(base.path(), hidden), "");
        }
    }
}
