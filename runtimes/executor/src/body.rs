//! Bodies that are written while they are read, with a bound between the two.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_util::Stream;
use tokio::sync::mpsc;

/// The other side ended a body before its end.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the body was broken off: {0}")]
pub struct Broken(pub String);

/// The reading side of a body. Dropping it tells the writer that nobody reads any more.
#[derive(Debug)]
pub struct BodyStream {
    parts: mpsc::Receiver<Bytes>,
    broken: Break,
}

/// The word that the body broke off. It lies beside the channel, so that it is never lost to a full one.
#[derive(Debug, Clone, Default)]
struct Break(Arc<Mutex<Option<Broken>>>);

impl Break {
    fn set(&self, why: String) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(Broken(why));
    }

    fn take(&self) -> Option<Broken> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// The writing side of a body. Dropping it without [`BodySender::finish`] breaks the body off.
#[derive(Debug)]
pub struct BodySender {
    parts: mpsc::Sender<Bytes>,
    broken: Break,
    finished: bool,
}

/// Nobody reads the body any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("nobody reads the body any more")]
pub struct Disconnected;

/// A body of which at most `parts_max` parts (at least 1) are under way.
#[must_use]
pub fn body_channel(parts_max: usize) -> (BodySender, BodyStream) {
    let (parts, receiver) = mpsc::channel(parts_max.max(1));
    let broken = Break::default();
    (BodySender { parts, broken: broken.clone(), finished: false }, BodyStream { parts: receiver, broken })
}

impl BodySender {
    /// Sends a part; waits while the reader is behind.
    ///
    /// # Errors
    /// When nobody reads any more.
    pub async fn send(&self, part: Bytes) -> Result<(), Disconnected> {
        self.parts.send(part).await.map_err(|_| Disconnected)
    }

    /// Sends a part if there is room: `Ok(None)` when it was taken, the part itself when the reader is behind.
    ///
    /// # Errors
    /// When nobody reads any more.
    pub fn try_send(&self, part: Bytes) -> Result<Option<Bytes>, Disconnected> {
        match self.parts.try_send(part) {
            Ok(()) => Ok(None),
            Err(mpsc::error::TrySendError::Full(part)) => Ok(Some(part)),
            Err(mpsc::error::TrySendError::Closed(_)) => Err(Disconnected),
        }
    }

    /// Resolves when nobody reads any more.
    pub async fn closed(&self) {
        self.parts.closed().await;
    }

    /// Ends the body well.
    pub fn finish(mut self) {
        self.finished = true;
    }

    /// Breaks the body off and says why.
    pub fn break_off(mut self, why: impl Into<String>) {
        self.finished = true;
        self.broken.set(why.into());
    }
}

impl Drop for BodySender {
    fn drop(&mut self) {
        if !self.finished {
            self.broken.set("its writer went away".into());
        }
    }
}

impl BodyStream {
    /// The next part, `None` at the end.
    pub async fn next(&mut self) -> Option<Result<Bytes, Broken>> {
        match self.parts.recv().await {
            Some(part) => Some(Ok(part)),
            None => self.broken.take().map(Err),
        }
    }
}

impl Stream for BodyStream {
    type Item = Result<Bytes, Broken>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let part = ready!(self.parts.poll_recv(cx));
        Poll::Ready(match part {
            Some(part) => Some(Ok(part)),
            None => self.broken.take().map(Err),
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test")]
    use super::*;

    #[tokio::test]
    async fn a_finished_body_ends_and_a_dropped_one_breaks() {
        let (sender, mut body) = body_channel(1);
        sender.send(Bytes::from_static(b"a")).await.unwrap();
        sender.finish();
        assert_eq!(body.next().await, Some(Ok(Bytes::from_static(b"a"))));
        assert_eq!(body.next().await, None);

        let (sender, mut body) = body_channel(1);
        drop(sender);
        assert!(matches!(body.next().await, Some(Err(Broken(_)))));
        assert_eq!(body.next().await, None);
    }

    #[tokio::test]
    async fn a_full_channel_does_not_hide_that_the_body_broke() {
        let (sender, mut body) = body_channel(2);
        while sender.try_send(Bytes::from_static(b"a")).unwrap().is_none() {}
        sender.break_off("power cut");
        assert_eq!(body.next().await, Some(Ok(Bytes::from_static(b"a"))));
        assert_eq!(body.next().await, Some(Ok(Bytes::from_static(b"a"))));
        assert_eq!(body.next().await, Some(Err(Broken("power cut".into()))));
        assert_eq!(body.next().await, None);
    }
}
