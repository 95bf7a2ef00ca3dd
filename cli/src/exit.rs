//! How a command ends: the exit codes, and the error that a person reads.

use ignite_core_model::Fault;

/// Exit codes of the command line, as documented in `docs/reference/cli.md`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// Done.
    Done = 0,
    /// The author's code or build failed.
    Failed = 1,
    /// An argument or a file it names is invalid.
    InvalidArgument = 2,
    /// No or no valid token.
    Unauthenticated = 3,
    /// The token does not allow it.
    PermissionDenied = 4,
    /// What was named does not exist.
    NotFound = 5,
    /// It exists already.
    AlreadyExists = 6,
    /// A limit is reached.
    ResourceExhausted = 7,
    /// It took too long.
    DeadlineExceeded = 8,
    /// Something needed is not there: a tool, a server.
    Unavailable = 9,
    /// A fault of Ignite itself.
    Internal = 10,
    /// The person pressed Ctrl-C before the end was known; what was begun goes on.
    Interrupted = 130,
}

impl Exit {
    /// The number the process ends with.
    #[must_use]
    pub fn code(self) -> u8 {
        self as u8
    }

    /// The one table from fault to exit code.
    #[must_use]
    pub fn of(fault: Fault) -> Self {
        match fault {
            Fault::Caller => Self::Failed,
            Fault::Missing => Self::NotFound,
            Fault::Conflict => Self::AlreadyExists,
            Fault::Busy => Self::Unavailable,
            Fault::Internal => Self::Internal,
        }
    }
}

/// A command that failed: what, why, and what to do next.
#[derive(Debug)]
pub struct CliError {
    /// How the process ends.
    pub exit: Exit,
    /// What was tried, as in "could not compile `hello`".
    pub what: String,
    /// Why, outermost first.
    pub causes: Vec<String>,
    /// What to do next.
    pub hint: Option<String>,
    /// Printed in place of all else: faults that tell everything themselves, several at once. Empty: nothing is said.
    pub report: Option<String>,
}

impl CliError {
    /// A failure without a cause or a hint yet.
    pub fn new(exit: Exit, what: impl Into<String>) -> Self {
        Self { exit, what: what.into(), causes: Vec::new(), hint: None, report: None }
    }

    /// A failure that is told by `report` alone, which may have several lines.
    pub fn told(exit: Exit, report: impl Into<String>) -> Self {
        Self { report: Some(report.into()), ..Self::new(exit, "") }
    }

    /// An end that needs no words: nobody is there to read them.
    pub(crate) fn silent(exit: Exit) -> Self {
        Self::told(exit, "")
    }

    /// Adds a cause.
    #[must_use]
    pub fn because(mut self, cause: impl Into<String>) -> Self {
        self.causes.push(cause.into());
        self
    }

    /// Adds an error and all its sources as causes.
    #[must_use]
    pub fn caused_by(mut self, error: &dyn std::error::Error) -> Self {
        let mut next = Some(error);
        while let Some(error) = next {
            self.causes.push(error.to_string());
            next = error.source();
        }
        self
    }

    /// Says what to do next.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}
