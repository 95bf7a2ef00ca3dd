//! The executor itself.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::Poll;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use ignite_core_model::Limits;
use ignite_runtimes_executor::{
    BoxFuture, Executor, Health, Invocation, InvokeError, LogSink, LogSource, Reply, ReplyBody, RequestBody, Slot,
    body_channel, leave_together,
};
use tokio::sync::{oneshot, watch};
use tokio::time::{Instant, sleep_until, timeout, timeout_at};
use tokio_util::sync::CancellationToken;

use crate::config::{WasmConfig, WasmError};
use crate::crowd::{Guest, Slice};
use crate::execution::{Ended, Head, Parts};
use crate::failure::describe;
use crate::lines::ExecutionLog;
use crate::load::Handler;
use crate::metrics::{self, Gauge};
use crate::pace::Pace;
use crate::pump::{BODY_PARTS_MAX, Early, Ends, Streaming, report};
use crate::ready::Ready;
use crate::warm::WarmWasm;
use crate::{function, wasi_http};

/// How long work that was told to stop may take to be gone. A guest is stopped at the end of its slice, some milliseconds
/// later; more than that is a fault of this machine.
const STOP_TIME_MAX: Duration = Duration::from_secs(1);

/// Runs one component.
pub struct WasmExecutor(Arc<Inner>);

struct Inner {
    limits: Limits,
    logs: Arc<dyn LogSink>,
    health: watch::Sender<Health>,
    ready: OnceLock<Arc<Ready>>,
    /// Whether `health` is [`Health::Ready`], to be asked by each execution without a lock.
    serves: AtomicBool,
    pace: Pace,
    stop: CancellationToken,
}

impl WasmExecutor {
    /// Begins to load the component and returns at once; [`Executor::started`] tells when it is loaded, or why it could
    /// not be. Has to be called in a tokio runtime with a clock.
    #[must_use]
    pub fn start(config: WasmConfig) -> Self {
        Self::start_from(config, None)
    }

    /// As [`WasmExecutor::start`], with an engine that is up already. Where its pool does not fit the app's limits, another
    /// one is made.
    #[must_use]
    pub fn start_warm(config: WasmConfig, warm: WarmWasm) -> Self {
        Self::start_from(config, Some(warm))
    }

    fn start_from(config: WasmConfig, warm: Option<WarmWasm>) -> Self {
        let inner = Arc::new(Inner {
            limits: config.limits.clone(),
            logs: Arc::clone(&config.logs),
            health: watch::Sender::new(Health::Starting),
            ready: OnceLock::new(),
            serves: AtomicBool::new(false),
            pace: Pace::default(),
            stop: CancellationToken::new(),
        });
        tokio::spawn(Arc::clone(&inner).load(config, warm));
        Self(inner)
    }
}

impl Drop for WasmExecutor {
    fn drop(&mut self) {
        self.0.stop.cancel();
    }
}

impl Executor for WasmExecutor {
    fn invoke(&self, invocation: Invocation) -> BoxFuture<'_, Result<Reply, InvokeError>> {
        Box::pin(self.0.invoke(invocation))
    }

    fn health(&self) -> Health {
        if self.0.serves.load(Ordering::Acquire) { Health::Ready } else { self.0.health.borrow().clone() }
    }

    fn started(&self) -> BoxFuture<'_, Health> {
        Box::pin(self.0.started())
    }

    fn drain(&self, deadline: Instant) -> BoxFuture<'_, ()> {
        Box::pin(self.0.drain(deadline))
    }

    fn gauges(&self) -> Vec<Gauge> {
        self.0.ready.get().map_or_else(Vec::new, |ready| metrics::gauges(ready))
    }
}

impl Inner {
    /// Loads the component, makes a first instance, and tells how it went.
    async fn load(self: Arc<Self>, config: WasmConfig, warm: Option<WarmWasm>) {
        let loaded = tokio::task::spawn_blocking(move || Ready::load(&config, warm)).await;
        let loaded = match loaded {
            Ok(Ok(ready)) => self.try_out(ready).await,
            Ok(Err(error)) => Err(error.to_line()),
            Err(_) => Err("the host failed while it loaded the component".to_owned()),
        };
        let health = match loaded {
            Ok(ready) => {
                let how = if ready.was_compiled { "compiled" } else { "loaded from machine code made earlier" };
                let message = format!("component {how} in {:.1} ms", ready.load_time.as_secs_f64() * 1000.0);
                self.log(None).line(LogSource::Host, "debug", &message, "");
                let _ = self.ready.set(Arc::new(ready));
                Health::Ready
            }
            Err(reason) => {
                self.log(None).line(LogSource::Host, "error", &reason, "");
                Health::Failed(reason)
            }
        };
        self.health.send_if_modified(|now| {
            // A drain may have come first.
            let starting = *now == Health::Starting;
            if starting {
                self.serves.store(health == Health::Ready, Ordering::Release);
                *now = health;
            }
            starting
        });
    }

