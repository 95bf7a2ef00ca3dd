//! Calls of apps through the gateway, for a caller who waits and for one who does not.
//!
//! One who waits gets the app's answer as it comes ([`Executions::call`]). One who does not gets an id: the execution is a row,
//! carried out at least once by whichever control plane holds its lease (`runner.rs`), judged (`outcome.rs`), tried again
//! where the platform and not the handler was at fault (`retry.rs`), and kept for a while (`sweep.rs`).
//!
//! Control runs no user code, and calls of what is live go through the gateway, which wakes, holds and balances as it does for
//! everybody. What is only tried has no route (`trial.rs`): it is called where it runs.

mod call;
mod gateway;
mod limits;
mod metrics;
mod outcome;
mod payload;
mod retry;
mod runner;
mod send;
mod sweep;
mod trial;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::Response;
use ignite_control_pipeline::{App, Life};
use ignite_core_model::{ExecutionId, FunctionId};
use ignite_store_meta::{ExecutionEnd, ExecutionStatus, MetaError, NewExecution, WholeExecution};
use ignite_store_objects::{Objects, ObjectsError};
use tokio::time::timeout;

use crate::{AppError, Apps};

pub use call::Call;
pub use gateway::{GatewayCallError, GatewayClient, GatewayClientOptions};
pub use limits::ExecutionLimits;
use metrics::Metrics;
pub(crate) use outcome::StoredAnswer;
pub(crate) use retry::Trouble;
pub use send::AnswerBody;
pub use trial::{Code, Tried};

/// Longest execution where an app sets none, in seconds: the host's own default.
const TIMEOUT_SECS_DEFAULT: u32 = 30;

/// Executions that wait are counted up to here.
const WAITING_COUNTED_MAX: u32 = 1_000_000;

/// Longest time to count them.
const WAITING_COUNT_WAIT: Duration = Duration::from_secs(5);

