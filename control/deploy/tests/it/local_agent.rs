//! An agent that runs real hosts.

use std::sync::Arc;
use std::time::{Duration, Instant};

use ignite_control_deploy::local::{LocalBackend, SealedSecrets};
use ignite_control_deploy::{Agent, AgentOptions, LogLine, logs_stream};
use ignite_core_model::{AppSettings, Credential, Env, HostAddress, InstanceDetail, Secret};
use ignite_store_meta::Instance;
use ignite_store_meta::seal::{Keyring, SealingKey};
use rustix::process::Signal;
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::agent_process;
use crate::app::{APP, Shelf};
use crate::machine::{call, is_alive, options, parents, processes, signal, until};
use crate::rows::{Rows, SOON, spec};

struct Stage {
    rows: Rows,
    keys: Keyring,
    backend: Arc<LocalBackend>,
    shelf: Arc<Shelf>,
    stop: CancellationToken,
    agent: JoinHandle<()>,
    folder: TempDir,
}

impl Stage {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let rows = Rows::new(folder.path()).await;
        let shelf = Arc::new(Shelf::new(&folder.path().join("artifacts")));
        let mut options = options(folder.path());
        // The host's own bound is not what is looked at here.
        options.env.push(("IGNITE_LOG_LINES_PER_SECOND".to_owned(), "1000000".to_owned()));
        let keys = Keyring::new(SealingKey::generate().unwrap(), Vec::new());
        let secrets = SealedSecrets::new(rows.meta.clone(), keys.clone());
        let backend = Arc::new(LocalBackend::new(options, Arc::clone(&shelf) as _, Arc::new(secrets)).unwrap());
        let stop = CancellationToken::new();
        let options = AgentOptions { name: "agent".to_owned(), drain_max: SOON };
        let agent = Agent::new(rows.meta.clone(), Arc::clone(&backend) as _, options);
        let agent = tokio::spawn(agent.run(stop.clone()));
        Self { rows, keys, backend, shelf, stop, agent, folder }
    }
}

fn address(instance: &Instance) -> HostAddress {
    instance.address.as_deref().unwrap().parse().unwrap()
}

