//! Keeps the table in line with the store, and acknowledges what it shows.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use ignite_store_meta::{Changes, Meta, MetaError, Topic};
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
    ready: Arc<AtomicBool>,
    stop: CancellationToken,
) {
    let mut signal = meta.subscribe(Topic::Changes);
    let mut follower = Follower { meta, table, name, seen: None, acknowledged: None };
    loop {
        let wait = match follower.look().await {
            Ok(()) => {
                ready.store(true, Ordering::Release);
                LOOK_EVERY
            }
            Err(error) => {
                let error = &error as &dyn std::error::Error;
                tracing::warn!(error, "routes could not be read; the last ones are served");
                FAILED_WAIT
            }
        };
        tokio::select! {
            () = stop.cancelled() => return,
            () = signal.wait(wait) => {}
        }
    }
}

struct Follower {
    meta: Meta,
    table: Arc<Table>,
    name: String,
    seen: Option<u64>,
    acknowledged: Option<(u64, Instant)>,
}

impl Follower {
    async fn look(&mut self) -> Result<(), MetaError> {
        let seen = match self.seen {
            None => self.begin().await?,
            Some(after) => self.catch_up(after).await?,
        };
        self.seen = Some(seen);
        let told = self.acknowledged.is_some_and(|(told, at)| told == seen && at.elapsed() < HEARTBEAT_EVERY);
        if !told {
            self.meta.acknowledge(&self.name, seen, now_ms()).await?;
            self.acknowledged = Some((seen, Instant::now()));
        }
        Ok(())
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
