//! Writes the lines of an attempt, numbered without a gap from where the log stood.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::lines::Lines;
use crate::queue::Lease;
use crate::worker::Shared;

/// Pause between two tries to write the same lines.
const AGAIN: Duration = Duration::from_millis(250);

/// How long the last lines of a compile that was stopped are tried to be written.
const LAST_WORDS_MAX: Duration = Duration::from_secs(1);

/// Writes until there are no more lines, or the lease is lost. The same lines are sent until the queue has them; it ignores
/// those it has. Once the attempt is to stop it tries only so long.
pub(crate) async fn write(shared: &Shared, lease: &Lease, first: u64, lines: &Lines, stop: &CancellationToken) {
    let stopped = async {
        stop.cancelled().await;
        tokio::time::sleep(LAST_WORDS_MAX).await;
    };
    tokio::select! {
        () = write_all(shared, lease, first, lines) => {}
        () = stopped => {}
    }
    lines.break_off();
}

async fn write_all(shared: &Shared, lease: &Lease, first: u64, lines: &Lines) {
    let mut next = first;
    let mut failing = false;
    loop {
        let batch = lines.next().await;
        if batch.is_empty() {
            return;
        }
        loop {
            let appended = shared.call(shared.options.call_max, shared.queue.append(lease, next, &batch)).await;
            match appended {
                Ok(Some(after)) => {
                    failing = false;
                    next = after;
                    shared.metrics.lines.inc_by(batch.len() as u64);
                    break;
                }
                // Whoever has the job now writes its log.
                Ok(None) => return,
                Err(error) => {
                    if !std::mem::replace(&mut failing, true) {
                        tracing::warn!(
                            error = &error as &dyn std::error::Error,
                            "lines of a compile wait to be written"
                        );
                    }
                    tokio::time::sleep(AGAIN).await;
                }
            }
        }
    }
}
