//! Figures that are promised.

use std::time::{Duration, Instant};

use ignite_core_model::FunctionId;
use ignite_store_meta::{Location, Meta};
use sqlx::{Connection as _, Executor as _};

use crate::support::{Store, app};

/// Apps of one organisation, with states of 2 kB, written past the store to save time.
const APPS: u32 = 10_000;
const PAGE: u32 = 100;
const PAGE_MAX: Duration = Duration::from_millis(50);

fn statement(series: &str) -> String {
    format!(
        "INSERT INTO organizations (id, created_ms) VALUES ('acme', 1); \
         {series} INSERT INTO apps (id, organization, label, revision, state, created_ms, updated_ms) \
         SELECT 'acme/a' || n, 'acme', 'a' || n || '-acme', 1, '{}', 1, 1 FROM series;",
        "x".repeat(2000)
    )
}

#[expect(clippy::print_stdout, reason = "the figure, for who asks with --nocapture")]
async fn pages(meta: &Meta) {
    let organization = "acme".parse().unwrap();
    let (mut after, mut seen, mut worst): (Option<FunctionId>, _, _) = (None, 0, Duration::ZERO);
    // One page to fill caches that the platform has filled long ago.
    meta.list_apps(&organization, Some(&app("acme/a5")), PAGE).await.unwrap();
    loop {
        // The quickest of three: it is the store that is measured, and other tests run beside it.
        let (mut page, mut quickest) = (Vec::new(), Duration::MAX);
        for _ in 0..3 {
            let began = Instant::now();
            page = meta.list_apps(&organization, after.as_ref(), PAGE).await.unwrap();
            quickest = quickest.min(began.elapsed());
        }
        worst = worst.max(quickest);
        seen += page.len();
        let Some(last) = page.into_iter().next_back() else { break };
        after = Some(last.id);
    }
    assert_eq!(seen, APPS as usize);
    println!("the slowest page of {PAGE} of {APPS} apps took {worst:?}");
    assert!(worst <= PAGE_MAX, "a page took {worst:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_of_ten_thousand_apps_of_sqlite() {
    let store = Store::sqlite().await;
    let Location::Sqlite(path) = &store.location else { panic!("a file") };
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(path);
    let mut raw = sqlx::SqliteConnection::connect_with(&options).await.unwrap();
    let series = format!("WITH RECURSIVE series (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM series WHERE n < {APPS})");
    raw.execute(sqlx::raw_sql(sqlx::AssertSqlSafe(statement(&series)))).await.unwrap();
    raw.close().await.unwrap();
    pages(&store.meta).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_of_ten_thousand_apps_of_postgres() {
    let store = Store::postgres().await;
    let Location::Postgres(url) = &store.location else { panic!("a server") };
    let mut raw = sqlx::PgConnection::connect(url.reveal()).await.unwrap();
    let series = format!("WITH series AS (SELECT n FROM generate_series(1, {APPS}) AS n)");
    raw.execute(sqlx::raw_sql(sqlx::AssertSqlSafe(statement(&series) + " ANALYZE;"))).await.unwrap();
    raw.close().await.unwrap();
    pages(&store.meta).await;
}
