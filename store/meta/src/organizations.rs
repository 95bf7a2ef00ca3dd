//! Organisations, and the tokens by which their callers are known.

use ignite_core_model::{Digest, OrganizationId, TokenId};
use sqlx::any::AnyRow;

use crate::sql::{Cells, bounded, int, int_option};
use crate::{Meta, MetaError};

/// Longest note of a token, in bytes.
pub const TOKEN_NOTE_BYTES_MAX: usize = 256;

/// A token as it is stored. Of its secret there is only a hash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// Its id, which is no secret.
    pub id: TokenId,
    /// Whose callers it lets in.
    pub organization: OrganizationId,
    /// SHA-256 of the secret. A token is 128 random bits or more, so no slow hash is needed.
    pub hash: [u8; 32],
    /// What it allows, as words the store does not interpret.
    pub scopes: Vec<String>,
    /// What it is for, in its maker's words; at most [`TOKEN_NOTE_BYTES_MAX`].
    pub note: String,
    /// When it was made, in milliseconds since 1970.
    pub created_ms: u64,
    /// When it ends by itself.
    pub expires_ms: Option<u64>,
    /// When it was revoked.
    pub revoked_ms: Option<u64>,
}

impl Token {
    /// The hash by which a token is stored and found.
    #[must_use]
    pub fn hash_of(secret: &str) -> [u8; 32] {
        *Digest::of(secret.as_bytes()).as_bytes()
    }

    /// Whether it lets a caller in at `now_ms`.
    #[must_use]
    pub fn is_valid(&self, now_ms: u64) -> bool {
        self.revoked_ms.is_none() && self.expires_ms.is_none_or(|expires| now_ms < expires)
    }
}

impl Meta {
    /// Makes an organisation; one that exists stays as it is. Tells whether it is new.
    pub async fn create_organization(&self, id: &OrganizationId, now_ms: u64) -> Result<bool, MetaError> {
        let made =
            sqlx::query("INSERT INTO organizations (id, created_ms) VALUES ($1, $2) ON CONFLICT (id) DO NOTHING")
                .bind(id.as_str())
                .bind(int(now_ms))
                .execute(&self.0.write)
                .await?;
        Ok(made.rows_affected() > 0)
    }

    /// Whether the organisation exists.
    pub async fn has_organization(&self, id: &OrganizationId) -> Result<bool, MetaError> {
        let row = sqlx::query("SELECT id FROM organizations WHERE id = $1").bind(id.as_str());
        Ok(row.fetch_optional(&self.0.read).await?.is_some())
    }

    /// All organisations after `after`, in order, at most `limit`.
    pub async fn list_organizations(
        &self,
        after: Option<&OrganizationId>,
        limit: u32,
    ) -> Result<Vec<OrganizationId>, MetaError> {
        let rows = sqlx::query("SELECT id FROM organizations WHERE id > $1 ORDER BY id LIMIT $2")
            .bind(after.map_or("", OrganizationId::as_str))
            .bind(i64::from(limit))
            .fetch_all(&self.0.read)
            .await?;
        rows.iter().map(|row| Cells(row).parse("id")).collect()
    }

    /// Stores a new token.
    ///
    /// # Errors
    /// [`MetaError::Missing`] without its organisation, [`MetaError::Exists`] if the id is taken.
    pub async fn create_token(&self, token: &Token) -> Result<(), MetaError> {
        bounded("the note of a token", token.note.len(), TOKEN_NOTE_BYTES_MAX, "bytes")?;
        if !self.has_organization(&token.organization).await? {
            return Err(MetaError::missing("organisation", &token.organization));
        }
        let scopes = serde_json::to_string(&token.scopes).map_err(|_| MetaError::Unreadable("tokens.scopes"))?;
        let made = sqlx::query(
            "INSERT INTO tokens (id, organization, hash, scopes, note, created_ms, expires_ms, revoked_ms) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT DO NOTHING",
        )
        .bind(token.id.to_string())
        .bind(token.organization.as_str())
        .bind(token.hash.to_vec())
        .bind(scopes)
        .bind(token.note.as_str())
        .bind(int(token.created_ms))
        .bind(int_option(token.expires_ms))
        .bind(int_option(token.revoked_ms))
        .execute(&self.0.write)
        .await?;
        if made.rows_affected() == 0 { Err(MetaError::exists("token", token.id)) } else { Ok(()) }
    }

    /// The token whose secret has this SHA-256. Ask [`Token::is_valid`] before letting anyone in.
    pub async fn find_token(&self, hash: &[u8; 32]) -> Result<Option<Token>, MetaError> {
        let row = sqlx::query("SELECT * FROM tokens WHERE hash = $1").bind(hash.to_vec());
        row.fetch_optional(&self.0.read).await?.as_ref().map(token).transpose()
    }

    /// Tokens of an organisation after `after` in the order they were made, at most `limit`, ended ones too.
    pub async fn list_tokens(
        &self,
        organization: &OrganizationId,
        after: Option<TokenId>,
        limit: u32,
    ) -> Result<Vec<Token>, MetaError> {
        let rows = sqlx::query("SELECT * FROM tokens WHERE organization = $1 AND id > $2 ORDER BY id LIMIT $3")
            .bind(organization.as_str())
            .bind(after.map_or_else(String::new, |id| id.to_string()))
            .bind(i64::from(limit))
            .fetch_all(&self.0.read)
            .await?;
        rows.iter().map(token).collect()
    }

    /// Revokes a token of this organisation; again is no error, and the first time stays.
    ///
    /// # Errors
    /// [`MetaError::Missing`] if this organisation has no such token.
    pub async fn revoke_token(&self, organization: &OrganizationId, id: TokenId, now_ms: u64) -> Result<(), MetaError> {
        let found =
            sqlx::query("UPDATE tokens SET revoked_ms = COALESCE(revoked_ms, $1) WHERE id = $2 AND organization = $3")
                .bind(int(now_ms))
                .bind(id.to_string())
                .bind(organization.as_str())
                .execute(&self.0.write)
                .await?;
        if found.rows_affected() == 0 { Err(MetaError::missing("token", id)) } else { Ok(()) }
    }
}

fn token(row: &AnyRow) -> Result<Token, MetaError> {
    let cells = Cells(row);
    Ok(Token {
        id: cells.parse("id")?,
        organization: cells.parse("organization")?,
        hash: cells.bytes("hash")?.try_into().map_err(|_| MetaError::Unreadable("hash"))?,
        scopes: serde_json::from_str(&cells.text("scopes")?).map_err(|_| MetaError::Unreadable("scopes"))?,
        note: cells.text("note")?,
        created_ms: cells.int("created_ms")?,
        expires_ms: cells.int_option("expires_ms")?,
        revoked_ms: cells.int_option("revoked_ms")?,
    })
}
