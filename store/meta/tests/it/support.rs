//! Databases for tests, and short ways to fill them.

use std::sync::Arc;

use ignite_core_model::{Digest, FunctionId, HostLabel, JobId, Secret, VersionNumber};
use ignite_store_meta::{Change, Committed, Expected, Location, Meta, MetaOptions, NewJob, VersionRow};
use ignite_store_testing::Postgres;
use tempfile::TempDir;

/// A database of its own, gone when dropped.
pub(crate) struct Store {
    pub meta: Meta,
    pub location: Location,
    _folder: Option<TempDir>,
    _server: Option<Arc<Postgres>>,
}

impl Store {
    pub(crate) async fn sqlite() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let location = Location::Sqlite(folder.path().join("with space %41?.db"));
        let meta = Meta::open(&MetaOptions::new(location.clone())).await.unwrap();
        Self { meta, location, _folder: Some(folder), _server: None }
    }

    pub(crate) async fn postgres() -> Self {
        let server = Postgres::shared();
        let location = new_database(&server);
        let meta = Meta::open(&MetaOptions::new(location.clone())).await.unwrap();
        Self { meta, location, _folder: None, _server: Some(server) }
    }
}

/// An empty database of this server.
pub(crate) fn new_database(server: &Postgres) -> Location {
    Location::Postgres(Secret::new(server.create_database()))
}

/// A moment in 2024, and some after it.
pub(crate) const NOW: u64 = 1_716_900_000_000;

pub(crate) fn app(text: &str) -> FunctionId {
    text.parse().unwrap()
}

pub(crate) fn number(number: u32) -> VersionNumber {
    VersionNumber::new(number).unwrap()
}

pub(crate) fn job_id(number: u32) -> JobId {
    JobId::from_parts(NOW + u64::from(number), 1)
}

/// Makes an app and its organisation.
pub(crate) async fn make_app(meta: &Meta, id: &FunctionId) -> Committed {
    meta.create_organization(&id.organization(), NOW).await.unwrap();
    let change = Change { state: r#"{"made":true}"#.into(), ..Change::default() };
    meta.commit(id, &Expected::New(HostLabel::of(id)), &change, NOW).await.unwrap()
}

/// A change that only writes a state.
pub(crate) fn state(state: &str) -> Change {
    Change { state: state.into(), ..Change::default() }
}

pub(crate) fn version(app: &FunctionId, version: u32) -> VersionRow {
    VersionRow {
        app: app.clone(),
        number: number(version),
        created_ms: NOW,
        artifact: Some(Digest::of(&version.to_be_bytes())),
        snapshot: format!(r#"{{"number":{version}}}"#),
    }
}

pub(crate) fn job(id: u32, kind: &str) -> NewJob {
    NewJob {
        id: job_id(id),
        kind: kind.into(),
        app: None,
        payload: format!(r#"{{"job":{id}}}"#),
        attempts_max: 3,
        due_ms: NOW,
        ends_by_ms: NOW + 3_600_000,
    }
}
