//! How long executions are kept.

use std::collections::HashSet;

use ignite_core_model::{ExecutionId, FunctionId};
use sqlx::AssertSqlSafe;
use sqlx::any::AnyRow;

use crate::sql::{Cells, bounded, int, places};
use crate::{Meta, MetaError};

/// Most ids in one [`Meta::known_executions`].
pub const KNOWN_MAX: usize = 500;

/// What a sweep has deleted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Swept {
    /// How many executions. Fewer than the limit: there are no more.
    pub executions: u64,
    /// Keys of objects that they alone referred to.
    pub objects: Vec<String>,
}

impl Meta {
    /// Deletes executions that ended before `before_ms`, at most `limit`.
    pub async fn sweep_executions(&self, before_ms: u64, limit: u32) -> Result<Swept, MetaError> {
        let rows = sqlx::query(
            "DELETE FROM executions WHERE id IN (SELECT id FROM executions WHERE ended_ms IS NOT NULL AND ended_ms < $1 \
             ORDER BY ended_ms LIMIT $2) RETURNING input_object, output_object",
        )
        .bind(int(before_ms))
        .bind(i64::from(limit))
        .fetch_all(&self.0.write)
        .await?;
        swept(&rows)
    }

    /// Deletes executions of an app, whatever their status, at most `limit`: before the app is erased.
    pub async fn sweep_app_executions(&self, app: &FunctionId, limit: u32) -> Result<Swept, MetaError> {
        let rows = sqlx::query(
            "DELETE FROM executions WHERE id IN (SELECT id FROM executions WHERE app = $1 ORDER BY id LIMIT $2) \
             RETURNING input_object, output_object",
        )
        .bind(app.as_str())
        .bind(i64::from(limit))
        .fetch_all(&self.0.write)
        .await?;
        swept(&rows)
    }

    /// Deletes executions of an app that have ended, but for the newest `kept`; at most `limit`.
    pub async fn trim_executions(&self, app: &FunctionId, kept: u32, limit: u32) -> Result<Swept, MetaError> {
        let rows = sqlx::query(
            "DELETE FROM executions WHERE id IN (SELECT id FROM executions WHERE app = $1 AND ended_ms IS NOT NULL \
             ORDER BY id DESC LIMIT $2 OFFSET $3) RETURNING input_object, output_object",
        )
        .bind(app.as_str())
        .bind(i64::from(limit))
        .bind(i64::from(kept))
        .fetch_all(&self.0.write)
        .await?;
        swept(&rows)
    }

    /// Which of these executions there are: an object of any other belongs to nobody.
    ///
    /// # Errors
    /// [`MetaError::TooLarge`] beyond [`KNOWN_MAX`].
    pub async fn known_executions(&self, ids: &[ExecutionId]) -> Result<HashSet<ExecutionId>, MetaError> {
        bounded("a question for executions", ids.len(), KNOWN_MAX, "executions")?;
        if ids.is_empty() {
            return Ok(HashSet::new());
        }
        let statement = format!("SELECT id FROM executions WHERE id IN {}", places(1, ids.len()));
        let mut query = sqlx::query(AssertSqlSafe(statement));
        for id in ids {
            query = query.bind(id.to_string());
        }
        query.fetch_all(&self.0.read).await?.iter().map(|row| Cells(row).parse("id")).collect()
    }
}

fn swept(rows: &[AnyRow]) -> Result<Swept, MetaError> {
    let mut swept = Swept { executions: rows.len() as u64, objects: Vec::new() };
    for row in rows {
        swept.objects.extend(Cells(row).text_option("input_object")?);
        swept.objects.extend(Cells(row).text_option("output_object")?);
    }
    Ok(swept)
}
