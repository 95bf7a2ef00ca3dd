//! The records of the platform: organisations, tokens, apps, versions, routes, desired state, instances, jobs, effects,
//! logs, executions, secrets and uploads, in SQLite or Postgres. The only crate that speaks SQL.
//!
//! ```no_run
//! # async fn f() -> Result<(), ignite_store_meta::MetaError> {
//! use ignite_store_meta::{Change, Expected, Location, Meta, MetaOptions};
//!
//! let meta = Meta::open(&MetaOptions::new(Location::Sqlite("ignite.db".into()))).await?;
//! let (app, now_ms) = ("acme/hello".parse().unwrap(), 1_716_900_000_000);
//! let stored = meta.load_app(&app).await?;
//! let change = Change { state: "{}".into(), ..Change::default() };
//! let committed = meta.commit(&app, &Expected::Revision(stored.revision), &change, now_ms).await?;
//! # Ok(()) }
//! ```
//!
//! # What one has to know
//!
//! - **An app changes in one transaction**, [`Meta::commit`]: state, versions, routes, desired state, jobs, effects and
//!   events together, guarded by the app's revision. [`MetaError::Stale`] means: load, decide again, commit again.
//! - **What returned is durable**: it survives `kill -9` and the loss of power.
//! - **Time comes from the caller**, as milliseconds since 1970. This crate has no clock.
//! - **JSON is text here.** States, snapshots, specifications, payloads and lines are stored as they come.
//! - **Leases have attempts.** [`Meta::lease_job`], [`Meta::lease_effects`] and [`Meta::lease_executions`] count them, and only
//!   the newest attempt may finish; calls of an older one answer `false`, `None` or [`Renewed::Lost`] and write nothing.
//! - **A job's end is told until it is settled**, see [`Meta::unsettled_jobs`]; so nothing is lost between a builder's result
//!   and the state machine.
//! - **Following**: read, [`Meta::subscribe`] to a [`Topic`] *before* reading, wait, read again. A signal wakes within this
//!   process; another process' changes are seen when the wait ends by time.
//! - **Lists are pages by key**: pass the last key of a page to get the next.
//!
//! - **Backup**: [`Meta::dump`] while serving, [`Meta::restore`] into an empty database of either kind.
//!
//! It knows no API, no pipeline and no object store. Begin with [`Meta`] and [`Change`].

#![allow(clippy::missing_errors_doc, reason = "each method can end as `MetaError` says; `# Errors` names what it adds")]

mod address;
mod apps;
mod changes;
mod claim;
mod commit;
mod dump;
mod error;
mod executions;
mod jobs;
mod logs;
mod open;
mod organizations;
mod outbox;
mod schema;
pub mod seal;
mod secrets;
mod signals;
mod sql;
mod tables;
mod uploads;

pub use address::{AddressError, has_password};
pub use apps::{App, VersionRow};
pub use changes::{CHANGES_KEPT, ChangeItem, Changes, Desired, Instance, Route, Snapshot, Watcher};
pub use claim::{Claim, LOST_SECS_MAX};
pub use commit::{
    CHANGE_ROWS_MAX, Change, Committed, DesiredSet, EVENT_BOUNDS, Expected, NewEffect, RECORD_BYTES_MAX, events_stream,
};
pub use error::MetaError;
pub use executions::{
    Execution, ExecutionEnd, ExecutionStatus, INLINE_BYTES_MAX, KNOWN_MAX, NewExecution, Payload, RECORDED_MAX, Swept,
    WholeExecution,
};
pub use jobs::{Job, JobOutcome, JobState, NewJob, Renewed};
pub use logs::{APPEND_LINES_MAX, Bounds, LINE_BYTES_MAX, Line, LogStream, StoredLine};
pub use open::{Location, Meta, MetaOptions};
pub use organizations::{TOKEN_NOTE_BYTES_MAX, Token};
pub use outbox::{EFFECT_ERROR_BYTES_MAX, Effect};
pub use secrets::{SEALED_BYTES_MAX, SecretMetadata};
pub use signals::{Signal, Topic};
pub use uploads::Upload;
