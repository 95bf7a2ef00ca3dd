//! The executions in flight on one worker, by the id of their frames.

use std::sync::Arc;

use ignite_core_model::ExecutionId;
use ignite_framing::Arriving;
use ignite_runtimes_executor::Slot;
use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::dispatch::Word;
use crate::worker::Go;

/// Bits of an id that tell the place in the table; the others count, so that no id comes twice.
const PLACE_BITS: u32 = 20;
/// Marks the id of an execution that was sent ahead.
const AHEAD: u64 = ignite_core_abi::AHEAD_ID_BIT;

/// An execution in flight.
pub(crate) struct Entry {
    pub(crate) id: u64,
    pub(crate) stage: Stage,
    pub(crate) slot: Slot,
    pub(crate) execution_id: ExecutionId,
    /// From when on whoever gives it up does so because it is late: the deadline, or before it that of the head.
    pub(crate) late_at: Instant,
    pub(crate) deadline: Instant,
    /// It did not end in time, and its worker is in doubt for it.
    pub(crate) in_doubt: bool,
    /// Where it was sent ahead.
    pub(crate) ahead: Option<Ahead>,
}

/// What is known of an execution that was sent ahead.
#[derive(Debug, Default)]
pub(crate) struct Ahead {
    /// Its INVOKE; empty until it is sent.
    pub(crate) frame: Vec<u8>,
}

/// How far it is.
pub(crate) enum Stage {
    /// Somebody waits for the answer.
    Waiting(oneshot::Sender<Word>),
    /// The head has been answered, the body is under way.
    Streaming(Arc<Arriving>),
    /// Nobody waits any more. The worker has been told and has not yet answered.
    Abandoned,
    /// It was taken back before it began. The worker has not yet said that it passed it over.
    TakenBack,
}

/// A worker named an execution it was never given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NeverIssued;

/// The executions in flight, and what that means for their worker.
pub(crate) struct Table {
    places: Vec<Option<Entry>>,
    free: Vec<u32>,
    sequence: u64,
    /// One that was cancelled did not stop in time.
    pub(crate) overdue: bool,
    /// It gets no more executions.
    pub(crate) retired: bool,
    /// It has been sent DRAIN.
    pub(crate) leaving: bool,
    /// It is being killed.
    pub(crate) doomed: bool,
    /// Its process is gone.
    pub(crate) ended: bool,
}

impl Table {
    pub(crate) fn new() -> Self {
        Self {
            places: Vec::new(),
            free: Vec::new(),
            sequence: 1,
            overdue: false,
            retired: false,
            leaving: false,
            doomed: false,
            ended: false,
        }
    }

    /// Adds an execution; returns its id and how many there are now.
    pub(crate) fn insert(&mut self, ahead: bool, entry: impl FnOnce(u64) -> Entry) -> (u64, u32) {
        let place = self.free.pop().unwrap_or_else(|| {
            self.places.push(None);
            // A worker's capacity is far below 2³².
            self.places.len() as u32 - 1
        });
        let mark = if ahead { AHEAD } else { 0 };
        let id = self.sequence << PLACE_BITS | u64::from(place) | mark;
        self.sequence += 1;
        self.places[place as usize] = Some(entry(id));
        (id, (self.places.len() - self.free.len()) as u32)
    }

    fn place(&self, id: u64) -> Result<usize, NeverIssued> {
        let place = (id & ((1 << PLACE_BITS) - 1)) as usize;
        let sequence = (id & !AHEAD) >> PLACE_BITS;
        if sequence == 0 || sequence >= self.sequence || place >= self.places.len() {
            return Err(NeverIssued);
        }
        Ok(place)
    }

    /// The execution `id`, `None` if it has ended.
    pub(crate) fn find(&mut self, id: u64) -> Result<Option<&mut Entry>, NeverIssued> {
        let place = self.place(id)?;
        Ok(self.places[place].as_mut().filter(|entry| entry.id == id))
    }

