//! Effects that were decided and are to be carried out, at least once each.

use ignite_core_model::FunctionId;
use sqlx::AssertSqlSafe;

use crate::sql::{Cells, int};
use crate::{Meta, MetaError};

/// Longest error that is kept of an effect's last attempt, in bytes; more is cut.
pub const EFFECT_ERROR_BYTES_MAX: usize = 4096;

/// An effect that was leased to the caller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Effect {
    /// Its id; effects of one app were decided in the order of their ids.
    pub id: u64,
    /// The app whose state machine decided it.
    pub app: FunctionId,
    /// What makes carrying it out twice harmless.
    pub key: String,
    /// What to do, as JSON the store does not interpret.
    pub body: String,
    /// How often it was leased, this time included. Only the newest attempt may end or put off the effect.
    pub attempt: u32,
    /// Why the last attempt failed, if it said so.
    pub error: Option<String>,
    /// When it was decided, in milliseconds since 1970.
    pub created_ms: u64,
}

impl Meta {
    /// Leases effects that are due, at most `limit`, until `until_ms`. One that is neither ended nor put off by then is
    /// due again.
    pub async fn lease_effects(&self, now_ms: u64, until_ms: u64, limit: u32) -> Result<Vec<Effect>, MetaError> {
        let statement = format!(
            "WITH next AS MATERIALIZED (SELECT id FROM outbox WHERE due_ms <= $2 ORDER BY due_ms, id LIMIT $3{}) \
             UPDATE outbox SET due_ms = $1, attempt = attempt + 1 WHERE id IN (SELECT id FROM next) RETURNING *",
            self.0.backend.skip_locked()
        );
        let rows = sqlx::query(AssertSqlSafe(statement))
            .bind(int(until_ms))
            .bind(int(now_ms))
            .bind(i64::from(limit))
            .fetch_all(&self.0.write)
            .await?;
        let mut effects = rows
            .iter()
            .map(|row| {
                let cells = Cells(row);
                Ok(Effect {
                    id: cells.int("id")?,
                    app: cells.parse("app")?,
                    key: cells.text("idempotence")?,
                    body: cells.text("body")?,
                    attempt: cells.small("attempt")?,
                    error: cells.text_option("error")?,
                    created_ms: cells.int("created_ms")?,
                })
            })
            .collect::<Result<Vec<_>, MetaError>>()?;
        effects.sort_unstable_by_key(|effect| effect.id);
        Ok(effects)
    }

    /// Takes an effect out of the outbox: it was carried out. Tells whether it was this attempt's to end.
    pub async fn finish_effect(&self, id: u64, attempt: u32) -> Result<bool, MetaError> {
        let deleted = sqlx::query("DELETE FROM outbox WHERE id = $1 AND attempt = $2")
            .bind(int(id))
            .bind(i64::from(attempt))
            .execute(&self.0.write)
            .await?;
        Ok(deleted.rows_affected() > 0)
    }

    /// Puts an effect off until `due_ms`, with the reason. Tells whether it was this attempt's to put off.
    pub async fn retry_effect(&self, id: u64, attempt: u32, due_ms: u64, error: &str) -> Result<bool, MetaError> {
        let end = error.floor_char_boundary(EFFECT_ERROR_BYTES_MAX);
        let updated = sqlx::query("UPDATE outbox SET due_ms = $1, error = $2 WHERE id = $3 AND attempt = $4")
            .bind(int(due_ms))
            .bind(&error[..end])
            .bind(int(id))
            .bind(i64::from(attempt))
            .execute(&self.0.write)
            .await?;
        Ok(updated.rows_affected() > 0)
    }

    /// When the next effect is due, if there is any: how long a loop may sleep.
    pub async fn next_effect_due(&self) -> Result<Option<u64>, MetaError> {
        let row = sqlx::query("SELECT due_ms FROM outbox ORDER BY due_ms LIMIT 1").fetch_optional(&self.0.read);
        row.await?.as_ref().map(|row| Cells(row).int("due_ms")).transpose()
    }

    /// How many effects wait or are being carried out.
    pub async fn count_effects(&self) -> Result<u64, MetaError> {
        let row = sqlx::query("SELECT COUNT(*) AS effects FROM outbox").fetch_one(&self.0.read).await?;
        Cells(&row).int("effects")
    }
}
