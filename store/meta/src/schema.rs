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
    migrate_by(connection, backend, MIGRATIONS).await
}

async fn migrate_by(
    connection: &mut AnyConnection,
    backend: Backend,
    migrations: &[Migration],
) -> Result<(), MetaError> {
    let known = migrations.len() as u64;
    if backend == Backend::Postgres {
        sqlx::query("SELECT pg_advisory_xact_lock($1)").bind(MIGRATION_LOCK).execute(&mut *connection).await?;
    }
    sqlx::query("CREATE TABLE IF NOT EXISTS ignite_schema (version BIGINT NOT NULL)").execute(&mut *connection).await?;
    let row = sqlx::query("SELECT version FROM ignite_schema").fetch_optional(&mut *connection).await?;
    let found = row.as_ref().map_or(Ok(0), |row| Cells(row).int("version"))?;
    if found > known {
        return Err(MetaError::SchemaNewer { found, known });
    }
    if row.is_none() {
        sqlx::query("INSERT INTO ignite_schema (version) VALUES (0)").execute(&mut *connection).await?;
    }
    for migration in migrations.iter().skip(usize::try_from(found).unwrap_or(usize::MAX)) {
        sqlx::raw_sql(AssertSqlSafe(words(migration.both, backend))).execute(&mut *connection).await?;
        let own = match backend {
            Backend::Sqlite => migration.sqlite,
            Backend::Postgres => migration.postgres,
        };
        sqlx::raw_sql(own).execute(&mut *connection).await?;
    }
    if found < known {
        sqlx::query("UPDATE ignite_schema SET version = $1").bind(int(known)).execute(&mut *connection).await?;
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test")]
    use sqlx::{Connection as _, Row as _};

    use super::*;
    use crate::tables::{Kind, NOT_DUMPED, TABLES};

    const FIRST: Migration = Migration {
        both: "CREATE TABLE t (a {int} NOT NULL) {table};",
        sqlite: "INSERT INTO t VALUES (1);",
        postgres: "",
    };
    const SECOND: Migration = Migration { both: "ALTER TABLE t ADD COLUMN b {key};", sqlite: "", postgres: "" };
    const BROKEN: Migration =
        Migration { both: "ALTER TABLE t ADD COLUMN c {int};", sqlite: "SELECT no;", postgres: "" };

    async fn memory() -> AnyConnection {
        sqlx::any::install_default_drivers();
        AnyConnection::connect("sqlite::memory:").await.unwrap()
    }

    /// Migrates as opening does: in one transaction.
    async fn run(connection: &mut AnyConnection, migrations: &[Migration]) -> Result<(), MetaError> {
        let mut tx = connection.begin().await?;
        migrate_by(&mut tx, Backend::Sqlite, migrations).await?;
        Ok(tx.commit().await?)
    }

    async fn columns(connection: &mut AnyConnection, table: &str) -> Vec<(String, String)> {
        let rows = sqlx::query("SELECT name, type FROM pragma_table_info($1) ORDER BY cid").bind(table);
        rows.fetch_all(connection).await.unwrap().iter().map(|row| (row.get("name"), row.get("type"))).collect()
    }

    #[tokio::test]
    async fn each_step_is_taken_once_and_whole() {
        let mut connection = memory().await;
        run(&mut connection, &[FIRST]).await.unwrap();
        run(&mut connection, &[FIRST]).await.unwrap();
        let rows = sqlx::query("SELECT a FROM t").fetch_all(&mut connection).await.unwrap();
        assert_eq!(rows.len(), 1);

        // The second works, the third does not: then neither was taken.
        assert!(run(&mut connection, &[FIRST, SECOND, BROKEN]).await.is_err());
        assert_eq!(columns(&mut connection, "t").await.len(), 1);
        run(&mut connection, &[FIRST, SECOND]).await.unwrap();
        assert_eq!(columns(&mut connection, "t").await.len(), 2);
        let rows = sqlx::query("SELECT a FROM t").fetch_all(&mut connection).await.unwrap();
        assert_eq!(rows.len(), 1, "rows stay");
        let older = run(&mut connection, &[FIRST]).await.unwrap_err();
        assert!(matches!(older, MetaError::SchemaNewer { found: 2, known: 1 }));
    }

    /// What is dumped is what there is.
    #[tokio::test]
    async fn all_tables_are_listed() {
        let mut connection = memory().await;
        run(&mut connection, MIGRATIONS).await.unwrap();
        let rows = sqlx::query("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name");
        let found: Vec<String> =
            rows.fetch_all(&mut connection).await.unwrap().iter().map(|row| row.get("name")).collect();
        let mut listed: Vec<&str> = TABLES.iter().map(|table| table.name).chain(NOT_DUMPED.iter().copied()).collect();
        listed.sort_unstable();
        assert_eq!(found, listed);
        for table in TABLES {
            let kind = |kind| match kind {
                Kind::Int => "INTEGER",
                Kind::Text => "TEXT",
                Kind::Bytes => "BLOB",
            };
            let listed: Vec<_> =
                table.columns.iter().map(|(name, of)| ((*name).to_owned(), kind(*of).to_owned())).collect();
            assert_eq!(columns(&mut connection, table.name).await, listed, "{}", table.name);
        }
    }
}
