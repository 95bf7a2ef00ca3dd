//! Executions: accepted ones wait to be carried out at least once, and all are kept for a while to be looked at.

mod leases;
mod sweep;

use ignite_core_model::{ExecutionId, FunctionId, VersionNumber};
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, AssertSqlSafe};

use crate::commit::RECORD_BYTES_MAX;
use crate::sql::{Cells, bounded, groups, int, int_option, places};
use crate::{Meta, MetaError, Topic};

pub use sweep::{KNOWN_MAX, Swept};

/// Longest input or output that is stored in the row itself, in bytes. What is larger goes to the object store.
pub const INLINE_BYTES_MAX: usize = 64 << 10;

/// Most executions in one [`Meta::record_executions`].
pub const RECORDED_MAX: usize = 1_000;

/// Where an execution stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ExecutionStatus {
    /// Accepted, and waits.
    Pending,
    /// Somebody carries it out.
    Running,
    /// The handler answered.
    Succeeded,
    /// The handler or its instance failed.
    Failed,
    /// It ran longer than it may.
    TimedOut,
    /// It was cancelled.
    Cancelled,
}

impl ExecutionStatus {
    /// All there are.
    pub const ALL: [Self; 6] =
        [Self::Pending, Self::Running, Self::Succeeded, Self::Failed, Self::TimedOut, Self::Cancelled];

    /// The word for it, as it is stored.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Running => "running",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::TimedOut => "timed_out",
            Self::Cancelled => "cancelled",
        }
    }

    fn find(word: &str) -> Result<Self, MetaError> {
        let found = Self::ALL.into_iter().find(|status| status.as_str() == word);
        found.ok_or(MetaError::Unreadable("executions.status"))
    }
}

/// What goes into an execution or comes out of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Payload {
    /// Nothing, or it is no longer kept.
    #[default]
    None,
    /// The bytes, at most [`INLINE_BYTES_MAX`].
    Inline(Vec<u8>),
    /// The key of an object that holds them.
    Object(String),
}

/// An execution as it is stored, without what goes in and comes out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Execution {
    /// Its id. Ids sort by time, so it is also its place in lists.
    pub id: ExecutionId,
    /// The app.
    pub app: FunctionId,
    /// The version that answered, once it is known.
    pub version: Option<VersionNumber>,
    /// Where it stands.
    pub status: ExecutionStatus,
    /// How often it was leased; 0 for one that a caller waited for.
    pub attempt: u32,
    /// Who had the last lease.
    pub owner: Option<String>,
    /// Pending: when it may be leased. Running: when the lease ends. In milliseconds since 1970.
    pub due_ms: Option<u64>,
    /// Method, path, headers and so on, as JSON the store does not interpret.
    pub request: String,
    /// Status, headers and so on, as JSON the store does not interpret.
    pub response: Option<String>,
    /// Why it, or its last attempt, failed; JSON the store does not interpret.
    pub error: Option<String>,
    /// When it was accepted.
    pub created_ms: u64,
    /// When it was first leased or begun.
    pub started_ms: Option<u64>,
    /// When it ended.
    pub ended_ms: Option<u64>,
}

/// An execution with what goes in and comes out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WholeExecution {
    /// The execution.
    pub execution: Execution,
    /// What the handler is given. No longer kept inline once the execution has ended.
    pub input: Payload,
    /// What the handler answered.
    pub output: Payload,
}

/// An execution to accept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewExecution {
    /// Its id.
    pub id: ExecutionId,
    /// The app.
    pub app: FunctionId,
    /// Method, path, headers and so on, as JSON the store does not interpret.
    pub request: String,
    /// What the handler is given.
    pub input: Payload,
    /// Not before this time, in milliseconds since 1970.
    pub due_ms: u64,
}

/// How an execution ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExecutionEnd {
    /// Any status but pending and running.
    pub status: ExecutionStatus,
    /// The version that answered, if any did.
    pub version: Option<VersionNumber>,
    /// Status, headers and so on, as JSON the store does not interpret.
    pub response: Option<String>,
    /// What the handler answered.
    pub output: Payload,
    /// Why it failed, as JSON the store does not interpret.
    pub error: Option<String>,
}

/// The columns of [`Execution`]; inputs and outputs are left where they are.
const BRIEF: &str =
    "id, app, version, status, attempt, owner, due_ms, request, response, error, created_ms, started_ms, ended_ms";

