//! One execution: its guest, the head of its answer, and the parts that follow.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use http_body_util::BodyExt;
use ignite_runtimes_executor::{InvokeError, Reply};
use tokio::sync::mpsc;
use wasmtime_wasi_http::p2::body::HyperOutgoingBody;

use crate::contract::Part;

/// How a guest ended.
#[derive(Debug)]
pub(crate) enum Ended {
    /// With a whole answer.
    Complete(Reply),
    /// Well, having sent its answer in parts.
    Streamed,
    /// Without an answer, or in the midst of it.
    Failed(InvokeError),
}

/// The head of an answer whose body follows.
pub(crate) struct Head {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) parts: Parts,
}

/// Where the parts of a body come from.
pub(crate) enum Parts {
    /// From `body-stream` of our own world.
    Contract(mpsc::Receiver<Part>),
    /// From the outgoing body of a `wasi:http` guest. That library ends a body well also when its guest was torn down, so
    /// the second field tells.
    Http(HyperOutgoingBody, Arc<Torn>),
}

/// What a body has next.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Next {
    Data(Bytes),
    End,
    Broken(String),
}

impl Parts {
    /// The next part. May be dropped and called again without losing one.
    pub(crate) async fn next(&mut self) -> Next {
        match self {
            Self::Contract(parts) => match parts.recv().await {
                Some(Part::Data(data)) => Next::Data(data),
                Some(Part::Finish) => Next::End,
                None => Next::Broken("the handler ended before it finished the body".into()),
            },
            Self::Http(body, torn) => loop {
                match body.frame().await {
                    Some(Ok(frame)) => {
                        // Trailers have no place in an answer of the product.
                        if let Ok(data) = frame.into_data()
                            && !data.is_empty()
                        {
                            break Next::Data(data);
                        }
                    }
                    Some(Err(error)) => break Next::Broken(format!("the handler broke the body off: {error}")),
                    None if torn.get() => break Next::Broken("the handler ended before it finished the body".into()),
                    None => break Next::End,
                }
            },
        }
    }
}

/// Set when a guest is taken down before it returned.
#[derive(Debug, Default)]
pub(crate) struct Torn(AtomicBool);

impl Torn {
    fn get(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

/// Sets [`Torn`] unless the guest returned. Has to be dropped before the store is, because the store takes the body with it.
pub(crate) struct TornUnlessReturned(Option<Arc<Torn>>);

impl TornUnlessReturned {
    pub(crate) fn new(torn: Arc<Torn>) -> Self {
        Self(Some(torn))
    }

    /// The guest returned.
    pub(crate) fn returned(mut self) {
        self.0 = None;
    }
}

impl Drop for TornUnlessReturned {
    fn drop(&mut self) {
        if let Some(torn) = &self.0 {
            torn.0.store(true, Ordering::Release);
        }
    }
}
