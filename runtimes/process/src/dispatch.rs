//! How a worker gets its executions, one of them ahead where it runs one at a time, and how that one is taken back.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use ignite_core_abi::Headers;
use ignite_core_abi::payload::Invoke;
use ignite_core_model::ExecutionId;
use ignite_framing::Flush;
use ignite_runtimes_executor::{Invocation, RequestBody, Slot};
use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::ahead::{self, Again, Tokens};
use crate::pool;
use crate::process::KillReason;
use crate::table::{Ahead, Entry, Stage, Table};
use crate::worker::{Answer, Worker};

/// What whoever waits for an answer is told.
pub(crate) enum Word {
    /// The answer.
    Answer(Answer),
    /// It never began; another worker shall have it.
    Back(Again),
}

/// What a worker is given to run.
#[expect(clippy::large_enum_variant, reason = "the large one is the usual one, and is moved once or twice")]
pub(crate) enum Load {
    Fresh(Invocation),
    Again(Again),
}

impl Load {
    /// Whether it may be sent ahead.
    pub(crate) fn may_go_ahead(&self) -> bool {
        match self {
            Self::Fresh(invocation) => match &invocation.body {
                RequestBody::Full(bytes) => bytes.len() <= ahead::PAYLOAD_BYTES_MAX,
                RequestBody::Stream(_) => false,
            },
            // Once is enough.
            Self::Again(_) => false,
        }
    }
}

/// The worker cannot take the execution any more; here it is back.
pub(crate) struct Refused {
    pub(crate) load: Box<Load>,
    /// Its process has ended, or is being killed.
    pub(crate) ends: bool,
}

impl Worker {
    /// Whether it may be sent an execution more than it runs at once. Asked under the pool's lock.
    pub(crate) fn takes_ahead(&self) -> bool {
        let in_use = self.in_use.load(Ordering::Relaxed);
        let room = |tokens: &Tokens| tokens.ahead_max.min(self.shared.pace.depth());
        self.tokens.as_ref().is_some_and(|tokens| (self.capacity..self.capacity + room(tokens)).contains(&in_use))
            && self.in_doubt.load(Ordering::Relaxed) == 0
            && self.taken_back.load(Ordering::Acquire) == 0
    }

    /// Sends INVOKE. The answer comes through the receiver; `id` is what [`Worker::abandon`] needs.
    pub(crate) fn dispatch(&self, mut load: Load) -> Result<(u64, oneshot::Receiver<Word>), Refused> {
        let (sender, receiver) = oneshot::channel();
        let (execution_id, deadline, head_by, slot) = match &mut load {
            Load::Fresh(new) => (new.execution_id, new.deadline, new.head_by, &mut new.slot),
            Load::Again(again) => (again.execution_id, again.deadline, again.head_by, &mut again.slot),
        };
        let mut table = self.table();
        let ahead = self.is_single() && table.is_busy();
        // Something may have been taken back since the pool chose this worker.
        let may_go_ahead = self.tokens.is_some() && self.taken_back.load(Ordering::Acquire) == 0;
        let ends = table.ended || table.doomed;
        if ends || (ahead && !may_go_ahead) {
            return Err(Refused { ends, load: Box::new(load) });
        }
        let slot = std::mem::replace(slot, Slot::unlimited());
        let (id, in_flight) = table.insert(ahead, |id| Entry {
            id,
            stage: Stage::Waiting(sender),
            slot,
            execution_id,
            late_at: head_by.min(deadline),
            deadline,
            in_doubt: false,
            ahead: ahead.then(Ahead::default),
        });
        if ahead {
            // Until there is one again, nobody can say whose lines are printed.
            self.process.output.begin(None);
            let mut frame = Vec::new();
            write(load, id, &mut frame);
            if !self.tokens.as_ref().is_some_and(Tokens::add) {
                self.process.kill(KillReason::Fault("its tokens cannot be counted".into()));
            }
            // The table stays locked, so that frames arrive in the order of their entries.
            self.send(Flush::Together, |out| out.extend_from_slice(&frame));
            if let Ok(Some(Entry { ahead: Some(ahead), .. })) = table.find(id) {
                ahead.frame = frame;
            }
            drop(table);
            self.shared.stats.sent_ahead.fetch_add(1, Ordering::Relaxed);
            self.shared.pace.watch();
        } else if self.is_single() {
            self.moved_ns.store(self.age_ns(), Ordering::Relaxed);
            self.process.output.begin(Some(execution_id));
            self.send(Flush::Now, |out| write(load, id, out));
        } else {
            drop(table);
            self.send(Flush::beside(in_flight as usize), |out| write(load, id, out));
        }
        Ok((id, receiver))
    }

