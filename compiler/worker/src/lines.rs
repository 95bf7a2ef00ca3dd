//! Lines on their way from a compile, which blocks a thread, to its log, which is written as fast as the queue takes it.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ignite_compiler_builder::Cancel;
use tokio::sync::Notify;

use crate::queue::SaidLine;

/// Lines that wait to be written; the compile waits beyond that.
const LINES_WAITING_MAX: usize = 4096;

/// Lines written at once.
const LINES_AT_ONCE: usize = 512;

/// How long a first line waits for others to be written with, while the compile goes on.
const GATHER: Duration = Duration::from_millis(100);

/// How often a compile that waits for room looks whether it is to stop.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// A bounded queue of lines with a blocking end and an async one. Clones are the same queue.
#[derive(Clone, Default)]
pub(crate) struct Lines(Arc<Shared>);

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    /// There is room again, or nobody writes any more.
    room: Condvar,
    /// There are lines, or there will be no more.
    more: Notify,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<SaidLine>,
    /// There will be no more lines.
    ended: bool,
    /// Nobody writes them any more.
    broken: bool,
}

impl Lines {
    /// Hands on a line, and waits for room while there is none. Once the compile is cancelled or nobody writes any more, a
    /// line that finds no room is dropped: a compile must be able to stop whatever its log does.
    pub(crate) fn push(&self, line: SaidLine, cancel: &Cancel) {
        let mut state = self.lock();
        while state.waiting.len() >= LINES_WAITING_MAX {
            if state.broken || cancel.is_cancelled() {
                return;
            }
            state = self.0.room.wait_timeout(state, LOOK_EVERY).unwrap_or_else(PoisonError::into_inner).0;
        }
        if !state.broken {
            state.waiting.push_back(line);
        }
        drop(state);
        self.0.more.notify_one();
    }

    /// Says that there will be no more lines.
    pub(crate) fn end(&self) {
        self.lock().ended = true;
        self.0.more.notify_one();
    }

    /// Says that nobody writes them any more.
    pub(crate) fn break_off(&self) {
        let mut state = self.lock();
        state.broken = true;
        state.waiting.clear();
        drop(state);
        self.0.room.notify_all();
        self.0.more.notify_one();
    }

    /// The next lines, in order; none when all were taken and there will be no more.
    pub(crate) async fn next(&self) -> Vec<SaidLine> {
        let mut gathered = false;
        loop {
            {
                let mut state = self.lock();
                let all = state.ended || state.broken;
                if all || state.waiting.len() >= LINES_AT_ONCE || (gathered && !state.waiting.is_empty()) {
                    let count = state.waiting.len().min(LINES_AT_ONCE);
                    let lines = state.waiting.drain(..count).collect();
                    self.0.room.notify_all();
                    return lines;
                }
                gathered = !state.waiting.is_empty();
            }
            if gathered {
                let _ = tokio::time::timeout(GATHER, self.ended()).await;
            } else {
                self.0.more.notified().await;
            }
        }
    }

    /// Waits until there will be no more lines, or so many that they are to be written now.
    async fn ended(&self) {
        loop {
            {
                let state = self.lock();
                if state.ended || state.broken || state.waiting.len() >= LINES_AT_ONCE {
                    return;
                }
            }
            self.0.more.notified().await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing panics while it is held.
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ignite_core_model::LogLine;

    fn line(number: usize) -> SaidLine {
        SaidLine { at_ms: 1, line: LogLine { text: number.to_string(), ..LogLine::default() } }
    }

    #[tokio::test]
    async fn lines_come_in_order_and_end() {
        let (lines, cancel) = (Lines::default(), Cancel::default());
        let writer = {
            let lines = lines.clone();
            tokio::task::spawn_blocking(move || {
                (0..10_000).for_each(|number| lines.push(line(number), &cancel));
                lines.end();
            })
        };
        let mut found = Vec::new();
        loop {
            let some = lines.next().await;
            if some.is_empty() {
                break;
            }
            assert!(some.len() <= LINES_AT_ONCE);
            found.extend(some.into_iter().map(|said| said.line.text));
        }
        assert_eq!(found, (0..10_000).map(|number| number.to_string()).collect::<Vec<_>>());
        assert!(writer.await.is_ok());
    }

    #[tokio::test]
    async fn a_compile_whose_log_stands_still_can_stop() {
        let (lines, cancel) = (Lines::default(), Cancel::default());
        (0..LINES_WAITING_MAX).for_each(|number| lines.push(line(number), &cancel));
        let stuck = {
            let (lines, cancel) = (lines.clone(), cancel.clone());
            tokio::task::spawn_blocking(move || lines.push(line(0), &cancel))
        };
        cancel.cancel();
        assert!(stuck.await.is_ok());
        let (lines, cancel) = (Lines::default(), Cancel::default());
        (0..LINES_WAITING_MAX).for_each(|number| lines.push(line(number), &cancel));
        let stuck = {
            let lines = lines.clone();
            tokio::task::spawn_blocking(move || lines.push(line(0), &Cancel::default()))
        };
        lines.break_off();
        assert!(stuck.await.is_ok());
        assert_eq!(lines.next().await, []);
    }
}
