//! Migrations: from whatever schema a database has to the one this program knows.

use sqlx::{AnyConnection, AssertSqlSafe};

use crate::MetaError;
use crate::sql::{Backend, Cells, int};

/// One step of the schema. `both` is for both databases with words in braces; the others are as they stand.
struct Migration {
    both: &'static str,
    sqlite: &'static str,
    postgres: &'static str,
}

/// In order; the first leads to schema 1. What was released is never edited.
const MIGRATIONS: &[Migration] = &[Migration {
    both: include_str!("../migrations/0001.sql"),
    sqlite: include_str!("../migrations/0001.sqlite.sql"),
    postgres: include_str!("../migrations/0001.postgres.sql"),
}];

/// The schema this program knows.
pub(crate) const SCHEMA: u64 = MIGRATIONS.len() as u64;

/// Any number that no other program that shares the server takes a lock by.
const MIGRATION_LOCK: i64 = 0x1911_7e5c_4e3a;

/// Brings the schema of the database up to date, inside of the caller's transaction: whoever comes second finds it done.
pub(crate) async fn migrate(connection: &mut AnyConnection, backend: Backend) -> Result<(), MetaError> {
    if backend == Backend::Postgres {
        sqlx::query("SELECT pg_advisory_xact_lock($1)").bind(MIGRATION_LOCK).execute(&mut *connection).await?;
    }
    sqlx::query("CREATE TABLE IF NOT EXISTS ignite_schema (version BIGINT NOT NULL)").execute(&mut *connection).await?;
    let row = sqlx::query("SELECT version FROM ignite_schema").fetch_optional(&mut *connection).await?;
    let found = row.as_ref().map_or(Ok(0), |row| Cells(row).int("version"))?;
    if found > SCHEMA {
        return Err(MetaError::SchemaNewer { found, known: SCHEMA });
    }
    if row.is_none() {
        sqlx::query("INSERT INTO ignite_schema (version) VALUES (0)").execute(&mut *connection).await?;
    }
    for migration in MIGRATIONS.iter().skip(usize::try_from(found).unwrap_or(usize::MAX)) {
        sqlx::raw_sql(AssertSqlSafe(words(migration.both, backend))).execute(&mut *connection).await?;
        let own = match backend {
            Backend::Sqlite => migration.sqlite,
            Backend::Postgres => migration.postgres,
        };
        sqlx::raw_sql(own).execute(&mut *connection).await?;
    }
    if found < SCHEMA {
        sqlx::query("UPDATE ignite_schema SET version = $1").bind(int(SCHEMA)).execute(&mut *connection).await?;
    }
    Ok(())
}

/// Puts the words of one database in place of those in braces.
///
/// A key sorts by its bytes in both: Postgres would sort by the language of its cluster otherwise, and pages of a
/// list must follow one order everywhere.
fn words(text: &str, backend: Backend) -> String {
    let [int, bytes, key, table] = match backend {
        Backend::Sqlite => ["INTEGER", "BLOB", "TEXT", "STRICT"],
        Backend::Postgres => ["BIGINT", "BYTEA", "TEXT COLLATE \"C\"", ""],
    };
    text.replace("{int}", int).replace("{bytes}", bytes).replace("{key}", key).replace("{table}", table)
}
