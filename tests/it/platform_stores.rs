//! The whole platform on a real Postgres and a server that speaks S3: the same journeys, and nothing in its folder that it
//! could not do without.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use ignite_store_testing::{Postgres, S3};
use ignite_tests::cli::{Said, command, said};
use ignite_tests::platform::{Platform, STEP_MAX, Start};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::platform::handler;

/// Stores, and a person who serves and deploys there.
struct Stage {
    _shared: Option<Arc<Postgres>>,
    s3: S3,
    store: String,
    home: TempDir,
}

impl Stage {
    fn new() -> Self {
        let postgres = Postgres::shared();
        Self { _shared: Some(Arc::clone(&postgres)), ..Self::on(&postgres) }
    }

    fn on(postgres: &Postgres) -> Self {
        let home = tempfile::tempdir().unwrap();
        Self { _shared: None, s3: S3::start(), store: postgres.create_database(), home }
    }

    /// A platform on these stores, with a folder of its own.
    fn start_in(&self, folder: &Path) -> Start {
        let mut start = Start::new(folder);
        start.arguments = vec!["--objects".to_owned(), self.objects()];
        for (name, value) in [
            ("IGNITE_STORE", self.store.as_str()),
            ("AWS_ACCESS_KEY_ID", S3::KEY_ID),
            ("AWS_SECRET_ACCESS_KEY", S3::KEY),
            // Keys of secrets do not die with a machine.
            ("IGNITE_SEALING_KEY", "1111111111111111111111111111111111111111111111111111111111111111"),
        ] {
            start.env.push((name.to_owned(), value.to_owned()));
        }
        start
    }

    fn objects(&self) -> String {
        format!("s3://{}/ignite?endpoint={}", S3::BUCKET, self.s3.endpoint())
    }

    /// Files of objects.
    fn objects_kept(&self) -> usize {
        fn count(folder: &Path) -> usize {
            let entries = fs::read_dir(folder).into_iter().flatten().flatten();
            entries.map(|entry| if entry.path().is_dir() { count(&entry.path()) } else { 1 }).sum()
        }
        count(&self.s3.files().join("ignite"))
    }

    /// Runs `ignite` as somebody who has logged in to this platform.
    fn ignite(&self, platform: &Platform, words: &[&str]) -> Said {
        let mut command = command(self.home.path(), words).unwrap();
        command.env("IGNITE_CONFIG_DIR", self.home.path().join("config"));
        command.env("IGNITE_TOKEN", &platform.token).env("IGNITE_API_ENDPOINT", format!("http://{}", platform.api));
        said(command.output().unwrap())
    }
}

/// Starts it as soon as its database lets it.
fn start_soon(start: &Start) -> Platform {
    let deadline = Instant::now() + STEP_MAX;
    loop {
        match start.start() {
            Ok(platform) => return platform,
            Err(error) => assert!(Instant::now() < deadline, "{error:#}"),
        }
        thread::sleep(Duration::from_millis(100));
    }
}

fn text(platform: &Platform, app: &str) -> String {
    platform.ask(app, b"").unwrap().text()
}

#[test]
fn what_is_deployed_outlives_the_machine_it_was_served_from() {
    let stage = Stage::new();
    let first = tempfile::tempdir().unwrap();
    let platform = stage.start_in(first.path()).start().unwrap();
    // The command line uploads to the bucket itself, by a URL that was signed for it.
    handler(&stage.home.path().join("hello"), "def handler(payload, ctx):\n    return 'one'\n");
    let deployed = stage.ignite(&platform, &["deploy", "hello"]);
    assert_eq!(deployed.code, 0, "{}", deployed.stderr);
    assert_eq!(text(&platform, "hello"), "one");
    let source = stage.home.path().join("hello");
    handler(&source, "def handler(payload, ctx):\n    return 'two'\n");
    assert_eq!(platform.publish("hello", &source).unwrap()["status"], "COMPILE_STATUS_SUCCEEDED");
    assert_eq!(text(&platform, "hello"), "two");
    handler(&source, "def handlr(payload, ctx):\n    return 'three'\n");
    assert_eq!(platform.publish("hello", &source).unwrap()["status"], "COMPILE_STATUS_FAILED");
    platform.roll_back("hello", 1).unwrap();
    assert_eq!(text(&platform, "hello"), "one");
    let execution = stage.ignite(&platform, &["-o", "json", "invoke", "hello", "--async", "-p", "{}"]);
    assert_eq!(execution.code, 0, "{}", execution.stderr);
    let execution: Value = serde_json::from_str(&execution.text()).unwrap();
    let id = execution["executionId"].as_str().unwrap_or_else(|| panic!("{execution}")).to_owned();
    let watched = stage.ignite(&platform, &["execution", "watch", &id]);
    assert_eq!(watched.code, 0, "{}", watched.stderr);

    let folder = Start::new(first.path()).data;
    assert!(stage.objects_kept() >= 4, "two sources and two artifacts: {}", stage.objects_kept());
    assert!(!folder.join("ignite.db").exists() && !folder.join("objects").exists());

    // `kill -9`, and all of its folder is gone.
    let token = platform.token.clone();
    drop(platform);
    drop(first);
    let second = tempfile::tempdir().unwrap();
    let start = Start { token: Some(token), ..stage.start_in(second.path()) };
    // Postgres notices the end of a session a moment later.
    let platform = start_soon(&start);
    assert_eq!(text(&platform, "hello"), "one");
    platform.roll_back("hello", 2).unwrap();
    assert_eq!(text(&platform, "hello"), "two");
    let kept = platform.call("GetExecution", &json!({ "executionId": id })).unwrap();
    assert!(kept.to_string().contains(&id), "{kept}");
    platform.stop().unwrap();
}

