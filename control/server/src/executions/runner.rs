//! Carries accepted executions out.

use std::collections::HashMap;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use ignite_control_pipeline::Life;
use ignite_core_model::{ExecutionId, FunctionId};
use ignite_store_meta::{ExecutionEnd, ExecutionStatus, MetaError, Payload, Renewed, Topic, WholeExecution};
use tokio::task::{Id, JoinSet};
use tokio::time::{Instant, timeout, timeout_at};
use tokio_util::sync::CancellationToken;

use super::limits::ms;
use super::metrics::Cause;
use super::outcome::{Answer, Found, judge};
use super::retry::{Attempt, Next, Trouble, exhausted, next};
use super::{Call, ExecutionError, Executions, GatewayCallError, sweep};
use crate::AppError;

/// Longest time between two looks, when no signal comes: another process' changes wake nobody here.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// How long a look that failed waits before the next.
const FAILED_WAIT: Duration = Duration::from_secs(1);

/// Executions leased by one statement. Apps that have their share are passed over from one statement to the next, so this is
/// also by how much an app can exceed it.
const LEASE_BATCH: usize = 8;

/// A lease is renewed so many times before it would end.
const RENEWALS_PER_LEASE: u32 = 3;

/// How often the end of an execution is written anew when the store is away, and the first pause between. Then the lease ends
/// and it runs again.
const WRITES_MAX: u32 = 5;
const WRITE_PAUSE: Duration = Duration::from_millis(100);

/// An execution under way.
struct Running {
    app: FunctionId,
    id: ExecutionId,
    attempt: u32,
    lost: u32,
}

impl Executions {
    /// Carries executions out until `stop`, as `owner`, and deletes those that were kept for long enough. When it is told to
    /// stop, those that run may end within their time; the rest go back into the queue.
    ///
    /// `owner` is a name that stays the same when this is started anew, and that no other has: what its former life had
    /// under way is begun again at once. Anybody else takes it over when its lease ends.
    pub async fn run(self, owner: String, stop: CancellationToken) {
        if let Err(error) = self.apps.meta().release_executions(&owner, self.apps.clock().now_ms()).await {
            let error = &error as &dyn std::error::Error;
            tracing::warn!(error, "executions of a former life wait for the end of their leases");
        }
        let mut signal = self.apps.meta().subscribe(Topic::Executions);
        let mut tasks: JoinSet<()> = JoinSet::new();
        let mut running: HashMap<Id, Running> = HashMap::new();
        let (ended, sweeper) = sweep::start(self.clone(), stop.clone());
        loop {
            let wait = match self.fill(&owner, &mut tasks, &mut running).await {
                Ok(wait) => wait,
                Err(error) => {
                    let error = &error as &dyn std::error::Error;
                    tracing::warn!(error, "executions could not be leased; it is tried again");
                    FAILED_WAIT
                }
            };
            tokio::select! {
                () = stop.cancelled() => break,
                Some(done) = tasks.join_next_with_id(), if !tasks.is_empty() => {
                    let id = match done { Ok((id, ())) => id, Err(error) => failed(&error) };
                    if let Some(done) = running.remove(&id) {
                        ended.note(done.app);
                    }
                }
                () = signal.wait(wait) => {}
            }
        }
        self.end(tasks, running).await;
        sweeper.await;
    }

    /// Leases as many as there is room for, and tells how long to wait for the next.
    async fn fill(
        &self,
        owner: &str,
        tasks: &mut JoinSet<()>,
        running: &mut HashMap<Id, Running>,
    ) -> Result<Duration, MetaError> {
        let (meta, limits) = (self.apps.meta(), &self.limits);
        while running.len() < limits.running_max {
            let now_ms = self.apps.clock().now_ms();
            // A look costs no write; a lease does, even of nothing.
            let due = match meta.next_execution_due().await? {
                Some(due) if due <= now_ms => due,
                Some(due) => return Ok(Duration::from_millis(due - now_ms).min(LOOK_EVERY)),
                None => return Ok(LOOK_EVERY),
            };
            let mut shares: HashMap<&FunctionId, usize> = HashMap::new();
            for one in running.values() {
                *shares.entry(&one.app).or_default() += 1;
            }
            let full: Vec<FunctionId> = shares
                .into_iter()
                .filter(|(_, share)| *share >= limits.running_per_app_max)
                .map(|(app, _)| app.clone())
                .collect();
            let room = LEASE_BATCH.min(limits.running_max - running.len());
            let until_ms = now_ms.saturating_add(ms(limits.lease));
            let leased =
                meta.lease_executions(owner, now_ms, until_ms, u32::try_from(room).unwrap_or(u32::MAX), &full).await?;
            if leased.is_empty() {
                // What is due is of apps that have their share, or another control plane was quicker.
                tracing::trace!(due, "nothing could be leased");
                return Ok(LOOK_EVERY);
            }
            for whole in leased {
                let execution = &whole.execution;
                let lost = Trouble::read(execution.error.as_deref()).lost;
                let one = Running { app: execution.app.clone(), id: execution.id, attempt: execution.attempt, lost };
                let this = self.clone();
                let task = tasks.spawn(async move { this.carry_out(whole).await });
                running.insert(task.id(), one);
            }
        }
        Ok(LOOK_EVERY)
    }

