//! Places for executions of all apps together, given out fairly.
//!
//! As long as there are places nobody waits. When there are none, apps take turns: whoever has waited longest of the next
//! app gets the next place, however many others of another app wait as well. So a crowd before one app makes the others
//! wait for one of its executions at most, not for its whole line.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

/// The places.
pub(crate) struct Gate {
    state: Mutex<State>,
}

struct State {
    free: u32,
    /// Apps with somebody who waits, in the order of their turns.
    turns: VecDeque<Line>,
}

struct Line {
    app: u64,
    waiting: VecDeque<oneshot::Sender<Pass>>,
}

/// A place; given on when it is dropped.
pub(crate) struct Pass(Option<Arc<Gate>>);

impl Gate {
    pub(crate) fn new(places: u32) -> Arc<Self> {
        Arc::new(Self { state: Mutex::new(State { free: places, turns: VecDeque::new() }) })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A place for an execution of `app`, when it is its turn. How many of an app wait is bounded by its own queue.
    pub(crate) async fn enter(self: &Arc<Self>, app: u64) -> Pass {
        let receiver = {
            let mut state = self.lock();
            if state.free > 0 {
                state.free -= 1;
                return Pass(Some(Arc::clone(self)));
            }
            let (sender, receiver) = oneshot::channel();
            match state.turns.iter_mut().find(|line| line.app == app) {
                Some(line) => line.waiting.push_back(sender),
                None => state.turns.push_back(Line { app, waiting: VecDeque::from([sender]) }),
            }
            receiver
        };
        match receiver.await {
            Ok(pass) => pass,
            // A line is only let go of when all of it was served.
            Err(_) => std::future::pending().await,
        }
    }

    /// Places that are free.
    pub(crate) fn free(&self) -> u32 {
        self.lock().free
    }

    fn leave(self: Arc<Self>) {
        let mut pass = Pass(Some(Arc::clone(&self)));
        loop {
            let next = {
                let mut state = self.lock();
                match state.turns.pop_front() {
                    Some(mut line) => {
                        let next = line.waiting.pop_front();
                        if !line.waiting.is_empty() {
                            state.turns.push_back(line);
                        }
                        next
                    }
                    None => {
                        state.free += 1;
                        pass.0 = None;
                        return;
                    }
                }
            };
            // Not under the lock: who has gone gives the pass back.
            let Some(sender) = next else { continue };
            match sender.send(pass) {
                Ok(()) => return,
                Err(back) => pass = back,
            }
        }
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        if let Some(gate) = self.0.take() {
            gate.leave();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::task::{Context, Poll, Waker};

    use super::*;

    fn poll<F: Future<Output = Pass> + Unpin>(future: &mut F) -> Option<Pass> {
        match std::pin::Pin::new(future).poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(pass) => Some(pass),
            Poll::Pending => None,
        }
    }

    #[test]
    fn apps_take_turns_however_many_of_one_wait() {
        let gate = Gate::new(1);
        let enter = |app| {
            let gate = Arc::clone(&gate);
            Box::pin(async move { gate.enter(app).await })
        };
        let mut held = poll(&mut enter(1));
        assert!(held.is_some());
        let mut lines: Vec<_> = [1, 1, 1, 2].map(enter).into();
        assert!(lines.iter_mut().all(|line| poll(line).is_none()));
        let mut order = Vec::new();
        while held.take().is_some() {
            for (index, line) in
                lines.iter_mut().enumerate().filter(|(index, _)| !order.contains(index)).collect::<Vec<_>>()
            {
                if let Some(pass) = poll(line) {
                    held = Some(pass);
                    order.push(index);
                    break;
                }
            }
        }
        assert_eq!(order, [0, 3, 1, 2], "the one of the second app waits for one of the first");
        assert_eq!(gate.free(), 1);
    }

    #[test]
    fn who_stops_waiting_is_passed_over() {
        let gate = Gate::new(1);
        let enter = |app| {
            let gate = Arc::clone(&gate);
            Box::pin(async move { gate.enter(app).await })
        };
        let held = poll(&mut enter(1));
        let (mut gone, mut also, mut stays) = (enter(1), enter(2), enter(3));
        assert!(poll(&mut gone).is_none() && poll(&mut also).is_none() && poll(&mut stays).is_none());
        drop((gone, also));
        drop(held);
        let pass = poll(&mut stays);
        assert!(pass.is_some());
        drop(pass);
        assert_eq!(gate.free(), 1);
    }
}