#[test]
fn a_platform_moves_from_a_folder_to_postgres_and_s3_and_back() {
    let stage = Stage::new();
    let (folder, elsewhere, back) =
        (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let platform = Platform::start(folder.path()).unwrap();
    platform.call("CreateApp", &json!({ "name": "saved" })).unwrap();
    let source = stage.home.path().join("saved");
    handler(&source, "def handler(payload, ctx):\n    return 'saved'\n");
    platform.publish("saved", &source).unwrap();
    let token = Some(platform.token.clone());
    platform.stop().unwrap();

    let admin = |verb: &str, start: &Start, option: &str, to: &str| {
        let data = start.data.to_str().unwrap();
        let mut command = command(stage.home.path(), &["admin", verb, "--data", data, option, to]).unwrap();
        let said = said(command.args(&start.arguments).envs(start.env.iter().cloned()).output().unwrap());
        assert_eq!(said.code, 0, "{verb}: {}", said.stderr);
    };
    admin("backup", &Start::new(folder.path()), "--out", "one");
    let start = Start { token: token.clone(), ..stage.start_in(elsewhere.path()) };
    admin("restore", &start, "--from", "one");
    let platform = start.start().unwrap();
    assert_eq!(text(&platform, "saved"), "saved");
    admin("backup", &start, "--out", "two");
    platform.stop().unwrap();
    let start = Start { token, ..Start::new(back.path()) };
    admin("restore", &start, "--from", "two");
    assert_eq!(text(&start.start().unwrap(), "saved"), "saved");
}

#[test]
fn two_platforms_do_not_share_their_records() {
    let stage = Stage::new();
    let (first, second) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let platform = stage.start_in(first.path()).start().unwrap();
    let token = platform.token.clone();
    let refused = stage.start_in(second.path()).start().err().unwrap().to_string();
    assert!(refused.contains("another `ignite serve` has them"), "{refused}");
    assert_eq!(platform.call("ListApps", &json!({})).unwrap()["apps"], Value::Null);
    platform.stop().unwrap();
    let there = Start { token: Some(token), ..stage.start_in(second.path()) };
    there.start().unwrap().stop().unwrap();
}

#[test]
fn a_platform_whose_records_another_took_ends_and_says_so() {
    let mut postgres = Postgres::start();
    let stage = Stage::on(&postgres);
    let (first, second) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let log = first.path().join("log");
    let mut platform = Start { log: Some(log.clone()), ..stage.start_in(first.path()) }.start().unwrap();
    let there = Start { token: Some(platform.token.clone()), ..stage.start_in(second.path()) };

    // It goes on after a restart of its database, of which others have nothing.
    postgres.stop();
    postgres.start_again();
    let deadline = Instant::now() + STEP_MAX;
    while !fs::read_to_string(&log).unwrap().contains("which was taken again") {
        assert!(Instant::now() < deadline, "{}", fs::read_to_string(&log).unwrap());
        thread::sleep(Duration::from_millis(50));
    }
    assert!(there.start().err().unwrap().to_string().contains("another `ignite serve` has them"));
    assert_eq!(platform.call("ListApps", &json!({})).unwrap()["apps"], Value::Null);

    // It cannot see to it now.
    let pid = Pid::from_raw(platform.pid().cast_signed()).unwrap();
    kill_process(pid, Signal::STOP).unwrap();
    postgres.stop();
    postgres.start_again();
    let other = start_soon(&there);
    kill_process(pid, Signal::CONT).unwrap();
    let ended = platform.ended().unwrap();
    let said = fs::read_to_string(&log).unwrap();
    assert_eq!(ended.code(), Some(9), "{said}");
    assert!(said.contains("could not keep the records of this platform"), "{said}");
    assert_eq!(other.call("ListApps", &json!({})).unwrap()["apps"], Value::Null);
    other.stop().unwrap();
}

#[test]
fn stores_that_cannot_be_used_are_told() {
    let stage = Stage::new();
    let serve = |words: &[&str], key: &str| {
        let mut command =
            command(stage.home.path(), &[&["serve", "--data", "data", "--api-port", "0"], words].concat());
        let command = command.as_mut().unwrap();
        command.env("IGNITE_CONFIG_DIR", stage.home.path().join("config"));
        command.env("AWS_ACCESS_KEY_ID", S3::KEY_ID).env("AWS_SECRET_ACCESS_KEY", key);
        said(command.output().unwrap())
    };
    for (words, code, why) in [
        (["--store", "postgres://ignite:hunter2@localhost/x"], 2, "set IGNITE_STORE instead"),
        (["--store", "mysql://localhost/x"], 2, "neither `sqlite:` nor `postgres://`"),
        (["--objects", "s3://"], 2, "it names no bucket"),
        (["--store", "postgres:///x?host=/nowhere&user=ignite"], 9, "could not open the records"),
        (["--objects", &stage.objects()], 9, "could not reach the object store"),
    ] {
        let said = serve(&words, "not the key");
        assert!(said.code == code && said.stderr.contains(why), "{words:?}: {} {}", said.code, said.stderr);
        assert!(!said.stderr.contains("hunter2"), "{}", said.stderr);
    }
}
