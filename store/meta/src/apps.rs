//! Apps and their versions, as they are read. They are written by [`Meta::commit`](crate::Meta::commit) alone.

use ignite_core_model::{Digest, FunctionId, HostLabel, OrganizationId, VersionNumber};
use sqlx::any::AnyRow;

use crate::sql::Cells;
use crate::{Meta, MetaError};

/// An app as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct App {
    /// Its id.
    pub id: FunctionId,
    /// The first label of its hostname, which no other app has.
    pub label: HostLabel,
    /// Counts its changes, from 1. What is written must name the revision it was decided on.
    pub revision: u64,
    /// The state machine's state, as JSON the store does not interpret.
    pub state: String,
    /// When it was created, in milliseconds since 1970.
    pub created_ms: u64,
    /// When it last changed.
    pub updated_ms: u64,
    /// When it was deleted. It stays until what it left behind is gone.
    pub deleted_ms: Option<u64>,
}

/// An immutable version as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VersionRow {
    /// The app it is of.
    pub app: FunctionId,
    /// Its number.
    pub number: VersionNumber,
    /// When it was made, in milliseconds since 1970.
    pub created_ms: u64,
    /// The artifact it runs, if it is compiled; such an artifact is in use.
    pub artifact: Option<Digest>,
    /// All that is needed to run it again, as JSON the store does not interpret.
    pub snapshot: String,
}

impl Meta {
    /// The app, deleted or not.
    ///
    /// # Errors
    /// [`MetaError::Missing`] if there is none.
    pub async fn load_app(&self, id: &FunctionId) -> Result<App, MetaError> {
        self.find_app(id).await?.ok_or_else(|| MetaError::missing("app", id))
    }

    /// The app, deleted or not, if there is one.
    pub async fn find_app(&self, id: &FunctionId) -> Result<Option<App>, MetaError> {
        let row = sqlx::query("SELECT * FROM apps WHERE id = $1").bind(id.as_str());
        row.fetch_optional(&self.0.read).await?.as_ref().map(app).transpose()
    }

    /// Apps of an organisation that are not deleted, by name, after the app `after`, at most `limit`.
    pub async fn list_apps(
        &self,
        organization: &OrganizationId,
        after: Option<&FunctionId>,
        limit: u32,
    ) -> Result<Vec<App>, MetaError> {
        let rows = sqlx::query(
            "SELECT * FROM apps WHERE organization = $1 AND id > $2 AND deleted_ms IS NULL ORDER BY id LIMIT $3",
        )
        .bind(organization.as_str())
        .bind(after.map_or("", FunctionId::as_str))
        .bind(i64::from(limit))
        .fetch_all(&self.0.read)
        .await?;
        rows.iter().map(app).collect()
    }

    /// All apps of all organisations, deleted ones too, by id, after `after`, at most `limit`: for a sweep.
    pub async fn sweep_apps(&self, after: Option<&FunctionId>, limit: u32) -> Result<Vec<App>, MetaError> {
        let rows = sqlx::query("SELECT * FROM apps WHERE id > $1 ORDER BY id LIMIT $2")
            .bind(after.map_or("", FunctionId::as_str))
            .bind(i64::from(limit))
            .fetch_all(&self.0.read)
            .await?;
        rows.iter().map(app).collect()
    }

    /// A version.
    ///
    /// # Errors
    /// [`MetaError::Missing`] if there is none.
    pub async fn load_version(&self, id: &FunctionId, number: VersionNumber) -> Result<VersionRow, MetaError> {
        let row = sqlx::query("SELECT * FROM versions WHERE app = $1 AND number = $2")
            .bind(id.as_str())
            .bind(i64::from(number.get()))
            .fetch_optional(&self.0.read)
            .await?;
        row.as_ref().map_or_else(|| Err(MetaError::missing("version", format!("{id} v{number}"))), version)
    }

    /// Versions of an app, newest first, from below `before`, at most `limit`.
    pub async fn list_versions(
        &self,
        id: &FunctionId,
        before: Option<VersionNumber>,
        limit: u32,
    ) -> Result<Vec<VersionRow>, MetaError> {
        let rows = sqlx::query("SELECT * FROM versions WHERE app = $1 AND number < $2 ORDER BY number DESC LIMIT $3")
            .bind(id.as_str())
            .bind(before.map_or(i64::MAX, |number| i64::from(number.get())))
            .bind(i64::from(limit))
            .fetch_all(&self.0.read)
            .await?;
        rows.iter().map(version).collect()
    }

    /// Whether any version runs this artifact. It may be deleted if none does and [`Meta::is_object_used`] says no.
    pub async fn is_artifact_used(&self, artifact: &Digest) -> Result<bool, MetaError> {
        let row = sqlx::query("SELECT number FROM versions WHERE artifact = $1 LIMIT 1").bind(artifact.to_string());
        Ok(row.fetch_optional(&self.0.read).await?.is_some())
    }

    /// Whether any app has noted that it needs this object; see [`Change::uses_added`](crate::Change::uses_added).
    pub async fn is_object_used(&self, object: &str) -> Result<bool, MetaError> {
        let row = sqlx::query("SELECT app FROM object_uses WHERE object = $1 LIMIT 1").bind(object);
        Ok(row.fetch_optional(&self.0.read).await?.is_some())
    }

    /// Whether an app of this organisation has noted that it needs this object. Who only knows the digest of what others stored
    /// is neither told that it is there nor given it.
    pub async fn is_object_used_by(&self, object: &str, organization: &OrganizationId) -> Result<bool, MetaError> {
        let row = sqlx::query(
            "SELECT object_uses.app FROM object_uses JOIN apps ON apps.id = object_uses.app \
             WHERE object_uses.object = $1 AND apps.organization = $2 LIMIT 1",
        )
        .bind(object)
        .bind(organization.as_str());
        Ok(row.fetch_optional(&self.0.read).await?.is_some())
    }
}

fn app(row: &AnyRow) -> Result<App, MetaError> {
    let cells = Cells(row);
    Ok(App {
        id: cells.parse("id")?,
        label: cells.parse("label")?,
        revision: cells.int("revision")?,
        state: cells.text("state")?,
        created_ms: cells.int("created_ms")?,
        updated_ms: cells.int("updated_ms")?,
        deleted_ms: cells.int_option("deleted_ms")?,
    })
}

fn version(row: &AnyRow) -> Result<VersionRow, MetaError> {
    let cells = Cells(row);
    Ok(VersionRow {
        app: cells.parse("app")?,
        number: cells.version("number")?,
        created_ms: cells.int("created_ms")?,
        artifact: cells.parse_option("artifact")?,
        snapshot: cells.text("snapshot")?,
    })
}
