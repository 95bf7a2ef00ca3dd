//! A step as an ordinary process of this machine.

use std::io;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions};

use crate::run::{Pipe, Running};
use crate::step::{Exit, Step, StepError};

pub(crate) struct OpenProcess {
    program: PathBuf,
    child: Child,
    reaped: bool,
}

pub(crate) fn start(step: &Step) -> Result<(Box<dyn Running>, Pipe, Pipe), StepError> {
    let mut command = Command::new(&step.program);
    command
        .args(&step.args)
        .env_clear()
        .envs(step.env.iter().map(|(key, value)| (key, value)))
        .current_dir(&step.cwd)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0);
    die_with_parent(&mut command);
    let failed = |cause| StepError::Start { program: step.program.clone(), cause };
    let mut child = command.spawn().map_err(failed)?;
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let process = OpenProcess { program: step.program.clone(), child, reaped: false };
    match (stdout, stderr) {
        (Some(stdout), Some(stderr)) => Ok((Box::new(process), Box::new(stdout), Box::new(stderr))),
        _ => Err(failed(io::Error::other("no pipes"))),
    }
}

/// Asks the kernel to kill the child when the thread that started it is gone, so that a killed compiler leaves no
/// tool behind. The thread that starts a step is the one that waits for it.
#[expect(unsafe_code, reason = "code between fork and exec can only be given in this way")]
fn die_with_parent(command: &mut Command) {
    // SAFETY: the closure runs between fork and exec, where only async-signal-safe calls are allowed: it makes one
    // system call (prctl) and neither allocates nor locks.
    unsafe {
        command
            .pre_exec(|| rustix::process::set_parent_process_death_signal(Some(Signal::KILL)).map_err(io::Error::from));
    }
}

impl OpenProcess {
    fn look(&mut self) -> io::Result<Option<Exit>> {
        let Some(pid) = self.pid() else { return Ok(None) };
        let look = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        if rustix::process::waitid(WaitId::Pid(pid), look)?.is_none() {
            return Ok(None);
        }
        // The leader is dead but not reaped, so its group's number cannot have been given to anyone else.
        self.kill();
        let status = self.child.wait()?;
        self.reaped = true;
        Ok(Some(match (status.code(), status.signal()) {
            (Some(code), _) => Exit::Code(code),
            (None, Some(signal)) => Exit::Signal(signal),
            (None, None) => Exit::Code(-1),
        }))
    }

    fn pid(&self) -> Option<Pid> {
        i32::try_from(self.child.id()).ok().and_then(Pid::from_raw)
    }
}

impl Running for OpenProcess {
    fn try_exit(&mut self) -> Result<Option<Exit>, StepError> {
        self.look().map_err(|cause| StepError::Wait { program: self.program.clone(), cause })
    }

    fn kill(&mut self) {
        if self.reaped {
            return;
        }
        if let Some(pid) = self.pid() {
            // It fails only when the group is gone, which is what is wanted.
            let _ = rustix::process::kill_process_group(pid, Signal::KILL);
        }
    }
}

impl Drop for OpenProcess {
    fn drop(&mut self) {
        self.kill();
        if !self.reaped {
            // Killed just above, so this ends at once; without it a zombie would stay.
            let _ = self.child.wait();
        }
    }
}
