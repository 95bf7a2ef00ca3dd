//! Durable jobs with leases: who leases one works on it until the lease ends, and only the newest attempt may write its
//! result. Every job ends: attempts are counted, and each has a time by which it is over.

use ignite_core_model::{FunctionId, JobId};
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, AssertSqlSafe};

use crate::commit::RECORD_BYTES_MAX;
use crate::sql::{Backend, Cells, bounded, int};
use crate::{Meta, MetaError, Topic};

/// A job to queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewJob {
    /// Its id.
    pub id: JobId,
    /// The queue it belongs to.
    pub kind: String,
    /// The app it is for, if any; it goes when the app is erased.
    pub app: Option<FunctionId>,
    /// What to do, as JSON the store does not interpret.
    pub payload: String,
    /// How often it may be leased.
    pub attempts_max: u32,
    /// Not before this time, in milliseconds since 1970.
    pub due_ms: u64,
    /// It is over by this time, done or not.
    pub ends_by_ms: u64,
}

/// A job as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job {
    /// Its id.
    pub id: JobId,
    /// The queue it belongs to.
    pub kind: String,
    /// The app it is for.
    pub app: Option<FunctionId>,
    /// What to do.
    pub payload: String,
    /// Where it stands.
    pub state: JobState,
    /// How often it was leased.
    pub attempt: u32,
    /// How often it may be.
    pub attempts_max: u32,
    /// Who had the last lease.
    pub owner: Option<String>,
    /// Waiting: when it may be leased. Leased: when the lease ends.
    pub due_ms: u64,
    /// It is over by this time.
    pub ends_by_ms: u64,
    /// Whether it is to be cancelled. Whoever works on it should stop.
    pub cancel: bool,
    /// What its worker made of it, as JSON the store does not interpret.
    pub result: Option<String>,
    /// When it was queued, in milliseconds since 1970.
    pub created_ms: u64,
    /// When it was first leased.
    pub started_ms: Option<u64>,
    /// When it ended.
    pub ended_ms: Option<u64>,
}

/// Where a job stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JobState {
    /// It waits for somebody to lease it.
    Waiting,
    /// Somebody has it.
    Leased,
    /// It is over.
    Ended(JobOutcome),
}

/// How a job ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JobOutcome {
    /// Its worker said so.
    Succeeded,
    /// Its worker said so.
    Failed,
    /// It was cancelled before it ended otherwise.
    Cancelled,
    /// It was leased as often as it may be, and none of its workers ended it.
    Lost,
    /// Its time was over.
    TimedOut,
}

impl JobOutcome {
    /// The word for it, as it is stored.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
            Self::Lost => "lost",
            Self::TimedOut => "timed_out",
        }
    }

    fn find(word: &str) -> Option<Self> {
        [Self::Succeeded, Self::Failed, Self::Cancelled, Self::Lost, Self::TimedOut]
            .into_iter()
            .find(|outcome| outcome.as_str() == word)
    }
}

/// What a renewal found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Renewed {
    /// Go on; the lease ends at this time now.
    Until(u64),
    /// Stop: the job was cancelled. Finish it, with any result.
    Cancelled,
    /// Stop and write nothing: the job is over, or somebody else's.
    Lost,
}

/// Most jobs that one call ends because their time or attempts are over.
const ENDS_MAX: u32 = 100;

impl Meta {
    /// Queues a job outside of any app's change.
    ///
    /// # Errors
    /// [`MetaError::Exists`] if the id is taken.
    pub async fn insert_job(&self, job: &NewJob, now_ms: u64) -> Result<(), MetaError> {
        let mut tx = self.begin().await?;
        insert(&mut tx, job, now_ms).await?;
        tx.commit().await?;
        self.raise(&Topic::Jobs(job.kind.clone()));
        Ok(())
    }

