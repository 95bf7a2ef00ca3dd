//! A step in a sandbox: prepares everything, makes the process, and holds it.
//!
//! The process is made in new namespaces with one call. The compiler then maps its user, puts it into its control groups
//! and lets it go; it builds its file system from mounts that were prepared, as `child.rs` says, and tells how that went
//! over a socket. It is the first process of its pid namespace: when it is killed, the kernel kills every other one, and
//! its end is only told once they are gone. It dies with the thread that started it.

use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Signal, WaitId, WaitIdOptions, getegid, geteuid, pidfd_send_signal, waitid};

use crate::cgroup::Group;
use crate::child::{self, ENDED, FAILED, Message, NOT_EXECUTED, READY, STAGES, Script, Source, Strings};
use crate::disk::Disk;
use crate::layout::{self, Layout, Wanted, c_path, c_text};
use crate::own_user;
use crate::run::{Pipe, Running};
use crate::seccomp;
use crate::step::{Access, Bound, Exit, Protection, Sandbox, Step, StepError};
use crate::sys::{self, Cloned};
use crate::watch::Watch;

/// Longest time the file system of a sandbox may take to be built; it takes milliseconds.
const BUILD_WAIT_MAX: Duration = Duration::from_secs(30);
/// Processes of ours in the sandbox beside those of the step.
const OWN_PROCESSES: u64 = 2;
/// How willingly the kernel ends a step rather than anything else when memory is short (0 to 1000).
const KILL_FIRST: &str = "800";

pub(crate) struct Contained {
    program: std::path::PathBuf,
    handle: OwnedFd,
    control: UnixStream,
    watch: Watch,
    reaped: bool,
}

/// Starts a step that is locked up.
pub(crate) fn start(step: &Step, sandbox: &Sandbox) -> Result<(Box<dyn Running>, Pipe, Pipe), StepError> {
    let own_user = own_user::is_needed() && !sandbox.without.contains(&Protection::OwnUser);
    let limits = bounded(step);
    let layout = Layout::new(sandbox, &limits)?;
    let group = Group::make(limits.memory_bytes_max, limits.processes_max + OWN_PROCESSES);
    let (control, their_control) = UnixStream::pair().map_err(failed("make a socket"))?;
    let (stdout, their_stdout) = pipe()?;
    let (stderr, their_stderr) = pipe()?;
    let nothing = File::open("/dev/null").map_err(failed("open /dev/null"))?;

    // Above everything the process will have, so that none is overwritten while they are brought to their places.
    let above = i32::try_from(layout.mounts.len()).unwrap_or(i32::MAX - 8) + 8;
    let theirs = [nothing.as_fd(), their_stdout.as_fd(), their_stderr.as_fd(), their_control.as_fd()];
    let theirs = theirs.map(|fd| rustix::io::fcntl_dupfd_cloexec(fd, above));
    let [stdin, out, err, socket] = theirs;
    let raise = |fd: rustix::io::Result<OwnedFd>| fd.map_err(|errno| failed("open descriptors")(errno.into()));
    let (stdin, out, err, socket) = (raise(stdin)?, raise(out)?, raise(err)?, raise(socket)?);
    let trees = match own_user {
        true => prepared(&layout.mounts, above)?,
        false => Vec::new(),
    };

    let mut script = script(step, sandbox, &limits, layout, &trees)?;
    script.stdio = [stdin.as_raw_fd(), out.as_raw_fd(), err.as_raw_fd()];
    script.control = socket.as_raw_fd();
    script.leaves_groups = own_user;
    debug_assert!(script.first_free() <= above);

    let (pid, handle) = clone(sandbox, &mut script)?;
    drop((stdin, out, err, socket, trees, their_stdout, their_stderr, their_control));
    let mut begun = Begun { handle: Some(handle) };
    let id = if own_user { own_user::ID } else { geteuid().as_raw() };
    let group_id = if own_user { own_user::ID } else { getegid().as_raw() };
    map_user(pid, id, group_id, own_user).map_err(failed("map the user"))?;
    let group = group.joined_by(pid);
    let _ = fs::write(format!("/proc/{pid}/oom_score_adj"), KILL_FIRST);
    io::Write::write_all(&mut &control, b"g").map_err(failed("let the process go"))?;

    let names = names(&script);
    let processes = ready(&control, &names)?;
    let handle = begun.handle.take().ok_or_else(|| failed("start")(io::Error::other("no handle")))?;
    let written = sandbox.mounts.iter().filter(|mount| mount.access == Access::ReadWrite);
    let disk = Disk::new(written.map(|mount| mount.source.clone()).collect(), &limits);
    let watch = Watch::new(group, processes, disk, limits);
    let _ = control.set_nonblocking(true);
    let process = Contained { program: step.program.clone(), handle, control, watch, reaped: false };
    Ok((Box::new(process), Box::new(stdout), Box::new(stderr)))
}