impl Meta {
    /// Accepts an execution. When this returns it will be carried out.
    ///
    /// # Errors
    /// [`MetaError::Exists`] if the id is taken, [`MetaError::TooLarge`] beyond [`INLINE_BYTES_MAX`].
    pub async fn insert_execution(&self, new: &NewExecution, now_ms: u64) -> Result<(), MetaError> {
        let (input, input_object) = columns(&new.input)?;
        bounded("the request of an execution", new.request.len(), RECORD_BYTES_MAX, "bytes")?;
        let made = sqlx::query(
            "INSERT INTO executions (id, app, status, attempt, due_ms, request, input, input_object, created_ms) \
             VALUES ($1, $2, 'pending', 0, $3, $4, $5, $6, $7) ON CONFLICT DO NOTHING",
        )
        .bind(new.id.to_string())
        .bind(new.app.as_str())
        .bind(int(new.due_ms))
        .bind(new.request.as_str())
        .bind(input)
        .bind(input_object)
        .bind(int(now_ms))
        .execute(&self.0.write)
        .await?;
        if made.rows_affected() == 0 {
            return Err(MetaError::exists("execution", new.id));
        }
        self.raise(&Topic::Executions);
        Ok(())
    }

    /// Notes executions that a caller waited for and that have ended, all in one transaction. One that is known already
    /// stays as it is, so a batch may be sent again.
    pub async fn record_executions(&self, ended: &[Execution]) -> Result<(), MetaError> {
        bounded("a batch of executions", ended.len(), RECORDED_MAX, "executions")?;
        let mut tx = self.begin().await?;
        for group in groups(ended) {
            record(&mut tx, group).await?;
        }
        Ok(tx.commit().await?)
    }

    /// An execution of this app. Wait for its end with [`Topic::Execution`].
    ///
    /// # Errors
    /// [`MetaError::Missing`] if this app has none with this id.
    pub async fn load_execution(&self, app: &FunctionId, id: ExecutionId) -> Result<WholeExecution, MetaError> {
        let row = sqlx::query("SELECT * FROM executions WHERE id = $1 AND app = $2")
            .bind(id.to_string())
            .bind(app.as_str())
            .fetch_optional(&self.0.read)
            .await?;
        row.as_ref().map_or_else(|| Err(MetaError::missing("execution", id)), whole)
    }

    /// The execution with this id, whosever it is: ask for its app before showing it to anyone.
    pub async fn find_execution(&self, id: ExecutionId) -> Result<Option<WholeExecution>, MetaError> {
        let row = sqlx::query("SELECT * FROM executions WHERE id = $1").bind(id.to_string());
        row.fetch_optional(&self.0.read).await?.as_ref().map(whole).transpose()
    }

    /// How many executions of an app wait; counted up to `at_most`.
    pub async fn count_pending_executions(&self, app: &FunctionId, at_most: u32) -> Result<u32, MetaError> {
        let row = sqlx::query(
            "SELECT COUNT(*) AS waiting FROM (SELECT id FROM executions WHERE app = $1 AND status = 'pending' LIMIT $2) \
             AS counted",
        )
        .bind(app.as_str())
        .bind(i64::from(at_most))
        .fetch_one(&self.0.read)
        .await?;
        Cells(&row).small("waiting")
    }

    /// How many executions of all apps wait; counted up to `at_most`.
    pub async fn count_waiting_executions(&self, at_most: u32) -> Result<u32, MetaError> {
        // What waits is due some time, so the index of those finds it.
        let row = sqlx::query(
            "SELECT COUNT(*) AS waiting FROM (SELECT id FROM executions WHERE due_ms IS NOT NULL AND status = 'pending' \
             LIMIT $1) AS counted",
        )
        .bind(i64::from(at_most))
        .fetch_one(&self.0.read)
        .await?;
        Cells(&row).small("waiting")
    }

