//! A step inside an unpacked root file system.
//!
//! The step sees the root file system read-only, the given mounts, an empty `/tmp`, a small `/dev` and a `/proc` of its
//! own pid namespace. It has a user namespace in which it keeps the number of the user who called, so that no privilege
//! is needed and files it makes belong to the caller. When its first process ends, the kernel kills the others.

use std::ffi::{OsStr, OsString};
use std::io;
use std::path::Path;

use hakoniwa::{Child, Container, Namespace, Stdio};

use crate::run::{Pipe, Running};
use crate::step::{Access, Exit, Mount, Step, StepError};

pub(crate) struct Contained {
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
    let mut process = Contained { child, ended: false };
    // A container that cannot be set up has ended before its program began, and says why.
    if let Some(cause) = process.setup_failure() {
        return Err(if cause.contains("EPERM") || cause.contains("ENOSPC") || cause.contains("unshare") {
            StepError::Namespaces { root: root.to_owned(), cause }
        } else {
            failed(cause)
        });
    }
    match pipes {
        (Some(stdout), Some(stderr)) => Ok((Box::new(process), Box::new(stdout), Box::new(stderr))),
        _ => Err(failed("no pipes".into())),
    }
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

impl Contained {
    /// The reason, when the container itself failed and its program never began.
    fn setup_failure(&mut self) -> Option<String> {
        match self.child.try_wait() {
            Ok(Some(status)) if status.exit_code.is_none() && status.code == CONTAINER_FAILED => {
                self.ended = true;
                Some(status.reason)
            }
            _ => None,
        }
    }
}

/// The code with which the container reports its own failure.
const CONTAINER_FAILED: i32 = 125;

impl Running for Contained {
    fn try_exit(&mut self) -> io::Result<Option<Exit>> {
        let status = self.child.try_wait().map_err(|error| io::Error::other(error.to_string()))?;
        let Some(status) = status else { return Ok(None) };
        self.ended = true;
        Ok(Some(match status.exit_code {
            Some(code) => Exit::Code(code),
            None if status.code > 128 => Exit::Signal(status.code - 128),
            None => return Err(io::Error::other(status.reason)),
        }))
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
