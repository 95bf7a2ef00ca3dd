//! Routes, desired state and instances, and how to follow them: a snapshot, then changes by sequence.

use ignite_core_model::{FunctionId, HostLabel, InstanceId, VersionNumber};
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, AssertSqlSafe};

use crate::sql::{Cells, int};
use crate::{Meta, MetaError};

mod stored;

/// How many sequences are kept. Who is further behind reads a snapshot instead.
pub const CHANGES_KEPT: u64 = 4_096;

/// Old changes are deleted at each sequence that this divides.
const TRIM_EVERY: u64 = 256;

/// From a hostname label to the version that answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// The label.
    pub label: HostLabel,
    /// The app.
    pub app: FunctionId,
    /// The version that answers.
    pub version: VersionNumber,
}

/// A version of which instances should run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Desired {
    /// The app.
    pub app: FunctionId,
    /// The version.
    pub version: VersionNumber,
    /// How many instances.
    pub instances: u32,
    /// How to start one, as JSON the store does not interpret.
    pub spec: String,
    /// The sequence at which this row was made or its `spec` last changed. An instance of another generation is of a
    /// former specification, or of a deleted app that had the same name.
    pub generation: u64,
}

/// An instance, as its agent reports it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Instance {
    /// Its id.
    pub id: InstanceId,
    /// The agent that looks after it.
    pub agent: String,
    /// The app.
    pub app: FunctionId,
    /// The version.
    pub version: VersionNumber,
    /// The generation of the row of [`Desired`] it was started for.
    pub generation: u64,
    /// A word for its state, which the store does not interpret.
    pub state: String,
    /// Where it answers, if it does.
    pub address: Option<String>,
    /// All else, as JSON the store does not interpret.
    pub detail: String,
    /// When this was reported, in milliseconds since 1970.
    pub updated_ms: u64,
}

/// One thing that is different now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ChangeItem {
    /// A route leads to a version now.
    RouteSet(Route),
    /// A label leads nowhere now.
    RouteRemoved(HostLabel),
    /// This should run.
    DesiredSet(Desired),
    /// Nothing of this version should run.
    DesiredRemoved(FunctionId, VersionNumber),
    /// An instance is new or is reported differently.
    InstanceSet(Instance),
    /// An instance is gone.
    InstanceRemoved(InstanceId),
}

/// What happened after a sequence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Changes {
    /// All of it, up to and with `upto`; ask again from there. The items apply in order.
    Since {
        /// The sequence that is reached.
        upto: u64,
        /// What is different.
        items: Vec<ChangeItem>,
    },
    /// Not all of it is kept: read [`Meta::snapshot`].
    TooOld,
}

/// All routes, desired state and instances at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// The sequence it shows; [`Meta::changes_since`] goes on from it.
    pub sequence: u64,
    /// Routes by label.
    pub routes: Vec<Route>,
    /// Desired state by app and version.
    pub desired: Vec<Desired>,
    /// Instances by id.
    pub instances: Vec<Instance>,
}

/// Who follows the changes and how far it has come: gateways, and agents, whose reports tell nothing while nothing differs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Watcher {
    /// A name of its own, such as that of a gateway.
    pub name: String,
    /// The sequence it serves.
    pub sequence: u64,
    /// When it said so, in milliseconds since 1970.
    pub seen_ms: u64,
}

impl Meta {
    /// The last sequence that was given.
    pub async fn last_change(&self) -> Result<u64, MetaError> {
        let row = sqlx::query("SELECT value FROM counters WHERE name = 'change'").fetch_one(&self.0.read).await?;
        Cells(&row).int("value")
    }

