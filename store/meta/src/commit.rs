//! One transaction an event: everything that an app's state machine decided is written together, or nothing is.

use ignite_core_model::{FunctionId, HostLabel, JobId, VersionNumber};
use sqlx::AnyConnection;

use crate::changes::{self, ChangeItem, Route};
use crate::sql::{Cells, bounded, int, int_option};
use crate::{Bounds, Line, Meta, MetaError, NewJob, Topic, VersionRow, jobs, logs, uploads};

/// Longest JSON of an app's state, a version's snapshot, a specification or an effect, in bytes.
pub const RECORD_BYTES_MAX: usize = 1 << 20;

/// Most effects, and most rows of any other kind, in one [`Change`].
pub const CHANGE_ROWS_MAX: usize = 512;

/// What the caller believes to be stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Expected {
    /// Nothing: the app is made, with this label.
    New(HostLabel),
    /// The app at this revision.
    Revision(u64),
}

/// What one event changes about one app.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Change {
    /// The new state, as JSON the store does not interpret.
    pub state: String,
    /// When the app was deleted, if it is. Its rows stay until a change with `erase`.
    pub deleted_ms: Option<u64>,
    /// Versions to insert. One that exists is an error: versions never change.
    pub versions: Vec<VersionRow>,
    /// Routes to set: label and version. A label that leads to another app is a conflict.
    pub routes_set: Vec<(HostLabel, VersionNumber)>,
    /// Routes to remove, if they lead to this app.
    pub routes_removed: Vec<HostLabel>,
    /// Rows of desired state to write.
    pub desired_set: Vec<DesiredSet>,
    /// Versions of which nothing should run any more.
    pub desired_removed: Vec<VersionNumber>,
    /// Jobs to queue.
    pub jobs: Vec<NewJob>,
    /// Jobs to cancel. One that has ended stays as it ended; one that waits ends now.
    pub jobs_cancelled: Vec<JobId>,
    /// Jobs whose end this change has taken in; they are not told again.
    pub jobs_settled: Vec<JobId>,
    /// Effects to carry out.
    pub effects: Vec<NewEffect>,
    /// Lines for people, appended to the log stream [`events_stream`] of the app.
    pub events: Vec<Line>,
    /// Objects that the app needs from now on, beyond the artifacts of its versions.
    pub uses_added: Vec<String>,
    /// Objects that it needs no more.
    pub uses_removed: Vec<String>,
    /// Uploads that this change uses up. One that was used or has expired fails the change.
    pub uploads_used: Vec<String>,
    /// Deletes all of the app in the end: its row, versions, routes, desired state, jobs, effects, executions and events.
    /// What its instances logged, its instances, and the objects of its executions are their owners' to delete; see
    /// [`Meta::sweep_app_executions`].
    pub erase: bool,
}

/// A row of desired state to write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DesiredSet {
    /// The version.
    pub version: VersionNumber,
    /// How many instances.
    pub instances: u32,
    /// How to start one, as JSON the store does not interpret.
    pub spec: String,
}

/// An effect to carry out at least once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewEffect {
    /// What makes carrying it out twice harmless.
    pub key: String,
    /// What to do, as JSON the store does not interpret.
    pub body: String,
    /// Not before this time, in milliseconds since 1970.
    pub due_ms: u64,
}

/// What a change has become.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Committed {
    /// The app's revision now.
    pub revision: u64,
    /// The sequence of this change among all changes of all apps.
    pub sequence: u64,
}

/// The log stream that the events of an app are appended to.
#[must_use]
pub fn events_stream(app: &FunctionId) -> String {
    format!("{app}/events")
}

/// How much of an app's events is kept.
pub const EVENT_BOUNDS: Bounds = Bounds { lines_max: 1_000, bytes_max: 1 << 20 };

