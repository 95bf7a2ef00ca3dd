//! Waking those who wait for rows. A signal is a hint, never the record: who waits reads the database afterwards, and
//! reads it from time to time anyway, because another process wakes nobody here.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

/// What one can wait for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Topic {
    /// Routes, desired state or instances changed, or a watcher has seen changes.
    Changes,
    /// Effects were put into the outbox.
    Outbox,
    /// A job of this kind was put into its queue, or marked to be cancelled.
    Jobs(String),
    /// A job has ended and is not settled yet.
    JobEnds,
    /// An execution was accepted.
    Executions,
    /// This execution changed its status.
    Execution(ignite_core_model::ExecutionId),
    /// Lines were appended to this log stream, or it was deleted.
    Log(String),
}

/// Most topics that are remembered at once. Beyond it new waiters are not woken early; they still wake in time.
const TOPICS_MAX: usize = 10_000;

#[derive(Debug, Default)]
pub(crate) struct Signals(Mutex<HashMap<Topic, watch::Sender<()>>>);

impl Signals {
    pub(crate) fn raise(&self, topic: &Topic) {
        let mut topics = self.lock();
        if let Some(sender) = topics.get(topic)
            && sender.send(()).is_err()
        {
            // The last who waited has left.
            topics.remove(topic);
        }
    }

    pub(crate) fn subscribe(&self, topic: Topic) -> Signal {
        let mut topics = self.lock();
        if topics.len() >= TOPICS_MAX {
            topics.retain(|_, sender| sender.receiver_count() > 0);
        }
        if topics.len() >= TOPICS_MAX {
            return Signal(watch::Sender::new(()).subscribe());
        }
        Signal(topics.entry(topic).or_insert_with(|| watch::Sender::new(())).subscribe())
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Topic, watch::Sender<()>>> {
        // Nothing panics while it is held, and a half-done change of the map would still be a map.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Wakes when something happened to its topic since it was made or last woke.
#[derive(Debug)]
pub struct Signal(watch::Receiver<()>);

impl Signal {
    /// Waits until the topic is raised in this process, or for `at_most`. Read the database after either.
    pub async fn wait(&mut self, at_most: Duration) {
        let raised = async {
            if self.0.changed().await.is_err() {
                // Nobody can raise it any more: only time wakes.
                std::future::pending::<()>().await;
            }
        };
        let _ = tokio::time::timeout(at_most, raised).await;
    }
}
