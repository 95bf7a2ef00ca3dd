//! Why a compile failed, said so that the author can act.

use std::fmt::Write as _;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use ignite_compiler_plan::Mistakes;
use ignite_compiler_sandbox::{Bound, Exit, StepError};
use ignite_core_artifact::WriteError;
use ignite_core_model::Fault;
use ignite_core_source::ReadError;

use crate::tools::ToolError;

/// Lines of a failed step that its error repeats.
pub(crate) const REPEATED_LINES_MAX: usize = 200;

/// Why a compile failed. `Display` says what; [`CompileError::report`] also why, and what to do next.
#[derive(Debug, thiserror::Error)]
pub enum CompileError {
    /// The author's folder cannot be compiled as it is; found without running a compiler.
    #[error("{0}")]
    Mistakes(Mistakes),
    /// A tool did not accept the author's code.
    #[error("`{step}` failed: {exit}")]
    Step {
        /// The step.
        step: String,
        /// How the tool ended.
        exit: Exit,
        /// The last lines it wrote; they were also told as events.
        output: Vec<String>,
        /// What to do next, where it is known.
        hint: Option<String>,
        /// Where everything it wrote is kept.
        log: PathBuf,
    },
    /// A tool could not be run to its end.
    #[error("could not run `{step}`")]
    Run {
        /// The step.
        step: String,
        /// Why.
        #[source]
        cause: StepError,
    },
    /// A step used more than it may, and was stopped.
    #[error("`{step}` was stopped: {bound}")]
    Exceeded {
        /// The step.
        step: String,
        /// What it used too much of.
        bound: Bound,
        /// Where everything it wrote is kept.
        log: PathBuf,
    },
    /// This machine lacks a protection, and nobody allowed to go on without it.
    #[error("this machine cannot hold in the code it would compile: {}", missing.join("; "))]
    Unprotected {
        /// What is missing, and what that means.
        missing: Vec<String>,
    },
    /// A tool is not there.
    #[error(transparent)]
    Tool(Box<ToolError>),
    /// There is nothing at the path to compile.
    #[error("there is no folder {}", path.display())]
    NoSource {
        /// The path.
        path: PathBuf,
    },
    /// What was uploaded is no archive of a source.
    #[error("{} cannot be taken as a source", path.display())]
    Archive {
        /// The archive.
        path: PathBuf,
        /// Why.
        #[source]
        cause: Box<ReadError>,
    },
    /// A file of the author could not be read.
    #[error("could not read {}", path.display())]
    Source {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        cause: io::Error,
    },
    /// A file changed between two looks at it.
    #[error("{path} changed while it was read")]
    Changed {
        /// The file, relative to the author's folder.
        path: String,
    },
    /// The whole compile took too long.
    #[error("the compile took longer than {} s", limit.as_secs())]
    TimedOut {
        /// The limit.
        limit: Duration,
    },
    /// The compile was stopped on request.
    #[error("the compile was stopped")]
    Cancelled,
    /// The artifact could not be written to where it was asked for.
    #[error("could not write {}", path.display())]
    Output {
        /// The path.
        path: PathBuf,
        /// Why.
        #[source]
        cause: io::Error,
    },
    /// The cache could not be used.
    #[error("could not use the cache at {}", path.display())]
    Cache {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        #[source]
        cause: io::Error,
    },
    /// The artifact could not be put together.
    #[error("could not pack the artifact")]
    Pack(#[source] Box<WriteError>),
    /// Our own tool answered in a way that makes no sense.
    #[error("`{step}` gave an answer that cannot be read: {cause}")]
    Answer {
        /// The step.
        step: String,
        /// What is wrong with it.
        cause: String,
    },
}

impl From<Mistakes> for CompileError {
    fn from(mistakes: Mistakes) -> Self {
        Self::Mistakes(mistakes)
    }
}

impl From<ToolError> for CompileError {
    fn from(error: ToolError) -> Self {
        Self::Tool(Box::new(error))
    }
}

impl CompileError {
    /// Whose fault it is.
    #[must_use]
    pub fn fault(&self) -> Fault {
        match self {
            Self::Exceeded { bound: Bound::DiskFull, .. } => Fault::Busy,
            Self::Exceeded { .. } => Fault::Caller,
            Self::Unprotected { .. } => Fault::Missing,
            Self::Mistakes(_) | Self::Step { .. } | Self::Source { .. } | Self::Output { .. } => Fault::Caller,
            Self::Archive { cause, .. } => cause.fault(),
            Self::NoSource { .. } | Self::Tool(_) => Fault::Missing,
            Self::Changed { .. } => Fault::Conflict,
            Self::TimedOut { .. } | Self::Cancelled => Fault::Busy,
            Self::Run { cause, .. } => match cause {
                StepError::Start { .. } => Fault::Missing,
                _ => Fault::Internal,
            },
            Self::Cache { .. } | Self::Pack(_) | Self::Answer { .. } => Fault::Internal,
        }
    }

    /// What to do next, where it is known.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Mistakes(mistakes) => match mistakes.0.as_slice() {
                [only] => only.next.clone(),
                _ => None,
            },
            Self::Step { hint: Some(hint), .. } => Some(hint.clone()),
            // What is repeated here is then not all of it.
            Self::Step { output, log, .. } if output.len() >= REPEATED_LINES_MAX => {
                Some(format!("{} has everything it wrote", log.display()))
            }
            Self::Archive { cause, .. } => cause.next().map(str::to_owned),
            Self::Tool(error) => Some(error.hint()),
            Self::NoSource { .. } => Some("name the folder of the handler: `ignite compile DIR --out FILE`".to_owned()),
            Self::Changed { .. } => Some("compile again".to_owned()),
            Self::TimedOut { .. } => Some("compile again, or give it more time".to_owned()),
            Self::Output { path, .. } => path
                .parent()
                .filter(|folder| !folder.as_os_str().is_empty() && !folder.exists())
                .map(|folder| format!("make the folder {} first", folder.display())),
            Self::Exceeded { log, .. } => Some(format!("{} has everything it wrote", log.display())),
            Self::Unprotected { .. } => Some(
                "allow user namespaces (`sysctl kernel.unprivileged_userns_clone=1`, and on Ubuntu \
                 `kernel.apparmor_restrict_unprivileged_userns=0`); for code you trust with all of this, \
                 `--allow-unsandboxed` goes on without"
                    .to_owned(),
            ),
            _ => None,
        }
    }

    /// The whole message: what, where and why, what a tool said, what next. Several lines, without a line end.
    #[must_use]
    pub fn report(&self) -> String {
        let mut text = String::new();
        if let Self::Mistakes(mistakes) = self {
            for mistake in &mistakes.0 {
                let _ = writeln!(text, "error: {mistake}");
                if let Some(next) = &mistake.next {
                    let _ = writeln!(text, "hint: {next}");
                }
            }
            return text.trim_end().to_owned();
        }
        let _ = writeln!(text, "error: {self}");
        if let Self::Step { output, .. } = self {
            for line in output {
                let _ = writeln!(text, "  | {line}");
            }
        }
        let mut source = std::error::Error::source(self);
        while let Some(cause) = source {
            let _ = writeln!(text, "  cause: {cause}");
            source = cause.source();
        }
        if let Some(hint) = self.hint() {
            let _ = writeln!(text, "hint: {hint}");
        }
        text.trim_end().to_owned()
    }
}
