//! The response body as hyper takes it.

use std::future::Future as _;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use ignite_runtimes_executor::{BodyStream, Broken};
use tokio::time::{Instant, Sleep};

use crate::clocks::Clock;
use crate::errors::HostError;
use crate::serving::Request;

/// A body that is whole, or one that is written while it is sent.
pub(crate) enum ResponseBody {
    Full(Option<Bytes>),
    Stream(Box<Streaming>),
}

/// A streamed body within its two limits: no pause longer than `idle`, no end after `deadline`. An error makes hyper reset
/// the connection, so a broken body never looks like a whole one.
pub(crate) struct Streaming {
    parts: BodyStream,
    idle: Duration,
    deadline: Instant,
    timer: Pin<Box<Sleep>>,
    /// Keeps the app version from being drained while its answer is sent.
    request: Request,
}

impl ResponseBody {
    pub(crate) fn full(bytes: Bytes) -> Self {
        Self::Full((!bytes.is_empty()).then_some(bytes))
    }

    pub(crate) fn stream(parts: BodyStream, idle: Duration, deadline: Instant, request: Request) -> Self {
        let timer = Box::pin(tokio::time::sleep_until(deadline.min(Instant::now() + idle)));
        Self::Stream(Box::new(Streaming { parts, idle, deadline, timer, request }))
    }

    /// When it must have ended; `None` for one that is whole.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        match self {
            Self::Full(_) => None,
            Self::Stream(streaming) => Some(streaming.deadline),
        }
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        match self.get_mut() {
            Self::Full(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Self::Stream(streaming) => streaming.poll(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Self::Full(None))
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Full(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64)),
            Self::Stream(_) => SizeHint::default(),
        }
    }
}

impl Streaming {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        use futures_util::Stream as _;
        if let Poll::Ready(part) = Pin::new(&mut self.parts).poll_next(cx) {
            // Time in which the caller does not read is not the function's pause.
            self.timer.as_mut().reset(self.deadline.min(Instant::now() + self.idle));
            if let Some(Err(broken)) = &part {
                self.request.broke_off(&broken.0);
            }
            return Poll::Ready(part.map(|part| part.map(Frame::data)));
        }
        ready!(self.timer.as_mut().poll(cx));
        let (clock, why) = if Instant::now() >= self.deadline {
            (Clock::Total, "its time limit was reached".to_owned())
        } else {
            let stream_idle_ms = self.idle.as_millis();
            (Clock::Idle, HostError::StreamIdleTimeout { stream_idle_ms }.to_string())
        };
        self.request.ran_out(clock, &why);
        Poll::Ready(Some(Err(Broken(why))))
    }
}
