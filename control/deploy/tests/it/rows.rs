//! A store with one app, and the rows that an agent follows.

use std::path::Path;
use std::time::Duration;

use ignite_core_model::{
    AppSettings, ArtifactKind, CodeSource, CompileSource, Compiled, Digest, FunctionId, HostLabel, InstanceSpec,
    Runtime, Target, Version, VersionNumber,
};
use ignite_store_meta::{Change, DesiredSet, Expected, Instance, Location, Meta, MetaOptions};

/// Longest wait for what must come.
pub(crate) const SOON: Duration = Duration::from_secs(30);

pub(crate) struct Rows {
    pub(crate) meta: Meta,
    pub(crate) app: FunctionId,
}

impl Rows {
    /// The store in `folder`, new or not.
    pub(crate) async fn open(folder: &Path) -> Meta {
        Meta::open(&MetaOptions::new(Location::Sqlite(folder.join("ignite.db")))).await.unwrap()
    }

    /// A store in `folder` with the app `acme/hello`.
    pub(crate) async fn new(folder: &Path) -> Self {
        let meta = Self::open(folder).await;
        let app: FunctionId = "acme/hello".parse().unwrap();
        meta.create_organization(&app.organization(), 1).await.unwrap();
        let change = Change { state: "{}".to_owned(), ..Change::default() };
        meta.commit(&app, &Expected::New(HostLabel::of(&app)), &change, 1).await.unwrap();
        Self { meta, app }
    }

    pub(crate) async fn want(&self, spec: &InstanceSpec, instances: u32) {
        let row = DesiredSet { version: spec.version, instances, spec: serde_json::to_string(spec).unwrap() };
        self.write(Change { desired_set: vec![row], ..Change::default() }).await;
    }

    pub(crate) async fn want_no_more(&self, number: u32) {
        self.write(Change { desired_removed: vec![version(number)], ..Change::default() }).await;
    }

    async fn write(&self, change: Change) {
        let revision = self.meta.load_app(&self.app).await.unwrap().revision;
        let change = Change { state: "{}".to_owned(), ..change };
        self.meta.commit(&self.app, &Expected::Revision(revision), &change, 2).await.unwrap();
    }

    /// Waits until the store shows these states, by version.
    pub(crate) async fn shows(&self, expected: &[(u32, &str)]) -> Vec<Instance> {
        let shows = |instances: &[Instance]| {
            let mut seen: Vec<(u32, &str)> =
                instances.iter().map(|one| (one.version.get(), one.state.as_str())).collect();
            seen.sort_unstable();
            seen == expected
        };
        self.until(&format!("{expected:?}"), shows).await
    }

    /// Waits until the app's instances are as `wanted` says.
    pub(crate) async fn until(&self, what: &str, wanted: impl Fn(&[Instance]) -> bool) -> Vec<Instance> {
        let mut seen = Vec::new();
        let shown = tokio::time::timeout(SOON, async {
            loop {
                seen = self.meta.list_instances(&self.app).await.unwrap();
                if wanted(&seen) {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        })
        .await;
        assert!(shown.is_ok(), "the store shows {seen:?}, not {what}");
        seen
    }
}

pub(crate) fn version(number: u32) -> VersionNumber {
    VersionNumber::new(number).unwrap()
}

/// The `start`th start of a version of the app with this artifact.
pub(crate) fn spec(artifact: Digest, number: u32, start: u64, settings: AppSettings) -> InstanceSpec {
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
            artifact,
            artifact_bytes: 8,
            runtime: Runtime::Python,
            target: Target::Native,
            artifact_kind: ArtifactKind::Packed,
        },
        settings,
    };
    InstanceSpec::new("acme/hello".parse().unwrap(), &version, start)
}
