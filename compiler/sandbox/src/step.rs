//! What a step is, and how it can end.

use std::ffi::OsString;
use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// One process to run to its end.
#[derive(Debug, Clone)]
pub struct Step {
    /// The program: an absolute path, as the step sees it.
    pub program: PathBuf,
    /// Its arguments, without the program's name.
    pub args: Vec<OsString>,
    /// Its whole environment: nothing is inherited.
    pub env: Vec<(OsString, OsString)>,
    /// The folder it starts in, as it sees it.
    pub cwd: PathBuf,
    /// Where it runs.
    pub place: Place,
    /// Its bounds.
    pub limits: StepLimits,
}

/// Where a step runs.
#[derive(Debug, Clone)]
pub enum Place {
    /// On this machine, as this user, with nothing held back: for tools that see no code of an author, and where a person
    /// allowed it because this machine has no sandbox.
    Open,
    /// Locked up.
    Sandbox(Sandbox),
}

/// What a locked-up step sees.
#[derive(Debug, Clone)]
pub struct Sandbox {
    /// What it may do.
    pub phase: Phase,
    /// Where its programs are.
    pub root: ToolRoot,
    /// What else is seen. Where one lies below another, the deeper one counts.
    pub mounts: Vec<Mount>,
    /// Protections that a person allowed to be missing on this machine; all others are there or the step does not start.
    pub without: Vec<Protection>,
}

/// What a step may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// It may use the network. Nothing it writes can be executed, since it is to run no code but the tool's own.
    Fetch,
    /// It may run anyone's code. It has no network.
    Build,
}

impl Phase {
    /// Its name in logs.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Fetch => "fetch",
            Self::Build => "build",
        }
    }
}

/// Where the programs of a step come from; seen read-only. Of `/etc` only certificates, the linker's lists and the
/// alternatives are seen, beside made-up users and hosts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ToolRoot {
    /// `/usr`, `/bin` and `/lib*` of this machine.
    Machine,
    /// The same of an unpacked image in this folder.
    Image(PathBuf),
}

/// A file or folder of this machine that a step may see.
#[derive(Debug, Clone)]
pub struct Mount {
    /// The path on this machine.
    pub source: PathBuf,
    /// The path the step sees: absolute.
    pub inside: PathBuf,
    /// What the step may do with it.
    pub access: Access,
}

impl Mount {
    /// Seen at its own path, read-only.
    #[must_use]
    pub fn read_only(path: impl Into<PathBuf>) -> Self {
        let source: PathBuf = path.into();
        Self { inside: source.clone(), source, access: Access::ReadOnly }
    }

    /// Seen at its own path, read-only, and never executed, also where it lies among the tools.
    #[must_use]
    pub fn inert(path: impl Into<PathBuf>) -> Self {
        Self { access: Access::Inert, ..Self::read_only(path) }
    }

    /// Seen at its own path, to read and write.
    #[must_use]
    pub fn read_write(path: impl Into<PathBuf>) -> Self {
        Self { access: Access::ReadWrite, ..Self::read_only(path) }
    }
}

/// What a step may do with a mount.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Read only.
    ReadOnly,
    /// Read only, and nothing of it is executed.
    Inert,
    /// Read and write.
    ReadWrite,
}

/// The bounds of a step. Those from `memory_bytes_max` on hold in a sandbox only.
#[derive(Debug, Clone, Copy)]
pub struct StepLimits {
    /// Longest run; then everything it started is killed.
    pub wall_time: Duration,
    /// Longest line handed on, in bytes; the rest of the line is cut and marked with `…`.
    pub line_bytes_max: usize,
    /// Most lines handed on; later ones are counted and dropped.
    pub lines_max: usize,
    /// Most bytes of lines handed on; later lines are counted and dropped.
    pub output_bytes_max: usize,
    /// Most memory of all its processes together. Three quarters of the machine's memory where that is less.
    pub memory_bytes_max: u64,
    /// Most processes and threads at once.
    pub processes_max: u64,
    /// Largest file it may write.
    pub file_bytes_max: u64,
    /// Most files one process may have open.
    pub open_files_max: u64,
    /// Most bytes that the folders it may write to may grow by.
    pub disk_bytes_max: u64,
    /// Most files and folders that may be added to them.
    pub disk_files_max: u64,
    /// The size of its `/tmp`, which is in memory.
    pub tmp_bytes_max: u64,
}

/// One kibibyte squared.
const MIB: u64 = 1024 * 1024;

