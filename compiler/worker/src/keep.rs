//! Keeps a lease while a compile goes on, and says when it has to stop.

use std::time::Duration;

use tokio::time::Instant;

use crate::queue::{LeasedJob, Standing};
use crate::worker::Shared;

/// Why a compile has to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Why {
    /// The job was cancelled.
    Cancelled,
    /// The lease is lost, or will be before the compile can have stopped.
    Lost,
    /// The builder ends.
    Ending,
}

/// A lease is renewed when this part of it is over.
const RENEW_PART: u32 = 3;

/// How long before the end of a lease the compile is stopped that could not be renewed: when another builder may take it over,
/// nothing of it runs here. At most a quarter of the lease.
const STOP_BEFORE: Duration = Duration::from_secs(3);

/// Least time between two looks, however many signals come.
const LOOK_GAP: Duration = Duration::from_millis(50);

/// Renews the lease, which was asked for at `leased`, and looks how the job stands, until it has to stop.
pub(crate) async fn keep(shared: &Shared, job: &LeasedJob, leased: Instant) -> Why {
    let options = &shared.options;
    let reserve = STOP_BEFORE.min(options.lease / 4);
    let (mut leased, mut failing) = (leased, false);
    let mut wake = shared.queue.wake();
    loop {
        let stop_at = leased + options.lease - reserve;
        let renew_at = leased + options.lease / RENEW_PART;
        let wait = options.look_every.min(stop_at.saturating_duration_since(Instant::now()));
        tokio::select! {
            biased;
            () = shared.give_up.cancelled() => return Why::Ending,
            () = wake.wait(wait) => {}
        }
        let asked = Instant::now();
        if asked >= stop_at {
            tracing::warn!("the lease was not renewed in time");
            return Why::Lost;
        }
        let call_max = options.call_max.min(stop_at - asked);
        let renews = asked >= renew_at;
        let call = match renews {
            true => shared.queue.renew(&job.lease, options.lease),
            false => shared.queue.look(&job.lease),
        };
        let answer = tokio::select! {
            biased;
            () = shared.give_up.cancelled() => return Why::Ending,
            answer = shared.call(call_max, call) => answer,
        };
        match answer {
            Ok(Standing::Held) => {
                failing = false;
                if renews {
                    leased = asked;
                }
            }
            Ok(Standing::Cancelled) => return Why::Cancelled,
            Ok(Standing::Lost) => return Why::Lost,
            // The lease is longer than a store is usually away.
            Err(error) => {
                if !std::mem::replace(&mut failing, true) {
                    tracing::warn!(error = &error as &dyn std::error::Error, "it cannot be seen how the job stands");
                }
            }
        }
        tokio::time::sleep(LOOK_GAP.min(stop_at.saturating_duration_since(Instant::now()))).await;
    }
}