    /// One attempt, from its lease to what is written of it.
    async fn carry_out(&self, whole: WholeExecution) {
        let execution = &whole.execution;
        let before = Trouble::read(execution.error.as_deref());
        let (_runs, begun) = (self.metrics.run(), Instant::now());
        if execution.attempt == 1 {
            let waited_ms = self.apps.clock().now_ms().saturating_sub(execution.created_ms);
            self.metrics.waited(Duration::from_millis(waited_ms));
        }
        let found = match exhausted(&self.limits, execution.attempt, &before) {
            Some(found) => found,
            None => tokio::select! {
                found = self.attempt(&whole) => found,
                // Cancelled, or somebody else's by now: dropping the attempt cancels it at the instance, too.
                () = self.hold(execution.id, execution.attempt) => return,
            },
        };
        let attempt = Attempt { created_ms: execution.created_ms, number: execution.attempt, lost: before.lost };
        let now_ms = self.apps.clock().now_ms();
        let next = next(&self.limits, attempt, found, now_ms, f64::from(rand::random::<u16>()) / f64::from(u16::MAX));
        let (outcome, reason) = match &next {
            Next::Again { trouble, .. } => ("again", trouble.reason.as_str()),
            Next::End(Found::End { status, reason, .. }) => (status.as_str(), reason.as_deref().unwrap_or_default()),
            Next::End(_) => ("none", ""),
        };
        let (id, app) = (execution.id, &execution.app);
        tracing::info!(target: "executions", %id, %app, attempt = execution.attempt, outcome, reason);
        self.metrics.took(begun.elapsed());
        self.write(&whole, next, before.lost).await;
    }

    /// Calls the app once.
    async fn attempt(&self, whole: &WholeExecution) -> Found {
        let id = whole.execution.id;
        let app = match self.apps.load(&whole.execution.app).await {
            Ok(app) if app.life == Life::Alive => app,
            Ok(_) | Err(AppError::Missing(_)) => {
                let reason = Some("the app was deleted".to_owned());
                return Found::End { status: ExecutionStatus::Cancelled, reason, answer: None };
            }
            Err(error) => return not_begun(&error),
        };
        let Some(call) = Call::from_stored(&whole.execution.request) else {
            return Found::failed("what was asked cannot be read any more");
        };
        let limit = match self.call_max(&app).await {
            Ok(limit) => limit,
            Err(error @ ExecutionError::NotLive(_)) => return Found::failed(error.to_string()),
            Err(error) => return not_begun(&error),
        };
        let body = match self.read(&whole.input).await {
            Ok(body) => body,
            Err(error) => return not_begun(&error),
        };
        match timeout(limit, self.answer(&app.id, id, &call, body)).await {
            Ok(found) => found,
            Err(_) => Found::End {
                status: ExecutionStatus::TimedOut,
                reason: Some(format!("no answer came within {} s", limit.as_secs())),
                answer: None,
            },
        }
    }

    async fn answer(&self, app: &FunctionId, id: ExecutionId, call: &Call, body: Bytes) -> Found {
        let answer = match self.gateway.call(app, id, call, body).await {
            Ok(answer) => answer,
            Err(error @ GatewayCallError::BrokenOff(_)) => return Found::Lost(error.to_string()),
            Err(error @ GatewayCallError::NotDelivered(_)) => return not_begun(&error),
            Err(error @ GatewayCallError::Stranger) => {
                tracing::error!(error = &error as &dyn std::error::Error, "executions wait");
                return not_begun(&error);
            }
        };
        let (head, body) = answer.into_parts();
        let most = self.limits.result_bytes_max;
        match Limited::new(body, most).collect().await {
            Ok(body) => judge(Answer::new(head.status, &head.headers, body.to_bytes()), id),
            // It ran, so it is not tried again; and half an answer is none.
            Err(error) if error.is::<LengthLimitError>() => Found::failed(format!(
                "the answer has more than {most} bytes, which is the most that is kept: store it and answer where it is"
            )),
            Err(_) => Found::Lost("the answer broke off".to_owned()),
        }
    }

