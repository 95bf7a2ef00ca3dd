//! Secrets of organisations. They arrive sealed (see [`seal`](crate::seal)) and leave sealed.

use ignite_core_model::OrganizationId;

use crate::sql::{Cells, bounded, int};
use crate::{Meta, MetaError};

/// Longest sealed secret, in bytes.
pub const SEALED_BYTES_MAX: usize = 128 << 10;

/// What may be told of a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretMetadata {
    /// Its name within the organisation.
    pub name: String,
    /// A word for its group, which the store does not interpret.
    pub kind: String,
    /// When it was first set, in milliseconds since 1970.
    pub created_ms: u64,
    /// When it was last set.
    pub updated_ms: u64,
}

impl Meta {
    /// Sets a secret, new or not.
    ///
    /// # Errors
    /// [`MetaError::Missing`] without the organisation.
    pub async fn put_secret(
        &self,
        organization: &OrganizationId,
        name: &str,
        kind: &str,
        sealed: &[u8],
        now_ms: u64,
    ) -> Result<(), MetaError> {
        bounded("a sealed secret", sealed.len(), SEALED_BYTES_MAX, "bytes")?;
        if !self.has_organization(organization).await? {
            return Err(MetaError::missing("organisation", organization));
        }
        sqlx::query(
            "INSERT INTO secrets (organization, name, kind, sealed, created_ms, updated_ms) VALUES ($1, $2, $3, $4, $5, $5) \
             ON CONFLICT (organization, name) DO UPDATE SET kind = excluded.kind, sealed = excluded.sealed, \
                 updated_ms = excluded.updated_ms",
        )
        .bind(organization.as_str())
        .bind(name)
        .bind(kind)
        .bind(sealed.to_vec())
        .bind(int(now_ms))
        .execute(&self.0.write)
        .await?;
        Ok(())
    }

    /// What may be told of one secret, if there is one of this name.
    pub async fn find_secret(
        &self,
        organization: &OrganizationId,
        name: &str,
    ) -> Result<Option<SecretMetadata>, MetaError> {
        let row =
            sqlx::query("SELECT name, kind, created_ms, updated_ms FROM secrets WHERE organization = $1 AND name = $2")
                .bind(organization.as_str())
                .bind(name)
                .fetch_optional(&self.0.read)
                .await?;
        row.map(|row| metadata(&Cells(&row))).transpose()
    }

    /// Secrets of an organisation by name, after the name `after`, at most `limit`; never what they are.
    pub async fn list_secrets(
        &self,
        organization: &OrganizationId,
        after: &str,
        limit: u32,
    ) -> Result<Vec<SecretMetadata>, MetaError> {
        let rows = sqlx::query(
            "SELECT name, kind, created_ms, updated_ms FROM secrets WHERE organization = $1 AND name > $2 \
             ORDER BY name LIMIT $3",
        )
        .bind(organization.as_str())
        .bind(after)
        .bind(i64::from(limit))
        .fetch_all(&self.0.read)
        .await?;
        rows.iter().map(|row| metadata(&Cells(row))).collect()
    }

    /// A secret as it was sealed.
    ///
    /// # Errors
    /// [`MetaError::Missing`] if the organisation has none of this name.
    pub async fn load_sealed(&self, organization: &OrganizationId, name: &str) -> Result<Vec<u8>, MetaError> {
        let row = sqlx::query("SELECT sealed FROM secrets WHERE organization = $1 AND name = $2")
            .bind(organization.as_str())
            .bind(name)
            .fetch_optional(&self.0.read)
            .await?;
        row.map_or_else(|| Err(MetaError::missing("secret", name)), |row| Cells(&row).bytes("sealed"))
    }

    /// Deletes a secret.
    ///
    /// # Errors
    /// [`MetaError::Missing`] if the organisation has none of this name.
    pub async fn delete_secret(&self, organization: &OrganizationId, name: &str) -> Result<(), MetaError> {
        let deleted = sqlx::query("DELETE FROM secrets WHERE organization = $1 AND name = $2")
            .bind(organization.as_str())
            .bind(name)
            .execute(&self.0.write)
            .await?;
        if deleted.rows_affected() == 0 { Err(MetaError::missing("secret", name)) } else { Ok(()) }
    }
}

fn metadata(cells: &Cells<'_>) -> Result<SecretMetadata, MetaError> {
    Ok(SecretMetadata {
        name: cells.text("name")?,
        kind: cells.text("kind")?,
        created_ms: cells.int("created_ms")?,
        updated_ms: cells.int("updated_ms")?,
    })
}
