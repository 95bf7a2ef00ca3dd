//! What only one process may do with a database at a time.

use std::fs::{File, TryLockError};
use std::path::Path;

use sqlx::pool::PoolConnection;
use sqlx::{AnyConnection, AssertSqlSafe, Executor as _};

use crate::{Location, Meta, MetaError};

/// Held as long as this value lives, and given back however its process ends: at once, or where its machine is gone after
/// [`LOST_SECS_MAX`].
#[derive(Debug)]
pub struct Claim(#[expect(dead_code, reason = "it is held")] Held);

#[derive(Debug)]
enum Held {
    File(#[expect(dead_code, reason = "it is held")] File),
    // The lock belongs to its session.
    Session(#[expect(dead_code, reason = "it is held")] Box<AnyConnection>),
}

/// Seconds after which Postgres gives up a session that does not answer any more.
pub const LOST_SECS_MAX: u32 = KEEPALIVE_IDLE_SECS + KEEPALIVE_SECS * KEEPALIVES;
const KEEPALIVE_IDLE_SECS: u32 = 10;
const KEEPALIVE_SECS: u32 = 5;
const KEEPALIVES: u32 = 3;

impl Meta {
    /// Claims what `name` stands for, in this database; `None` where another process has it. In Postgres it is a lock of a
    /// session of its own, which does not survive a restart of the server, and needs a server that is not behind a pool of
    /// transactions; beside a SQLite file it is a file.
    pub async fn claim(&self, name: &str) -> Result<Option<Claim>, MetaError> {
        match &self.0.location {
            Location::Sqlite(path) => Ok(lock_file(path, name)?.map(|file| Claim(Held::File(file)))),
            Location::Postgres(_) => {
                // Not one of the pool's: it is not given back.
                let mut session = PoolConnection::detach(self.0.write.acquire().await?);
                let keepalive = format!(
                    "SET tcp_keepalives_idle = {KEEPALIVE_IDLE_SECS}; SET tcp_keepalives_interval = {KEEPALIVE_SECS}; \
                     SET tcp_keepalives_count = {KEEPALIVES};"
                );
                session.execute(sqlx::raw_sql(AssertSqlSafe(keepalive))).await?;
                let lock = sqlx::query_scalar("SELECT pg_try_advisory_lock(hashtextextended($1, 0))");
                let locked: bool = lock.bind(name).fetch_one(&mut session).await?;
                Ok(locked.then(|| Claim(Held::Session(Box::new(session)))))
            }
        }
    }
}

/// `None` where it is locked.
fn lock_file(database: &Path, name: &str) -> Result<Option<File>, MetaError> {
    let mut path = database.as_os_str().to_owned();
    path.push(format!("-{name}.lock"));
    let failed = |cause| MetaError::File { doing: "lock", path: path.to_string_lossy().into_owned(), cause };
    let file = File::create(&path).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(cause)) => Err(failed(cause)),
    }
}