impl Meta {
    /// Writes what an event has changed about an app, in one transaction. When this returns, it is durable.
    ///
    /// # Errors
    /// [`MetaError::Stale`] if the app is at another revision: load it, decide again. [`MetaError::Exists`] if a new app's
    /// name or label is taken, or a version's number. [`MetaError::Missing`] without the app or its organisation.
    /// [`MetaError::UploadSpent`] if an upload cannot be used. [`MetaError::TooLarge`] beyond [`RECORD_BYTES_MAX`] and
    /// [`CHANGE_ROWS_MAX`].
    pub async fn commit(
        &self,
        app: &FunctionId,
        expected: &Expected,
        change: &Change,
        now_ms: u64,
    ) -> Result<Committed, MetaError> {
        check(change)?;
        let mut tx = self.begin().await?;
        let revision = write_app(&mut tx, app, expected, change, now_ms).await?;
        for version in &change.versions {
            insert_version(&mut tx, app, version).await?;
        }
        write_uses(&mut tx, app, change).await?;
        for upload in &change.uploads_used {
            uploads::spend(&mut tx, upload, &app.organization(), now_ms).await?;
        }
        for job in &change.jobs {
            jobs::insert(&mut tx, job, now_ms).await?;
        }
        for job in &change.jobs_cancelled {
            jobs::cancel(&mut tx, *job, now_ms).await?;
        }
        for job in &change.jobs_settled {
            jobs::settle(&mut tx, *job).await?;
        }
        if !change.events.is_empty() {
            let (lines, bounds) = (&change.events, &EVENT_BOUNDS);
            logs::append_in(&mut tx, self.0.backend, &events_stream(app), None, lines, bounds, now_ms).await?;
        }
        // Last, because it makes other transactions wait.
        let sequence = changes::next_sequence(&mut tx).await?;
        let mut items = Vec::new();
        write_routes(&mut tx, app, change, &mut items).await?;
        write_desired(&mut tx, app, change, sequence, &mut items).await?;
        for (part, effect) in change.effects.iter().enumerate() {
            insert_effect(&mut tx, app, effect, sequence, part, now_ms).await?;
        }
        if change.erase {
            erase(&mut tx, app, &mut items).await?;
        }
        changes::record_at(&mut tx, sequence, &items).await?;
        tx.commit().await?;
        self.announce(app, change, !items.is_empty());
        Ok(Committed { revision, sequence })
    }

    fn announce(&self, app: &FunctionId, change: &Change, moved: bool) {
        if moved {
            self.raise(&Topic::Changes);
        }
        if !change.effects.is_empty() {
            self.raise(&Topic::Outbox);
        }
        for job in &change.jobs {
            self.raise(&Topic::Jobs(job.kind.clone()));
        }
        if !change.jobs_cancelled.is_empty() {
            self.raise(&Topic::JobEnds);
        }
        if !change.events.is_empty() || change.erase {
            self.raise(&Topic::Log(events_stream(app)));
        }
    }
}

fn check(change: &Change) -> Result<(), MetaError> {
    bounded("the state of an app", change.state.len(), RECORD_BYTES_MAX, "bytes")?;
    for version in &change.versions {
        bounded("the snapshot of a version", version.snapshot.len(), RECORD_BYTES_MAX, "bytes")?;
    }
    for desired in &change.desired_set {
        bounded("the specification of an instance", desired.spec.len(), RECORD_BYTES_MAX, "bytes")?;
    }
    for effect in &change.effects {
        bounded("an effect", effect.body.len(), RECORD_BYTES_MAX, "bytes")?;
    }
    let rows = [
        change.versions.len(),
        change.routes_set.len() + change.routes_removed.len(),
        change.desired_set.len() + change.desired_removed.len(),
        change.jobs.len() + change.jobs_cancelled.len() + change.jobs_settled.len(),
        change.effects.len(),
        change.uses_added.len() + change.uses_removed.len() + change.uploads_used.len(),
    ];
    bounded("a change", rows.into_iter().max().unwrap_or(0), CHANGE_ROWS_MAX, "rows of a kind")
}