/// Why a call could not be made or accepted.
#[derive(Debug, thiserror::Error)]
pub enum ExecutionError {
    /// The app cannot be read.
    #[error(transparent)]
    App(#[from] AppError),
    /// Nothing is there to be called.
    #[error("app `{0}` has no version that is live: `ignite draft publish` makes one")]
    NotLive(FunctionId),
    /// The app's queue is full.
    #[error("{max} executions of app `{app}` wait, which is its limit: try again when some have ended")]
    QueueFull {
        /// The app.
        app: FunctionId,
        /// The bound.
        max: u32,
    },
    /// The id belongs to another execution.
    #[error("`{0}` is the id of another app's execution: choose another")]
    IdTaken(ExecutionId),
    /// The code did not come to run, or did not end its answer.
    #[error("the code could not be tried: {0}")]
    Trial(String),
    /// It ran longer than it may.
    #[error("the code was tried for {} s, which is the longest it may run", .0.as_secs())]
    TrialTimedOut(Duration),
    /// The gateway did not take or answer the call.
    #[error(transparent)]
    Gateway(#[from] GatewayCallError),
    /// The records failed.
    #[error("the record of the execution could not be read or written")]
    Store(#[from] MetaError),
    /// The payload could not be kept.
    #[error("the payload could not be kept or read")]
    Objects(#[from] ObjectsError),
}

/// All executions: accepts them, carries them out, and keeps what came of them.
#[derive(Clone)]
pub struct Executions {
    apps: Apps,
    objects: Objects,
    gateway: GatewayClient,
    limits: ExecutionLimits,
    metrics: Arc<Metrics>,
}

impl Executions {
    /// The executions of the apps in a store.
    #[must_use]
    pub fn new(apps: Apps, objects: Objects, gateway: GatewayClient, limits: ExecutionLimits) -> Self {
        Self { apps, objects, gateway, limits, metrics: Arc::default() }
    }

    /// Their bounds.
    #[must_use]
    pub fn limits(&self) -> &ExecutionLimits {
        &self.limits
    }

    /// Calls the version of an app that is live and answers what it answers, as it comes. Dropping the answer cancels
    /// the execution.
    ///
    /// # Errors
    /// [`ExecutionError::NotLive`], or that of the gateway. What the app answers is no error, whatever its status.
    pub async fn call(
        &self,
        app: &App,
        id: ExecutionId,
        call: &Call,
        body: Bytes,
    ) -> Result<Response<AnswerBody>, ExecutionError> {
        live(app)?;
        Ok(self.gateway.call(&app.id, id, call, body).await?)
    }

    /// Longest time from the beginning of a call to the end of its answer, whatever gateway and host do.
    ///
    /// # Errors
    /// [`ExecutionError::NotLive`], or of the store.
    pub async fn call_max(&self, app: &App) -> Result<Duration, ExecutionError> {
        let version = self.apps.load_version(&app.id, live(app)?).await?;
        let timeout = version.settings.timeout_secs.unwrap_or(TIMEOUT_SECS_DEFAULT);
        Ok(Duration::from_secs(u64::from(timeout)) + self.limits.call_slack)
    }

    /// Accepts a call. When this returns it will be carried out at least once. The same id again is the same execution.
    ///
    /// # Errors
    /// [`ExecutionError::NotLive`], [`ExecutionError::QueueFull`], [`ExecutionError::IdTaken`].
    pub async fn accept(&self, app: &App, id: ExecutionId, call: &Call, body: Bytes) -> Result<(), ExecutionError> {
        let meta = self.apps.meta();
        if let Some(known) = meta.find_execution(id).await? {
            return same(&known, app, id);
        }
        live(app)?;
        let max = self.limits.pending_per_app_max;
        if meta.count_pending_executions(&app.id, max).await? >= max {
            return Err(ExecutionError::QueueFull { app: app.id.clone(), max });
        }
        let now_ms = self.apps.clock().now_ms();
        let input = self.keep(id, "input", now_ms, body).await?;
        let new =
            NewExecution { id, app: app.id.clone(), request: call.to_stored(), input: input.clone(), due_ms: now_ms };
        match meta.insert_execution(&new, now_ms).await {
            Ok(()) => {
                self.metrics.accepted.inc();
                Ok(())
            }
            Err(MetaError::Exists { .. }) => {
                // Its caller asked twice at once; the other was quicker.
                self.drop_payload(&input).await;
                match meta.find_execution(id).await? {
                    Some(known) => same(&known, app, id),
                    None => Err(ExecutionError::IdTaken(id)),
                }
            }
            // It may have been written all the same: the object stays, and is swept if nobody owns it.
            Err(error) => Err(error.into()),
        }
    }

    /// Ends an execution for good. Tells whether this attempt was the one to end it; if not, nothing is kept of it.
    async fn finish(&self, id: ExecutionId, attempt: u32, end: &ExecutionEnd) -> Result<bool, MetaError> {
        let ended = self.apps.meta().finish_execution(id, attempt, end, self.apps.clock().now_ms()).await?;
        if ended {
            self.metrics.ended(end.status);
        } else {
            self.drop_payload(&end.output).await;
        }
        Ok(ended)
    }

    /// Ends an execution because somebody asks for it. One that has ended stays as it ended.
    ///
    /// # Errors
    /// Of the store.
    pub(crate) async fn cancel(&self, app: &FunctionId, id: ExecutionId) -> Result<(), MetaError> {
        if self.apps.meta().cancel_execution(app, id, self.apps.clock().now_ms()).await? {
            self.metrics.ended(ExecutionStatus::Cancelled);
        }
        Ok(())
    }

    /// The page of metrics, in the OpenMetrics text format. With the store away the number of those that wait is that of the
    /// last time.
    pub async fn metrics(&self) -> String {
        let counted = self.apps.meta().count_waiting_executions(WAITING_COUNTED_MAX);
        match timeout(WAITING_COUNT_WAIT, counted).await {
            Ok(Ok(count)) => self.metrics.found_waiting(count),
            Ok(Err(error)) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "executions that wait could not be counted");
            }
            Err(_) => tracing::warn!("executions that wait could not be counted in time"),
        }
        self.metrics.text()
    }
}

fn same(known: &WholeExecution, app: &App, id: ExecutionId) -> Result<(), ExecutionError> {
    if known.execution.app == app.id { Ok(()) } else { Err(ExecutionError::IdTaken(id)) }
}

fn live(app: &App) -> Result<ignite_core_model::VersionNumber, ExecutionError> {
    match (&app.life, &app.active) {
        (Life::Alive, Some(active)) => Ok(active.version),
        _ => Err(ExecutionError::NotLive(app.id.clone())),
    }
}
