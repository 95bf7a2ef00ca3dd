//! Runs handlers: each on a thread of the pool, and an `async` one that waits as a task of the runtime from there on.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll, Waker};
use std::time::Duration;

use tokio::time::{Sleep, sleep};

use super::connection::{Connection, Unanswered};
use super::panics;
use crate::__private::{Asynchronous, Synchronous};
use crate::execution::Execution;
use crate::outcome::Outcome;
use crate::{Context, Error, Request};

/// How long an `async` handler that listens for cancellation may still run after it.
const CANCEL_GRACE: Duration = Duration::from_millis(250);

/// A handler, called for many executions at once.
pub trait Handler: Send + Sync + 'static {
    /// Starts one execution and returns; its answer goes to the connection.
    #[doc(hidden)]
    #[expect(private_interfaces, reason = "called by this crate alone")]
    fn start(self: &Arc<Self>, execution: Arc<Execution>, connection: Arc<Connection>);
}

impl<F> Handler for Synchronous<F>
where
    F: Fn(Request, Context) -> Outcome + Send + Sync + 'static,
{
    #[expect(private_interfaces, reason = "called by this crate alone")]
    fn start(self: &Arc<Self>, execution: Arc<Execution>, connection: Arc<Connection>) {
        let handler = self.clone();
        let pool = connection.pool.clone();
        pool.run(Box::new(move || {
            connection.outbox.begun();
            let unanswered = Unanswered::new(connection, execution.clone());
            let outcome = panics::catch(|| (handler.0)(Request::new(execution.clone()), Context::new(execution)));
            unanswered.answer(outcome.unwrap_or_else(failed));
        }));
    }
}

impl<F, R> Handler for Asynchronous<F>
where
    F: Fn(Request, Context) -> R + Send + Sync + 'static,
    R: Future<Output = Outcome> + Send + 'static,
{
    #[expect(private_interfaces, reason = "called by this crate alone")]
    fn start(self: &Arc<Self>, execution: Arc<Execution>, connection: Arc<Connection>) {
        let handler = self.clone();
        let (pool, runtime) = (connection.pool.clone(), connection.runtime.clone());
        pool.run(Box::new(move || {
            connection.outbox.begun();
            let mut task = Box::pin(async move {
                let unanswered = Unanswered::new(connection, execution.clone());
                // The macro's closure: it makes a future and runs none of the author's code.
                let future = (handler.0)(Request::new(execution.clone()), Context::new(execution.clone()));
                // The future is gone when this is done: the answer says that the work has stopped.
                let outcome = guard(future, &execution).await;
                unanswered.answer(outcome);
            });
            // Most handlers are done, or block if they do, before they wait for the first time: on this thread they may. A
            // waker that does nothing will do, for a task that is spawned is polled at once.
            if task.as_mut().poll(&mut TaskContext::from_waker(Waker::noop())).is_pending() {
                runtime.spawn(task);
            }
        }));
    }
}

/// Runs `future` until it is ready, panics, or stays after it was cancelled.
async fn guard(future: impl Future<Output = Outcome>, execution: &Execution) -> Outcome {
    let mut future = pin!(future);
    let mut ticket = None;
    let mut grace: Option<Pin<Box<Sleep>>> = None;
    poll_fn(|cx| {
        match panics::catch(|| future.as_mut().poll(cx)) {
            Ok(Poll::Pending) => {}
            Ok(Poll::Ready(outcome)) => return Poll::Ready(outcome),
            Err(error) => return Poll::Ready(failed(error)),
        }
        // Asked only by handlers that wait.
        if execution.signals.poll_cancelled(&mut ticket, cx).is_pending() {
            return Poll::Pending;
        }
        if execution.signals.is_listened_to() {
            let grace = grace.get_or_insert_with(|| Box::pin(sleep(CANCEL_GRACE)));
            if grace.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
        }
        Poll::Ready(failed(Error::cancelled()))
    })
    .await
}

fn failed(error: Error) -> Outcome {
    Outcome(Err(error))
}