    fn send(&self, flush: Flush, encode: impl FnOnce(&mut Vec<u8>)) {
        if self.link.send(flush, encode).is_err() {
            // It does not read, or its socket is closed: it is of no use, and its end answers what it has.
            self.process.kill(KillReason::Fault("it does not read its socket".into()));
        }
    }

    /// Takes the execution `id` back, which was sent ahead; `None` where the worker has begun it.
    pub(crate) fn take_back(self: &Arc<Self>, table: &mut Table, id: u64) -> Option<(Stage, Again)> {
        let tokens = self.tokens.as_ref()?;
        let entry = table.find(id).ok()??;
        let ahead = entry.ahead.take()?;
        if !tokens.take() {
            return None;
        }
        let frame = ahead.frame;
        let stage = std::mem::replace(&mut entry.stage, Stage::TakenBack);
        let slot = std::mem::replace(&mut entry.slot, Slot::unlimited());
        let (execution_id, deadline, head_by) = (entry.execution_id, entry.deadline, entry.late_at);
        if std::mem::take(&mut entry.in_doubt) {
            // It was late for want of its turn.
            pool::trust(self);
        }
        self.taken_back.fetch_add(1, Ordering::AcqRel);
        self.shared.stats.taken_back.fetch_add(1, Ordering::Relaxed);
        Some((stage, Again { frame, slot, execution_id, deadline, head_by }))
    }

    /// Gives what was sent ahead to other workers if this one has not moved for `patience`. Whether it still has something
    /// that was sent ahead.
    pub(crate) fn take_back_late(self: &Arc<Self>, now: Instant, patience: Duration) -> bool {
        loop {
            let mut table = self.table();
            let Some(id) = table.ahead() else { return false };
            let moved = self.born + Duration::from_nanos(self.moved_ns.load(Ordering::Relaxed));
            if now.saturating_duration_since(moved) < patience {
                return true;
            }
            let taken = self.take_back(&mut table, id);
            drop(table);
            // The worker has begun it, and with it the last.
            let Some((stage, again)) = taken else { return false };
            pool::release(self);
            if let Stage::Waiting(sender) = stage {
                let _ = sender.send(Word::Back(again));
            }
        }
    }
}

/// Appends the INVOKE of `load` under `id`.
fn write(load: Load, id: u64, out: &mut Vec<u8>) {
    let invocation = match load {
        Load::Fresh(invocation) => invocation,
        Load::Again(mut again) => {
            again.renew(id, time_left_us(again.deadline));
            return out.extend_from_slice(&again.frame);
        }
    };
    let body = match &invocation.body {
        RequestBody::Full(bytes) => &bytes[..],
        // The executor collects streams before they get here.
        RequestBody::Stream(_) => &[],
    };
    let mut text = [0; ExecutionId::TEXT_BYTES];
    let invoke = Invoke {
        timeout_us: time_left_us(invocation.deadline),
        execution_id: invocation.execution_id.to_text(&mut text),
        function_id: invocation.function_id.as_str(),
        organization_id: invocation.organization_id.as_str(),
        method: invocation.method.as_str(),
        path: &invocation.path,
        query: &invocation.query,
        headers: Headers::default(),
        body,
    };
    let pairs = invocation.headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes()));
    invoke.encode_from(id, pairs, out);
}

/// Microseconds until `deadline`, at least 1: 0 says that there is no limit.
fn time_left_us(deadline: Instant) -> u64 {
    let left = deadline.saturating_duration_since(Instant::now());
    u64::try_from(left.as_micros()).unwrap_or(u64::MAX).max(1)
}
