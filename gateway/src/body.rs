//! Bodies on their way.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Either, Full};
use hyper::body::Incoming;

use crate::relay::RelayedBody;

pub(crate) type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// The body of an answer.
pub(crate) type Body = UnsyncBoxBody<Bytes, BoxError>;

/// A body that is known.
pub(crate) fn whole(text: String) -> Body {
    Full::new(Bytes::from(text)).map_err(|never| match never {}).boxed_unsync()
}

/// Longest body that is read whole before its request is sent, in bytes: with its head it may share a connection.
const SHORT_BYTES_MAX: usize = 16 * 1024;

/// How often what has not come yet is waited for. A body that came with its head is there after the connection was read once
/// more; one that has to be waited for is passed on as it comes.
const TURNS_MAX: u32 = 2;

/// A caller's body on its way to an instance. It ends in an error beyond the limit, and tells so in its state.
pub(crate) struct RequestBody {
    /// What was read ahead.
    first: Bytes,
    /// What follows; `None` when nothing does.
    rest: Option<Incoming>,
    left: u64,
    state: Arc<RequestState>,
}

/// What became of a request's body.
#[derive(Debug, Default)]
pub(crate) struct RequestState {
    too_large: AtomicBool,
}

impl RequestState {
    pub(crate) fn too_large(&self) -> bool {
        self.too_large.load(Ordering::Relaxed)
    }
}

impl RequestBody {
    pub(crate) fn new(inner: Incoming, bytes_max: u64, state: Arc<RequestState>) -> Self {
        Self { first: Bytes::new(), rest: Some(inner), left: bytes_max, state }
    }

    /// All of it, where that is known.
    pub(crate) fn whole(&self) -> Option<&Bytes> {
        self.rest.is_none().then_some(&self.first)
    }

    /// Reads it to its end, if it is short and has come with its head.
    ///
    /// # Errors
    /// As when it is read in parts.
    pub(crate) async fn gather(&mut self) -> Result<(), BoxError> {
        let Some(rest) = &self.rest else { return Ok(()) };
        if rest.is_end_stream() {
            self.rest = None;
            return Ok(());
        }
        if rest.size_hint().lower() > SHORT_BYTES_MAX as u64 {
            return Ok(());
        }
        let mut turns = 0;
        while self.first.len() <= SHORT_BYTES_MAX {
            let Some(rest) = &mut self.rest else { break };
            let polled = poll_fn(|cx| Poll::Ready(Pin::new(&mut *rest).poll_frame(cx))).await;
            match polled {
                Poll::Pending if turns == TURNS_MAX => break,
                Poll::Pending => {
                    turns += 1;
                    tokio::task::yield_now().await;
                }
                Poll::Ready(None) => self.rest = None,
                Poll::Ready(Some(frame)) => {
                    let is_last = rest.is_end_stream();
                    if let Ok(data) = self.within(frame?)?.into_data() {
                        self.first = join(std::mem::take(&mut self.first), data);
                    }
                    if is_last {
                        self.rest = None;
                    }
                }
            }
        }
        Ok(())
    }

    /// Counts what came against the limit.
    fn within(&mut self, frame: Frame<Bytes>) -> Result<Frame<Bytes>, BoxError> {
        let length = frame.data_ref().map_or(0, |data| data.len() as u64);
        match self.left.checked_sub(length) {
            Some(left) => {
                self.left = left;
                Ok(frame)
            }
            None => {
                self.state.too_large.store(true, Ordering::Relaxed);
                Err("the payload is too long".into())
            }
        }
    }
}

fn join(first: Bytes, further: Bytes) -> Bytes {
    if first.is_empty() { further } else { [first, further].concat().into() }
}

impl HttpBody for RequestBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if !self.first.is_empty() {
            return Poll::Ready(Some(Ok(Frame::data(std::mem::take(&mut self.first)))));
        }
        let Some(rest) = &mut self.rest else { return Poll::Ready(None) };
        let polled = ready!(Pin::new(rest).poll_frame(cx));
        Poll::Ready(polled.map(|frame| self.within(frame?)))
    }

    fn is_end_stream(&self) -> bool {
        self.first.is_empty() && self.rest.as_ref().is_none_or(HttpBody::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        let first = self.first.len() as u64;
        let Some(rest) = &self.rest else { return SizeHint::with_exact(first) };
        let rest = rest.size_hint();
        let mut both = SizeHint::new();
        both.set_lower(first + rest.lower());
        if let Some(upper) = rest.upper() {
            both.set_upper(first + upper);
        }
        both
    }
}

/// The body of an instance's answer.
pub(crate) type InstanceBody = Either<Incoming, RelayedBody>;

/// What an answer comes through.
pub(crate) trait Drives {
    /// Reads and writes what can be read and written now.
    fn drive(&mut self, cx: &mut Context<'_>);

    /// The answer has come to its end.
    fn finish(&mut self);
}

/// An answer's body, which gives back its place at the instance when it ends, however it ends.
pub(crate) struct AnswerBody<P> {
    inner: InstanceBody,
    place: Option<P>,
}

impl<P: Drives> AnswerBody<P> {
    pub(crate) fn new(inner: InstanceBody, mut place: P) -> Self {
        if inner.is_end_stream() {
            place.finish();
        }
        Self { inner, place: Some(place) }
    }
}

impl<P: Drives + Unpin> HttpBody for AnswerBody<P> {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = &mut *self;
        if let Some(place) = &mut this.place {
            place.drive(cx);
        }
        let polled = Pin::new(&mut this.inner).poll_frame(cx);
        match &polled {
            Poll::Ready(Some(Err(_))) => this.place = None,
            Poll::Ready(None) => this.end(),
            Poll::Ready(Some(Ok(_))) if this.inner.is_end_stream() => this.end(),
            Poll::Ready(Some(Ok(_))) | Poll::Pending => {}
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

impl<P: Drives> AnswerBody<P> {
    fn end(&mut self) {
        if let Some(mut place) = self.place.take() {
            place.finish();
        }
    }
}