    /// Makes the first instance. Code of the component may run as it is made, so it has its time.
    async fn try_out(&self, ready: Ready) -> Result<Ready, String> {
        let limit = self.limits.start_timeout;
        match timeout(limit, ready.first_instance(self.log(None))).await {
            Ok(Ok(())) => Ok(ready),
            Ok(Err(error)) => Err(error.to_line()),
            Err(_) => {
                let reason = format!("it took longer than {} ms", limit.as_millis());
                Err(WasmError::FirstInstance { reason }.to_line())
            }
        }
    }

    fn log(&self, execution_id: Option<ignite_core_model::ExecutionId>) -> ExecutionLog {
        ExecutionLog::new(&self.logs, execution_id)
    }

    async fn started(&self) -> Health {
        let mut health = self.health.subscribe();
        // The sender lives as long as `self`, so there is always a next value to wait for.
        match health.wait_for(|health| *health != Health::Starting).await {
            Ok(health) => health.clone(),
            Err(_) => Health::Draining,
        }
    }

    async fn drain(&self, deadline: Instant) {
        self.health.send_replace(Health::Draining);
        self.serves.store(false, Ordering::Release);
        if let Some(ready) = self.ready.get() {
            let all_gone = || ready.permits.acquire_many(ready.permits_max);
            if timeout_at(deadline, all_gone()).await.is_err() {
                self.stop.cancel();
                let _ = timeout(STOP_TIME_MAX, all_gone()).await;
            }
            // Whoever waits for a permit is told that there will be none.
            ready.permits.close();
        }
        self.stop.cancel();
    }

    /// The limits around [`Inner::answer`], which ends when its future is dropped.
    async fn invoke(&self, invocation: Invocation) -> Result<Reply, InvokeError> {
        let deadline = invocation.deadline;
        let begun = Instant::now();
        let mut answer = pin!(self.answer(invocation));
        // Most guests answer without ever waiting: for those no timer is set and no bell listened to.
        let first = poll_fn(|cx| Poll::Ready(answer.as_mut().poll(cx))).await;
        // Of one that goes on elsewhere, too: it has held this thread up.
        let quick = self.pace.is_quick(begun.elapsed());
        if let Poll::Ready(answer) = first {
            if let (true, Ok(reply)) = (quick, &answer) {
                leave_together(reply).await;
            }
            return answer;
        }
        tokio::select! {
            biased;
            answer = answer => answer,
            () = sleep_until(deadline) => Err(InvokeError::TimedOut),
            () = self.stop.cancelled() => Err(shutting_down()),
        }
    }

    async fn answer(&self, mut invocation: Invocation) -> Result<Reply, InvokeError> {
        let ready = self.ready().await?;
        let deadline = invocation.deadline;
        let log = self.log(Some(invocation.execution_id));
        // Our own world has the whole body as one value. It is read before a place in the pool is taken, so that slow
        // callers hold none.
        let whole = match &ready.handler {
            Handler::Function(_) => {
                let body = std::mem::replace(&mut invocation.body, RequestBody::Full(Bytes::new()));
                collect(body, self.limits.payload_bytes_max).await?
            }
            Handler::Http(_) => Bytes::new(),
        };
        match ready.permits.try_acquire() {
            Ok(permit) => permit.forget(),
            Err(_) => ready.permits.acquire().await.map_err(|_| shutting_down())?.forget(),
        }
        let (head_slot, mut head) = oneshot::channel();
        let slice = Slice::new();
        let habit = Arc::clone(&ready.habit);
        let work = work(Permitted(ready), invocation, whole, log.clone(), head_slot, Arc::clone(&slice));
        let mut guest = Guest::new(Box::pin(work), slice, habit);
        let (head, ended) = tokio::select! {
            biased;
            ended = &mut guest => (head.try_recv().ok(), Some(ended)),
            Ok(head) = &mut head => (Some(head), None),
        };
        let answer = match (head, ended) {
            // A guest that failed before anything was sent is answered for, even if it had begun.
            (_, Some(Ended::Failed(error))) => Err(error),
            (_, Some(Ended::Complete(reply))) => Ok(reply),
            (Some(head), ended) => {
                let stop = self.stop.clone();
                let ends = Ends { deadline, stop, cancel_grace: self.limits.cancel_grace, log: log.clone() };
                // Boxed, so that the future of an answer that is whole, which is made far more often, stays small.
                Box::pin(stream(head, guest, ended, ends)).await
            }
            (None, _) => Err(InvokeError::BadReply("it returned without an answer".into())),
        };
        // A handler's own failure is logged with its trace, which callers may not be shown.
        answer.inspect_err(|error| {
            if matches!(error, InvokeError::Handler { .. }) {
                log.line(LogSource::Host, "error", &describe(error), "");
            }
        })
    }

