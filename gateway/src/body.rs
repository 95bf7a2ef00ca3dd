//! Bodies on their way.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;

pub(crate) type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// The body of an answer.
pub(crate) type Body = UnsyncBoxBody<Bytes, BoxError>;

/// A body that is known.
pub(crate) fn whole(text: String) -> Body {
    Full::new(Bytes::from(text)).map_err(|never| match never {}).boxed_unsync()
}

/// A caller's body on its way to an instance. It ends in an error beyond the limit, and tells so in its state.
pub(crate) struct RequestBody {
    inner: Incoming,
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
        Self { inner, left: bytes_max, state }
    }
}

impl HttpBody for RequestBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match Pin::new(&mut self.inner).poll_frame(cx) {
            Poll::Ready(Some(Ok(frame))) => {
                let length = frame.data_ref().map_or(0, |data| data.len() as u64);
                match self.left.checked_sub(length) {
                    Some(left) => {
                        self.left = left;
                        Poll::Ready(Some(Ok(frame)))
                    }
                    None => {
                        self.state.too_large.store(true, Ordering::Relaxed);
                        Poll::Ready(Some(Err("the payload is too long".into())))
                    }
                }
            }
            Poll::Ready(Some(Err(error))) => Poll::Ready(Some(Err(error.into()))),
            Poll::Ready(None) => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        }
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

/// What an answer comes through.
pub(crate) trait Drives {
    /// Reads and writes what can be read and written now.
    fn drive(&mut self, cx: &mut Context<'_>);

    /// The answer has come to its end.
    fn finish(&mut self);
}

/// An answer's body, which gives back its place at the instance when it ends, however it ends.
pub(crate) struct AnswerBody<P> {
    inner: Incoming,
    place: Option<P>,
}

impl<P: Drives> AnswerBody<P> {
    pub(crate) fn new(inner: Incoming, mut place: P) -> Self {
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
        polled.map(|frame| frame.map(|frame| frame.map_err(Into::into)))
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