impl Default for StepLimits {
    /// Fifteen minutes; lines of 8 KiB, 50,000 of them, 16 MiB together; 8 GiB of memory, 2048 processes, files of 4 GiB,
    /// 8192 of them open, 16 GiB and a million files written, 1 GiB in `/tmp`.
    fn default() -> Self {
        Self {
            wall_time: Duration::from_secs(15 * 60),
            line_bytes_max: 8 * 1024,
            lines_max: 50_000,
            output_bytes_max: 16 * 1024 * 1024,
            memory_bytes_max: 8 * 1024 * MIB,
            processes_max: 2048,
            file_bytes_max: 4 * 1024 * MIB,
            open_files_max: 8192,
            disk_bytes_max: 16 * 1024 * MIB,
            disk_files_max: 1_000_000,
            tmp_bytes_max: 1024 * MIB,
        }
    }
}

/// A part of the sandbox that a machine may lack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protection {
    /// Namespaces, and with them everything else.
    Namespaces,
    /// The filter of system calls.
    SystemCalls,
    /// A user of its own, where the compiler runs as root.
    OwnUser,
}

impl Protection {
    /// Its name in messages and logs.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Namespaces => "namespaces",
            Self::SystemCalls => "the filter of system calls",
            Self::OwnUser => "a user of its own",
        }
    }

    /// What a step could do without it.
    #[must_use]
    pub fn meaning(self) -> &'static str {
        match self {
            Self::Namespaces => {
                "code that is compiled could read and change everything this user can, and use the network"
            }
            Self::SystemCalls => "code that is compiled could reach parts of the kernel that no compiler needs",
            Self::OwnUser => "code that is compiled would run as root behind the other protections",
        }
    }
}

/// A bound of [`StepLimits`] for which a step is stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bound {
    /// [`StepLimits::memory_bytes_max`].
    Memory(u64),
    /// [`StepLimits::processes_max`].
    Processes(u64),
    /// [`StepLimits::disk_bytes_max`].
    Disk(u64),
    /// [`StepLimits::disk_files_max`].
    Files(u64),
    /// The file system it writes to is nearly full, whoever filled it.
    DiskFull,
}

impl fmt::Display for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Memory(bytes) => write!(f, "it needs more than {} MiB of memory (memory_bytes_max)", bytes / MIB),
            Self::Processes(count) => write!(f, "it runs {count} processes at once (processes_max)"),
            Self::Disk(bytes) => write!(f, "it wrote more than {} MiB (disk_bytes_max)", bytes / MIB),
            Self::Files(count) => write!(f, "it made more than {count} files (disk_files_max)"),
            Self::DiskFull => f.write_str("the disk it writes to is nearly full"),
        }
    }
}

/// Which of its two streams a step wrote to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// A wish, shared between threads, that what runs should stop. A clone is the same wish.
#[derive(Debug, Clone, Default)]
pub struct Cancel(Arc<AtomicBool>);

impl Cancel {
    /// Asks for the stop. It cannot be taken back.
    pub fn cancel(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether the stop was asked for.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// It ended itself with this code.
    Code(i32),
    /// A signal ended it.
    Signal(i32),
}

impl Exit {
    /// Whether it ended itself with code 0.
    #[must_use]
    pub fn success(self) -> bool {
        self == Self::Code(0)
    }
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code(code) => write!(f, "exit status {code}"),
            Self::Signal(9) => f.write_str("killed (signal 9; perhaps out of memory)"),
            Self::Signal(signal) => write!(f, "signal {signal}"),
        }
    }
}

/// A step that ran to its end, well or not.
#[derive(Debug, Clone, Copy)]
pub struct Finished {
    /// How it ended.
    pub exit: Exit,
    /// How long it took.
    pub elapsed: Duration,
    /// Lines that were not handed on because a bound was reached.
    pub lines_dropped: usize,
}

/// Why a step did not run to its end.
#[derive(Debug, thiserror::Error)]
pub enum StepError {
    /// The program could not be started.
    #[error("could not start {}", program.display())]
    Start {
        /// The program.
        program: PathBuf,
        /// What the system said.
        #[source]
        cause: io::Error,
    },
    /// A sandbox could not be made.
    #[error("could not make a sandbox: {what}")]
    Sandbox {
        /// What was tried.
        what: String,
        /// What the system said.
        #[source]
        cause: io::Error,
    },
    /// A path, argument or variable holds a zero byte.
    #[error("{0:?} holds a zero byte")]
    ZeroByte(OsString),
    /// It reached a bound and was killed.
    #[error("{0}, so it was stopped")]
    Exceeded(Bound),
    /// It ran longer than [`StepLimits::wall_time`] and was killed.
    #[error("still running after {} s, so it was stopped", limit.as_secs())]
    TimedOut {
        /// The limit.
        limit: Duration,
    },
    /// [`Cancel::cancel`] was called and it was killed.
    #[error("stopped on request")]
    Cancelled,
    /// Its end could not be observed.
    #[error("could not wait for {}", program.display())]
    Wait {
        /// The program.
        program: PathBuf,
        /// What the system said.
        #[source]
        cause: io::Error,
    },
}
