//! One worker that takes executions: what is in flight on it, and what its frames do to that.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ignite_core_abi::payload::{CancelReason, Failure, Log, LogLevel, encode_empty};
use ignite_core_abi::{FrameHeader, FrameKind};
use ignite_framing::{Arriving, Flush, Incoming, Link, Payload};
use ignite_runtimes_executor::{InvokeError, LogLine, LogSource, Reply, ReplyBody};
use tokio::time::Instant;

use crate::ahead::{Again, Tokens};
use crate::dispatch::Word;
use crate::pool;
use crate::process::{KillReason, Obituary, Process};
use crate::reply::{self, NoReply};
use crate::shared::{Event, Shared};
use crate::stream;
use crate::stuck;
use crate::table::{Entry, Stage, Table};

/// How long a worker that has been asked to go may take, beyond the executions it still has.
pub(crate) const LEAVE_MAX: Duration = Duration::from_secs(2);

/// What an execution ends with.
pub(crate) type Answer = Result<Reply, InvokeError>;

/// How a worker ended an execution.
enum Outcome {
    /// By an answer.
    Answered(Answer),
    /// By the last part of a streamed body.
    Completed,
}

/// A worker that takes executions.
pub(crate) struct Worker {
    pub(crate) shared: Arc<Shared>,
    pub(crate) process: Arc<Process>,
    pub(crate) link: Link,
    /// Executions it can run at once.
    pub(crate) capacity: u32,
    /// Executions it has or is about to get; changed under the pool's lock only.
    pub(crate) in_use: AtomicU32,
    /// Whether the pool hands it out; changed under the pool's lock only.
    pub(crate) pooled: AtomicBool,
    /// Executions that did not end in time and have not ended yet; changed under the pool's lock only.
    pub(crate) in_doubt: AtomicU32,
    table: Mutex<Table>,
    /// Counts what it may begin of what it is sent ahead; `None` where it takes nothing ahead.
    pub(crate) tokens: Option<Tokens>,
    /// Executions it was sent ahead, that were taken back, and that it has not yet passed over. Until it has it could take
    /// the token of another for one of them, so it is sent nothing ahead.
    pub(crate) taken_back: AtomicU32,
    /// It has ended an execution by itself.
    pub(crate) served: AtomicBool,
    /// Nanoseconds after `born` when it last began or ended an execution.
    pub(crate) moved_ns: AtomicU64,
    pub(crate) born: Instant,
}

/// A frame that a worker must not send.
#[derive(Debug)]
pub(crate) struct Fault(pub(crate) String);

impl Worker {
    pub(crate) fn new(
        shared: Arc<Shared>,
        process: Arc<Process>,
        link: Link,
        capacity: u32,
        tokens: Option<Tokens>,
    ) -> Self {
        Self {
            shared,
            process,
            link,
            capacity,
            in_use: AtomicU32::new(0),
            pooled: AtomicBool::new(false),
            in_doubt: AtomicU32::new(0),
            table: Mutex::new(Table::new()),
            // Its only use is for workers that run one execution at a time.
            tokens: tokens.filter(|_| capacity == 1),
            taken_back: AtomicU32::new(0),
            served: AtomicBool::new(false),
            moved_ns: AtomicU64::new(0),
            born: Instant::now(),
        }
    }

    pub(crate) fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether what it prints belongs to one execution.
    pub(crate) fn is_single(&self) -> bool {
        self.capacity == 1
    }

    /// Handles what came from the worker.
    ///
    /// # Errors
    /// When the worker broke the protocol.
    pub(crate) fn handle(self: &Arc<Self>, incoming: Incoming<'_>) -> Result<(), Fault> {
        let (header, payload) = match incoming {
            Incoming::Frame(header, payload) => (header, payload),
            Incoming::TooLarge { id } => {
                let response_bytes_max = self.shared.config.limits.response_bytes_max;
                return self
                    .finish(id, |_| Outcome::Answered(Err(InvokeError::ResponseTooLarge { response_bytes_max })));
            }
        };
        match header.kind {
            FrameKind::Result if header.is_end() => self.on_result(header, payload),
            FrameKind::Result => self.on_stream_head(header, payload),
            FrameKind::Chunk => self.on_chunk(header, payload),
            FrameKind::Error => self.on_error(header, &payload),
            FrameKind::Log => self.on_log(header, &payload),
            FrameKind::Bye if self.table().leaving => Ok(()),
            kind => Err(Fault(format!("unexpected {kind:?} frame"))),
        }
    }