    /// The loaded component; waits while it is being loaded.
    async fn ready(&self) -> Result<Arc<Ready>, InvokeError> {
        if self.serves.load(Ordering::Acquire)
            && let Some(ready) = self.ready.get()
        {
            return Ok(Arc::clone(ready));
        }
        let mut health = self.health.borrow().clone();
        if health == Health::Starting {
            health = Box::pin(self.started()).await;
        }
        match (health, self.ready.get()) {
            (Health::Ready, Some(ready)) => Ok(Arc::clone(ready)),
            (Health::Failed(reason), _) => Err(InvokeError::NotLoaded { reason }),
            _ => Err(shutting_down()),
        }
    }
}

/// The right to an instance, which is one of [`Ready::permits`]. Dropping it gives it back.
struct Permitted(Arc<Ready>);

impl Drop for Permitted {
    fn drop(&mut self) {
        self.0.permits.add_permits(1);
    }
}

/// Runs the guest from its instance to its end. What was given to it is given back in the order that matters: the
/// instance's place in the pool, then the host's slot, then the permit, for which a drain waits.
async fn work(
    ready: Permitted,
    mut invocation: Invocation,
    whole: Bytes,
    log: ExecutionLog,
    head: oneshot::Sender<Head>,
    slice: Arc<Slice>,
) -> Ended {
    let Permitted(ready) = &ready;
    let _slot = std::mem::replace(&mut invocation.slot, Slot::unlimited());
    let _beat = ready.pulse.begin();
    let store = ready.store(log, Some(head), slice);
    match &ready.handler {
        Handler::Function(handler) => function::run(handler, store, &invocation, &whole, ready.bounds).await,
        Handler::Http(handler) => wasi_http::run(handler, store, invocation, ready.bounds).await,
    }
}

/// Answers with `head` and the body that follows it.
async fn stream(head: Head, guest: Guest, ended: Option<Ended>, ends: Ends) -> Result<Reply, InvokeError> {
    let Head { status, headers, parts } = head;
    let may_be_whole = matches!(parts, Parts::Http(..));
    let mut streaming = Streaming { guest, ended, parts, waiting: VecDeque::new() };
    if may_be_whole {
        let early = streaming.gather().await;
        match (early, streaming.ended.take()) {
            (Early::Whole(body), Some(ended)) => {
                if let Ended::Failed(error) = ended {
                    report(&error, &ends.log);
                }
                return Ok(Reply { status, headers, body: ReplyBody::Full(body) });
            }
            (Early::Whole(body), None) => {
                // It goes on working after its answer. The task ends with the guest, at the deadline, or with the executor.
                tokio::spawn(async move { streaming.finish_guest_and_report(ends.deadline, &ends).await });
                return Ok(Reply { status, headers, body: ReplyBody::Full(body) });
            }
            (_, Some(Ended::Failed(error))) => return Err(error),
            (Early::Broken(why), _) => return Err(InvokeError::BadReply(why)),
            (Early::GoesOn, ended) => streaming.ended = ended,
        }
    }
    let (sender, body) = body_channel(BODY_PARTS_MAX);
    // The task ends with the body: when the guest finishes it, the caller drops it, its time is up, or the executor stops.
    tokio::spawn(streaming.run(sender, ends));
    Ok(Reply { status, headers, body: ReplyBody::Stream(body) })
}

/// All of a request body.
async fn collect(body: RequestBody, bytes_max: usize) -> Result<Bytes, InvokeError> {
    let mut stream = match body {
        RequestBody::Full(bytes) => return Ok(bytes),
        RequestBody::Stream(stream) => stream,
    };
    let mut whole = BytesMut::new();
    while let Some(part) = stream.next().await {
        // A body that breaks has no caller any more. One that is too long was let through by mistake.
        let part = part.map_err(|_| InvokeError::Cancelled)?;
        if whole.len() + part.len() > bytes_max {
            return Err(InvokeError::Cancelled);
        }
        whole.extend_from_slice(&part);
    }
    Ok(whole.freeze())
}

fn shutting_down() -> InvokeError {
    InvokeError::Unavailable("it is shutting down".into())
}