/// The limits, with as much memory as this machine can give.
fn bounded(step: &Step) -> crate::step::StepLimits {
    let mut limits = step.limits;
    let text = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let total = text.lines().find_map(|line| line.strip_prefix("MemTotal:")?.trim().strip_suffix(" kB")?.parse().ok());
    if let Some(kib) = total.map(|kib: u64| kib) {
        limits.memory_bytes_max = limits.memory_bytes_max.min(kib * 1024 / 4 * 3);
    }
    limits
}

fn script(
    step: &Step,
    sandbox: &Sandbox,
    limits: &crate::step::StepLimits,
    layout: Layout,
    trees: &[OwnedFd],
) -> Result<Script, StepError> {
    let sources = layout.mounts.iter().enumerate().map(|(place, wanted)| {
        let tree = match trees.get(place) {
            Some(tree) => Ok(tree.as_raw_fd()),
            None => Err((c_path(&wanted.from)?, wanted.attributes)),
        };
        Ok(Source { tree })
    });
    let sources = sources.collect::<Result<Vec<_>, StepError>>()?;
    let anchor = ["/tmp", "/mnt", "/var", "/usr"].into_iter().find(|folder| Path::new(folder).is_dir()).unwrap_or("/");
    let mut resources = vec![
        (libc::RLIMIT_CORE, 0),
        (libc::RLIMIT_FSIZE, limits.file_bytes_max),
        (libc::RLIMIT_NOFILE, limits.open_files_max),
        (libc::RLIMIT_DATA, limits.memory_bytes_max),
        (libc::RLIMIT_MSGQUEUE, 0),
        (libc::RLIMIT_MEMLOCK, 8 * 1024 * 1024),
        (libc::RLIMIT_NICE, 0),
        (libc::RLIMIT_RTPRIO, 0),
    ];
    if counts_processes_by_namespace() {
        resources.push((libc::RLIMIT_NPROC, limits.processes_max + OWN_PROCESSES));
    }
    let filtered = !sandbox.without.contains(&Protection::SystemCalls);
    if filtered && !seccomp::is_there() {
        let cause = io::Error::other("there is none for this architecture");
        return Err(failed("load the filter of system calls")(cause));
    }
    let arguments = [step.program.clone().into_os_string()].into_iter().chain(step.args.iter().cloned()).map(c_text);
    let environment = step.env.iter().map(|(name, value)| {
        let mut pair = name.clone();
        pair.push("=");
        pair.push(value);
        c_text(pair)
    });
    Ok(Script {
        stdio: [-1; 3],
        control: -1,
        sources,
        anchor: c_path(Path::new(anchor))?,
        ops: layout.ops,
        id: layout::USER,
        leaves_groups: false,
        limits: resources,
        filter: if filtered { seccomp::filter(sandbox.phase) } else { Vec::new() },
        program: c_path(&step.program)?,
        arguments: Strings::new(arguments.collect::<Result<_, _>>()?),
        environment: Strings::new(environment.collect::<Result<_, _>>()?),
        folder: c_path(&step.cwd)?,
    })
}

/// Whether the limit on processes counts those of the sandbox alone: since Linux 5.14. Before, it counted all of the
/// user, who may well have more at home.
fn counts_processes_by_namespace() -> bool {
    let release = rustix::system::uname();
    let release = release.release().to_string_lossy();
    let mut numbers = release.split(['.', '-']).map_while(|part| part.parse::<u32>().ok());
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0)) >= (5, 14)
}

/// Copies of the mounts, with the owner of what belongs to the compiler mapped to the user of the step.
fn prepared(mounts: &[Wanted], above: RawFd) -> Result<Vec<OwnedFd>, StepError> {
    let users = own_user::mapping().map_err(failed("make a namespace for a user of its own"))?;
    mounts.iter().map(|wanted| prepare(wanted, users, above)).collect()
}

