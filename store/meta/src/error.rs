//! What can go wrong with the database.

use std::error::Error;

use ignite_core_model::Fault;

/// Why a record could not be read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MetaError {
    /// What was to be made exists: its name is taken.
    #[error("{what} `{id}` exists already")]
    Exists {
        /// The kind of thing.
        what: &'static str,
        /// Its id or name.
        id: String,
    },
    /// What was named does not exist, or not for who asks.
    #[error("there is no {what} `{id}`")]
    Missing {
        /// The kind of thing.
        what: &'static str,
        /// Its id or name.
        id: String,
    },
    /// It changed since it was read. Read it again and decide again.
    #[error("{what} `{id}` changed meanwhile")]
    Stale {
        /// The kind of thing.
        what: &'static str,
        /// Its id.
        id: String,
    },
    /// An upload was used before, or its time is over.
    #[error("upload `{0}` was used before or has expired")]
    UploadSpent(String),
    /// Lines of a log were numbered with a gap.
    #[error("log `{stream}` continues with line {expected}, and line {found} was appended")]
    LogGap {
        /// The stream.
        stream: String,
        /// The number that comes next.
        expected: u64,
        /// The number that came.
        found: u64,
    },
    /// A value is larger than what is stored of its kind.
    #[error("{what} has {found} {unit}, and at most {max} are stored")]
    TooLarge {
        /// Which value.
        what: &'static str,
        /// Its size.
        found: u64,
        /// The bound.
        max: u64,
        /// What is counted.
        unit: &'static str,
    },
    /// The database does not answer, or too much waits for it. Later may work.
    #[error("the database is not available now")]
    Busy(#[source] Box<dyn Error + Send + Sync>),
    /// The disk of the database is full.
    #[error("the database has no room left; free space on its disk")]
    Full(#[source] Box<dyn Error + Send + Sync>),
    /// The database cannot be written.
    #[error("the database cannot be written; check its permissions and its disk's, and that its server is no replica")]
    ReadOnly(#[source] Box<dyn Error + Send + Sync>),
    /// This handle was closed; the program is ending.
    #[error("the database was closed")]
    Closed,
    /// A later release wrote this database.
    #[error("the database has schema {found} and this program knows schemas up to {known}; use the newer program")]
    SchemaNewer {
        /// What the database has.
        found: u64,
        /// What this program knows.
        known: u64,
    },
    /// The database to restore into has records.
    #[error("records are restored into an empty database only, and this one has some in `{0}`")]
    NotEmpty(&'static str),
    /// A dump is not one, is damaged, or is of a later release.
    #[error("the dump cannot be restored: {0}")]
    BadDump(String),
    /// A file could not be made, read or written.
    #[error("could not {doing} {path}")]
    File {
        /// What was tried.
        doing: &'static str,
        /// Which file.
        path: String,
        /// Why not.
        #[source]
        cause: std::io::Error,
    },
    /// A stored value is not what this crate writes.
    #[error("column `{0}` holds what this program never wrote")]
    Unreadable(&'static str),
    /// The database refused for a reason that is none of the above.
    #[error("the database refused")]
    Database(#[source] Box<dyn Error + Send + Sync>),
}

impl MetaError {
    /// Whose fault it is.
    #[must_use]
    pub fn fault(&self) -> Fault {
        match self {
            Self::Exists { .. } | Self::Stale { .. } | Self::UploadSpent(_) | Self::NotEmpty(_) => Fault::Conflict,
            Self::Missing { .. } => Fault::Missing,
            Self::TooLarge { .. } | Self::LogGap { .. } | Self::BadDump(_) => Fault::Caller,
            Self::Busy(_) | Self::Full(_) | Self::Closed => Fault::Busy,
            Self::ReadOnly(_)
            | Self::SchemaNewer { .. }
            | Self::File { .. }
            | Self::Unreadable(_)
            | Self::Database(_) => Fault::Internal,
        }
    }

    pub(crate) fn missing(what: &'static str, id: impl ToString) -> Self {
        Self::Missing { what, id: id.to_string() }
    }

    pub(crate) fn exists(what: &'static str, id: impl ToString) -> Self {
        Self::Exists { what, id: id.to_string() }
    }

    pub(crate) fn stale(what: &'static str, id: impl ToString) -> Self {
        Self::Stale { what, id: id.to_string() }
    }
}

impl From<sqlx::Error> for MetaError {
    fn from(error: sqlx::Error) -> Self {
        let code = error.as_database_error().and_then(|error| error.code()).map(|code| code.into_owned());
        match &error {
            sqlx::Error::PoolClosed => return Self::Closed,
            sqlx::Error::PoolTimedOut | sqlx::Error::Io(_) | sqlx::Error::Tls(_) | sqlx::Error::WorkerCrashed => {
                return Self::Busy(error.into());
            }
            _ => {}
        }
        match code.as_deref().map(class) {
            Some(Class::Busy) => Self::Busy(error.into()),
            Some(Class::Full) => Self::Full(error.into()),
            Some(Class::ReadOnly) => Self::ReadOnly(error.into()),
            Some(Class::Other) | None => Self::Database(error.into()),
        }
    }
}

enum Class {
    Busy,
    Full,
    ReadOnly,
    Other,
}

/// Sorts the codes of both databases. SQLite's are numbers whose low byte is the class (<https://sqlite.org/rescode.html>),
/// Postgres' have five characters (appendix A of its manual), so they cannot be confused.
fn class(code: &str) -> Class {
    if code.len() != 5 {
        let code = code.parse::<i32>().unwrap_or(0);
        return match code & 0xff {
            // BUSY, LOCKED, INTERRUPT
            5 | 6 | 9 => Class::Busy,
            // READONLY, CANTOPEN: the file, or one of those beside it
            8 | 14 => Class::ReadOnly,
            13 => Class::Full,
            // IOERR_SHMSIZE: the file of shared memory cannot grow
            _ if code == 4874 => Class::Full,
            _ => Class::Other,
        };
    }
    match code {
        // Disk full, out of memory: both of the server.
        "53100" | "53200" => Class::Full,
        // Read-only transaction: a replica, or a server that was told so.
        "25006" => Class::ReadOnly,
        // Serialisation failure, deadlock, lock not available, statement timed out, idle transaction ended.
        "40001" | "40P01" | "55P03" | "57014" | "25P03" => Class::Busy,
        // Connection trouble (08), too many connections (53), shut down or not yet up (57).
        _ if code.starts_with("08") || code.starts_with("53") || code.starts_with("57") => Class::Busy,
        _ => Class::Other,
    }
}
