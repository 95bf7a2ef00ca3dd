//! What an agent does about rows.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use ignite_control_deploy::fake::{Behaviour, FakeBackend};
use ignite_control_deploy::{Agent, AgentOptions, Wakes};
use ignite_core_model::{AppSettings, Digest, InstanceDetail};
use ignite_store_meta::{ChangeItem, Instance};
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::rows::{Rows, SOON, spec, version};

struct Stage {
    rows: Rows,
    backend: FakeBackend,
    stop: CancellationToken,
    agent: Option<JoinHandle<()>>,
    wakes: Option<Wakes>,
    heard: Arc<Mutex<Vec<ChangeItem>>>,
    _folder: TempDir,
}

impl Stage {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let rows = Rows::new(folder.path()).await;
        let backend = FakeBackend::default();
        let stop = CancellationToken::new();
        let heard = Arc::default();
        let mut stage = Self { rows, backend, stop, agent: None, wakes: None, heard, _folder: folder };
        stage.start_agent();
        stage
    }

    fn start_agent(&mut self) {
        let options = AgentOptions { name: "agent".to_owned(), drain_max: SOON };
        let mut agent = Agent::new(self.rows.meta.clone(), Arc::new(self.backend.clone()), options);
        let heard = Arc::clone(&self.heard);
        agent.heard_by(Arc::new(move |item| heard.lock().unwrap().push(item)));
        self.wakes = Some(agent.wakes());
        self.stop = CancellationToken::new();
        self.agent = Some(tokio::spawn(agent.run(self.stop.clone())));
    }

    /// The agent dies, and what it runs with it; another takes its place.
    async fn kill_agent(&mut self) {
        let agent = self.agent.take().unwrap();
        agent.abort();
        let _ = agent.await;
        self.backend = FakeBackend::default();
        self.start_agent();
    }

    async fn want(&self, number: u32, start: u64, instances: u32) {
        let spec = spec(Digest::of(b"artifact"), number, start, AppSettings::default());
        self.rows.want(&spec, instances).await;
    }

    /// A request waits for a version, again and again, until so many instances were ever started.
    async fn wake(&self, number: u32, started: u64) {
        let wakes = self.wakes.as_ref().unwrap();
        let woken = tokio::time::timeout(SOON, async {
            while self.backend.started() < started {
                wakes.wake(&self.rows.app, version(number));
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        });
        woken.await.expect("an instance is started");
    }

    async fn want_no_more(&self, number: u32) {
        self.rows.want_no_more(number).await;
    }

    async fn shows(&self, expected: &[(u32, &str)]) -> Vec<Instance> {
        self.rows.shows(expected).await
    }

    /// Waits until none of `old` is shown any more.
    async fn shows_none_of(&self, old: &[Instance]) {
        let is_old = |one: &Instance| old.iter().any(|was| was.id == one.id);
        self.rows.until("without the old ones", |shown| !shown.iter().any(is_old)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_says_what_it_waits_for() {
    let folder = tempfile::tempdir().unwrap();
    let rows = Rows::new(folder.path()).await;
    let options = AgentOptions { name: "agent".to_owned(), drain_max: SOON };
    let agent = Agent::new(rows.meta.clone(), Arc::new(FakeBackend::default()), options);
    let status = agent.status();
    assert!(status.waits_for().is_some_and(|what| what.contains("not read yet")));
    let stop = CancellationToken::new();
    let running = tokio::spawn(agent.run(stop.clone()));
    crate::machine::until("it waits for nothing", || status.waits_for().is_none()).await;
    stop.cancel();
    running.await.unwrap();
    assert!(status.waits_for().is_some_and(|what| what.contains("shutting down")));
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_become_instances_and_back() {
    let stage = Stage::new().await;
    stage.want(1, 1, 2).await;
    let instances = stage.shows(&[(1, "healthy"), (1, "healthy")]).await;
    assert!(instances.iter().all(|one| one.address.is_some()));
    stage.want(1, 1, 1).await;
    stage.shows(&[(1, "healthy")]).await;
    stage.want(2, 2, 1).await;
    stage.shows(&[(1, "healthy"), (2, "healthy")]).await;
    stage.want_no_more(1).await;
    stage.shows(&[(2, "healthy")]).await;
    stage.want(2, 2, 0).await;
    stage.shows(&[]).await;
    assert!(stage.backend.running().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_waits_is_known_before_its_row_is() {
    let stage = Stage::new().await;
    stage.want(1, 1, 0).await;
    stage.wake(1, 1).await;
    let woken = stage.shows(&[(1, "healthy")]).await;
    // The row that was under way: it wants what is there.
    stage.want(1, 1, 1).await;
    stage.want(2, 2, 1).await;
    let shown = stage.shows(&[(1, "healthy"), (2, "healthy")]).await;
    assert!(shown.iter().any(|one| one.id == woken[0].id), "it was started anew");
    assert_eq!(stage.backend.started(), 2);
    // A row that takes it back counts, and nobody wakes what no row knows.
    stage.want(1, 1, 0).await;
    stage.want_no_more(2).await;
    stage.shows(&[]).await;
    stage.wakes.as_ref().unwrap().wake(&stage.rows.app, version(2));
    stage.wake(1, 3).await;
    stage.shows(&[(1, "healthy")]).await;
    assert_eq!(stage.backend.started(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_becomes_of_instances_is_heard_in_the_agents_process() {
    let stage = Stage::new().await;
    stage.want(1, 1, 1).await;
    let healthy = stage.shows(&[(1, "healthy")]).await;
    stage.want(1, 1, 0).await;
    stage.shows(&[]).await;
    let heard = stage.heard.lock().unwrap().clone();
    let words: Vec<&str> = heard
        .iter()
        .map(|item| match item {
            ChangeItem::InstanceSet(instance) if instance.id == healthy[0].id => instance.state.as_str(),
            ChangeItem::InstanceRemoved(id) if *id == healthy[0].id => "gone",
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(words, ["healthy", "draining", "gone"]);
    let ChangeItem::InstanceSet(first) = &heard[0] else { panic!("{heard:?}") };
    assert_eq!((first.generation, &first.address), (healthy[0].generation, &healthy[0].address));
    assert!(first.updated_ms <= healthy[0].updated_ms);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_that_is_started_anew_gets_new_instances() {
    let stage = Stage::new().await;
    stage.want(1, 1, 1).await;
    let old = stage.shows(&[(1, "healthy")]).await;
    stage.want(1, 2, 1).await;
    stage.shows_none_of(&old).await;
    let new = stage.shows(&[(1, "healthy")]).await;
    assert_ne!(old[0].generation, new[0].generation);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_instance_that_dies_is_replaced() {
    let stage = Stage::new().await;
    stage.want(1, 1, 1).await;
    let old = stage.shows(&[(1, "healthy")]).await;
    stage.backend.kill(old[0].id);
    tokio::time::timeout(SOON, async {
        while stage.backend.started() < 2 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await
    .unwrap();
    let new = stage.shows(&[(1, "healthy")]).await;
    assert_ne!(old[0].id, new[0].id);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_instance_that_cannot_start_is_told_with_its_reason_and_tried_again() {
    let stage = Stage::new().await;
    stage.backend.set(Behaviour::Fails("there is no `handler`".to_owned()));
    stage.want(1, 1, 1).await;
    let failed = stage.shows(&[(1, "failed")]).await;
    let detail: InstanceDetail = serde_json::from_str(&failed[0].detail).unwrap();
    assert_eq!(detail.reason.as_deref(), Some("there is no `handler`"));
    stage.backend.set(Behaviour::Healthy);
    stage.shows(&[(1, "healthy")]).await;
    stage.backend.set(Behaviour::Fails("again".to_owned()));
    stage.want(2, 2, 1).await;
    stage.shows(&[(1, "healthy"), (2, "failed")]).await;
    stage.want_no_more(2).await;
    stage.shows(&[(1, "healthy")]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_agent_takes_over_and_forgets_what_died() {
    let mut stage = Stage::new().await;
    stage.want(1, 1, 2).await;
    let old = stage.shows(&[(1, "healthy"), (1, "healthy")]).await;
    stage.kill_agent().await;
    stage.shows_none_of(&old).await;
    stage.shows(&[(1, "healthy"), (1, "healthy")]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_ends_drains_what_it_runs() {
    let mut stage = Stage::new().await;
    stage.want(1, 1, 2).await;
    stage.shows(&[(1, "healthy"), (1, "healthy")]).await;
    stage.stop.cancel();
    stage.agent.take().unwrap().await.unwrap();
    stage.shows(&[]).await;
    assert!(stage.backend.running().is_empty());
}
