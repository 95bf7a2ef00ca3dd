//! Opening the database.

use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::str::FromStr as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ignite_core_model::Secret;
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use sqlx::any::{AnyConnectOptions, AnyPoolOptions};
use sqlx::{AnyConnection, AnyPool, AssertSqlSafe, Connection as _, Executor as _, Transaction};

use crate::signals::Signals;
use crate::sql::Backend;
use crate::{MetaError, Signal, Topic, schema};

/// Where the records are.
#[derive(Debug, Clone)]
pub enum Location {
    /// A SQLite file. It is made, readable by its owner only, if it is not there; its folder must be.
    Sqlite(PathBuf),
    /// A Postgres database, as `postgres://user:password@host:port/database?sslmode=verify-full`.
    Postgres(Secret<String>),
}

/// How to open the database.
#[derive(Debug, Clone)]
pub struct MetaOptions {
    /// Where it is.
    pub location: Location,
    /// Connections at once. SQLite has one for writing beside these.
    pub connections_max: u32,
    /// Longest wait for a free connection, in milliseconds; then [`MetaError::Busy`].
    pub acquire_ms_max: u64,
    /// Longest wait for another process' lock, in milliseconds; then [`MetaError::Busy`].
    pub lock_ms_max: u64,
}

impl MetaOptions {
    /// A file or server with the bounds that suit one control plane.
    #[must_use]
    pub fn new(location: Location) -> Self {
        Self { location, connections_max: 8, acquire_ms_max: 10_000, lock_ms_max: 5_000 }
    }
}

/// The records of the platform. Cheap to clone; all clones share one pool.
#[derive(Debug, Clone)]
pub struct Meta(pub(crate) Arc<Inner>);

#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) backend: Backend,
    pub(crate) location: Location,
    /// For reading. Of SQLite it cannot write.
    pub(crate) read: AnyPool,
    /// For writing. Of SQLite it has one connection: writers queue here, fairly, and never meet inside of it.
    pub(crate) write: AnyPool,
    pub(crate) signals: Signals,
}

/// A transaction, with a name that fits in a line.
pub(crate) type Tx = Transaction<'static, sqlx::Any>;

impl Meta {
    /// Opens the database and brings its schema up to date.
    ///
    /// # Errors
    /// [`MetaError::SchemaNewer`] if a later release wrote it, [`MetaError::Busy`] if it cannot be reached.
    pub async fn open(options: &MetaOptions) -> Result<Self, MetaError> {
        sqlx::any::install_default_drivers();
        let (backend, connect, session) = match &options.location {
            Location::Sqlite(path) => (Backend::Sqlite, sqlite(path)?, sqlite_session(options)),
            Location::Postgres(url) => (Backend::Postgres, postgres(url)?, postgres_session(options)),
        };
        // Not by a pool, which tries again and again and forgets why it could not.
        let opening = prepare(&connect, backend, &session, options);
        let bound = Duration::from_millis(options.acquire_ms_max);
        tokio::time::timeout(bound, opening).await.map_err(|error| MetaError::Busy(error.into()))??;

        let pool =
            |connections, session: String| pool(options, connections, session).connect_lazy_with(connect.clone());
        let (read, write) = match backend {
            Backend::Sqlite => {
                (pool(options.connections_max, format!("{session} PRAGMA query_only = ON;")), pool(1, session))
            }
            Backend::Postgres => {
                let both = pool(options.connections_max, session);
                (both.clone(), both)
            }
        };
        Ok(Self(Arc::new(Inner {
            backend,
            location: options.location.clone(),
            read,
            write,
            signals: Signals::default(),
        })))
    }

    /// Asks the database whether it answers.
    ///
    /// # Errors
    /// [`MetaError::Busy`] if it does not.
    pub async fn ping(&self) -> Result<(), MetaError> {
        sqlx::query("SELECT 1").execute(&self.0.read).await?;
        Ok(())
    }

    /// Waits for what is running, then closes all connections. Later calls end with [`MetaError::Closed`].
    pub async fn close(&self) {
        self.0.read.close().await;
        self.0.write.close().await;
    }

    /// Wakes when `topic` is touched through this handle or a clone of it; see [`Signal`].
    #[must_use]
    pub fn subscribe(&self, topic: Topic) -> Signal {
        self.0.signals.subscribe(topic)
    }

    pub(crate) fn raise(&self, topic: &Topic) {
        self.0.signals.raise(topic);
    }

    /// Begins a transaction that writes.
    pub(crate) async fn begin(&self) -> Result<Tx, MetaError> {
        Ok(self.0.write.begin_with(begin_to_write(self.0.backend)).await?)
    }

    /// Begins a transaction whose reads all see one moment.
    pub(crate) async fn begin_snapshot(&self) -> Result<Tx, MetaError> {
        let statement = match self.0.backend {
            Backend::Sqlite => "BEGIN",
            Backend::Postgres => "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
        };
        Ok(self.0.read.begin_with(statement).await?)
    }
}

fn begin_to_write(backend: Backend) -> &'static str {
    match backend {
        // Takes the write lock at once: a lock taken half-way could be refused half-way.
        Backend::Sqlite => "BEGIN IMMEDIATE",
        Backend::Postgres => "BEGIN",
    }
}