#[expect(unsafe_code, reason = "descriptors that were just opened")]
fn prepare(wanted: &Wanted, users: BorrowedFd<'_>, above: RawFd) -> Result<OwnedFd, StepError> {
    let what = format!("mount {}", wanted.from.display());
    let failed = |errno| StepError::Sandbox { what: what.clone(), cause: io::Error::from_raw_os_error(errno) };
    let path = c_path(&wanted.from)?;
    let open = || {
        let tree = sys::open_tree(&path).map_err(failed)?;
        // SAFETY: it was opened just now and belongs to nobody else.
        Ok(unsafe { OwnedFd::from_raw_fd(tree) })
    };
    let mut tree = open()?;
    let users = wanted.mapped.then_some(users);
    match sys::set_attributes(tree.as_raw_fd(), wanted.attributes, users) {
        Ok(()) => {}
        // Some file systems cannot map owners; what everybody may read can be read without.
        Err(_) if wanted.mapped && wanted.attributes & sys::RDONLY != 0 => {
            tree = open()?;
            sys::set_attributes(tree.as_raw_fd(), wanted.attributes, None).map_err(failed)?;
        }
        Err(errno) => return Err(failed(errno)),
    }
    rustix::io::fcntl_dupfd_cloexec(&tree, above).map_err(|errno| failed(errno.raw_os_error()))
}

#[expect(unsafe_code, reason = "the process that becomes the sandbox")]
fn clone(sandbox: &Sandbox, script: &mut Script) -> Result<(u32, OwnedFd), StepError> {
    let mut namespaces = libc::CLONE_NEWUSER
        | libc::CLONE_NEWNS
        | libc::CLONE_NEWPID
        | libc::CLONE_NEWIPC
        | libc::CLONE_NEWUTS
        | libc::CLONE_NEWCGROUP;
    if sandbox.phase == crate::step::Phase::Build {
        namespaces |= libc::CLONE_NEWNET;
    }
    // SAFETY: the child calls `child::main`, which makes system calls only and never returns.
    match unsafe { sys::clone_into(namespaces as u64) }.map_err(failed("make namespaces"))? {
        // SAFETY: this is the process that was just made, in the namespaces it needs.
        Cloned::Child => unsafe { child::main(script) },
        Cloned::Parent(pid, handle) => Ok((pid, handle)),
    }
}

fn map_user(pid: u32, user: u32, group: u32, own_user: bool) -> io::Result<()> {
    if !own_user {
        // Who may not change groups for good could otherwise leave one that takes rights away.
        fs::write(format!("/proc/{pid}/setgroups"), "deny")?;
    }
    fs::write(format!("/proc/{pid}/uid_map"), format!("{} {user} 1", layout::USER))?;
    fs::write(format!("/proc/{pid}/gid_map"), format!("{} {group} 1", layout::USER))
}

/// What the parts of the script are called, for what cannot be done.
struct Names {
    sources: Vec<String>,
    ops: Vec<String>,
}

fn names(script: &Script) -> Names {
    let text = |path: &std::ffi::CStr| path.to_string_lossy().into_owned();
    let sources = script.sources.iter().map(|source| match &source.tree {
        Ok(_) => String::new(),
        Err((path, _)) => text(path),
    });
    let ops = script.ops.iter().map(|op| match op {
        child::Op::Folder(path)
        | child::Op::File(path, _)
        | child::Op::Link(path, _)
        | child::Op::Mount(path, _)
        | child::Op::Memory(path, _, _)
        | child::Op::Processes(path) => format!("/{}", text(path)),
    });
    Names { sources: sources.collect(), ops: ops.collect() }
}

