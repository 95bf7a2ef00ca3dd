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
    /// The program: an absolute path, inside the root file system when [`Place::Rootfs`] is used.
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
    /// On this machine, as this user: for the author's own machine, where the code is the author's.
    Open,
    /// Inside an unpacked root file system, in user, mount and pid namespaces of its own.
    Rootfs {
        /// The unpacked file system; it is seen read-only.
        root: PathBuf,
        /// What else is seen.
        mounts: Vec<Mount>,
        /// Whether the step sees the network of this machine; otherwise it sees an empty one.
        network: bool,
    },
}

/// A file or folder of this machine that a step may see.
#[derive(Debug, Clone)]
pub struct Mount {
    /// The path on this machine.
    pub source: PathBuf,
    /// The path the step sees: absolute, and not below a folder of the root file system unless it exists there.
    pub inside: PathBuf,
    /// What the step may do with it.
    pub access: Access,
}

/// What a step may do with a mount.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Read only.
    ReadOnly,
    /// Read and write.
    ReadWrite,
}

/// The bounds of a step.
#[derive(Debug, Clone, Copy)]
pub struct StepLimits {
    /// Longest run; then the whole process group is killed.
    pub wall_time: Duration,
    /// Longest line handed on, in bytes; the rest of the line is cut and marked with `…`.
    pub line_bytes_max: usize,
    /// Most lines handed on; later ones are counted and dropped.
    pub lines_max: usize,
    /// Most bytes of lines handed on; later lines are counted and dropped.
    pub output_bytes_max: usize,
}

impl Default for StepLimits {
    /// Fifteen minutes; lines of 8 KiB, 50,000 of them, 16 MiB together.
    fn default() -> Self {
        Self {
            wall_time: Duration::from_secs(15 * 60),
            line_bytes_max: 8 * 1024,
            lines_max: 50_000,
            output_bytes_max: 16 * 1024 * 1024,
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
    /// The machine does not let this user make namespaces.
    #[error("this machine does not allow user namespaces, which {} needs: {cause}", root.display())]
    Namespaces {
        /// The root file system the step should have run in.
        root: PathBuf,
        /// What the system said.
        cause: String,
    },
    /// A path or argument cannot be handed into the root file system because it is not UTF-8.
    #[error("{0:?} is not UTF-8")]
    NotUtf8(OsString),
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
