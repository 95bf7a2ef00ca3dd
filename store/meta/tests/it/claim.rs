use std::time::{Duration, Instant};

use ignite_store_meta::{Location, Meta};
use sqlx::{AnyConnection, Connection as _};

use crate::support::Store;

pub(crate) async fn a_claim_is_one_holders_until_it_lets_go(meta: &Meta) {
    let held = meta.claim("serve").await.unwrap();
    assert!(held.is_some());
    assert!(meta.claim("serve").await.unwrap().is_none());
    assert!(meta.claim("another").await.unwrap().is_some(), "another claim is another's");
    drop(held);
    // The server notices that the session is gone.
    let began = Instant::now();
    while meta.claim("serve").await.unwrap().is_none() {
        assert!(began.elapsed() < Duration::from_secs(10), "it is not given back");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Ends the session that has a lock, as a restart of the server does.
async fn end_session(location: &Location) {
    let Location::Postgres(url) = location else { panic!("a server") };
    let mut other = AnyConnection::connect(url.reveal()).await.unwrap();
    let ended: Vec<bool> = sqlx::query_scalar(
        "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND granted \
         AND database = (SELECT oid FROM pg_database WHERE datname = current_database())",
    )
    .fetch_all(&mut other)
    .await
    .unwrap();
    assert_eq!(ended, [true]);
    other.close().await.unwrap();
}

#[tokio::test]
async fn a_claim_outlives_its_session_unless_another_is_first() {
    let store = Store::postgres().await;
    let mut held = store.meta.claim("serve").await.unwrap().unwrap();
    let looks = Duration::from_secs(7);

    assert!(tokio::time::timeout(looks, held.lost()).await.is_err(), "nobody has taken it");
    end_session(&store.location).await;
    assert!(tokio::time::timeout(looks, held.lost()).await.is_err(), "nobody was there to take it");
    assert!(store.meta.claim("serve").await.unwrap().is_none(), "it was taken again");

    end_session(&store.location).await;
    let began = Instant::now();
    let another = loop {
        match store.meta.claim("serve").await.unwrap() {
            Some(another) => break another,
            None => assert!(began.elapsed() < Duration::from_secs(10), "the session is still there"),
        }
    };
    tokio::time::timeout(looks, held.lost()).await.expect("it is told that another has it");
    drop((another, held));
    store.meta.close().await;
}

#[tokio::test]
async fn a_claim_beside_a_file_is_not_lost() {
    let store = Store::sqlite().await;
    let mut held = store.meta.claim("serve").await.unwrap().unwrap();
    assert!(tokio::time::timeout(Duration::from_millis(100), held.lost()).await.is_err());
}
