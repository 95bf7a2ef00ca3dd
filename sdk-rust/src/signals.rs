//! What the host tells a running execution: stop, or you may send more.

use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context as TaskContext, Poll, Waker};

use crate::Closed;
use crate::execution::{Execution, lock};

/// The signals of one execution and who waits for them.
pub(crate) struct Signals(Mutex<State>);

struct State {
    cancelled: bool,
    /// Somebody asked whether the execution is cancelled, and so may want to tidy up.
    listened: bool,
    /// Bytes of body that may still be sent.
    credit: u64,
    next_ticket: u64,
    waiting: Vec<(Ticket, Waker)>,
}

/// Which waiter a waker belongs to.
pub(crate) type Ticket = u64;

impl Signals {
    pub(crate) fn new(credit: u64) -> Self {
        Self(Mutex::new(State { cancelled: false, listened: false, credit, next_ticket: 0, waiting: Vec::new() }))
    }

    /// Cancels the execution.
    pub(crate) fn cancel(&self) {
        self.change(|state| state.cancelled = true);
    }

    /// Allows `bytes` more of body.
    #[cfg(not(target_family = "wasm"))]
    pub(crate) fn grant(&self, bytes: u32) {
        self.change(|state| state.credit = state.credit.saturating_add(bytes.into()));
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        let waiting = {
            let mut state = lock(&self.0);
            change(&mut state);
            std::mem::take(&mut state.waiting)
        };
        // Woken without the lock: a waker may run anything.
        for (_, waker) in waiting {
            waker.wake();
        }
    }

    /// Whether the execution is cancelled; the handler asks.
    pub(crate) fn is_cancelled(&self) -> bool {
        let mut state = lock(&self.0);
        state.listened = true;
        state.cancelled
    }

    /// Whether the handler ever asked. The worker uses it to tell whether it is worth waiting for.
    #[cfg(not(target_family = "wasm"))]
    pub(crate) fn is_listened_to(&self) -> bool {
        lock(&self.0).listened
    }

    /// Ready once the execution is cancelled.
    pub(crate) fn poll_cancelled(&self, ticket: &mut Option<Ticket>, cx: &TaskContext<'_>) -> Poll<()> {
        let mut state = lock(&self.0);
        if state.cancelled { Poll::Ready(()) } else { state.wait(ticket, cx) }
    }

    /// Takes up to `bytes_max` (at least 1) of credit, or waits for some.
    fn poll_credit(
        &self,
        ticket: &mut Option<Ticket>,
        cx: &TaskContext<'_>,
        bytes_max: usize,
    ) -> Poll<Result<usize, Closed>> {
        let mut state = lock(&self.0);
        if state.cancelled {
            return Poll::Ready(Err(Closed));
        }
        if state.credit == 0 {
            return state.wait(ticket, cx);
        }
        let taken = usize::try_from(state.credit).unwrap_or(usize::MAX).min(bytes_max);
        state.credit -= taken as u64;
        Poll::Ready(Ok(taken))
    }

    fn forget(&self, ticket: Ticket) {
        lock(&self.0).waiting.retain(|(waiting, _)| *waiting != ticket);
    }
}

impl State {
    fn wait<T>(&mut self, ticket: &mut Option<Ticket>, cx: &TaskContext<'_>) -> Poll<T> {
        let ticket = *ticket.get_or_insert_with(|| {
            self.next_ticket += 1;
            self.next_ticket
        });
        match self.waiting.iter_mut().find(|(waiting, _)| *waiting == ticket) {
            Some((_, waker)) => waker.clone_from(cx.waker()),
            None => self.waiting.push((ticket, cx.waker().clone())),
        }
        Poll::Pending
    }
}

/// Waits until an execution is cancelled; made by [`Context::cancelled`](crate::Context::cancelled).
#[must_use = "futures do nothing unless they are awaited"]
pub struct Cancelled {
    execution: Arc<Execution>,
    ticket: Option<Ticket>,
}

impl Cancelled {
    pub(crate) fn new(execution: Arc<Execution>) -> Self {
        Self { execution, ticket: None }
    }
}

impl Future for Cancelled {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<()> {
        let this = &mut *self;
        this.execution.signals.is_cancelled();
        this.execution.signals.poll_cancelled(&mut this.ticket, cx)
    }
}

impl Drop for Cancelled {
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket {
            self.execution.signals.forget(ticket);
        }
    }
}

impl std::fmt::Debug for Cancelled {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Cancelled")
    }
}

/// Waits for credit for at most `bytes_max` bytes.
pub(crate) struct TakeCredit<'a> {
    signals: &'a Signals,
    ticket: Option<Ticket>,
    bytes_max: usize,
}

impl<'a> TakeCredit<'a> {
    pub(crate) fn new(signals: &'a Signals, bytes_max: usize) -> Self {
        Self { signals, ticket: None, bytes_max }
    }
}

impl Future for TakeCredit<'_> {
    type Output = Result<usize, Closed>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        this.signals.poll_credit(&mut this.ticket, cx, this.bytes_max)
    }
}

impl Drop for TakeCredit<'_> {
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket {
            self.signals.forget(ticket);
        }
    }
}
