//! Keeps the table in line with the store, and acknowledges what it shows.

use std::sync::Arc;
use std::time::Duration;

use ignite_store_meta::{Changes, Meta, MetaError, Topic};
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::Table;
use crate::clock::now_ms;

/// Longest time between two looks, when no signal comes.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// Time between two acknowledgements when nothing changes: it shows that this gateway is there.
const HEARTBEAT_EVERY: Duration = Duration::from_secs(5);

/// How long a look that failed waits before the next.
const FAILED_WAIT: Duration = Duration::from_secs(1);

/// Changes read at once.
const CHANGES_MAX: u32 = 512;

/// Follows the store until `stop`. While it is away the table stays as it is.
pub(crate) async fn follow(
    meta: Meta,
    table: Arc<Table>,
    name: String,
    ready: Arc<watch::Sender<bool>>,
    stop: CancellationToken,
) {
    let mut signal = meta.subscribe(Topic::Changes);
    let (shows, shown) = watch::channel(0);
    // Beside it: who waits for a place is not to wait until it is written down that the place was seen.
    let acknowledging = tokio::spawn(acknowledge(meta.clone(), name, shown, stop.clone()));
    let mut follower = Follower { meta, table, seen: None };
    loop {
        let wait = match follower.look().await {
            Ok(seen) => {
                ready.send_if_modified(|ready| !std::mem::replace(ready, true));
                shows.send_replace(seen);
                LOOK_EVERY
            }
            Err(error) => {
                let error = &error as &dyn std::error::Error;
                tracing::warn!(error, "routes could not be read; the last ones are served");
                FAILED_WAIT
            }
        };
        tokio::select! {
            () = stop.cancelled() => break,
            () = signal.wait(wait) => {}
        }
    }
    let _ = acknowledging.await;
}

/// Tells the store which change is shown: at once when it is another, else as a heartbeat, as long as looks succeed.
async fn acknowledge(meta: Meta, name: String, mut shown: watch::Receiver<u64>, stop: CancellationToken) {
    let mut told: Option<(u64, Instant)> = None;
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            looked = shown.changed() => if looked.is_err() { return },
        }
        let seen = *shown.borrow_and_update();
        if told.is_some_and(|(told, at)| told == seen && at.elapsed() < HEARTBEAT_EVERY) {
            continue;
        }
        match meta.acknowledge(&name, seen, now_ms()).await {
            Ok(()) => told = Some((seen, Instant::now())),
            Err(error) => {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "what is shown could not be acknowledged and is again"
                );
                tokio::time::sleep(FAILED_WAIT).await;
            }
        }
    }
}

struct Follower {
    meta: Meta,
    table: Arc<Table>,
    seen: Option<u64>,
}

impl Follower {
    async fn look(&mut self) -> Result<u64, MetaError> {
        let seen = match self.seen {
            None => self.begin().await?,
            Some(after) => self.catch_up(after).await?,
        };
        self.seen = Some(seen);
        self.table.forget_heard();
        Ok(seen)
    }

    async fn begin(&mut self) -> Result<u64, MetaError> {
        let snapshot = self.meta.snapshot().await?;
        let sequence = snapshot.sequence;
        self.table.reset(snapshot);
        Ok(sequence)
    }

    async fn catch_up(&mut self, mut after: u64) -> Result<u64, MetaError> {
        loop {
            match self.meta.changes_since(after, CHANGES_MAX).await? {
                Changes::TooOld => return self.begin().await,
                Changes::Since { upto, .. } if upto == after => return Ok(upto),
                Changes::Since { upto, items } => {
                    self.table.change(items);
                    after = upto;
                }
            }
        }
    }
}