/// Waits until the sandbox stands; gives its `/proc`.
fn ready(control: &UnixStream, names: &Names) -> Result<OwnedFd, StepError> {
    let mut waited = [PollFd::new(control, PollFlags::IN)];
    let timeout = Timespec { tv_sec: BUILD_WAIT_MAX.as_secs().cast_signed(), tv_nsec: 0 };
    let until = Instant::now() + BUILD_WAIT_MAX;
    loop {
        match poll(&mut waited, Some(&timeout)) {
            Ok(0) => return Err(failed("build the root")(io::ErrorKind::TimedOut.into())),
            Ok(_) => break,
            Err(rustix::io::Errno::INTR) if Instant::now() < until => {}
            Err(errno) => return Err(failed("wait for the sandbox")(errno.into())),
        }
    }
    let (message, fd) = receive(control).map_err(failed("hear from the sandbox"))?;
    match (message, fd) {
        (Some([READY, ..]), Some(fd)) => Ok(fd),
        (Some([FAILED, stage, a, b, c, d, e, f]), _) => {
            let place = usize::from(u16::from_ne_bytes([a, b]));
            let stage = usize::from(stage);
            let of = match stage {
                3 => names.sources.get(place),
                5 => names.ops.get(place),
                _ => None,
            };
            let what = STAGES.get(stage).copied().unwrap_or("start");
            let of = of.filter(|of| !of.is_empty()).map_or_else(|| format!(" ({place})"), |of| format!(", {of}"));
            let cause = io::Error::from_raw_os_error(i32::from_ne_bytes([c, d, e, f]));
            Err(StepError::Sandbox { what: format!("{what}{of}"), cause })
        }
        _ => Err(failed("start")(io::Error::other("its first process was killed"))),
    }
}

/// One message, and a descriptor that may come along.
fn receive(control: &UnixStream) -> io::Result<(Option<Message>, Option<OwnedFd>)> {
    use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
    let mut message: Message = [0; 8];
    let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let mut parts = [io::IoSliceMut::new(&mut message)];
    let read = recvmsg(control, &mut parts, &mut ancillary, RecvFlags::CMSG_CLOEXEC)?;
    let fd = ancillary.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut fds) => fds.next(),
        _ => None,
    });
    Ok(((read.bytes == message.len()).then_some(message), fd))
}

fn pipe() -> Result<(File, OwnedFd), StepError> {
    let (read, write) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)
        .map_err(|errno| failed("make a pipe")(errno.into()))?;
    Ok((File::from(read), write))
}

fn failed(what: &str) -> impl Fn(io::Error) -> StepError + '_ {
    move |cause| StepError::Sandbox { what: what.to_owned(), cause }
}

/// A process that was made and has not yet become a [`Contained`]: it is killed on every way out.
struct Begun {
    handle: Option<OwnedFd>,
}

impl Drop for Begun {
    fn drop(&mut self) {
        if let Some(handle) = &self.handle {
            end(handle);
        }
    }
}

/// Kills the sandbox and waits until its last process is gone.
fn end(handle: &OwnedFd) {
    let _ = pidfd_send_signal(handle, Signal::KILL);
    let _ = waitid(WaitId::PidFd(handle.as_fd()), WaitIdOptions::EXITED);
}

impl Running for Contained {
    fn try_exit(&mut self) -> Result<Option<Exit>, StepError> {
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG;
        let ended = waitid(WaitId::PidFd(self.handle.as_fd()), options)
            .map_err(|errno| StepError::Wait { program: self.program.clone(), cause: errno.into() })?;
        if ended.is_none() {
            return Ok(None);
        }
        self.reaped = true;
        let message = receive(&self.control).ok().and_then(|(message, _)| message);
        match message {
            Some([ENDED, _, _, _, status @ ..]) => Ok(Some(exit(i32::from_ne_bytes(status)))),
            Some([NOT_EXECUTED, _, _, _, errno @ ..]) => Err(StepError::Start {
                program: self.program.clone(),
                cause: io::Error::from_raw_os_error(i32::from_ne_bytes(errno)),
            }),
            // Its first process was killed, and could tell nothing.
            _ => Ok(Some(Exit::Signal(libc::SIGKILL))),
        }
    }

    fn kill(&mut self) {
        if !self.reaped {
            let _ = pidfd_send_signal(&self.handle, Signal::KILL);
        }
    }

    fn look(&mut self, now: Instant) -> Option<Bound> {
        self.watch.look(now)
    }

    fn last_look(&mut self) -> Option<Bound> {
        self.watch.last_look()
    }
}

/// What `waitpid` tells.
fn exit(status: i32) -> Exit {
    if libc::WIFSIGNALED(status) { Exit::Signal(libc::WTERMSIG(status)) } else { Exit::Code(libc::WEXITSTATUS(status)) }
}

impl Drop for Contained {
    fn drop(&mut self) {
        if !self.reaped {
            end(&self.handle);
        }
    }
}