    /// Leases the next job of a kind to `owner` until `until_ms`, if one is due. Two never get the same one.
    pub async fn lease_job(
        &self,
        kind: &str,
        owner: &str,
        now_ms: u64,
        until_ms: u64,
    ) -> Result<Option<Job>, MetaError> {
        self.end_overdue_jobs(now_ms).await?;
        let statement = format!(
            "WITH next AS MATERIALIZED (SELECT id FROM jobs WHERE kind = $4 AND state <> 'ended' AND due_ms <= $3 \
                 AND attempt < attempts_max AND cancel = 0 AND ends_by_ms > $3 ORDER BY due_ms, id LIMIT 1{}) \
             UPDATE jobs SET state = 'leased', attempt = attempt + 1, owner = $1, \
                 due_ms = CASE WHEN ends_by_ms < $2 THEN ends_by_ms ELSE $2 END, \
                 started_ms = COALESCE(started_ms, $3) \
             WHERE id IN (SELECT id FROM next) RETURNING *",
            self.0.backend.skip_locked()
        );
        let rows = sqlx::query(AssertSqlSafe(statement))
            .bind(owner)
            .bind(int(until_ms))
            .bind(int(now_ms))
            .bind(kind)
            .fetch_all(&self.0.write)
            .await?;
        rows.first().map(job).transpose()
    }

    /// Ends jobs that wait or were given up and cannot go on: cancelled, leased too often, or out of time. A lease
    /// calls this too; call it from time to time where nobody may be leasing. Returns how many it ended.
    pub async fn end_overdue_jobs(&self, now_ms: u64) -> Result<u64, MetaError> {
        // Read first: writers queue in SQLite, and mostly there is nothing to write.
        let overdue =
            "state <> 'ended' AND (ends_by_ms <= $1 OR (due_ms <= $1 AND (attempt >= attempts_max OR cancel = 1)))";
        let any = sqlx::query(AssertSqlSafe(format!("SELECT id FROM jobs WHERE {overdue} LIMIT 1"))).bind(int(now_ms));
        if any.fetch_optional(&self.0.read).await?.is_none() {
            return Ok(0);
        }
        let statement = format!(
            "WITH overdue AS MATERIALIZED (SELECT id FROM jobs WHERE {overdue} ORDER BY id LIMIT $2{}) \
             UPDATE jobs SET state = 'ended', ended_ms = $1, outcome = CASE WHEN cancel = 1 THEN 'cancelled' \
                 WHEN ends_by_ms <= $1 THEN 'timed_out' ELSE 'lost' END \
             WHERE id IN (SELECT id FROM overdue)",
            self.0.backend.skip_locked()
        );
        let ended = sqlx::query(AssertSqlSafe(statement)).bind(int(now_ms)).bind(i64::from(ENDS_MAX));
        let ended = ended.execute(&self.0.write).await?.rows_affected();
        if ended > 0 {
            self.raise(&Topic::JobEnds);
        }
        Ok(ended)
    }

    /// Extends the lease of an attempt to `until_ms`. A lease that has lapsed, and that nobody else has taken, is given back.
    pub async fn renew_job(&self, id: JobId, attempt: u32, now_ms: u64, until_ms: u64) -> Result<Renewed, MetaError> {
        let rows = sqlx::query(
            "UPDATE jobs SET due_ms = CASE WHEN ends_by_ms < $1 THEN ends_by_ms ELSE $1 END \
             WHERE id = $2 AND attempt = $3 AND state = 'leased' AND ends_by_ms > $4 RETURNING due_ms, cancel",
        )
        .bind(int(until_ms))
        .bind(id.to_string())
        .bind(i64::from(attempt))
        .bind(int(now_ms))
        .fetch_all(&self.0.write)
        .await?;
        let Some(row) = rows.first() else { return Ok(Renewed::Lost) };
        let cells = Cells(row);
        Ok(if cells.flag("cancel")? { Renewed::Cancelled } else { Renewed::Until(cells.int("due_ms")?) })
    }

    /// Writes the result of an attempt and ends the job; returns how it ended. A cancelled job ends cancelled whatever
    /// the result. `None`: it was over, or somebody else's by now, and nothing was written.
    pub async fn finish_job(
        &self,
        id: JobId,
        attempt: u32,
        succeeded: bool,
        result: &str,
        now_ms: u64,
    ) -> Result<Option<JobOutcome>, MetaError> {
        bounded("the result of a job", result.len(), RECORD_BYTES_MAX, "bytes")?;
        let rows = sqlx::query(
            "UPDATE jobs SET state = 'ended', ended_ms = $1, result = $2, \
                 outcome = CASE WHEN cancel = 1 THEN 'cancelled' ELSE $3 END \
             WHERE id = $4 AND attempt = $5 AND state = 'leased' AND ends_by_ms > $1 RETURNING outcome",
        )
        .bind(int(now_ms))
        .bind(result)
        .bind(if succeeded { JobOutcome::Succeeded } else { JobOutcome::Failed }.as_str())
        .bind(id.to_string())
        .bind(i64::from(attempt))
        .fetch_all(&self.0.write)
        .await?;
        let Some(row) = rows.first() else { return Ok(None) };
        self.raise(&Topic::JobEnds);
        JobOutcome::find(&Cells(row).text("outcome")?).ok_or(MetaError::Unreadable("outcome")).map(Some)
    }