    /// Everything that runs and should run, at one moment.
    pub async fn snapshot(&self) -> Result<Snapshot, MetaError> {
        let mut tx = self.begin_snapshot().await?;
        let row = sqlx::query("SELECT value FROM counters WHERE name = 'change'").fetch_one(&mut *tx).await?;
        let routes = sqlx::query("SELECT * FROM routes ORDER BY label").fetch_all(&mut *tx).await?;
        let desired = sqlx::query("SELECT * FROM desired ORDER BY app, version").fetch_all(&mut *tx).await?;
        let instances = sqlx::query("SELECT * FROM instances ORDER BY id").fetch_all(&mut *tx).await?;
        tx.commit().await?;
        Ok(Snapshot {
            sequence: Cells(&row).int("value")?,
            routes: routes.iter().map(route).collect::<Result<_, _>>()?,
            desired: desired.iter().map(self::desired).collect::<Result<_, _>>()?,
            instances: instances.iter().map(instance).collect::<Result<_, _>>()?,
        })
    }

    /// What happened after the sequence `after`: about `limit` items, since a sequence is never cut in two.
    ///
    /// Wait with [`Topic::Changes`](crate::Topic::Changes) between calls.
    pub async fn changes_since(&self, after: u64, limit: u32) -> Result<Changes, MetaError> {
        let mut tx = self.begin_snapshot().await?;
        let counters = sqlx::query("SELECT name, value FROM counters WHERE name IN ('change', 'change_floor')")
            .fetch_all(&mut *tx)
            .await?;
        let (mut last, mut floor) = (0, 0);
        for row in &counters {
            let value = Cells(row).int("value")?;
            if Cells(row).text("name")? == "change" { last = value } else { floor = value }
        }
        // Beyond the last: the database was restored from a backup that is older than what the caller has seen.
        if after < floor || after > last {
            return Ok(Changes::TooOld);
        }
        let ends = sqlx::query("SELECT sequence FROM changes WHERE sequence > $1 ORDER BY sequence, part LIMIT $2")
            .bind(int(after))
            .bind(i64::from(limit.max(1)))
            .fetch_all(&mut *tx)
            .await?;
        let upto = match ends.last() {
            Some(row) if ends.len() >= limit.max(1) as usize => Cells(row).int("sequence")?,
            _ => last,
        };
        let rows =
            sqlx::query("SELECT body FROM changes WHERE sequence > $1 AND sequence <= $2 ORDER BY sequence, part")
                .bind(int(after))
                .bind(int(upto))
                .fetch_all(&mut *tx)
                .await?;
        tx.commit().await?;
        let items = rows.iter().map(|row| stored::read(&Cells(row).text("body")?)).collect::<Result<_, _>>()?;
        Ok(Changes::Since { upto, items })
    }

    /// The version a hostname label leads to.
    pub async fn find_route(&self, label: &HostLabel) -> Result<Option<Route>, MetaError> {
        let row = sqlx::query("SELECT * FROM routes WHERE label = $1").bind(label.as_str());
        row.fetch_optional(&self.0.read).await?.as_ref().map(route).transpose()
    }

    /// What should run of an app.
    pub async fn list_desired(&self, app: &FunctionId) -> Result<Vec<Desired>, MetaError> {
        let rows = sqlx::query("SELECT * FROM desired WHERE app = $1 ORDER BY version").bind(app.as_str());
        rows.fetch_all(&self.0.read).await?.iter().map(desired).collect()
    }

    /// Instances of an app.
    pub async fn list_instances(&self, app: &FunctionId) -> Result<Vec<Instance>, MetaError> {
        let rows = sqlx::query("SELECT * FROM instances WHERE app = $1 ORDER BY id").bind(app.as_str());
        rows.fetch_all(&self.0.read).await?.iter().map(instance).collect()
    }

    /// Instances that an agent has reported.
    pub async fn list_agent_instances(&self, agent: &str) -> Result<Vec<Instance>, MetaError> {
        let rows = sqlx::query("SELECT * FROM instances WHERE agent = $1 ORDER BY id").bind(agent);
        rows.fetch_all(&self.0.read).await?.iter().map(instance).collect()
    }