    /// Takes the execution `id` out, `None` if it has ended before.
    pub(crate) fn take(&mut self, id: u64) -> Result<Option<Entry>, NeverIssued> {
        let place = self.place(id)?;
        let found = self.places[place].take_if(|entry| entry.id == id);
        if found.is_some() {
            // The place is below 2²⁰, as it is in the id.
            self.free.push(place as u32);
        }
        Ok(found)
    }

    /// Takes all out, the last that was sent first.
    pub(crate) fn take_all(&mut self) -> Vec<Entry> {
        self.free.clear();
        let mut all: Vec<Entry> = self.places.drain(..).flatten().collect();
        all.sort_unstable_by_key(|entry| std::cmp::Reverse(entry.id & !AHEAD));
        all
    }

    /// The id of the last that was sent ahead. The worker begins them in the order in which they were sent, each with a token,
    /// so a token that is taken back is always that of the last.
    pub(crate) fn ahead(&self) -> Option<u64> {
        let sent = |entry: &&Entry| entry.ahead.as_ref().is_some_and(|ahead| !ahead.frame.is_empty());
        self.places.iter().flatten().filter(sent).map(|entry| entry.id).max()
    }

    /// The execution that alone is left on a worker that runs one at a time.
    pub(crate) fn only(&self) -> Option<ExecutionId> {
        let mut left = self.places.iter().flatten().filter(|entry| !matches!(entry.stage, Stage::TakenBack));
        match (left.next(), left.next()) {
            (Some(only), None) => Some(only.execution_id),
            _ => None,
        }
    }

    /// Whether the worker has anything to run.
    pub(crate) fn is_busy(&self) -> bool {
        self.places.iter().flatten().any(|entry| !matches!(entry.stage, Stage::TakenBack))
    }

    /// Those that somebody waits for.
    fn live(&self) -> impl Iterator<Item = &Entry> {
        let is_live = |entry: &&Entry| matches!(entry.stage, Stage::Waiting(_) | Stage::Streaming(_));
        self.places.iter().flatten().filter(is_live)
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.places.len() - self.free.len()
    }

    /// The ids of all.
    pub(crate) fn ids(&self) -> Vec<u64> {
        self.places.iter().flatten().map(|entry| entry.id).collect()
    }

    /// Those that somebody waits for although they were late before `moment`.
    pub(crate) fn late(&self, moment: Instant) -> Vec<u64> {
        self.live().filter(|entry| entry.late_at < moment).map(|entry| entry.id).collect()
    }

    /// What the worker does now. Where it is killed it takes nothing more from this moment on: whoever came between the
    /// two would be lost for another's sake.
    pub(crate) fn after_end(&mut self) -> Go {
        if self.overdue && self.live().next().is_none() && self.len() > 0 {
            self.doomed = true;
            Go::Kill
        } else if self.retired && self.len() == 0 {
            Go::Leave
        } else {
            Go::Stay
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test")]
    use super::*;

    fn add(table: &mut Table) -> u64 {
        let entry = |id| Entry {
            id,
            stage: Stage::Abandoned,
            slot: Slot::unlimited(),
            execution_id: ExecutionId::from_parts(0, 0),
            late_at: Instant::now(),
            deadline: Instant::now(),
            in_doubt: false,
            ahead: None,
        };
        table.insert(false, entry).0
    }

    #[test]
    fn places_are_used_again_and_ids_are_not() {
        let mut table = Table::new();
        let first = add(&mut table);
        assert!(table.take(first).unwrap().is_some());
        let second = add(&mut table);
        assert_ne!(first, second);
        assert_eq!((first ^ second) & ((1 << PLACE_BITS) - 1), 0);
        assert!(table.take(first).unwrap().is_none(), "ended, and not mistaken for the one in its place");
        assert!(table.find(second).unwrap().is_some());
        for never in [0, 1, second + 1, second + (1 << PLACE_BITS), u64::MAX] {
            assert!(table.find(never).is_err(), "{never}");
        }
    }
}