    /// Keeps the lease. Ends when the execution is not this attempt's any more.
    async fn hold(&self, id: ExecutionId, attempt: u32) {
        let meta = self.apps.meta();
        let mut signal = meta.subscribe(Topic::Execution(id));
        loop {
            signal.wait(self.limits.lease / RENEWALS_PER_LEASE).await;
            let until_ms = self.apps.clock().now_ms().saturating_add(ms(self.limits.lease));
            match meta.renew_execution(id, attempt, until_ms).await {
                Ok(Renewed::Until(_)) => {}
                Ok(Renewed::Cancelled | Renewed::Lost) => return,
                // The lease may end meanwhile; then whoever has the next one finds out that this one ran, or does not.
                Err(error) => tracing::warn!(%id, error = &error as &dyn std::error::Error, "a lease was not renewed"),
            }
        }
    }

    /// Writes what an attempt has found. If the store stays away the lease ends, and the execution runs again.
    async fn write(&self, whole: &WholeExecution, next: Next, lost: u32) {
        let (id, attempt) = (whole.execution.id, whole.execution.attempt);
        let mut pause = WRITE_PAUSE;
        for write in 1..=WRITES_MAX {
            let written = match &next {
                Next::Again { due_ms, trouble } => {
                    let cause = if trouble.lost > lost { Cause::InstanceLost } else { Cause::NotDelivered };
                    self.put_back(id, attempt, *due_ms, trouble, cause).await
                }
                Next::End(found) => self.write_end(whole, found, lost).await,
            };
            match written {
                Ok(()) => return,
                Err(error) => {
                    let error = &error as &dyn std::error::Error;
                    tracing::warn!(%id, write, error, "what came of an execution could not be written");
                }
            }
            tokio::time::sleep(pause).await;
            pause *= 2;
        }
    }

    /// Puts an execution back into the queue, unless it is not this attempt's any more.
    async fn put_back(
        &self,
        id: ExecutionId,
        attempt: u32,
        due_ms: u64,
        trouble: &Trouble,
        cause: Cause,
    ) -> Result<(), MetaError> {
        if self.apps.meta().retry_execution(id, attempt, due_ms, &trouble.to_stored()).await? {
            self.metrics.retried(cause);
        }
        Ok(())
    }

    async fn write_end(&self, whole: &WholeExecution, found: &Found, lost: u32) -> Result<(), MetaError> {
        let Found::End { status, reason, answer } = found else { return Ok(()) };
        let (id, attempt) = (whole.execution.id, whole.execution.attempt);
        let now_ms = self.apps.clock().now_ms();
        let mut end = ExecutionEnd {
            status: *status,
            version: answer.as_ref().and_then(|answer| answer.version),
            response: None,
            output: Payload::None,
            error: reason.as_ref().map(|reason| Trouble::new(reason, lost).to_stored()),
        };
        if let Some(answer) = answer {
            end.response = serde_json::to_string(&answer.stored()).ok();
            let kept = self.keep(id, &format!("output-{attempt}"), now_ms, answer.body.clone()).await;
            match kept {
                Ok(output) => end.output = output,
                Err(error) => return Err(MetaError::Busy(error.into())),
            }
        }
        if self.finish(id, attempt, &end).await? {
            // An input in the record went with the end; one in an object goes now.
            self.drop_payload(&whole.input).await;
        }
        Ok(())
    }

    /// Lets those that run end, within their time, and puts the rest back.
    async fn end(&self, mut tasks: JoinSet<()>, mut running: HashMap<Id, Running>) {
        let deadline = Instant::now() + self.limits.drain_max;
        while let Ok(Some(done)) = timeout_at(deadline, tasks.join_next_with_id()).await {
            let id = match done {
                Ok((id, ())) => id,
                Err(error) => failed(&error),
            };
            running.remove(&id);
        }
        tasks.shutdown().await;
        for one in running.into_values() {
            let now_ms = self.apps.clock().now_ms();
            let trouble = Trouble::new("the control plane ended while it ran", one.lost);
            if let Err(error) = self.put_back(one.id, one.attempt, now_ms, &trouble, Cause::ControlEnded).await {
                let error = &error as &dyn std::error::Error;
                tracing::warn!(id = %one.id, error, "an execution waits for the end of its lease");
            }
        }
    }
}

fn not_begun(error: &(dyn std::error::Error + 'static)) -> Found {
    let mut reason = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        reason.push_str(&format!(": {error}"));
        source = error.source();
    }
    Found::NotBegun(reason)
}

/// A bug that ended one attempt: its lease ends, and the execution is tried again.
fn failed(error: &tokio::task::JoinError) -> Id {
    tracing::error!(%error, "an attempt broke off");
    error.id()
}