    fn on_result(self: &Arc<Self>, header: FrameHeader, payload: Payload<'_>) -> Result<(), Fault> {
        let head = match reply::read(payload) {
            Ok(head) => Ok(head),
            Err(NoReply::Bad(why)) => Err(InvokeError::BadReply(why)),
            Err(NoReply::Fault(error)) => return Err(Fault(format!("RESULT: {error}"))),
        };
        self.finish(header.id, |_| {
            Outcome::Answered(head.map(|head| Reply {
                status: head.status,
                headers: head.headers,
                body: ReplyBody::Full(head.body),
            }))
        })
    }

    /// RESULT without END: the body follows in parts.
    fn on_stream_head(self: &Arc<Self>, header: FrameHeader, payload: Payload<'_>) -> Result<(), Fault> {
        let head = match reply::read(payload) {
            Ok(head) => head,
            Err(NoReply::Fault(error)) => return Err(Fault(format!("RESULT: {error}"))),
            Err(NoReply::Bad(why)) => {
                // The head is of no use, and so is what follows it.
                self.answer_early(header.id, Err(InvokeError::BadReply(why)));
                self.abandon(header.id);
                return Ok(());
            }
        };
        let stream = Arc::new(Arriving::default());
        let sender = {
            let mut table = self.table();
            let Some(entry) = table.find(header.id)? else { return self.count_late() };
            entry.late_at = entry.deadline;
            match std::mem::replace(&mut entry.stage, Stage::Streaming(Arc::clone(&stream))) {
                Stage::Waiting(sender) => sender,
                Stage::Streaming(_) => return Err(Fault("a second RESULT for an execution".into())),
                over @ (Stage::Abandoned | Stage::TakenBack) => {
                    entry.stage = over;
                    return Ok(());
                }
            }
        };
        stream.push(head.body).map_err(|_| overrun())?;
        let body = stream::carry(Arc::clone(self), header.id, stream);
        let reply = Reply { status: head.status, headers: head.headers, body: ReplyBody::Stream(body) };
        // Where nobody waits, the body is dropped with the reply, and its task gives the execution up.
        let _ = sender.send(Word::Answer(Ok(reply)));
        Ok(())
    }

    fn on_chunk(self: &Arc<Self>, header: FrameHeader, payload: Payload<'_>) -> Result<(), Fault> {
        let stream = {
            let mut table = self.table();
            match table.find(header.id)? {
                None => None,
                Some(Entry { stage: Stage::Streaming(stream), .. }) => Some(Arc::clone(stream)),
                Some(Entry { stage: Stage::Waiting(_), .. }) => {
                    return Err(Fault("a CHUNK before its RESULT".into()));
                }
                Some(Entry { stage: Stage::Abandoned | Stage::TakenBack, .. }) => None,
            }
        };
        if let Some(stream) = stream {
            if !self.is_single() {
                self.moved_ns.store(self.age_ns(), Ordering::Relaxed);
            }
            stream.push(payload.keep(0)).map_err(|_| overrun())?;
        }
        if header.is_end() { self.finish(header.id, |_| Outcome::Completed) } else { Ok(()) }
    }

    fn on_error(self: &Arc<Self>, header: FrameHeader, payload: &[u8]) -> Result<(), Fault> {
        let failure = Failure::decode(payload).map_err(|error| Fault(format!("ERROR: {error}")))?;
        self.finish(header.id, |entry| Outcome::Answered(Err(self.failed(entry, failure))))
    }

