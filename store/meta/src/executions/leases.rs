//! Who carries an execution out, and how it ends.

use ignite_core_model::{ExecutionId, FunctionId};
use sqlx::AssertSqlSafe;

use super::{ExecutionEnd, ExecutionStatus, WholeExecution, columns, whole};
use crate::sql::{Cells, int};
use crate::{Meta, MetaError, Renewed, Topic};

impl Meta {
    /// Leases executions that are due, at most `limit`, to `owner` until `until_ms`. One that is neither finished nor put
    /// off by then is due again. Those of the apps `passed_over` stay where they are: that they wait is no reason for
    /// others to.
    pub async fn lease_executions(
        &self,
        owner: &str,
        now_ms: u64,
        until_ms: u64,
        limit: u32,
        passed_over: &[FunctionId],
    ) -> Result<Vec<WholeExecution>, MetaError> {
        let others: Vec<String> = (5..).take(passed_over.len()).map(|place| format!("${place}")).collect();
        let others = if others.is_empty() { String::new() } else { format!("AND app NOT IN ({}) ", others.join(", ")) };
        let statement = format!(
            "WITH next AS MATERIALIZED (SELECT id FROM executions WHERE due_ms IS NOT NULL AND due_ms <= $3 {others}\
                 ORDER BY due_ms, id LIMIT $4{}) \
             UPDATE executions SET status = 'running', attempt = attempt + 1, owner = $1, due_ms = $2, \
                 started_ms = COALESCE(started_ms, $3) \
             WHERE id IN (SELECT id FROM next) RETURNING *",
            self.0.backend.skip_locked()
        );
        let mut query = sqlx::query(AssertSqlSafe(statement))
            .bind(owner)
            .bind(int(until_ms))
            .bind(int(now_ms))
            .bind(i64::from(limit));
        for app in passed_over {
            query = query.bind(app.as_str());
        }
        let rows = query.fetch_all(&self.0.write).await?;
        let mut leased = rows.iter().map(whole).collect::<Result<Vec<_>, _>>()?;
        leased.sort_unstable_by_key(|whole| whole.execution.id);
        for whole in &leased {
            self.raise(&Topic::Execution(whole.execution.id));
        }
        Ok(leased)
    }

    /// Makes everything `owner` has leased due now, and tells how many that was: for one that begins under a name whose former
    /// life is over.
    pub async fn release_executions(&self, owner: &str, now_ms: u64) -> Result<u64, MetaError> {
        let updated = sqlx::query(
            "UPDATE executions SET due_ms = $1 WHERE owner = $2 AND status = 'running' AND due_ms IS NOT NULL AND due_ms > $1",
        )
        .bind(int(now_ms))
        .bind(owner)
        .execute(&self.0.write)
        .await?;
        self.raise(&Topic::Executions);
        Ok(updated.rows_affected())
    }

    /// Extends the lease of an attempt to `until_ms`.
    pub async fn renew_execution(&self, id: ExecutionId, attempt: u32, until_ms: u64) -> Result<Renewed, MetaError> {
        let updated = sqlx::query(
            "UPDATE executions SET due_ms = $1 WHERE id = $2 AND attempt = $3 AND status = 'running' AND due_ms IS NOT NULL",
        )
        .bind(int(until_ms))
        .bind(id.to_string())
        .bind(i64::from(attempt))
        .execute(&self.0.write)
        .await?;
        if updated.rows_affected() > 0 {
            return Ok(Renewed::Until(until_ms));
        }
        let row = sqlx::query("SELECT status FROM executions WHERE id = $1 AND attempt = $2")
            .bind(id.to_string())
            .bind(i64::from(attempt))
            .fetch_optional(&self.0.read)
            .await?;
        let status = row.map(|row| ExecutionStatus::find(&Cells(&row).text("status")?)).transpose()?;
        Ok(if status == Some(ExecutionStatus::Cancelled) { Renewed::Cancelled } else { Renewed::Lost })
    }

    /// Ends an execution with what an attempt has found. Tells whether it was this attempt's to end: not if it was
    /// cancelled, ended, or leased anew.
    pub async fn finish_execution(
        &self,
        id: ExecutionId,
        attempt: u32,
        end: &ExecutionEnd,
        now_ms: u64,
    ) -> Result<bool, MetaError> {
        let (output, output_object) = columns(&end.output)?;
        let updated = sqlx::query(
            "UPDATE executions SET status = $1, version = $2, response = $3, output = $4, output_object = $5, error = $6, \
                 ended_ms = $7, due_ms = NULL, input = NULL \
             WHERE id = $8 AND attempt = $9 AND status = 'running'",
        )
        .bind(end.status.as_str())
        .bind(end.version.map(|version| i64::from(version.get())))
        .bind(end.response.clone())
        .bind(output)
        .bind(output_object)
        .bind(end.error.clone())
        .bind(int(now_ms))
        .bind(id.to_string())
        .bind(i64::from(attempt))
        .execute(&self.0.write)
        .await?;
        self.raise(&Topic::Execution(id));
        Ok(updated.rows_affected() > 0)
    }

    /// Puts an execution off until `due_ms`, with the reason: its instance was lost, not its handler at fault. Tells
    /// whether it was this attempt's to put off.
    pub async fn retry_execution(
        &self,
        id: ExecutionId,
        attempt: u32,
        due_ms: u64,
        error: &str,
    ) -> Result<bool, MetaError> {
        let updated = sqlx::query(
            "UPDATE executions SET status = 'pending', due_ms = $1, error = $2 \
             WHERE id = $3 AND attempt = $4 AND status = 'running'",
        )
        .bind(int(due_ms))
        .bind(error)
        .bind(id.to_string())
        .bind(i64::from(attempt))
        .execute(&self.0.write)
        .await?;
        self.raise(&Topic::Execution(id));
        Ok(updated.rows_affected() > 0)
    }

    /// Cancels an execution that waits or runs. Tells whether it did.
    pub async fn cancel_execution(&self, app: &FunctionId, id: ExecutionId, now_ms: u64) -> Result<bool, MetaError> {
        let updated = sqlx::query(
            "UPDATE executions SET status = 'cancelled', ended_ms = $1, due_ms = NULL, input = NULL \
             WHERE id = $2 AND app = $3 AND status IN ('pending', 'running')",
        )
        .bind(int(now_ms))
        .bind(id.to_string())
        .bind(app.as_str())
        .execute(&self.0.write)
        .await?;
        self.raise(&Topic::Execution(id));
        Ok(updated.rows_affected() > 0)
    }

    /// When the next execution is due, if there is any: how long a loop may sleep.
    pub async fn next_execution_due(&self) -> Result<Option<u64>, MetaError> {
        let row = sqlx::query("SELECT due_ms FROM executions WHERE due_ms IS NOT NULL ORDER BY due_ms LIMIT 1");
        row.fetch_optional(&self.0.read).await?.as_ref().map(|row| Cells(row).int("due_ms")).transpose()
    }
}