fn detail(instance: &Instance) -> InstanceDetail {
    serde_json::from_str(&instance.detail).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_crashes_is_started_again_later_each_time_and_counted() {
    let stage = Stage::new().await;
    stage.rows.want(&spec(stage.shelf.put(APP), 1, 1, AppSettings::default()), 1).await;
    let mut waits = Vec::new();
    for crashes in 0..4 {
        let healthy = |shown: &[Instance]| {
            shown.len() == 1 && shown[0].state == "healthy" && detail(&shown[0]).restarts == crashes
        };
        let begun = Instant::now();
        let shown = stage.rows.until(&format!("healthy after {crashes} crashes"), healthy).await;
        waits.push(begun.elapsed());
        assert_eq!(call(&address(&shown[0]), "/", "").await.unwrap().0, 200);
        signal(stage.backend.process_id(shown[0].id).unwrap(), Signal::KILL);
    }
    // At once, after 250 ms, after 500 ms.
    assert!(waits[3] >= Duration::from_millis(500), "{waits:?}");
    stage.stop.cancel();
    stage.agent.await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn lines_outlive_their_instances_within_bounds() {
    let stage = Stage::new().await;
    stage.rows.want(&spec(stage.shelf.put(APP), 1, 1, AppSettings::default()), 1).await;
    let shown = stage.rows.shows(&[(1, "healthy")]).await;
    let at = address(&shown[0]);
    // More than are kept.
    for round in 1..=6 {
        assert_eq!(call(&at, "/lines", "2000").await.unwrap().0, 200);
        let written = tokio::time::timeout(SOON, async {
            while stage
                .rows
                .meta
                .find_log(&logs_stream(&stage.rows.app))
                .await
                .unwrap()
                .is_none_or(|log| log.next <= 2000 * round)
            {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        });
        assert!(written.await.is_ok(), "lines are missing after {:?}", lines(&stage.rows).await.last());
    }
    stage.rows.want_no_more(1).await;
    stage.rows.shows(&[]).await;
    let lines = lines(&stage.rows).await;
    assert!((9_000..=10_000).contains(&lines.len()), "{} lines are kept", lines.len());
    let numbers: Vec<usize> = lines.iter().filter_map(|line| line.text.strip_prefix("line ")?.parse().ok()).collect();
    let steps = numbers.windows(2).filter(|pair| pair[1] != pair[0] + 1 && pair[1] != 0).count();
    assert_eq!(steps, 0, "lines are missing or out of order");
    assert!(lines.iter().all(|line| line.instance_id == shown[0].id.to_string()));
    assert!(
        lines
            .iter()
            .filter(|line| line.stream == "stdout")
            .all(|line| line.execution_id.len() == 26 || line.text == "loaded")
    );
    stage.stop.cancel();
    stage.agent.await.unwrap();
}

async fn lines(rows: &Rows) -> Vec<LogLine> {
    let stream = logs_stream(&rows.app);
    let (mut from, mut lines) = (0, Vec::new());
    loop {
        let read = rows.meta.read_log(&stream, from, 1000).await.unwrap();
        let Some(last) = read.last() else { return lines };
        from = last.sequence + 1;
        lines.extend(read.iter().map(|line| serde_json::from_str::<LogLine>(&line.body).unwrap()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_is_in_its_instance_and_nowhere_else() {
    const SECRET: &str = "hunter2-is-the-secret";
    let stage = Stage::new().await;
    let (meta, organization) = (&stage.rows.meta, stage.rows.app.organization());
    let env = Env([("DB".to_owned(), "secret://db".to_owned())].into());
    let settings = AppSettings { env, ..AppSettings::default() };
    stage.rows.want(&spec(stage.shelf.put(APP), 1, 1, settings), 1).await;
    // It says what is missing, and starts when that is there.
    let shown = stage.rows.shows(&[(1, "failed")]).await;
    let reason = detail(&shown[0]).reason.unwrap();
    assert!(reason.contains("`DB`") && reason.contains("`ignite secret create db`"), "{reason}");
    let credential = Credential::Value(Secret::new(SECRET.to_owned()));
    let sealed = stage.keys.seal(&organization, "db", &credential.to_bytes()).unwrap();
    meta.put_secret(&organization, "db", credential.kind(), &sealed, 1).await.unwrap();
    let shown = stage.rows.shows(&[(1, "healthy")]).await;
    let env = call(&address(&shown[0]), "/env", "").await.unwrap().1;
    assert!(env.contains(SECRET), "{env}");
    assert!(!format!("{shown:?}").contains(SECRET));
    stage.rows.want_no_more(1).await;
    stage.rows.shows(&[]).await;
    assert!(!format!("{:?}", lines(&stage.rows).await).contains(SECRET));
    stage.stop.cancel();
    stage.agent.await.unwrap();
    // Not in the store's own files either.
    drop(stage.backend);
    for file in ["ignite.db", "ignite.db-wal"] {
        let bytes = std::fs::read(stage.folder.path().join(file)).unwrap_or_default();
        assert!(!bytes.windows(SECRET.len()).any(|part| part == SECRET.as_bytes()), "{file} has it");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_ends_leaves_nothing() {
    let stage = Stage::new().await;
    stage.rows.want(&spec(stage.shelf.put(APP), 1, 1, AppSettings::default()), 2).await;
    stage.rows.shows(&[(1, "healthy"), (1, "healthy")]).await;
    let text = stage.folder.path().display().to_string();
    assert!(processes(&text).len() >= 2);
    stage.stop.cancel();
    stage.agent.await.unwrap();
    stage.rows.shows(&[]).await;
    drop(stage.backend);
    until("no process is left", || processes(&text).is_empty()).await;
    until("no file is left", || std::fs::read_dir(stage.folder.path().join("w")).unwrap().next().is_none()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn hosts_of_a_killed_agent_finish_and_end_and_another_takes_over() {
    let folder = tempfile::tempdir().unwrap();
    let rows = Rows::new(folder.path()).await;
    let mut agent = agent_process::start(folder.path());
    let artifact = Shelf::new(&folder.path().join("artifacts")).put(APP);
    rows.want(&spec(artifact, 1, 1, AppSettings::default()), 2).await;
    let old = rows.shows(&[(1, "healthy"), (1, "healthy")]).await;
    let held_at = address(&old[0]);
    let worker: u32 = call(&held_at, "/pid", "").await.unwrap().1.parse().unwrap();
    let mut family = parents(worker);
    let own = family.iter().position(|pid| *pid == agent.id()).unwrap();
    family.truncate(own);
    family.push(worker);
    let held = tokio::spawn(async move { call(&held_at, "/hold", "1500").await });
    tokio::time::timeout(SOON, async {
        while !lines(&rows).await.iter().any(|line| line.text == "begun") {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await
    .unwrap();
    agent.kill().unwrap();
    agent.wait().unwrap();
    let mut next = agent_process::start(folder.path());
    // What was asked is answered, with nobody above the host and its successor already there.
    assert_eq!(held.await.unwrap(), Ok((200, "hello from acme/hello".to_owned())));
    until("the old hosts and workers have ended", || !family.iter().any(|pid| is_alive(*pid))).await;
    let is_old = |one: &Instance| old.iter().any(|was| was.id == one.id);
    let new = rows
        .until("two new ones", |shown| {
            shown.len() == 2 && shown.iter().all(|one| one.state == "healthy" && !is_old(one))
        })
        .await;
    for instance in &new {
        assert_eq!(call(&address(instance), "/", "").await.unwrap().0, 200);
    }
    next.kill().unwrap();
    next.wait().unwrap();
    let text = folder.path().join("w").display().to_string();
    until("no host is left", || processes(&text).is_empty()).await;
}
