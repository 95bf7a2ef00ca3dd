//! Timers that are set for every request and seldom go off.
//!
//! To set a timer of the runtime, and to give one up, takes a lock that all threads share; on a runtime of one thread it
//! wakes that thread out of its next wait, one call of the system, where no other timer ends sooner. Between the requests of
//! one connection a limit only moves further away, and moving a timer that is already set costs neither: so a connection
//! keeps its timers and hands them out again.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep_until};

/// One timer, used again and again; clones share it. Whoever finds it taken gets a new one.
///
/// It is for limits of one kind, so that its next moment is seldom before the last one.
#[derive(Debug, Clone, Default)]
pub struct KeptTimer(Arc<Mutex<Option<Pin<Box<Sleep>>>>>);

/// The moment passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Elapsed;

impl KeptTimer {
    fn place(&self) -> std::sync::MutexGuard<'_, Option<Pin<Box<Sleep>>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Resolves at `moment`.
    pub fn until(&self, moment: Instant) -> KeptSleep {
        let sleep = match self.place().take() {
            Some(mut sleep) => {
                sleep.as_mut().reset(moment);
                sleep
            }
            None => Box::pin(sleep_until(moment)),
        };
        KeptSleep { home: self.clone(), sleep: Some(sleep) }
    }

    /// What `future` resolves to, if it does by `deadline`. A future that is ready at once costs no timer.
    pub async fn within<T>(&self, deadline: Instant, future: impl Future<Output = T>) -> Result<T, Elapsed> {
        let mut future = pin!(future);
        let mut sleep = None;
        poll_fn(|cx| {
            if let Poll::Ready(value) = future.as_mut().poll(cx) {
                return Poll::Ready(Ok(value));
            }
            ready!(Pin::new(sleep.get_or_insert_with(|| self.until(deadline))).poll(cx));
            Poll::Ready(Err(Elapsed))
        })
        .await
    }
}

/// A timer in use; it goes back to where it is kept when this is dropped.
#[derive(Debug)]
pub struct KeptSleep {
    home: KeptTimer,
    sleep: Option<Pin<Box<Sleep>>>,
}

impl Future for KeptSleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        match &mut self.sleep {
            Some(sleep) => sleep.as_mut().poll(cx),
            None => Poll::Ready(()),
        }
    }
}

impl Drop for KeptSleep {
    fn drop(&mut self) {
        // Where another one is kept already, this one ends.
        let sleep = self.sleep.take();
        let mut place = self.home.place();
        if place.is_none() {
            *place = sleep;
        }
    }
}

impl hyper::rt::Sleep for KeptSleep {}

impl hyper::rt::Timer for KeptTimer {
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn hyper::rt::Sleep>> {
        Box::pin(self.until(Instant::now() + duration))
    }

    fn sleep_until(&self, deadline: std::time::Instant) -> Pin<Box<dyn hyper::rt::Sleep>> {
        Box::pin(self.until(deadline.into()))
    }

    fn now(&self) -> std::time::Instant {
        Instant::now().into()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test")]
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn a_kept_timer_goes_off_when_it_was_last_told_to() {
        let (kept, start) = (KeptTimer::default(), Instant::now());
        for (at, used_before) in [(3, 1), (10, 4), (11, 6)] {
            // Used for something that ended well, later and earlier than what follows.
            let ended = kept.within(start + SECOND * 100, tokio::time::sleep_until(start + SECOND * used_before)).await;
            assert_eq!(ended, Ok(()));
            let late = kept.within(start + SECOND * at, std::future::pending::<()>()).await;
            assert_eq!((late, start.elapsed()), (Err(Elapsed), SECOND * at));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn two_that_wait_at_once_have_a_timer_each() {
        let (kept, start) = (KeptTimer::default(), Instant::now());
        let wait = |seconds: u32| {
            let kept = kept.clone();
            async move {
                kept.until(start + SECOND * seconds).await;
                start.elapsed()
            }
        };
        assert_eq!(tokio::join!(wait(2), wait(1), wait(3)), (SECOND * 2, SECOND, SECOND * 3));
        assert_eq!(kept.within(start, std::future::ready(7)).await, Ok(7), "ready beats late");
    }
}
