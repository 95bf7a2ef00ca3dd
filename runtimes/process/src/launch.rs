//! How a worker process is started: its program, environment, descriptors and connection.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use command_fds::{CommandFdExt as _, FdMapping};
use ignite_core_abi::{ENV_WORKER_FD, ENV_WORKER_SOCKET};
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{Signal, nice, set_parent_process_death_signal};
use tokio::net::unix::pipe;
use tokio::net::{UnixListener, UnixStream};

use crate::child::Child;
use crate::config::{ProcessConfig, ProcessRuntime};
use crate::deno_worker::install_warm_worker;
use crate::orphans::ENV_MARK;

/// The worker's descriptor of the socket: the first after the standard streams.
const WORKER_FD: i32 = 3;

/// The descriptor of a warm Python worker by which it is told its app.
const WARM_FD: i32 = 4;
/// Names that descriptor.
const ENV_WARM_FD: &str = "IGNITE_WARM_FD";

/// Tells the Python worker which module holds the handler.
const ENV_PYTHON_ENTRYPOINT: &str = "IGNITE_ENTRYPOINT";

/// How much nicer than its host a worker is (`nice(2)`): a third of its weight. Handlers that compute then keep neither clocks
/// nor probes nor other executions waiting, and get all that the host leaves. The worker of Python has the same number.
const NICE: i32 = 5;

/// Passed on from the host's own environment where it is set; a function needs them to find programs and the time.
const INHERITED: [&str; 3] = ["PATH", "TZ", "TMPDIR"];

/// A process that was started and the host's ends of its streams.
pub(crate) struct Started {
    pub(crate) child: Child,
    pub(crate) connection: Connection,
    pub(crate) output: OutputPipes,
}

/// What a worker prints.
pub(crate) struct OutputPipes {
    pub(crate) stdout: pipe::Receiver,
    pub(crate) stderr: pipe::Receiver,
}

/// The socket, or the promise of one.
pub(crate) enum Connection {
    /// One end of a pair; the worker has inherited the other.
    Open(UnixStream),
    /// The worker will connect here. The folder is private and removed with this value.
    Listening(UnixListener, tempfile::TempDir),
}

/// Where a warm worker is told its app.
pub(crate) enum Control {
    /// One end of a pair; the worker has inherited the other.
    Open(UnixStream),
    /// The worker connects once more, and first, to where it connects for its frames.
    First,
}

impl Control {
    /// The open connection; `frames` is that for frames.
    pub(crate) async fn open(self, frames: &Connection) -> io::Result<UnixStream> {
        match (self, frames) {
            (Self::Open(stream), _) => Ok(stream),
            (Self::First, Connection::Listening(listener, _)) => listener.accept().await.map(|(stream, _)| stream),
            (Self::First, Connection::Open(_)) => Err(io::ErrorKind::NotConnected.into()),
        }
    }
}

impl Connection {
    /// The open socket.
    pub(crate) async fn open(self) -> io::Result<UnixStream> {
        match self {
            Self::Open(stream) => Ok(stream),
            Self::Listening(listener, _dir) => listener.accept().await.map(|(stream, _)| stream),
        }
    }
}

/// Both ends of what a forked worker gets.
pub(crate) struct Streams {
    pub(crate) connection: UnixStream,
    pub(crate) output: OutputPipes,
    /// The worker's socket, stdout and stderr, in this order.
    pub(crate) theirs: [OwnedFd; 3],
}