    /// Sets how many instances of a version should run, without touching its specification: waking and scaling. Tells
    /// whether the version is in the table at all.
    pub async fn scale(&self, app: &FunctionId, version: VersionNumber, instances: u32) -> Result<bool, MetaError> {
        let mut tx = self.begin().await?;
        // Commits lock the app first, too; two orders would end in a deadlock.
        let lock = format!("SELECT id FROM apps WHERE id = $1{}", self.0.backend.for_update());
        sqlx::query(AssertSqlSafe(lock)).bind(app.as_str()).fetch_optional(&mut *tx).await?;
        let row = sqlx::query(
            "UPDATE desired SET instances = $1 WHERE app = $2 AND version = $3 AND instances <> $1 RETURNING *",
        )
        .bind(i64::from(instances))
        .bind(app.as_str())
        .bind(i64::from(version.get()))
        .fetch_all(&mut *tx)
        .await?;
        let Some(row) = row.first() else {
            let there = sqlx::query("SELECT version FROM desired WHERE app = $1 AND version = $2")
                .bind(app.as_str())
                .bind(i64::from(version.get()))
                .fetch_optional(&mut *tx)
                .await?;
            tx.commit().await?;
            return Ok(there.is_some());
        };
        let item = ChangeItem::DesiredSet(desired(row)?);
        record(&mut tx, &[item]).await?;
        tx.commit().await?;
        self.raise(&crate::Topic::Changes);
        Ok(true)
    }

    /// Takes an agent's report: instances as they are now, and ids of those that are gone. What is reported as it was
    /// before is no change. Returns the sequence of the change, if there was one.
    pub async fn report_instances(
        &self,
        agent: &str,
        reported: &[Instance],
        gone: &[InstanceId],
    ) -> Result<Option<u64>, MetaError> {
        let mut tx = self.begin().await?;
        let mut items = Vec::new();
        for instance in reported {
            if upsert_instance(&mut tx, agent, instance).await? {
                items.push(ChangeItem::InstanceSet(Instance { agent: agent.to_owned(), ..instance.clone() }));
            }
        }
        for id in gone {
            let deleted = sqlx::query("DELETE FROM instances WHERE id = $1 AND agent = $2")
                .bind(id.to_string())
                .bind(agent)
                .execute(&mut *tx)
                .await?;
            if deleted.rows_affected() > 0 {
                items.push(ChangeItem::InstanceRemoved(*id));
            }
        }
        let sequence = if items.is_empty() { None } else { Some(record(&mut tx, &items).await?) };
        tx.commit().await?;
        if sequence.is_some() {
            self.raise(&crate::Topic::Changes);
        }
        Ok(sequence)
    }

    /// Notes how far a watcher has come.
    pub async fn acknowledge(&self, name: &str, sequence: u64, now_ms: u64) -> Result<(), MetaError> {
        sqlx::query(
            "INSERT INTO watchers (name, sequence, seen_ms) VALUES ($1, $2, $3) \
             ON CONFLICT (name) DO UPDATE SET sequence = excluded.sequence, seen_ms = excluded.seen_ms",
        )
        .bind(name)
        .bind(int(sequence))
        .bind(int(now_ms))
        .execute(&self.0.write)
        .await?;
        self.raise(&crate::Topic::Changes);
        Ok(())
    }

    /// Watchers that have been heard of since `since_ms`, and forgets the others.
    pub async fn list_watchers(&self, since_ms: u64) -> Result<Vec<Watcher>, MetaError> {
        sqlx::query("DELETE FROM watchers WHERE seen_ms < $1").bind(int(since_ms)).execute(&self.0.write).await?;
        let rows = sqlx::query("SELECT * FROM watchers ORDER BY name").fetch_all(&self.0.read).await?;
        rows.iter()
            .map(|row| {
                let cells = Cells(row);
                Ok(Watcher {
                    name: cells.text("name")?,
                    sequence: cells.int("sequence")?,
                    seen_ms: cells.int("seen_ms")?,
                })
            })
            .collect()
    }
}