async fn write_app(
    tx: &mut AnyConnection,
    app: &FunctionId,
    expected: &Expected,
    change: &Change,
    now_ms: u64,
) -> Result<u64, MetaError> {
    match expected {
        Expected::New(label) => {
            insert_app(tx, app, label, change, now_ms).await?;
            Ok(1)
        }
        Expected::Revision(revision) => {
            let updated = sqlx::query(
                "UPDATE apps SET revision = revision + 1, state = $1, updated_ms = $2, deleted_ms = $3 \
                 WHERE id = $4 AND revision = $5",
            )
            .bind(change.state.as_str())
            .bind(int(now_ms))
            .bind(int_option(change.deleted_ms))
            .bind(app.as_str())
            .bind(int(*revision))
            .execute(&mut *tx)
            .await?;
            if updated.rows_affected() > 0 {
                return Ok(revision + 1);
            }
            let there = sqlx::query("SELECT id FROM apps WHERE id = $1").bind(app.as_str()).fetch_optional(tx).await?;
            Err(if there.is_some() { MetaError::stale("app", app) } else { MetaError::missing("app", app) })
        }
    }
}

async fn insert_app(
    tx: &mut AnyConnection,
    app: &FunctionId,
    label: &HostLabel,
    change: &Change,
    now_ms: u64,
) -> Result<(), MetaError> {
    let organization = app.organization();
    let there = sqlx::query("SELECT id FROM organizations WHERE id = $1").bind(organization.as_str());
    if there.fetch_optional(&mut *tx).await?.is_none() {
        return Err(MetaError::missing("organisation", organization));
    }
    let made = sqlx::query(
        "INSERT INTO apps (id, organization, label, revision, state, created_ms, updated_ms, deleted_ms) \
         VALUES ($1, $2, $3, 1, $4, $5, $5, $6) ON CONFLICT DO NOTHING",
    )
    .bind(app.as_str())
    .bind(organization.as_str())
    .bind(label.as_str())
    .bind(change.state.as_str())
    .bind(int(now_ms))
    .bind(int_option(change.deleted_ms))
    .execute(&mut *tx)
    .await?;
    if made.rows_affected() > 0 {
        return Ok(());
    }
    let there = sqlx::query("SELECT id FROM apps WHERE id = $1").bind(app.as_str()).fetch_optional(tx).await?;
    Err(if there.is_some() { MetaError::exists("app", app) } else { MetaError::exists("hostname label", label) })
}

async fn insert_version(tx: &mut AnyConnection, app: &FunctionId, version: &VersionRow) -> Result<(), MetaError> {
    let made = sqlx::query(
        "INSERT INTO versions (app, number, created_ms, artifact, snapshot) VALUES ($1, $2, $3, $4, $5) \
         ON CONFLICT DO NOTHING",
    )
    .bind(app.as_str())
    .bind(i64::from(version.number.get()))
    .bind(int(version.created_ms))
    .bind(version.artifact.map(|digest| digest.to_string()))
    .bind(version.snapshot.as_str())
    .execute(tx)
    .await?;
    if made.rows_affected() == 0 {
        return Err(MetaError::exists("version", format!("{app} v{}", version.number)));
    }
    Ok(())
}

async fn write_uses(tx: &mut AnyConnection, app: &FunctionId, change: &Change) -> Result<(), MetaError> {
    for object in &change.uses_added {
        sqlx::query("INSERT INTO object_uses (object, app) VALUES ($1, $2) ON CONFLICT DO NOTHING")
            .bind(object.as_str())
            .bind(app.as_str())
            .execute(&mut *tx)
            .await?;
    }
    for object in &change.uses_removed {
        sqlx::query("DELETE FROM object_uses WHERE object = $1 AND app = $2")
            .bind(object.as_str())
            .bind(app.as_str())
            .execute(&mut *tx)
            .await?;
    }
    Ok(())
}

async fn write_routes(
    tx: &mut AnyConnection,
    app: &FunctionId,
    change: &Change,
    items: &mut Vec<ChangeItem>,
) -> Result<(), MetaError> {
    for label in &change.routes_removed {
        let deleted = sqlx::query("DELETE FROM routes WHERE label = $1 AND app = $2")
            .bind(label.as_str())
            .bind(app.as_str())
            .execute(&mut *tx)
            .await?;
        if deleted.rows_affected() > 0 {
            items.push(ChangeItem::RouteRemoved(label.clone()));
        }
    }
    for (label, version) in &change.routes_set {
        let written = sqlx::query(
            "INSERT INTO routes (label, app, version) VALUES ($1, $2, $3) \
             ON CONFLICT (label) DO UPDATE SET version = excluded.version WHERE routes.app = excluded.app",
        )
        .bind(label.as_str())
        .bind(app.as_str())
        .bind(i64::from(version.get()))
        .execute(&mut *tx)
        .await?;
        if written.rows_affected() == 0 {
            return Err(MetaError::exists("route", label));
        }
        items.push(ChangeItem::RouteSet(Route { label: label.clone(), app: app.clone(), version: *version }));
    }
    Ok(())
}

