//! The rounds: each turns something that happened elsewhere into events, again and again until it is told to stop.
//!
//! A round that fails is logged and tried again; nothing it saw is lost, because it looks at rows and not at messages.

mod compiles;
mod due;
mod instances;
mod served;

use std::future::Future;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::{AppError, Apps};

pub use compiles::settle_compiles;
pub use due::{find_busy, tick_due};
pub use instances::report_instances;
pub use served::release_served;

/// Longest time between two looks at the rows, when no signal comes: another process' changes wake nobody here.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// How long a round that failed waits before it tries again.
const FAILED_WAIT: Duration = Duration::from_secs(1);

/// How often all apps are looked through for something under way, for what a former process left.
const SWEEP_EVERY: Duration = Duration::from_secs(60);

/// Runs all rounds until `stop`.
pub async fn run(apps: Apps, stop: CancellationToken) {
    let mut rounds = JoinSet::new();
    rounds.spawn(repeat(
        "compiles",
        apps.clone(),
        stop.clone(),
        LOOK_EVERY,
        Some(ignite_store_meta::Topic::JobEnds),
        |apps| async move { settle_compiles(&apps).await },
    ));
    rounds.spawn(repeat(
        "instances",
        apps.clone(),
        stop.clone(),
        LOOK_EVERY,
        Some(ignite_store_meta::Topic::Changes),
        |apps| async move {
            report_instances(&apps).await?;
            release_served(&apps).await
        },
    ));
    rounds.spawn(repeat(
        "due",
        apps.clone(),
        stop.clone(),
        LOOK_EVERY,
        None,
        |apps| async move { tick_due(&apps).await },
    ));
    rounds.spawn(repeat("sweep", apps, stop, SWEEP_EVERY, None, |apps| async move { find_busy(&apps).await }));
    while rounds.join_next().await.is_some() {}
}

async fn repeat<F, W>(
    name: &'static str,
    apps: Apps,
    stop: CancellationToken,
    every: Duration,
    topic: Option<ignite_store_meta::Topic>,
    round: F,
) where
    F: Fn(Apps) -> W,
    W: Future<Output = Result<(), AppError>>,
{
    let mut signal = topic.map(|topic| apps.meta().subscribe(topic));
    loop {
        let wait = match round(apps.clone()).await {
            Ok(()) => every,
            Err(error) => {
                tracing::warn!(
                    round = name,
                    error = &error as &dyn std::error::Error,
                    "a round failed and is tried again"
                );
                FAILED_WAIT
            }
        };
        let next = async {
            match &mut signal {
                Some(signal) => signal.wait(wait).await,
                None => tokio::time::sleep(wait).await,
            }
        };
        tokio::select! {
            () = stop.cancelled() => return,
            () = next => {}
        }
    }
}
