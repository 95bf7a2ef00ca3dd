//! What only one process may do with a database at a time.

use std::fs::{File, TryLockError};
use std::path::Path;
use std::time::Duration;

use sqlx::pool::PoolConnection;
use sqlx::{AnyConnection, AssertSqlSafe, Connection as _, Executor as _};

use crate::{Location, Meta, MetaError};

/// Held as long as this value lives, and given back however its process ends: at once, or where its machine is gone after
/// [`LOST_SECS_MAX`]. A restart of Postgres ends it too: [`Claim::lost`] takes it again, or tells that another was first.
#[derive(Debug)]
pub struct Claim(Held);

#[derive(Debug)]
enum Held {
    File(#[expect(dead_code, reason = "it is held")] File),
    Session { meta: Meta, name: String, session: Session },
}

/// A session of Postgres that has the lock, which belongs to it.
#[derive(Debug)]
struct Session {
    connection: Box<AnyConnection>,
    /// The server's process for it.
    pid: i32,
}

/// Seconds after which Postgres gives up a session that does not answer any more.
pub const LOST_SECS_MAX: u32 = KEEPALIVE_IDLE_SECS + KEEPALIVE_SECS * KEEPALIVES;
const KEEPALIVE_IDLE_SECS: u32 = 10;
const KEEPALIVE_SECS: u32 = 5;
const KEEPALIVES: u32 = 3;

/// Between two looks whether the session is there.
const LOOK_PAUSE: Duration = Duration::from_secs(2);
/// Longest look.
const LOOK_MAX: Duration = Duration::from_secs(10);

impl Meta {
    /// Claims what `name` stands for, in this database; `None` where another process has it. In Postgres it is a lock of a
    /// session of its own, which needs a server that is not behind a pool of transactions; beside a SQLite file it is a file.
    pub async fn claim(&self, name: &str) -> Result<Option<Claim>, MetaError> {
        let held = match &self.0.location {
            Location::Sqlite(path) => lock_file(path, name)?.map(Held::File),
            Location::Postgres(_) => self.lock_session(name).await?.ok().map(|session| Held::Session {
                meta: self.clone(),
                name: name.to_owned(),
                session,
            }),
        };
        Ok(held.map(Claim))
    }

    /// A session that has the lock, or the server's processes that stand in the way.
    async fn lock_session(&self, name: &str) -> Result<Result<Session, Vec<i32>>, MetaError> {
        // Not one of the pool's: it is not given back.
        let mut connection = Box::new(PoolConnection::detach(self.0.write.acquire().await?));
        let keepalive = format!(
            "SET tcp_keepalives_idle = {KEEPALIVE_IDLE_SECS}; SET tcp_keepalives_interval = {KEEPALIVE_SECS}; \
             SET tcp_keepalives_count = {KEEPALIVES};"
        );
        connection.execute(sqlx::raw_sql(AssertSqlSafe(keepalive))).await?;
        let lock = sqlx::query_as("SELECT pg_try_advisory_lock(hashtextextended($1, 0)), pg_backend_pid()");
        let (locked, pid): (bool, i32) = lock.bind(name).fetch_one(&mut *connection).await?;
        if locked {
            return Ok(Ok(Session { connection, pid }));
        }
        // A lock of one number stands there in two halves.
        let holders = sqlx::query_scalar(
            "SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND granted AND objsubid = 1 \
             AND database = (SELECT oid FROM pg_database WHERE datname = current_database()) \
             AND (classid::bigint << 32) | objid::bigint = hashtextextended($1, 0)",
        );
        Ok(Err(holders.bind(name).fetch_all(&mut *connection).await?))
    }
}

impl Claim {
    /// Ends when another process has it. As long as the server is away nobody can have it; when it is back, this asks again, as
    /// others may.
    pub async fn lost(&mut self) {
        let Held::Session { meta, name, session } = &mut self.0 else { return std::future::pending().await };
        loop {
            tokio::time::sleep(LOOK_PAUSE).await;
            if let Ok(Ok(())) = tokio::time::timeout(LOOK_MAX, session.connection.ping()).await {
                continue;
            }
            match tokio::time::timeout(LOOK_MAX, meta.lock_session(name)).await {
                Ok(Ok(Ok(again))) => {
                    tracing::warn!(claim = %name, "the database ended the session of a claim, which was taken again");
                    *session = again;
                }
                // One's own session may still be there, and only be out of reach.
                Ok(Ok(Err(holders))) if holders.iter().any(|pid| *pid != session.pid) => return,
                Ok(Ok(Err(_)) | Err(_)) | Err(_) => {}
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