/// Connects once, and brings the schema up to date.
async fn prepare(
    connect: &AnyConnectOptions,
    backend: Backend,
    session: &str,
    options: &MetaOptions,
) -> Result<(), MetaError> {
    let mut connection = AnyConnection::connect_with(connect).await?;
    connection.execute(sqlx::raw_sql(AssertSqlSafe(session.to_owned()))).await?;
    if backend == Backend::Sqlite {
        write_ahead(&mut connection, Duration::from_millis(options.lock_ms_max)).await?;
    }
    let mut tx = connection.begin_with(begin_to_write(backend)).await?;
    schema::migrate(&mut tx, backend).await?;
    tx.commit().await?;
    Ok(connection.close().await?)
}

/// Pause between two attempts to change how a SQLite file is written.
const WRITE_AHEAD_RETRY: Duration = Duration::from_millis(5);

/// Has SQLite write its log ahead, which stays so in the file.
///
/// The change begins by reading, and one who reads does not wait for a lock to write: two who wait so would wait for
/// each other. SQLite refuses one of them at once, whatever `busy_timeout` says, so the waiting is done here.
async fn write_ahead(connection: &mut AnyConnection, lock_max: Duration) -> Result<(), MetaError> {
    let until = Instant::now() + lock_max;
    loop {
        match connection.execute(sqlx::raw_sql("PRAGMA journal_mode = WAL")).await.map_err(MetaError::from) {
            Err(MetaError::Busy(_)) if Instant::now() < until => tokio::time::sleep(WRITE_AHEAD_RETRY).await,
            done => return done.map(|_| ()),
        }
    }
}

/// What would end the path of a URL, and what begins an escape in it.
const PATH_ESCAPED: &AsciiSet = &CONTROLS.add(b' ').add(b'#').add(b'%').add(b'?');

fn sqlite(path: &Path) -> Result<AnyConnectOptions, MetaError> {
    make_private(path)?;
    let unusable = |cause| MetaError::File { doing: "open", path: path.display().to_string(), cause };
    // A URL has no relative paths, and reads `..` without asking the file system.
    let whole = path.canonicalize().map_err(unusable)?;
    let text = whole
        .to_str()
        .ok_or_else(|| unusable(std::io::Error::new(std::io::ErrorKind::InvalidInput, "the path is not UTF-8")))?;
    let url = format!("sqlite://{}?mode=rw", utf8_percent_encode(text, PATH_ESCAPED));
    Ok(AnyConnectOptions::from_str(&url)?)
}

/// What SQLite leaves of its log file once it was larger, in bytes: a long dump lets it grow.
const SQLITE_LOG_BYTES: u32 = 64 << 20;

/// FULL: what was acknowledged survives the loss of power, not only the end of the process.
fn sqlite_session(options: &MetaOptions) -> String {
    format!(
        "PRAGMA busy_timeout = {}; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON; PRAGMA trusted_schema = OFF; \
         PRAGMA journal_size_limit = {SQLITE_LOG_BYTES};",
        options.lock_ms_max
    )
}

/// The file holds hashes of tokens and variables of apps. SQLite gives the files beside it the same mode.
pub(crate) fn make_private(path: &Path) -> Result<(), MetaError> {
    let made = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    match made {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
        Err(cause) => Err(MetaError::File { doing: "make", path: path.display().to_string(), cause }),
    }
}

/// Longest statement and longest pause inside of a transaction that Postgres is asked to bear, in milliseconds.
const STATEMENT_MS_MAX: u64 = 30_000;

fn postgres(url: &Secret<String>) -> Result<AnyConnectOptions, MetaError> {
    // A URL that cannot be read is told without its text, which holds a password.
    let wrong = || {
        MetaError::Database("the URL of the database is none; expected postgres://user:password@host/database".into())
    };
    if !url.reveal().starts_with("postgres") {
        return Err(wrong());
    }
    AnyConnectOptions::from_str(url.reveal()).map_err(|_| wrong())
}

fn postgres_session(options: &MetaOptions) -> String {
    format!(
        "SET lock_timeout = {}; SET statement_timeout = {STATEMENT_MS_MAX}; \
         SET idle_in_transaction_session_timeout = {STATEMENT_MS_MAX}; SET client_min_messages = warning;",
        options.lock_ms_max
    )
}

fn pool(options: &MetaOptions, connections_max: u32, session: String) -> AnyPoolOptions {
    AnyPoolOptions::new()
        .max_connections(connections_max)
        .acquire_timeout(Duration::from_millis(options.acquire_ms_max))
        .after_connect(move |connection, _| {
            let session = session.clone();
            Box::pin(async move { connection.execute(sqlx::raw_sql(AssertSqlSafe(session))).await.map(|_| ()) })
        })
        // SQLite ends a transaction by itself when the disk is full; the library then counts one that is no more, and
        // could never begin another on this connection.
        .after_release(|connection, _| {
            Box::pin(async move {
                connection.ping().await?;
                Ok(!connection.is_in_transaction())
            })
        })
}