    /// Logs what a handler raised, and makes it the execution's error.
    fn failed(&self, entry: &Entry, failure: Failure<'_>) -> InvokeError {
        let cancelled = failure.kind == "cancelled";
        if cancelled && matches!(entry.stage, Stage::Abandoned | Stage::TakenBack) {
            return InvokeError::Cancelled;
        }
        if cancelled && Instant::now() + self.shared.config.limits.cancel_grace >= entry.deadline {
            // The worker keeps time too, and was a little faster than the host.
            return InvokeError::TimedOut;
        }
        let error = reply::handler_error(failure);
        self.shared.log("error", Some(entry.execution_id), &describe(failure), "");
        error
    }

    fn on_log(&self, header: FrameHeader, payload: &[u8]) -> Result<(), Fault> {
        let log = Log::decode(payload).map_err(|error| Fault(format!("LOG: {error}")))?;
        let execution_id = match header.id {
            0 => None,
            id => self.table().find(id)?.map(|entry| entry.execution_id),
        };
        self.shared.config.logs.line(LogLine {
            source: LogSource::Logger,
            level: level(log.level),
            execution_id,
            message: log.message,
            fields: log.fields,
        });
        Ok(())
    }

    /// The execution has ended on the worker: frees its room and its slot, then answers whoever waits.
    fn finish(self: &Arc<Self>, id: u64, outcome: impl FnOnce(&Entry) -> Outcome) -> Result<(), Fault> {
        let now = self.age_ns();
        let (entry, go) = {
            let mut table = self.table();
            let Some(entry) = table.take(id)? else { return self.count_late() };
            let go = table.after_end();
            if matches!(entry.stage, Stage::TakenBack) {
                // It has passed over what it was not to begin.
                self.taken_back.fetch_sub(1, Ordering::Release);
                drop(table);
                self.after_end(go);
                return Ok(());
            }
            let before = self.moved_ns.swap(now, Ordering::Relaxed);
            if self.is_single() {
                let printed = self.process.output.end();
                let next = table.only();
                if next.is_some() {
                    self.process.output.begin(next);
                }
                self.shared.pace.note(Duration::from_nanos(now.saturating_sub(before)), printed);
            }
            (entry, go)
        };
        self.served.store(true, Ordering::Relaxed);
        if !self.shared.served.load(Ordering::Relaxed) {
            self.shared.served.store(true, Ordering::Relaxed);
        }
        let outcome = outcome(&entry);
        let Entry { stage, slot, in_doubt, .. } = entry;
        pool::release(self);
        if in_doubt {
            pool::trust(self);
        }
        drop(slot);
        match (stage, outcome) {
            (Stage::Waiting(sender), Outcome::Answered(answer)) => drop(sender.send(Word::Answer(answer))),
            (Stage::Streaming(stream), Outcome::Completed) => stream.end(Ok(())),
            (Stage::Streaming(stream), Outcome::Answered(Err(error))) => stream.end(Err(error.to_string())),
            (Stage::Streaming(stream), Outcome::Answered(Ok(_))) => {
                stream.end(Err("the worker answered twice".into()));
                return Err(Fault("a second RESULT for an execution".into()));
            }
            (Stage::Waiting(_), Outcome::Completed) => return Err(Fault("a CHUNK before its RESULT".into())),
            (Stage::Abandoned | Stage::TakenBack, _) => self.count_late()?,
        }
        if self.shared.is_draining() {
            self.shared.idle.notify_waiters();
        }
        self.after_end(go);
        Ok(())
    }

    /// Answers whoever waits although the execution goes on.
    fn answer_early(&self, id: u64, answer: Answer) {
        let mut table = self.table();
        if let Ok(Some(entry)) = table.find(id) {
            match std::mem::replace(&mut entry.stage, Stage::Streaming(Arc::new(Arriving::default()))) {
                Stage::Waiting(sender) => drop(sender.send(Word::Answer(answer))),
                other => entry.stage = other,
            }
        }
    }

