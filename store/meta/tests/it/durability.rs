//! What was acknowledged survives `kill -9`.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Command, Stdio};

use ignite_store_meta::{Change, Expected, Line, Location, Meta, MetaOptions, events_stream};
use sqlx::Connection as _;

use crate::support::{NOW, app, make_app};

const CHILD: &str = "IGNITE_TEST_DURABILITY_CHILD";

/// Not a test by itself: what the child of the test below does until it is killed.
#[tokio::test]
async fn child_that_commits() {
    let Ok(path) = std::env::var(CHILD) else { return };
    let meta = Meta::open(&MetaOptions::new(Location::Sqlite(path.into()))).await.unwrap();
    let hello = app("acme/hello");
    let mut revision = match meta.find_app(&hello).await.unwrap() {
        Some(app) => app.revision,
        None => make_app(&meta, &hello).await.revision,
    };
    loop {
        let change = Change {
            state: format!(r#"{{"revision":{}}}"#, revision + 1),
            events: vec![Line { at_ms: NOW, body: "{}".into() }],
            ..Change::default()
        };
        revision = meta.commit(&hello, &Expected::Revision(revision), &change, NOW).await.unwrap().revision;
        let mut out = std::io::stdout().lock();
        // A closed pipe is the end, too.
        if writeln!(out, "acknowledged {revision}").and_then(|()| out.flush()).is_err() {
            return;
        }
    }
}

#[tokio::test]
async fn what_was_acknowledged_survives_a_kill() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("m.db");
    let mut last = 0;
    for round in 1..=4 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "durability::child_that_commits", "--nocapture"])
            .env(CHILD, &path)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut seen = 0;
        for line in lines.map_while(Result::ok) {
            // The harness writes to the same pipe, and may do so on the same line.
            let Some((_, revision)) = line.split_once("acknowledged ") else { continue };
            last = revision.trim().parse().unwrap();
            seen += 1;
            if seen == 20 * round {
                child.kill().unwrap();
            }
        }
        child.wait().unwrap();
        assert!(seen >= 20 * round, "the child ended by itself after {seen}");

        let meta = Meta::open(&MetaOptions::new(Location::Sqlite(path.clone()))).await.unwrap();
        let stored = meta.load_app(&app("acme/hello")).await.unwrap();
        // The last commit may have been made and not yet told.
        assert!(stored.revision == last || stored.revision == last + 1, "{} of {last}", stored.revision);
        assert_eq!(stored.state, format!(r#"{{"revision":{}}}"#, stored.revision));
        let events = meta.find_log(&events_stream(&stored.id)).await.unwrap().unwrap();
        assert_eq!(events.next, stored.revision, "one event for each revision after the first");
        meta.close().await;
        let mut raw = sqlx::SqliteConnection::connect(&format!("sqlite://{}", path.display())).await.unwrap();
        let row: (String,) = sqlx::query_as("PRAGMA integrity_check").fetch_one(&mut raw).await.unwrap();
        assert_eq!(row.0, "ok");
        raw.close().await.unwrap();
    }
}