async fn write_desired(
    tx: &mut AnyConnection,
    app: &FunctionId,
    change: &Change,
    sequence: u64,
    items: &mut Vec<ChangeItem>,
) -> Result<(), MetaError> {
    for version in &change.desired_removed {
        let deleted = sqlx::query("DELETE FROM desired WHERE app = $1 AND version = $2")
            .bind(app.as_str())
            .bind(i64::from(version.get()))
            .execute(&mut *tx)
            .await?;
        if deleted.rows_affected() > 0 {
            items.push(ChangeItem::DesiredRemoved(app.clone(), *version));
        }
    }
    for set in &change.desired_set {
        let rows = sqlx::query(
            "INSERT INTO desired (app, version, instances, spec, generation) VALUES ($1, $2, $3, $4, $5) \
             ON CONFLICT (app, version) DO UPDATE SET instances = excluded.instances, spec = excluded.spec, \
                 generation = CASE WHEN desired.spec = excluded.spec THEN desired.generation \
                     ELSE excluded.generation END \
             RETURNING *",
        )
        .bind(app.as_str())
        .bind(i64::from(set.version.get()))
        .bind(i64::from(set.instances))
        .bind(set.spec.as_str())
        .bind(int(sequence))
        .fetch_all(&mut *tx)
        .await?;
        let row = rows.first().ok_or(MetaError::Unreadable("desired"))?;
        items.push(ChangeItem::DesiredSet(changes::desired(row)?));
    }
    Ok(())
}

async fn insert_effect(
    tx: &mut AnyConnection,
    app: &FunctionId,
    effect: &NewEffect,
    sequence: u64,
    part: usize,
    now_ms: u64,
) -> Result<(), MetaError> {
    // Effects keep the order in which they were decided.
    let id = sequence * CHANGE_ROWS_MAX as u64 + part as u64;
    sqlx::query(
        "INSERT INTO outbox (id, app, idempotence, body, due_ms, attempt, created_ms) VALUES ($1, $2, $3, $4, $5, 0, $6)",
    )
    .bind(int(id))
    .bind(app.as_str())
    .bind(effect.key.as_str())
    .bind(effect.body.as_str())
    .bind(int(effect.due_ms))
    .bind(int(now_ms))
    .execute(tx)
    .await?;
    Ok(())
}

/// What an app leaves in each table, the referring ones first. Desired state and routes are told to those who follow.
const ERASE: &[&str] = &[
    "DELETE FROM versions WHERE app = $1",
    "DELETE FROM object_uses WHERE app = $1",
    "DELETE FROM jobs WHERE app = $1",
    "DELETE FROM outbox WHERE app = $1",
    "DELETE FROM executions WHERE app = $1",
    "DELETE FROM uploads WHERE app = $1",
    "DELETE FROM apps WHERE id = $1",
];

async fn erase(tx: &mut AnyConnection, app: &FunctionId, items: &mut Vec<ChangeItem>) -> Result<(), MetaError> {
    let routes = sqlx::query("DELETE FROM routes WHERE app = $1 RETURNING label").bind(app.as_str());
    for row in routes.fetch_all(&mut *tx).await? {
        items.push(ChangeItem::RouteRemoved(Cells(&row).parse("label")?));
    }
    let desired = sqlx::query("DELETE FROM desired WHERE app = $1 RETURNING version").bind(app.as_str());
    for row in desired.fetch_all(&mut *tx).await? {
        items.push(ChangeItem::DesiredRemoved(app.clone(), Cells(&row).version("version")?));
    }
    logs::delete_in(tx, &events_stream(app)).await?;
    for statement in ERASE {
        sqlx::query(*statement).bind(app.as_str()).execute(&mut *tx).await?;
    }
    Ok(())
}
