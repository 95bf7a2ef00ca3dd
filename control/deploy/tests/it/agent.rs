//! What an agent does about rows.

use std::sync::Arc;
use std::time::Duration;

use ignite_control_deploy::fake::{Behaviour, FakeBackend};
use ignite_control_deploy::{Agent, AgentOptions, InstanceDetail, InstanceSpec};
use ignite_core_model::{
    AppSettings, ArtifactKind, CodeSource, CompileSource, Compiled, Digest, FunctionId, HostLabel, Runtime, Target,
    Version, VersionNumber,
};
use ignite_store_meta::{Change, DesiredSet, Expected, Instance, Location, Meta, MetaOptions};
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// Longest wait for what must come.
const SOON: Duration = Duration::from_secs(20);

struct Stage {
    meta: Meta,
    backend: FakeBackend,
    app: FunctionId,
    stop: CancellationToken,
    agent: Option<JoinHandle<()>>,
    _folder: TempDir,
}

impl Stage {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let meta = Meta::open(&MetaOptions::new(Location::Sqlite(folder.path().join("ignite.db")))).await.unwrap();
        let app: FunctionId = "acme/hello".parse().unwrap();
        meta.create_organization(&app.organization(), 1).await.unwrap();
        let change = Change { state: "{}".to_owned(), ..Change::default() };
        meta.commit(&app, &Expected::New(HostLabel::of(&app)), &change, 1).await.unwrap();
        let backend = FakeBackend::default();
        let mut stage = Self { meta, backend, app, stop: CancellationToken::new(), agent: None, _folder: folder };
        stage.start_agent();
        stage
    }

    fn start_agent(&mut self) {
        let options = AgentOptions { name: "agent".to_owned(), drain_max: SOON };
        let agent = Agent::new(self.meta.clone(), Arc::new(self.backend.clone()), options);
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
        let spec = serde_json::to_string(&spec(&self.app, number, start)).unwrap();
        self.write(Change {
            desired_set: vec![DesiredSet { version: version(number), instances, spec }],
            ..Change::default()
        })
        .await;
    }

    async fn want_no_more(&self, number: u32) {
        self.write(Change { desired_removed: vec![version(number)], ..Change::default() }).await;
    }

    async fn write(&self, change: Change) {
        let revision = self.meta.load_app(&self.app).await.unwrap().revision;
        let change = Change { state: "{}".to_owned(), ..change };
        self.meta.commit(&self.app, &Expected::Revision(revision), &change, 2).await.unwrap();
    }

    /// Waits until the store shows these states, by version.
    async fn shows(&self, expected: &[(u32, &str)]) -> Vec<Instance> {
        let mut seen = Vec::new();
        let shown = tokio::time::timeout(SOON, async {
            loop {
                let instances = self.meta.list_instances(&self.app).await.unwrap();
                seen = instances.iter().map(|one| (one.version.get(), one.state.clone())).collect();
                seen.sort();
                if seen.iter().map(|(version, state)| (*version, state.as_str())).eq(expected.iter().copied()) {
                    return instances;
                }
                tokio::task::yield_now().await;
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        })
        .await;
        shown.unwrap_or_else(|_| panic!("the store shows {seen:?}, not {expected:?}"))
    }
}

fn version(number: u32) -> VersionNumber {
    VersionNumber::new(number).unwrap()
}

fn spec(app: &FunctionId, number: u32, start: u64) -> InstanceSpec {
    let version = Version {
        number: version(number),
        created_ms: 1,
        source: CodeSource::Compile(CompileSource {
            archive: Digest::of(b"source"),
            archive_bytes: 6,
            runtime: None,
            target: None,
            artifact_kind: None,
        }),
        compiled: Compiled {
            artifact: Digest::of(b"artifact"),
            artifact_bytes: 8,
            runtime: Runtime::Python,
            target: Target::Native,
            artifact_kind: ArtifactKind::Packed,
        },
        settings: AppSettings::default(),
    };
    InstanceSpec::new(app.clone(), &version, start)
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
async fn a_version_that_is_started_anew_gets_new_instances() {
    let stage = Stage::new().await;
    stage.want(1, 1, 1).await;
    let old = stage.shows(&[(1, "healthy")]).await;
    stage.want(1, 2, 1).await;
    tokio::time::timeout(SOON, async {
        while stage.meta.list_instances(&stage.app).await.unwrap().iter().any(|one| one.id == old[0].id) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await
    .unwrap();
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
    tokio::time::timeout(SOON, async {
        while stage
            .meta
            .list_instances(&stage.app)
            .await
            .unwrap()
            .iter()
            .any(|one| old.iter().any(|was| was.id == one.id))
        {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await
    .unwrap();
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