    fn count_late(&self) -> Result<(), Fault> {
        self.shared.stats.late_results.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    /// Nobody waits for the execution any more: cancels it, and sees to it that it stops within the grace.
    pub(crate) fn abandon(self: &Arc<Self>, id: u64) {
        let reason = {
            let mut table = self.table();
            if table.ahead() == Some(id) && self.take_back(&mut table, id).is_some() {
                // It never began, and never will.
                drop(table);
                return pool::release(self);
            }
            let Ok(Some(entry)) = table.find(id) else { return };
            if matches!(entry.stage, Stage::Abandoned | Stage::TakenBack) {
                return;
            }
            entry.stage = Stage::Abandoned;
            let late = Instant::now() >= entry.late_at;
            entry.in_doubt = late;
            if late {
                // The table stays locked, so that the execution cannot end between the two.
                pool::doubt(self);
            }
            if self.shared.is_draining() {
                CancelReason::Shutdown
            } else if late {
                CancelReason::Deadline
            } else {
                CancelReason::Disconnect
            }
        };
        let _ = self.link.send(Flush::Now, |out| reason.encode(id, out));
        let worker = Arc::clone(self);
        let grace = self.shared.config.limits.cancel_grace;
        // Bounded by the grace; it keeps the worker alive no longer than that.
        self.shared.handle.spawn(async move {
            tokio::time::sleep(grace).await;
            worker.overdue(id);
        });
    }

    /// The grace of a cancelled execution is over. If it still runs, its worker must go: at once where it runs nothing
    /// else that anybody waits for, otherwise as soon as the others have ended.
    fn overdue(self: &Arc<Self>, id: u64) {
        let go = {
            let mut table = self.table();
            match table.find(id) {
                Ok(Some(entry)) if !matches!(entry.stage, Stage::TakenBack) => {
                    table.overdue = true;
                    table.after_end()
                }
                // It has ended, or will not begin.
                _ => return,
            }
        };
        if go == Go::Stay {
            self.retire();
            if stuck::share_one_thread(&self.shared.config.runtime) {
                // Owned by itself; it ends with the execution.
                self.shared.handle.spawn(stuck::end_if(Arc::clone(self), id));
            }
        }
        self.after_end(go);
    }

    /// Whether the execution `id` has not ended.
    pub(crate) fn has(&self, id: u64) -> bool {
        matches!(self.table().find(id), Ok(Some(_)))
    }

    /// Gives it no more executions; what it has may end by itself.
    pub(crate) fn retire(self: &Arc<Self>) {
        let was_in = self.shared.pool().remove(self);
        if was_in {
            let _ = self.shared.events.send(Event::Demand);
        }
        let go = {
            let mut table = self.table();
            table.retired = true;
            table.after_end()
        };
        self.after_end(go);
    }

    fn after_end(self: &Arc<Self>, go: Go) {
        match go {
            Go::Stay => {}
            Go::Leave => self.leave(LEAVE_MAX),
            Go::Kill => {
                if self.shared.pool().remove(self) {
                    let _ = self.shared.events.send(Event::Demand);
                }
                self.process.kill(KillReason::Overdue);
            }
        }
    }

    /// Sends DRAIN, and kills the worker if it is not gone after `wait`.
    pub(crate) fn leave(self: &Arc<Self>, wait: Duration) {
        {
            let mut table = self.table();
            if table.leaving {
                return;
            }
            table.leaving = true;
        }
        let _ = self.link.send(Flush::Now, |out| encode_empty(FrameKind::Drain, 0, out));
        let process = Arc::clone(&self.process);
        self.shared.handle.spawn(async move {
            if tokio::time::timeout(wait, process.child.ended()).await.is_err() {
                process.kill(KillReason::Surplus);
            }
        });
    }

    /// The process is gone: answers what it left.
    pub(crate) fn end(self: &Arc<Self>, obituary: &Obituary) {
        self.link.close();
        self.shared.pool().remove(self);
        let entries = {
            let mut table = self.table();
            table.ended = true;
            table.take_all()
        };
        for entry in entries {
            let error = obituary.error();
            let Entry { stage, slot, ahead, execution_id, deadline, late_at: head_by, .. } = entry;
            // The last that were sent are those that never began.
            let never_began = ahead.as_ref().is_some_and(|ahead| !ahead.frame.is_empty())
                && self.tokens.as_ref().is_some_and(Tokens::take);
            let stage = match (stage, ahead) {
                (Stage::Waiting(sender), Some(ahead)) if never_began => {
                    let _ =
                        sender.send(Word::Back(Again { frame: ahead.frame, slot, execution_id, deadline, head_by }));
                    continue;
                }
                (stage, _) => stage,
            };
            drop(slot);
            match stage {
                Stage::Waiting(sender) => drop(sender.send(Word::Answer(Err(error)))),
                Stage::Streaming(stream) => stream.end(Err(error.to_string())),
                Stage::Abandoned | Stage::TakenBack => {}
            }
        }
        if self.shared.is_draining() {
            self.shared.idle.notify_waiters();
        }
    }

    /// Cancels everything in flight.
    pub(crate) fn abandon_all(self: &Arc<Self>) {
        let ids = self.table().ids();
        for id in ids {
            self.abandon(id);
        }
    }

    /// Executions that have not ended.
    pub(crate) fn in_flight(&self) -> usize {
        self.table().len()
    }

    /// Whether it was asked to go, so that its end is no surprise.
    pub(crate) fn is_leaving(&self) -> bool {
        let table = self.table();
        table.leaving || table.retired
    }

    /// Whether it has ended an execution by itself.
    pub(crate) fn has_served(&self) -> bool {
        self.served.load(Ordering::Relaxed)
    }

    /// How long it has had nothing to do; `None` while it has.
    pub(crate) fn idle_for(&self) -> Option<Duration> {
        if self.in_use.load(Ordering::Relaxed) > 0 {
            return None;
        }
        Some(Duration::from_nanos(self.age_ns().saturating_sub(self.moved_ns.load(Ordering::Relaxed))))
    }

    pub(crate) fn age_ns(&self) -> u64 {
        u64::try_from(self.born.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    /// Executions whose deadline passed before `moment` and for which somebody still waits. The host drops them at the
    /// deadline; this is for callers that do not.
    pub(crate) fn time_out(self: &Arc<Self>, moment: Instant) {
        let late = self.table().late(moment);
        for id in late {
            self.answer_early(id, Err(InvokeError::TimedOut));
            self.abandon(id);
        }
    }
}

/// What a worker does after one of its executions has ended or become overdue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Go {
    /// It goes on.
    Stay,
    /// It was retired and has nothing more to do.
    Leave,
    /// Only work that nobody waits for is left, and that does not stop.
    Kill,
}

/// The right to an answer: dropping it before the answer has come cancels the execution.
pub(crate) struct InFlight {
    worker: Arc<Worker>,
    id: u64,
    answered: bool,
}

impl InFlight {
    pub(crate) fn new(worker: Arc<Worker>, id: u64) -> Self {
        Self { worker, id, answered: false }
    }

    pub(crate) fn answered(&mut self) {
        self.answered = true;
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        if !self.answered {
            self.worker.abandon(self.id);
        }
    }
}

fn overrun() -> Fault {
    Fault("more of a streamed answer than it had credit for".into())
}

/// What the log says about an error of the handler.
pub(crate) fn describe(failure: Failure<'_>) -> String {
    match failure.trace.trim_end() {
        "" => format!("{}: {}", failure.kind, failure.message),
        // A traceback ends with the error in most languages, but not in all.
        trace if trace.contains(failure.message) => trace.to_owned(),
        trace => format!("{}: {}\n{trace}", failure.kind, failure.message),
    }
}

pub(crate) fn level(level: LogLevel) -> &'static str {
    match level {
        LogLevel::Trace => "trace",
        LogLevel::Debug => "debug",
        LogLevel::Info => "info",
        LogLevel::Warn => "warn",
        LogLevel::Error => "error",
    }
}

impl From<crate::table::NeverIssued> for Fault {
    fn from(_: crate::table::NeverIssued) -> Self {
        Self("an answer to an execution it was never given".into())
    }
}
