//! Uploads: a promise that one object of a known size and digest may be put, and be used once.

use ignite_core_model::{Digest, FunctionId, OrganizationId};
use sqlx::AnyConnection;

use crate::sql::{Cells, int};
use crate::{Meta, MetaError};

/// An upload as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upload {
    /// The object's key, chosen by the server.
    pub object: String,
    /// Who may use it.
    pub organization: OrganizationId,
    /// The app it is for, if it is known.
    pub app: Option<FunctionId>,
    /// The size that was promised, in bytes.
    pub size: u64,
    /// The digest that was promised.
    pub digest: Digest,
    /// When the promise ends, in milliseconds since 1970.
    pub expires_ms: u64,
    /// When it was used.
    pub used_ms: Option<u64>,
}

impl Meta {
    /// Stores an upload.
    ///
    /// # Errors
    /// [`MetaError::Exists`] if the key is taken.
    pub async fn create_upload(&self, upload: &Upload) -> Result<(), MetaError> {
        let made = sqlx::query(
            "INSERT INTO uploads (object, organization, app, size, digest, expires_ms, used_ms) \
             VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT DO NOTHING",
        )
        .bind(upload.object.as_str())
        .bind(upload.organization.as_str())
        .bind(upload.app.as_ref().map(|app| app.as_str().to_owned()))
        .bind(int(upload.size))
        .bind(upload.digest.to_string())
        .bind(int(upload.expires_ms))
        .bind(upload.used_ms.map(int))
        .execute(&self.0.write)
        .await?;
        if made.rows_affected() == 0 { Err(MetaError::exists("upload", &upload.object)) } else { Ok(()) }
    }

    /// An upload of this organisation.
    ///
    /// # Errors
    /// [`MetaError::Missing`] if this organisation has no such upload.
    pub async fn load_upload(&self, object: &str, organization: &OrganizationId) -> Result<Upload, MetaError> {
        let row = sqlx::query("SELECT * FROM uploads WHERE object = $1 AND organization = $2")
            .bind(object)
            .bind(organization.as_str())
            .fetch_optional(&self.0.read)
            .await?;
        let row = row.ok_or_else(|| MetaError::missing("upload", object))?;
        let cells = Cells(&row);
        Ok(Upload {
            object: cells.text("object")?,
            organization: cells.parse("organization")?,
            app: cells.parse_option("app")?,
            size: cells.int("size")?,
            digest: cells.parse("digest")?,
            expires_ms: cells.int("expires_ms")?,
            used_ms: cells.int_option("used_ms")?,
        })
    }

    /// Uses an upload up, outside of any app's change.
    ///
    /// # Errors
    /// [`MetaError::UploadSpent`] the second time and after its end, [`MetaError::Missing`] if this organisation has no
    /// such upload.
    pub async fn use_upload(&self, object: &str, organization: &OrganizationId, now_ms: u64) -> Result<(), MetaError> {
        let mut tx = self.begin().await?;
        spend(&mut tx, object, organization, now_ms).await?;
        Ok(tx.commit().await?)
    }

    /// Forgets uploads that ended before `before_ms`, at most `limit`. Returns the keys of those that were never used,
    /// whose objects can go.
    pub async fn sweep_uploads(&self, before_ms: u64, limit: u32) -> Result<Vec<String>, MetaError> {
        let rows = sqlx::query(
            "DELETE FROM uploads WHERE object IN (SELECT object FROM uploads WHERE expires_ms < $1 ORDER BY expires_ms \
             LIMIT $2) RETURNING object, used_ms",
        )
        .bind(int(before_ms))
        .bind(i64::from(limit))
        .fetch_all(&self.0.write)
        .await?;
        let mut unused = Vec::new();
        for row in &rows {
            let cells = Cells(row);
            if cells.is_null("used_ms")? {
                unused.push(cells.text("object")?);
            }
        }
        Ok(unused)
    }
}

pub(crate) async fn spend(
    tx: &mut AnyConnection,
    object: &str,
    organization: &OrganizationId,
    now_ms: u64,
) -> Result<(), MetaError> {
    let updated = sqlx::query(
        "UPDATE uploads SET used_ms = $1 \
         WHERE object = $2 AND organization = $3 AND used_ms IS NULL AND expires_ms > $1",
    )
    .bind(int(now_ms))
    .bind(object)
    .bind(organization.as_str())
    .execute(&mut *tx)
    .await?;
    if updated.rows_affected() > 0 {
        return Ok(());
    }
    let there = sqlx::query("SELECT object FROM uploads WHERE object = $1 AND organization = $2")
        .bind(object)
        .bind(organization.as_str())
        .fetch_optional(tx)
        .await?;
    let spent = || MetaError::UploadSpent(object.to_owned());
    Err(there.map_or_else(|| MetaError::missing("upload", object), |_| spent()))
}
