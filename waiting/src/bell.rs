//! Work that goes on until a bell rings.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::task::{Poll, ready};

use tokio::task::unconstrained;

/// Runs `work` to its end, or until `bell` resolves; whether it ended.
///
/// To listen for the bell takes a lock that all who listen share, so it is done once and not at each step of the work: the bell
/// wakes this task, whose waker stays the same, and `has_rung` tells that it was the bell. It has to be true before the bell
/// wakes anybody.
pub async fn until_rung(mut work: Pin<&mut impl Future>, bell: impl Future, has_rung: impl Fn() -> bool) -> bool {
    // Unconstrained: a poll that was put off for the sake of other tasks would not have begun to listen.
    let mut bell = pin!(unconstrained(bell));
    let mut listening = false;
    poll_fn(|cx| {
        // The work first: a connection that is told to shut down before it has read anything ends without an answer.
        if work.as_mut().poll(cx).is_ready() {
            return Poll::Ready(true);
        }
        if !listening || has_rung() {
            listening = true;
            ready!(bell.as_mut().poll(cx).map(drop));
            return Poll::Ready(false);
        }
        Poll::Pending
    })
    .await
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use tokio::sync::Notify;
    use tokio::task::yield_now;

    use super::*;

    #[tokio::test]
    async fn the_bell_is_listened_for_once_and_heard() {
        let (notify, rung, listened) = (Notify::new(), Cell::new(false), Cell::new(0));
        let mut waiting = pin!(notify.notified());
        let bell = poll_fn(|cx| {
            listened.set(listened.get() + 1);
            waiting.as_mut().poll(cx)
        });
        let busy = async {
            for _ in 0..100 {
                yield_now().await;
            }
            assert_eq!(listened.get(), 1);
            rung.set(true);
            notify.notify_waiters();
            std::future::pending::<()>().await;
        };
        assert!(!until_rung(pin!(busy), bell, || rung.get()).await);
    }

    #[tokio::test]
    async fn work_that_ends_has_ended_whatever_rings() {
        assert!(until_rung(pin!(yield_now()), std::future::pending::<()>(), || false).await);
        assert!(until_rung(pin!(async {}), async {}, || true).await);
    }
}