/// Makes a connected socket and two pipes.
pub(crate) fn streams() -> io::Result<Streams> {
    let (ours, their_socket) = socketpair(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
    let (stdout, their_stdout) = pipe_with(PipeFlags::CLOEXEC)?;
    let (stderr, their_stderr) = pipe_with(PipeFlags::CLOEXEC)?;
    Ok(Streams {
        connection: stream(ours)?,
        output: OutputPipes { stdout: receiver(stdout)?, stderr: receiver(stderr)? },
        theirs: [their_socket, their_stdout, their_stderr],
    })
}

fn stream(fd: OwnedFd) -> io::Result<UnixStream> {
    let stream = std::os::unix::net::UnixStream::from(fd);
    stream.set_nonblocking(true)?;
    UnixStream::from_std(stream)
}

fn receiver(fd: OwnedFd) -> io::Result<pipe::Receiver> {
    // Only this end: the flag belongs to the end of the pipe, and the worker's stays blocking.
    fcntl_setfl(fd.as_fd(), fcntl_getfl(fd.as_fd())? | OFlags::NONBLOCK)?;
    pipe::Receiver::from_owned_fd(fd)
}

/// Starts one worker process. It blocks for as long as the system needs to execute a program, a millisecond or so.
pub(crate) fn start(config: &ProcessConfig, mark: &str) -> io::Result<Started> {
    let mut command = command(config);
    command.current_dir(&config.app.path).env_clear().envs(environment(config, |name| std::env::var_os(name)));
    launch(command, &config.runtime, mark, Vec::new())
}

/// Starts a worker that has no app yet. Blocks as [`start`] does.
///
/// # Errors
/// `Unsupported` where the runtime has no such worker.
pub(crate) fn start_warm(runtime: &ProcessRuntime, memory_mb: u32, mark: &str) -> io::Result<(Started, Control)> {
    let mut command = match runtime {
        ProcessRuntime::Python { python, worker } => python_command(python, worker),
        ProcessRuntime::Deno { deno, cache } => {
            let mut command = deno_command(deno, memory_mb);
            command.arg(install_warm_worker(cache)?);
            command
        }
        ProcessRuntime::Binary | ProcessRuntime::BinaryBySocket => return Err(io::ErrorKind::Unsupported.into()),
    };
    command.current_dir("/").env_clear().envs(base_environment(runtime, |name| std::env::var_os(name)));
    if uses_socket(runtime) {
        // It takes the path of its socket for both connections.
        return launch(command, runtime, mark, Vec::new()).map(|started| (started, Control::First));
    }
    let (ours, theirs) = socketpair(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
    command.env(ENV_WARM_FD, WARM_FD.to_string());
    let further = vec![FdMapping { parent_fd: theirs, child_fd: WARM_FD }];
    Ok((launch(command, runtime, mark, further)?, Control::Open(stream(ours)?)))
}

/// Starts `command` with streams, a socket and `further` descriptors.
fn launch(
    mut command: Command,
    runtime: &ProcessRuntime,
    mark: &str,
    mut further: Vec<FdMapping>,
) -> io::Result<Started> {
    let Streams { connection, output, theirs: [socket, stdout, stderr] } = streams()?;
    command
        .env(ENV_MARK, mark)
        .stdin(Stdio::null())
        .stdout(stdout)
        .stderr(stderr)
        // A group of its own: a worker is killed with all it started, and the terminal's Ctrl-C is for the host alone.
        .process_group(0);
    let connection = if uses_socket(runtime) {
        let dir = tempfile::Builder::new().prefix("ignite-worker-").tempdir()?;
        let path = dir.path().join("socket");
        let listener = UnixListener::bind(&path)?;
        command.env(ENV_WORKER_SOCKET, &path);
        Connection::Listening(listener, dir)
    } else {
        command.env(ENV_WORKER_FD, WORKER_FD.to_string());
        further.push(FdMapping { parent_fd: socket, child_fd: WORKER_FD });
        Connection::Open(connection)
    };
    command.fd_mappings(further).map_err(|collision| io::Error::other(collision.to_string()))?;
    if !matches!(runtime, ProcessRuntime::Python { .. }) {
        before_exec(&mut command);
    }
    let process = spawn(&mut command)?;
    // The handle of the standard library is let go: `Child` reaps the process by its id.
    let child = Child::started(process.id())?;
    Ok(Started { child, connection, output })
}

/// Has the system kill the worker when the host is gone, even one whose handler never looks at its socket, and gives it less
/// of a busy core than the host has. A Python zygote looks always, must live on for a moment to end its children, and lets
/// them see to the other thing themselves.
#[expect(unsafe_code, reason = "the standard library has no other way to make a call between fork and exec")]
fn before_exec(command: &mut Command) {
    // SAFETY: the closure runs in the forked child before it executes the program. It makes a few system calls, `prctl`,
    // `getpriority` and `setpriority`, which are async-signal-safe, and neither allocates nor takes a lock.
    unsafe {
        command.pre_exec(|| {
            // It runs as well where that is refused.
            let _ = nice(NICE);
            Ok(set_parent_process_death_signal(Some(Signal::KILL))?)
        });
    }
}

/// Starts the program, again if it is busy. A program that was just written is "busy" while any process that was forked
/// in that moment still holds the descriptor it was written by, which ends when that process executes its own program.
fn spawn(command: &mut Command) -> io::Result<std::process::Child> {
    let mut tries = 0;
    loop {
        match command.spawn() {
            Err(error) if error.kind() == io::ErrorKind::ExecutableFileBusy && tries < BUSY_TRIES_MAX => {
                tries += 1;
                std::thread::sleep(BUSY_WAIT);
            }
            result => return result,
        }
    }
}

const BUSY_TRIES_MAX: u32 = 50;
const BUSY_WAIT: Duration = Duration::from_millis(5);

fn uses_socket(runtime: &ProcessRuntime) -> bool {
    matches!(runtime, ProcessRuntime::Deno { .. } | ProcessRuntime::BinaryBySocket)
}

fn command(config: &ProcessConfig) -> Command {
    let entrypoint = config.app.path.join(&config.app.entrypoint);
    match &config.runtime {
        ProcessRuntime::Python { python, worker } => {
            let mut command = python_command(python, worker);
            command.arg(&config.app.path);
            command
        }
        ProcessRuntime::Deno { deno, .. } => {
            let mut command = deno_command(deno, config.limits.memory_mb);
            command.arg(entrypoint);
            command
        }
        ProcessRuntime::Binary | ProcessRuntime::BinaryBySocket => Command::new(entrypoint),
    }
}

fn python_command(python: &Path, worker: &Path) -> Command {
    let mut command = Command::new(python);
    // Isolated and without `site`: nothing of the machine's Python gets into the app.
    command.args(["-I", "-S", "-X", "utf8"]).arg(worker.join("ignite/_main.py"));
    command
}

/// Deno with the permissions of an app. A warm worker has the same: there is one class of them, because what an app may do
/// is bounded outside of Deno.
fn deno_command(deno: &Path, memory_mb: u32) -> Command {
    let mut command = Command::new(deno);
    // The bundle carries all it needs: nothing is looked up, neither on the network nor beside it.
    command.args(["run", "--allow-all", "--no-prompt", "--no-config", "--no-lock", "--no-remote"]);
    command.args(["--cached-only", "--quiet"]);
    // Each host has its app in a folder of its own, so that what Deno keeps by path is never found again: looking for it, and
    // keeping more, makes a start 10 ms slower, and the file grows with every start.
    command.arg("--no-code-cache");
    // V8 then collects before it comes near the limit that the watcher holds.
    command.arg(format!("--v8-flags=--max-old-space-size={memory_mb}"));
    command
}

/// What a worker finds in its environment: the app's own variables above a small fixed set. The variables that carry the
/// protocol are added afterwards and cannot be replaced.
fn environment(config: &ProcessConfig, host: impl Fn(&str) -> Option<OsString>) -> Vec<(OsString, OsString)> {
    let mut found = base_environment(&config.runtime, host);
    if let ProcessRuntime::Python { .. } = &config.runtime {
        found.push((ENV_PYTHON_ENTRYPOINT.into(), config.app.entrypoint.clone().into()));
    }
    found.extend(config.env.iter().filter(|(name, _)| !is_reserved(name)).cloned());
    found
}

/// The same for a worker that was started without it; what the protocol still needs is in it.
pub(crate) fn app_environment(config: &ProcessConfig, frames: &Connection) -> Vec<(OsString, OsString)> {
    let mut found = environment(config, |name| std::env::var_os(name));
    found.retain(|(name, _)| name != ENV_PYTHON_ENTRYPOINT);
    if let Connection::Listening(_, dir) = frames {
        found.push((ENV_WORKER_SOCKET.into(), dir.path().join("socket").into()));
    }
    found
}

/// What is the same for all apps of a runtime.
fn base_environment(runtime: &ProcessRuntime, host: impl Fn(&str) -> Option<OsString>) -> Vec<(OsString, OsString)> {
    let mut found: Vec<(OsString, OsString)> = vec![
        ("HOME".into(), "/tmp".into()),
        ("LANG".into(), "C.UTF-8".into()),
        ("PATH".into(), "/usr/local/bin:/usr/bin:/bin".into()),
    ];
    found.extend(INHERITED.iter().filter_map(|name| Some((name.into(), host(name)?))));
    if let ProcessRuntime::Deno { cache, .. } = runtime {
        found.push(("DENO_NO_UPDATE_CHECK".into(), "1".into()));
        found.push(("DENO_DIR".into(), cache.into()));
        found.push(("NO_COLOR".into(), "1".into()));
    }
    found
}

fn is_reserved(name: &OsStr) -> bool {
    [ENV_WORKER_FD, ENV_WORKER_SOCKET, ENV_WARM_FD, ENV_PYTHON_ENTRYPOINT, ENV_MARK]
        .iter()
        .any(|reserved| name == *reserved)
}

/// The program that is started, for messages.
pub(crate) fn program(config: &ProcessConfig) -> PathBuf {
    Path::new(command(config).get_program()).to_owned()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test")]
    use std::sync::Arc;

    use ignite_core_model::Limits;
    use ignite_runtimes_executor::DiscardLogs;

    use super::*;
    use crate::config::AppDir;

    #[test]
    fn the_environment_holds_what_is_declared_and_no_more() {
        let config = ProcessConfig {
            app: AppDir { path: "/app".into(), entrypoint: "app".into() },
            runtime: ProcessRuntime::Binary,
            limits: Limits::default(),
            env: vec![("A".into(), "1".into()), (ENV_WORKER_FD.into(), "0".into())],
            logs: Arc::new(DiscardLogs),
        };
        let host = |name: &str| match name {
            "PATH" => Some("/bin".into()),
            "SECRET" => Some("x".into()),
            _ => None,
        };
        let found: std::collections::BTreeMap<_, _> = environment(&config, host).into_iter().collect();
        let text: Vec<_> =
            found.iter().map(|(name, value)| format!("{}={}", name.display(), value.display())).collect();
        assert_eq!(text, ["A=1", "HOME=/tmp", "LANG=C.UTF-8", "PATH=/bin"]);
    }
}