async fn upsert_instance(tx: &mut AnyConnection, agent: &str, instance: &Instance) -> Result<bool, MetaError> {
    // `updated_ms` alone is no difference: an agent reports every few seconds, and nobody needs to hear that.
    let rows = sqlx::query(
        "INSERT INTO instances (id, agent, app, version, generation, state, address, detail, updated_ms) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) \
         ON CONFLICT (id) DO UPDATE SET state = excluded.state, address = excluded.address, \
             detail = excluded.detail, updated_ms = excluded.updated_ms \
         WHERE instances.agent = excluded.agent AND (instances.state <> excluded.state \
             OR COALESCE(instances.address, '') <> COALESCE(excluded.address, '') \
             OR instances.detail <> excluded.detail)",
    )
    .bind(instance.id.to_string())
    .bind(agent)
    .bind(instance.app.as_str())
    .bind(i64::from(instance.version.get()))
    .bind(int(instance.generation))
    .bind(instance.state.as_str())
    .bind(instance.address.clone())
    .bind(instance.detail.as_str())
    .bind(int(instance.updated_ms))
    .execute(tx)
    .await?;
    Ok(rows.rows_affected() > 0)
}

/// Takes the next sequence. In Postgres this locks the counter until the end of the transaction, so that sequences
/// become visible in their order: a follower who has seen 8 will never find a 7 that was not there.
pub(crate) async fn next_sequence(tx: &mut AnyConnection) -> Result<u64, MetaError> {
    let rows = sqlx::query("UPDATE counters SET value = value + 1 WHERE name = 'change' RETURNING value")
        .fetch_all(&mut *tx)
        .await?;
    let sequence = rows.first().map_or(Err(MetaError::Unreadable("value")), |row| Cells(row).int("value"))?;
    if sequence.is_multiple_of(TRIM_EVERY) && sequence > CHANGES_KEPT {
        let floor = int(sequence - CHANGES_KEPT);
        sqlx::query("DELETE FROM changes WHERE sequence <= $1").bind(floor).execute(&mut *tx).await?;
        sqlx::query("UPDATE counters SET value = $1 WHERE name = 'change_floor'").bind(floor).execute(tx).await?;
    }
    Ok(sequence)
}

/// Writes down items under a sequence of their own.
async fn record(tx: &mut AnyConnection, items: &[ChangeItem]) -> Result<u64, MetaError> {
    let sequence = next_sequence(tx).await?;
    record_at(tx, sequence, items).await?;
    Ok(sequence)
}

/// Writes down items under a sequence that was taken before.
pub(crate) async fn record_at(tx: &mut AnyConnection, sequence: u64, items: &[ChangeItem]) -> Result<(), MetaError> {
    for (part, item) in items.iter().enumerate() {
        sqlx::query("INSERT INTO changes (sequence, part, body) VALUES ($1, $2, $3)")
            .bind(int(sequence))
            .bind(int(part as u64))
            .bind(stored::write(item)?)
            .execute(&mut *tx)
            .await?;
    }
    Ok(())
}

pub(crate) fn route(row: &AnyRow) -> Result<Route, MetaError> {
    let cells = Cells(row);
    Ok(Route { label: cells.parse("label")?, app: cells.parse("app")?, version: cells.version("version")? })
}

pub(crate) fn desired(row: &AnyRow) -> Result<Desired, MetaError> {
    let cells = Cells(row);
    Ok(Desired {
        app: cells.parse("app")?,
        version: cells.version("version")?,
        instances: cells.small("instances")?,
        spec: cells.text("spec")?,
        generation: cells.int("generation")?,
    })
}

fn instance(row: &AnyRow) -> Result<Instance, MetaError> {
    let cells = Cells(row);
    Ok(Instance {
        id: cells.parse("id")?,
        agent: cells.text("agent")?,
        app: cells.parse("app")?,
        version: cells.version("version")?,
        generation: cells.int("generation")?,
        state: cells.text("state")?,
        address: cells.text_option("address")?,
        detail: cells.text("detail")?,
        updated_ms: cells.int("updated_ms")?,
    })
}