    /// Gives a leased job back before it is done, to be leased again from `due_ms` on: the worker ends, the job does not.
    /// Tells whether it was this attempt's to give.
    pub async fn release_job(&self, id: JobId, attempt: u32, due_ms: u64) -> Result<bool, MetaError> {
        let updated = sqlx::query(
            "UPDATE jobs SET state = 'waiting', due_ms = $1 WHERE id = $2 AND attempt = $3 AND state = 'leased'",
        )
        .bind(int(due_ms))
        .bind(id.to_string())
        .bind(i64::from(attempt))
        .execute(&self.0.write)
        .await?;
        Ok(updated.rows_affected() > 0)
    }

    /// Gives back all jobs of a kind that `owner` has leased, to be leased again at once: for who starts again under the
    /// name it had, and has nothing of them. Returns how many.
    pub async fn release_jobs_of(&self, kind: &str, owner: &str, now_ms: u64) -> Result<u64, MetaError> {
        let updated = sqlx::query(
            "UPDATE jobs SET state = 'waiting', due_ms = $1 WHERE kind = $2 AND owner = $3 AND state = 'leased'",
        )
        .bind(int(now_ms))
        .bind(kind)
        .bind(owner)
        .execute(&self.0.write)
        .await?;
        Ok(updated.rows_affected())
    }

    /// Marks a job to be cancelled; one that only waits ends now. Tells whether it was not over yet.
    pub async fn cancel_job(&self, id: JobId, now_ms: u64) -> Result<bool, MetaError> {
        let mut tx = self.begin().await?;
        let marked = cancel(&mut tx, id, now_ms).await?;
        tx.commit().await?;
        self.raise(&Topic::JobEnds);
        Ok(marked)
    }

    /// A job.
    ///
    /// # Errors
    /// [`MetaError::Missing`] if there is none.
    pub async fn load_job(&self, id: JobId) -> Result<Job, MetaError> {
        let row = sqlx::query("SELECT * FROM jobs WHERE id = $1").bind(id.to_string());
        let row = row.fetch_optional(&self.0.read).await?;
        row.as_ref().map_or_else(|| Err(MetaError::missing("job", id)), job)
    }

    /// Jobs of an app, newest first, from before `before`, at most `limit`.
    pub async fn list_jobs(&self, app: &FunctionId, before: Option<JobId>, limit: u32) -> Result<Vec<Job>, MetaError> {
        let rows = sqlx::query("SELECT * FROM jobs WHERE app = $1 AND id < $2 ORDER BY id DESC LIMIT $3")
            .bind(app.as_str())
            .bind(before.map_or_else(|| String::from("~"), |id| id.to_string()))
            .bind(i64::from(limit))
            .fetch_all(&self.0.read)
            .await?;
        rows.iter().map(job).collect()
    }

    /// Jobs that have ended and whose end nobody has taken in yet: fold it, then name the job in
    /// [`Change::jobs_settled`](crate::Change::jobs_settled) or call [`Meta::settle_job`]. Wait with [`Topic::JobEnds`].
    pub async fn unsettled_jobs(&self, limit: u32) -> Result<Vec<Job>, MetaError> {
        let rows = sqlx::query("SELECT * FROM jobs WHERE state = 'ended' AND settled = 0 ORDER BY id LIMIT $1")
            .bind(i64::from(limit))
            .fetch_all(&self.0.read)
            .await?;
        rows.iter().map(job).collect()
    }

    /// Notes that the end of a job was taken in.
    pub async fn settle_job(&self, id: JobId) -> Result<(), MetaError> {
        let mut tx = self.begin().await?;
        settle(&mut tx, id).await?;
        Ok(tx.commit().await?)
    }

