//! A step inside an unpacked root file system.
//!
//! The step sees the root file system read-only, the given mounts, an empty `/tmp`, a small `/dev` and a `/proc` of its
//! own pid namespace. It has a user namespace in which it keeps the number of the user who called, so that no privilege
//! is needed and files it makes belong to the caller. When its first process ends, the kernel kills the others.

use std::ffi::{OsStr, OsString};
use std::io;
use std::path::{Path, PathBuf};

use hakoniwa::{Child, Container, Namespace, Stdio};

use crate::run::{Pipe, Running};
use crate::step::{Access, Exit, Mount, Step, StepError};

pub(crate) struct Contained {
    program: PathBuf,
    root: PathBuf,
    child: Child,
    ended: bool,
}

pub(crate) fn start(
    step: &Step,
    root: &Path,
    mounts: &[Mount],
    network: bool,
) -> Result<(Box<dyn Running>, Pipe, Pipe), StepError> {
    let failed = |cause: String| StepError::Start { program: step.program.clone(), cause: io::Error::other(cause) };
    if !is_there(&step.program, root, mounts) {
        return Err(StepError::Start { program: step.program.clone(), cause: io::ErrorKind::NotFound.into() });
    }
    let mut container = Container::new();
    container.unshare(Namespace::Ipc).unshare(Namespace::Uts);
    if !network {
        container.unshare(Namespace::Network);
    }
    container.rootfs(root).map_err(|error| failed(error.to_string()))?;
    container.devfsmount("/dev").tmpfsmount("/tmp");
    for mount in mounts {
        let (source, inside) = (text(mount.source.as_os_str())?, text(mount.inside.as_os_str())?);
        match mount.access {
            Access::ReadOnly => container.bindmount_ro(source, inside),
            Access::ReadWrite => container.bindmount_rw(source, inside),
        };
    }
    let mut command = container.command(text(step.program.as_os_str())?);
    for arg in &step.args {
        command.arg(text(arg)?);
    }
    for (key, value) in &step.env {
        command.env(text(key)?, text(value)?);
    }
    command.current_dir(&step.cwd);
    let quiet = std::fs::File::open("/dev/null").map_err(|cause| failed(cause.to_string()))?;
    command.stdin(Stdio::from(quiet)).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(|error| failed(error.to_string()))?;
    let pipes = (child.stdout.take(), child.stderr.take());
    let process = Contained { program: step.program.clone(), root: root.to_owned(), child, ended: false };
    match pipes {
        (Some(stdout), Some(stderr)) => Ok((Box::new(process), Box::new(stdout), Box::new(stderr))),
        _ => Err(failed("no pipes".into())),
    }
}

/// Whether the step would find its program; the container would say so only in words on its standard error.
fn is_there(program: &Path, root: &Path, mounts: &[Mount]) -> bool {
    let mounted = mounts.iter().find_map(|mount| Some(mount.source.join(program.strip_prefix(&mount.inside).ok()?)));
    let below = program.strip_prefix("/").unwrap_or(program);
    // A link may lead to a place that exists only inside.
    mounted.unwrap_or_else(|| root.join(below)).symlink_metadata().is_ok()
}

/// Whether a step could run in a root file system on this machine for this user; runs `/bin/true` inside `root`.
///
/// # Errors
/// As [`crate::run`]; most often [`StepError::Namespaces`].
pub fn probe(root: &Path) -> Result<(), StepError> {
    let step = Step {
        program: "/bin/true".into(),
        args: Vec::new(),
        env: Vec::new(),
        cwd: "/".into(),
        place: crate::Place::Rootfs { root: root.to_owned(), mounts: Vec::new(), network: false },
        limits: crate::StepLimits { wall_time: std::time::Duration::from_secs(10), ..crate::StepLimits::default() },
    };
    let done = crate::run(&step, &crate::Cancel::default(), &mut |_, _| {})?;
    if done.exit.success() {
        Ok(())
    } else {
        Err(StepError::Start { program: step.program, cause: io::Error::other(done.exit.to_string()) })
    }
}

fn text(value: &OsStr) -> Result<&str, StepError> {
    value.to_str().ok_or_else(|| StepError::NotUtf8(OsString::from(value)))
}

/// What the container adds to the number of a signal.
const SIGNAL_BASE: i32 = 128;

impl Running for Contained {
    fn try_exit(&mut self) -> Result<Option<Exit>, StepError> {
        let wait =
            |program: &Path, cause| StepError::Wait { program: program.to_owned(), cause: io::Error::other(cause) };
        let Some(status) = self.child.try_wait().map_err(|error| wait(&self.program, error.to_string()))? else {
            return Ok(None);
        };
        self.ended = true;
        match status.exit_code {
            Some(code) => Ok(Some(Exit::Code(code))),
            None if status.code > SIGNAL_BASE => Ok(Some(Exit::Signal(status.code - SIGNAL_BASE))),
            // The container itself failed. It tells why in words only; the call that makes namespaces is named in them
            // when this user may not make any.
            None if status.reason.contains("unshare(") => {
                Err(StepError::Namespaces { root: self.root.clone(), cause: status.reason })
            }
            None => Err(wait(&self.program, status.reason)),
        }
    }

    fn kill(&mut self) {
        if !self.ended {
            let _ = self.child.kill();
        }
    }
}

impl Drop for Contained {
    fn drop(&mut self) {
        self.kill();
        if !self.ended {
            // Killed just above; the pid namespace goes with its first process.
            let _ = self.child.wait();
        }
    }
}
