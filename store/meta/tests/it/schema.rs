//! Databases of earlier and later releases.

use std::time::{Duration, Instant};

use ignite_store_meta::{Location, Meta, MetaError, MetaOptions};
use sqlx::{Connection as _, Executor as _};

use crate::backup::{check_filled, fill};
use crate::support::Store;

/// A database that a release with schema 1 has written. `UPDATE_EXPECT=1` writes it anew, which is right only before
/// the schema is released.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_of_schema_1_opens() {
    let golden = concat!(env!("CARGO_MANIFEST_DIR"), "/golden/schema-1.db.zst");
    let folder = tempfile::tempdir().unwrap();
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        let store = Store::sqlite().await;
        fill(&store.meta).await;
        let copy = folder.path().join("copy.db");
        store.meta.copy_sqlite(&copy).await.unwrap();
        std::fs::write(golden, zstd::encode_all(std::fs::File::open(copy).unwrap(), 19).unwrap()).unwrap();
    }
    let path = folder.path().join("m.db");
    std::fs::write(&path, zstd::decode_all(std::fs::File::open(golden).unwrap()).unwrap()).unwrap();
    let meta = Meta::open(&MetaOptions::new(Location::Sqlite(path))).await.unwrap();
    check_filled(&meta).await;
}

/// A dump that a release with schema 1 has written.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dump_of_schema_1_is_restored() {
    let golden = concat!(env!("CARGO_MANIFEST_DIR"), "/golden/dump-1.zst");
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        let store = Store::sqlite().await;
        fill(&store.meta).await;
        std::fs::write(golden, crate::backup::dump(&store.meta).await).unwrap();
    }
    for store in [Store::sqlite().await, Store::postgres().await] {
        store.meta.restore(std::fs::File::open(golden).unwrap()).await.unwrap();
        check_filled(&store.meta).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_later_schema_is_refused() {
    for store in [Store::sqlite().await, Store::postgres().await] {
        fill(&store.meta).await;
        store.meta.close().await;
        let statement = "UPDATE ignite_schema SET version = 99";
        match &store.location {
            Location::Sqlite(path) => {
                let options = sqlx::sqlite::SqliteConnectOptions::new().filename(path);
                let mut raw = sqlx::SqliteConnection::connect_with(&options).await.unwrap();
                raw.execute(statement).await.unwrap();
                raw.close().await.unwrap();
            }
            Location::Postgres(url) => {
                let mut raw = sqlx::PgConnection::connect(url.reveal()).await.unwrap();
                raw.execute(statement).await.unwrap();
                raw.close().await.unwrap();
            }
        }
        let error = Meta::open(&MetaOptions::new(store.location.clone())).await.unwrap_err();
        assert!(matches!(error, MetaError::SchemaNewer { found: 99, known: 1 }), "{error:?}");
        assert_eq!(
            error.to_string(),
            "the database has schema 99 and this program knows schemas up to 1; use the newer program"
        );
    }
}

/// Many that start at once, as the parts of a cluster do, migrate once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_may_open_a_new_database_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let server = ignite_store_testing::Postgres::shared();
    for location in [Location::Sqlite(folder.path().join("m.db")), crate::support::new_database(&server)] {
        let openers = (0..6).map(|_| {
            let options = MetaOptions::new(location.clone());
            tokio::spawn(async move { Meta::open(&options).await })
        });
        for opener in openers.collect::<Vec<_>>() {
            opener.await.unwrap().unwrap().ping().await.unwrap();
        }
    }
}

/// A file that is not yet written ahead, and whose lock somebody has for a while.
struct Locked {
    _folder: tempfile::TempDir,
    options: MetaOptions,
    holder: sqlx::SqliteConnection,
}

impl Locked {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("m.db");
        let options = sqlx::sqlite::SqliteConnectOptions::new().filename(&path).create_if_missing(true);
        let mut holder = sqlx::SqliteConnection::connect_with(&options).await.unwrap();
        holder.execute("BEGIN IMMEDIATE").await.unwrap();
        Self { _folder: folder, options: MetaOptions::new(Location::Sqlite(path)), holder }
    }
}

/// SQLite by itself waits for no lock where it is to change how a file is written.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_file_that_somebody_has_locked_is_waited_for() {
    let mut locked = Locked::new().await;
    let options = locked.options.clone();
    let opener = tokio::spawn(async move { Meta::open(&options).await });
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(!opener.is_finished(), "it waits");
    locked.holder.execute("COMMIT").await.unwrap();
    opener.await.unwrap().unwrap().ping().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_file_that_stays_locked_is_told_as_busy() {
    let locked = Locked::new().await;
    let options = MetaOptions { lock_ms_max: 300, ..locked.options.clone() };
    let begun = Instant::now();
    let error = Meta::open(&options).await.unwrap_err();
    assert!(matches!(error, MetaError::Busy(_)), "{error:?}");
    let took = begun.elapsed();
    assert!(took >= Duration::from_millis(300) && took < Duration::from_secs(5), "{took:?}");
}

/// Not even by hand.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_statement_changes_a_version() {
    let statement = "UPDATE versions SET snapshot = '{}'";
    let store = Store::sqlite().await;
    fill(&store.meta).await;
    let Location::Sqlite(path) = &store.location else { panic!("a file") };
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(path);
    let mut raw = sqlx::SqliteConnection::connect_with(&options).await.unwrap();
    let error = raw.execute(statement).await.unwrap_err().to_string();
    assert!(error.contains("a version never changes"), "{error}");

    let store = Store::postgres().await;
    fill(&store.meta).await;
    let Location::Postgres(url) = &store.location else { panic!("a server") };
    let mut raw = sqlx::PgConnection::connect(url.reveal()).await.unwrap();
    let error = raw.execute(statement).await.unwrap_err().to_string();
    assert!(error.contains("a version never changes"), "{error}");
}
