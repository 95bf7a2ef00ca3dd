//! A streamed body: what has arrived and is not yet taken, and the credit that bounds it.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use bytes::{Bytes, BytesMut};
use ignite_core_abi::STREAM_WINDOW_BYTES;

/// Small parts are joined up to this, in bytes: a part has a cost of its own, and the window counts bytes alone.
const JOINED_BYTES_MAX: usize = 16 * 1024;

/// What the reader of a connection has put down for the reader of one body.
#[derive(Debug)]
pub struct Arriving(Mutex<Arrived>);

#[derive(Debug)]
struct Arrived {
    parts: VecDeque<Part>,
    end: Option<Result<(), String>>,
    /// Bytes the other side may still send.
    credit: u32,
    /// Who waits for more.
    waiting: Option<Waker>,
}

#[derive(Debug)]
enum Part {
    /// Kept as it came.
    Whole(Bytes),
    /// Small parts, joined.
    Joined(BytesMut),
}

impl Part {
    fn into_bytes(self) -> Bytes {
        match self {
            Self::Whole(bytes) => bytes,
            Self::Joined(bytes) => bytes.freeze(),
        }
    }
}

/// The other side sent more than it had credit for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Overrun;

/// What comes next of a body.
#[derive(Debug, PartialEq, Eq)]
pub enum Next {
    /// A part.
    Part(Bytes),
    /// Its end, or why it broke off.
    End(Result<(), String>),
}

impl Default for Arriving {
    fn default() -> Self {
        Self(Mutex::new(Arrived { parts: VecDeque::new(), end: None, credit: STREAM_WINDOW_BYTES, waiting: None }))
    }
}

impl Arriving {
    fn lock(&self) -> MutexGuard<'_, Arrived> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a part.
    ///
    /// # Errors
    /// When it exceeds the credit.
    pub fn push(&self, part: Bytes) -> Result<(), Overrun> {
        let mut arrived = self.lock();
        let length = u32::try_from(part.len()).map_err(|_| Overrun)?;
        arrived.credit = arrived.credit.checked_sub(length).ok_or(Overrun)?;
        match arrived.parts.back_mut() {
            _ if part.is_empty() => return Ok(()),
            Some(Part::Joined(joined)) if joined.len() + part.len() <= JOINED_BYTES_MAX => {
                joined.extend_from_slice(&part);
            }
            Some(_) if part.len() < JOINED_BYTES_MAX => {
                let joined = Part::Joined(BytesMut::from(&part[..]));
                arrived.parts.push_back(joined);
            }
            _ => arrived.parts.push_back(Part::Whole(part)),
        }
        wake(arrived);
        Ok(())
    }

    /// The body ended, well or not; only the first end counts.
    pub fn end(&self, end: Result<(), String>) {
        let mut arrived = self.lock();
        arrived.end.get_or_insert(end);
        wake(arrived);
    }

    /// What comes next; the end comes once. One task at a time may wait.
    pub fn poll_next(&self, cx: &mut Context<'_>) -> Poll<Next> {
        let mut arrived = self.lock();
        if let Some(part) = arrived.parts.pop_front() {
            return Poll::Ready(Next::Part(part.into_bytes()));
        }
        match arrived.end.take() {
            Some(end) => Poll::Ready(Next::End(end)),
            None => {
                arrived.waiting = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }

    /// The other side may send so many bytes more.
    pub fn grant(&self, bytes: u32) {
        self.lock().credit += bytes;
    }
}

fn wake(mut arrived: MutexGuard<'_, Arrived>) {
    let waiting = arrived.waiting.take();
    drop(arrived);
    if let Some(waker) = waiting {
        waker.wake();
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test")]
    use std::future::poll_fn;

    use super::*;

    async fn next(arriving: &Arriving) -> Next {
        poll_fn(|cx| arriving.poll_next(cx)).await
    }

    #[tokio::test]
    async fn parts_come_in_order_small_ones_joined_and_then_the_end_once() {
        let arriving = Arriving::default();
        for part in ["one", "two", "three"] {
            arriving.push(Bytes::from(part)).unwrap();
        }
        arriving.end(Ok(()));
        arriving.end(Err("later".to_owned()));
        assert_eq!(next(&arriving).await, Next::Part(Bytes::from("one")));
        assert_eq!(next(&arriving).await, Next::Part(Bytes::from("twothree")));
        assert_eq!(next(&arriving).await, Next::End(Ok(())));
    }

    #[tokio::test]
    async fn more_than_the_credit_is_an_overrun() {
        let arriving = Arriving::default();
        let window = Bytes::from(vec![0; STREAM_WINDOW_BYTES as usize]);
        arriving.push(window).unwrap();
        assert_eq!(arriving.push(Bytes::from_static(b"x")), Err(Overrun));
        arriving.grant(1);
        arriving.push(Bytes::from_static(b"x")).unwrap();
    }

    #[tokio::test]
    async fn who_waits_is_woken() {
        let arriving = Arriving::default();
        let (came, ()) = tokio::join!(next(&arriving), async {
            tokio::task::yield_now().await;
            arriving.push(Bytes::from_static(b"x")).unwrap();
        });
        assert_eq!(came, Next::Part(Bytes::from_static(b"x")));
    }
}
