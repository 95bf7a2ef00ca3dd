//! Compiles that have ended.

use ignite_control_pipeline::{CompileOutcome, Event};
use ignite_store_meta::{Job, JobOutcome, JobState};

use crate::{AppError, Apps, Attached, COMPILE_JOBS};

/// Ends taken in by one round.
const ENDS_MAX: u32 = 100;

/// Tells each app how its compiles ended.
///
/// # Errors
/// Of the store. What was not taken in is there at the next round.
pub async fn settle_compiles(apps: &Apps) -> Result<(), AppError> {
    let now_ms = apps.clock().now_ms();
    apps.meta().end_overdue_jobs(now_ms).await?;
    for job in apps.meta().unsettled_jobs(ENDS_MAX).await? {
        let (Some(app), COMPILE_JOBS) = (&job.app, job.kind.as_str()) else { continue };
        let event = Event::CompileEnded { job: job.id, outcome: outcome(&job) };
        let attached = Attached { jobs_settled: vec![job.id], ..Attached::default() };
        match apps.send(app, event, attached).await {
            Ok(_) => {}
            // The app went while it was compiled.
            Err(AppError::Missing(_)) => apps.meta().settle_job(job.id).await?,
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn outcome(job: &Job) -> CompileOutcome {
    let result = job.result.as_deref().unwrap_or_default();
    match job.state {
        JobState::Ended(JobOutcome::Succeeded) => match serde_json::from_str(result) {
            Ok(compiled) => CompileOutcome::Succeeded(compiled),
            Err(_) => CompileOutcome::Failed("the builder's result cannot be read: compile it again".to_owned()),
        },
        JobState::Ended(JobOutcome::Failed) => {
            // A builder writes a JSON text; an older one may have written plain words.
            CompileOutcome::Failed(serde_json::from_str(result).unwrap_or_else(|_| result.to_owned()))
        }
        JobState::Ended(JobOutcome::Cancelled) => CompileOutcome::Cancelled,
        JobState::Ended(JobOutcome::Lost) => {
            CompileOutcome::Failed(format!("{} builders in turn did not end it: compile it again", job.attempt))
        }
        JobState::Ended(JobOutcome::TimedOut) => CompileOutcome::Failed("no builder ended it in time".to_owned()),
        JobState::Waiting | JobState::Leased => CompileOutcome::Failed("it was told as ended and is not".to_owned()),
    }
}
