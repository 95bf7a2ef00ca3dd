//! Opening the database.

use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::str::FromStr as _;
use std::sync::Arc;
use std::time::Duration;

use ignite_core_model::Secret;
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use sqlx::any::{AnyConnectOptions, AnyPoolOptions};
use sqlx::{AnyPool, AssertSqlSafe, Executor as _, Transaction};

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
        let inner = match &options.location {
            Location::Sqlite(path) => open_sqlite(path, options).await?,
            Location::Postgres(url) => open_postgres(url, options).await?,
        };
        let mut tx = inner.begin().await?;
        schema::migrate(&mut tx, inner.backend).await?;
        tx.commit().await?;
        Ok(Self(Arc::new(inner)))
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
        self.0.begin().await
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

impl Inner {
    async fn begin(&self) -> Result<Tx, MetaError> {
        let statement = match self.backend {
            // Takes the write lock at once: a lock taken half-way could be refused half-way.
            Backend::Sqlite => "BEGIN IMMEDIATE",
            Backend::Postgres => "BEGIN",
        };
        Ok(self.write.begin_with(statement).await?)
    }
}

/// What would end the path of a URL, and what begins an escape in it.
const PATH_ESCAPED: &AsciiSet = &CONTROLS.add(b' ').add(b'#').add(b'%').add(b'?');

async fn open_sqlite(path: &Path, options: &MetaOptions) -> Result<Inner, MetaError> {
    make_private(path)?;
    let unusable = |cause| MetaError::File { doing: "open", path: path.display().to_string(), cause };
    // A URL has no relative paths, and reads `..` without asking the file system.
    let whole = path.canonicalize().map_err(unusable)?;
    let text = whole
        .to_str()
        .ok_or_else(|| unusable(std::io::Error::new(std::io::ErrorKind::InvalidInput, "the path is not UTF-8")))?;
    let url = format!("sqlite://{}?mode=rw", utf8_percent_encode(text, PATH_ESCAPED));
    let connect = AnyConnectOptions::from_str(&url)?;
    // FULL: what was acknowledged survives the loss of power, not only the end of the process.
    let common = format!(
        "PRAGMA busy_timeout = {}; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON; \
         PRAGMA trusted_schema = OFF;",
        options.lock_ms_max
    );
    let write = pool(options, 1, common.clone()).connect_with(connect.clone()).await?;
    let read = pool(options, options.connections_max, common + " PRAGMA query_only = ON;").connect_lazy_with(connect);
    Ok(Inner { backend: Backend::Sqlite, read, write, signals: Signals::default() })
}

/// The file holds hashes of tokens and variables of apps. SQLite gives the files beside it the same mode.
fn make_private(path: &Path) -> Result<(), MetaError> {
    let made = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    match made {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
        Err(cause) => Err(MetaError::File { doing: "make", path: path.display().to_string(), cause }),
    }
}

/// Longest statement and longest pause inside of a transaction that Postgres is asked to bear, in milliseconds.
const STATEMENT_MS_MAX: u64 = 30_000;

async fn open_postgres(url: &Secret<String>, options: &MetaOptions) -> Result<Inner, MetaError> {
    // A URL that cannot be read is told without its text, which holds a password.
    let connect = AnyConnectOptions::from_str(url.reveal()).map_err(|_| {
        MetaError::Database("the URL of the database is none; expected postgres://user:password@host/database".into())
    })?;
    let session = format!(
        "SET lock_timeout = {}; SET statement_timeout = {STATEMENT_MS_MAX}; \
         SET idle_in_transaction_session_timeout = {STATEMENT_MS_MAX}; SET client_min_messages = warning;",
        options.lock_ms_max
    );
    let pool = pool(options, options.connections_max, session).connect_with(connect).await?;
    Ok(Inner { backend: Backend::Postgres, read: pool.clone(), write: pool, signals: Signals::default() })
}

fn pool(options: &MetaOptions, connections_max: u32, session: String) -> AnyPoolOptions {
    AnyPoolOptions::new()
        .max_connections(connections_max)
        .acquire_timeout(Duration::from_millis(options.acquire_ms_max))
        .after_connect(move |connection, _| {
            let session = session.clone();
            Box::pin(async move { connection.execute(sqlx::raw_sql(AssertSqlSafe(session))).await.map(|_| ()) })
        })
}