    /// Executions of an app, newest first, from before `before`, of one status if one is given, at most `limit`.
    pub async fn list_executions(
        &self,
        app: &FunctionId,
        status: Option<ExecutionStatus>,
        before: Option<ExecutionId>,
        limit: u32,
    ) -> Result<Vec<Execution>, MetaError> {
        let filter = if status.is_some() { "AND status = $4 " } else { "" };
        let statement =
            format!("SELECT {BRIEF} FROM executions WHERE app = $1 AND id < $2 {filter}ORDER BY id DESC LIMIT $3");
        let mut query = sqlx::query(AssertSqlSafe(statement))
            .bind(app.as_str())
            .bind(before.map_or_else(|| String::from("~"), |id| id.to_string()))
            .bind(i64::from(limit));
        if let Some(status) = status {
            query = query.bind(status.as_str());
        }
        let rows = query.fetch_all(&self.0.read).await?;
        rows.iter().map(execution).collect()
    }

    /// How many executions of an app there are of each status, accepted since `since_ms`. A status without any is left out.
    pub async fn count_executions(
        &self,
        app: &FunctionId,
        since_ms: u64,
    ) -> Result<Vec<(ExecutionStatus, u64)>, MetaError> {
        // Ids sort by time, and the index by status holds them.
        let rows = sqlx::query(
            "SELECT status, COUNT(*) AS executions FROM executions WHERE app = $1 AND id >= $2 \
             GROUP BY status ORDER BY status",
        )
        .bind(app.as_str())
        .bind(ExecutionId::from_parts(since_ms, 0).to_string())
        .fetch_all(&self.0.read)
        .await?;
        rows.iter()
            .map(|row| Ok((ExecutionStatus::find(&Cells(row).text("status")?)?, Cells(row).int("executions")?)))
            .collect()
    }
}

async fn record(tx: &mut AnyConnection, group: &[Execution]) -> Result<(), MetaError> {
    let statement = format!(
        "INSERT INTO executions (id, app, version, status, attempt, owner, request, response, error, created_ms, \
             started_ms, ended_ms) \
         VALUES {} ON CONFLICT DO NOTHING",
        places(group.len(), 12)
    );
    let mut query = sqlx::query(AssertSqlSafe(statement));
    for execution in group {
        bounded("the request of an execution", execution.request.len(), RECORD_BYTES_MAX, "bytes")?;
        query = query
            .bind(execution.id.to_string())
            .bind(execution.app.as_str())
            .bind(execution.version.map(|version| i64::from(version.get())))
            .bind(execution.status.as_str())
            .bind(i64::from(execution.attempt))
            .bind(execution.owner.clone())
            .bind(execution.request.as_str())
            .bind(execution.response.clone())
            .bind(execution.error.clone())
            .bind(int(execution.created_ms))
            .bind(int_option(execution.started_ms))
            .bind(int_option(execution.ended_ms));
    }
    query.execute(tx).await?;
    Ok(())
}

fn columns(payload: &Payload) -> Result<(Option<Vec<u8>>, Option<String>), MetaError> {
    match payload {
        Payload::None => Ok((None, None)),
        Payload::Object(key) => Ok((None, Some(key.clone()))),
        Payload::Inline(bytes) => {
            bounded("an inline payload", bytes.len(), INLINE_BYTES_MAX, "bytes")?;
            Ok((Some(bytes.clone()), None))
        }
    }
}

fn execution(row: &AnyRow) -> Result<Execution, MetaError> {
    let cells = Cells(row);
    let version = if cells.is_null("version")? { None } else { Some(cells.version("version")?) };
    Ok(Execution {
        id: cells.parse("id")?,
        app: cells.parse("app")?,
        version,
        status: ExecutionStatus::find(&cells.text("status")?)?,
        attempt: cells.small("attempt")?,
        owner: cells.text_option("owner")?,
        due_ms: cells.int_option("due_ms")?,
        request: cells.text("request")?,
        response: cells.text_option("response")?,
        error: cells.text_option("error")?,
        created_ms: cells.int("created_ms")?,
        started_ms: cells.int_option("started_ms")?,
        ended_ms: cells.int_option("ended_ms")?,
    })
}

fn whole(row: &AnyRow) -> Result<WholeExecution, MetaError> {
    let cells = Cells(row);
    let payload = |inline, object| -> Result<Payload, MetaError> {
        if let Some(key) = cells.text_option(object)? {
            return Ok(Payload::Object(key));
        }
        Ok(cells.bytes_option(inline)?.map_or(Payload::None, Payload::Inline))
    };
    Ok(WholeExecution {
        execution: execution(row)?,
        input: payload("input", "input_object")?,
        output: payload("output", "output_object")?,
    })
}