    /// Deletes settled jobs that ended before `before_ms`, at most `limit`. Returns their ids, whose logs can go too.
    pub async fn sweep_jobs(&self, before_ms: u64, limit: u32) -> Result<Vec<JobId>, MetaError> {
        let rows = sqlx::query(
            "DELETE FROM jobs WHERE id IN (SELECT id FROM jobs WHERE state = 'ended' AND settled = 1 AND ended_ms < $1 \
             ORDER BY id LIMIT $2) RETURNING id",
        )
        .bind(int(before_ms))
        .bind(i64::from(limit))
        .fetch_all(&self.0.write)
        .await?;
        rows.iter().map(|row| Cells(row).parse("id")).collect()
    }
}

/// Whether this attempt has the job; nobody else gets it before the transaction ends.
pub(crate) async fn hold(tx: &mut AnyConnection, backend: Backend, id: JobId, attempt: u32) -> Result<bool, MetaError> {
    let statement =
        format!("SELECT id FROM jobs WHERE id = $1 AND attempt = $2 AND state = 'leased'{}", backend.for_update());
    let row = sqlx::query(AssertSqlSafe(statement)).bind(id.to_string()).bind(i64::from(attempt));
    Ok(row.fetch_optional(tx).await?.is_some())
}

pub(crate) async fn insert(tx: &mut AnyConnection, job: &NewJob, now_ms: u64) -> Result<(), MetaError> {
    bounded("the payload of a job", job.payload.len(), RECORD_BYTES_MAX, "bytes")?;
    let made = sqlx::query(
        "INSERT INTO jobs (id, kind, app, payload, state, attempt, attempts_max, due_ms, ends_by_ms, cancel, settled, \
             created_ms) \
         VALUES ($1, $2, $3, $4, 'waiting', 0, $5, $6, $7, 0, 0, $8) ON CONFLICT DO NOTHING",
    )
    .bind(job.id.to_string())
    .bind(job.kind.as_str())
    .bind(job.app.as_ref().map(|app| app.as_str().to_owned()))
    .bind(job.payload.as_str())
    .bind(i64::from(job.attempts_max))
    .bind(int(job.due_ms))
    .bind(int(job.ends_by_ms))
    .bind(int(now_ms))
    .execute(tx)
    .await?;
    if made.rows_affected() == 0 { Err(MetaError::exists("job", job.id)) } else { Ok(()) }
}

pub(crate) async fn cancel(tx: &mut AnyConnection, id: JobId, now_ms: u64) -> Result<bool, MetaError> {
    let updated = sqlx::query(
        "UPDATE jobs SET cancel = 1, \
             ended_ms = CASE WHEN state = 'waiting' THEN $1 ELSE ended_ms END, \
             outcome = CASE WHEN state = 'waiting' THEN 'cancelled' ELSE outcome END, \
             state = CASE WHEN state = 'waiting' THEN 'ended' ELSE state END \
         WHERE id = $2 AND state <> 'ended'",
    )
    .bind(int(now_ms))
    .bind(id.to_string())
    .execute(tx)
    .await?;
    Ok(updated.rows_affected() > 0)
}

pub(crate) async fn settle(tx: &mut AnyConnection, id: JobId) -> Result<(), MetaError> {
    sqlx::query("UPDATE jobs SET settled = 1 WHERE id = $1 AND state = 'ended'")
        .bind(id.to_string())
        .execute(tx)
        .await?;
    Ok(())
}

fn job(row: &AnyRow) -> Result<Job, MetaError> {
    let cells = Cells(row);
    let state = match cells.text("state")?.as_str() {
        "waiting" => JobState::Waiting,
        "leased" => JobState::Leased,
        "ended" => {
            let outcome = JobOutcome::find(&cells.text("outcome")?).ok_or(MetaError::Unreadable("outcome"))?;
            JobState::Ended(outcome)
        }
        _ => return Err(MetaError::Unreadable("state")),
    };
    Ok(Job {
        id: cells.parse("id")?,
        kind: cells.text("kind")?,
        app: cells.parse_option("app")?,
        payload: cells.text("payload")?,
        state,
        attempt: cells.small("attempt")?,
        attempts_max: cells.small("attempts_max")?,
        owner: cells.text_option("owner")?,
        due_ms: cells.int("due_ms")?,
        ends_by_ms: cells.int("ends_by_ms")?,
        cancel: cells.flag("cancel")?,
        result: cells.text_option("result")?,
        created_ms: cells.int("created_ms")?,
        started_ms: cells.int_option("started_ms")?,
        ended_ms: cells.int_option("ended_ms")?,
    })
}
