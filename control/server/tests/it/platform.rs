//! A store in a folder, and everybody who writes to it.

use std::sync::Arc;

use ignite_control_pipeline::{App, Bounds, Event};
use ignite_control_server::{AppError, Apps, Attached, COMPILE_JOBS, Clock, CompileJob, FixedClock, rounds};
use ignite_core_model::{
    AppSettings, ArtifactKind, CodeSource, CompileSource, Compiled, Digest, FunctionId, InstanceDetail, InstanceId,
    InstanceSpec, InstanceState, JobId, OrganizationId, Runtime, Target, VersionNumber,
};
use ignite_store_meta::{Instance, Location, Meta, MetaOptions};
use tempfile::TempDir;

pub(crate) struct Platform {
    pub(crate) apps: Apps,
    pub(crate) clock: Arc<FixedClock>,
    pub(crate) app: FunctionId,
    folder: TempDir,
}

impl Platform {
    pub(crate) async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let clock = Arc::new(FixedClock::at(1_716_900_000_000));
        let apps = Apps::new(open(&folder).await, clock.clone(), Bounds::default());
        let organization: OrganizationId = "acme".parse().unwrap();
        apps.meta().create_organization(&organization, clock.now_ms()).await.unwrap();
        let app: FunctionId = "acme/hello".parse().unwrap();
        apps.create(&app, AppSettings::default()).await.unwrap();
        Self { apps, clock, app, folder }
    }

    /// The control plane dies and another takes its place.
    pub(crate) async fn restart(&mut self) {
        self.apps = Apps::new(open(&self.folder).await, self.clock.clone(), Bounds::default());
        rounds::find_busy(&self.apps).await.unwrap();
    }

    pub(crate) async fn send(&self, event: Event) -> Result<App, AppError> {
        self.apps.send(&self.app, event, Attached::default()).await
    }

    pub(crate) async fn load(&self) -> App {
        self.apps.load(&self.app).await.unwrap()
    }

    pub(crate) async fn publish(&self, source: &str) -> JobId {
        self.send(Event::SaveDraft(code(source))).await.unwrap();
        let (job, compile) = (self.apps.clock().job_id(), self.apps.clock().job_id());
        self.send(Event::Publish { job, compile }).await.unwrap();
        job
    }

    /// A builder takes the next compile and ends it.
    pub(crate) async fn build(&self, result: Result<(), &str>) {
        let now_ms = self.clock.now_ms();
        let job = self.apps.meta().lease_job(COMPILE_JOBS, "builder", now_ms, now_ms + 30_000).await.unwrap().unwrap();
        let work: CompileJob = serde_json::from_str(&job.payload).unwrap();
        assert_eq!(work.app, self.app);
        let (succeeded, text) = match result {
            Ok(()) => (true, serde_json::to_string(&compiled(&work.source)).unwrap()),
            Err(reason) => (false, serde_json::to_string(reason).unwrap()),
        };
        self.apps.meta().finish_job(job.id, job.attempt, succeeded, &text, now_ms).await.unwrap();
        rounds::settle_compiles(&self.apps).await.unwrap();
    }

    /// An agent brings what runs in line with what should run.
    pub(crate) async fn converge(&self, state: InstanceState) {
        self.converge_at(state, "127.0.0.1:1").await;
    }

    pub(crate) async fn converge_at(&self, state: InstanceState, address: &str) {
        let meta = self.apps.meta();
        let desired = meta.list_desired(&self.app).await.unwrap();
        let running = meta.list_instances(&self.app).await.unwrap();
        let mut instances = Vec::new();
        for row in &desired {
            let spec: InstanceSpec = serde_json::from_str(&row.spec).unwrap();
            assert_eq!((&spec.app, spec.version), (&row.app, row.version));
            for number in 0..row.instances {
                instances.push(Instance {
                    id: InstanceId::from_parts(row.generation, u128::from(number)),
                    agent: "agent".to_owned(),
                    app: row.app.clone(),
                    version: row.version,
                    generation: row.generation,
                    state: state.as_str().to_owned(),
                    address: Some(address.to_owned()),
                    detail: serde_json::to_string(&InstanceDetail {
                        reason: Some("exit status 1".to_owned()),
                        ..InstanceDetail::default()
                    })
                    .unwrap(),
                    updated_ms: self.clock.now_ms(),
                });
            }
        }
        let kept: Vec<InstanceId> = instances.iter().map(|instance| instance.id).collect();
        let gone: Vec<InstanceId> = running.iter().map(|old| old.id).filter(|id| !kept.contains(id)).collect();
        meta.report_instances("agent", &instances, &gone).await.unwrap();
        rounds::report_instances(&self.apps).await.unwrap();
        rounds::release_served(&self.apps).await.unwrap();
    }

    /// Instances of what is being tried.
    pub(crate) async fn trials(&self) -> Vec<InstanceId> {
        let instances = self.apps.meta().list_instances(&self.app).await.unwrap();
        instances.iter().filter(|one| one.version == VersionNumber::TRIAL).map(|one| one.id).collect()
    }

    /// Lines are written to a stream of logs.
    pub(crate) async fn say(&self, stream: &str, texts: &[&str]) {
        self.say_as(stream, "", texts).await;
    }

    pub(crate) async fn say_as(&self, stream: &str, instance: &str, texts: &[&str]) {
        let line = |text: &&str| ignite_store_meta::Line {
            at_ms: self.clock.now_ms(),
            body: serde_json::json!({ "stream": "stdout", "instance_id": instance, "text": text }).to_string(),
        };
        let lines: Vec<_> = texts.iter().map(line).collect();
        let bounds = ignite_store_meta::Bounds { lines_max: 100, bytes_max: 1 << 20 };
        self.apps.meta().append_log(stream, None, &lines, &bounds, self.clock.now_ms()).await.unwrap();
    }

    pub(crate) async fn acknowledge(&self, sequence: u64) {
        self.apps.meta().acknowledge("gateway", sequence, self.clock.now_ms()).await.unwrap();
        rounds::release_served(&self.apps).await.unwrap();
    }

    pub(crate) async fn desired(&self) -> Vec<u32> {
        let rows = self.apps.meta().list_desired(&self.app).await.unwrap();
        rows.iter().map(|row| row.version.get()).collect()
    }

    pub(crate) async fn route(&self) -> Option<u32> {
        let label = "hello-acme".parse().unwrap();
        self.apps.meta().find_route(&label).await.unwrap().map(|route| route.version.get())
    }

    pub(crate) async fn events(&self) -> Vec<String> {
        let stream = ignite_store_meta::events_stream(&self.app);
        let lines = self.apps.meta().read_log(&stream, 1, 1000).await.unwrap();
        let event = |line: &ignite_store_meta::StoredLine| {
            serde_json::from_str::<ignite_control_server::AppEvent>(&line.body).unwrap().kind
        };
        lines.iter().map(event).collect()
    }
}

async fn open(folder: &TempDir) -> Meta {
    Meta::open(&MetaOptions::new(Location::Sqlite(folder.path().join("ignite.db")))).await.unwrap()
}

pub(crate) fn version(number: u32) -> VersionNumber {
    VersionNumber::new(number).unwrap()
}

pub(crate) fn code(source: &str) -> CodeSource {
    CodeSource::Compile(CompileSource {
        archive: Digest::of(source.as_bytes()),
        archive_bytes: source.len() as u64,
        runtime: None,
        target: None,
        artifact_kind: None,
    })
}

pub(crate) fn compiled(source: &CodeSource) -> Compiled {
    let CodeSource::Compile(source) = source else { panic!("another kind of source") };
    Compiled {
        artifact: Digest::of(source.archive.as_bytes()),
        artifact_bytes: 10,
        runtime: Runtime::Python,
        target: Target::Native,
        artifact_kind: ArtifactKind::Packed,
    }
}
