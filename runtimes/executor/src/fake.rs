//! An executor of closures, for tests of whatever stands before it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use http::{HeaderMap, StatusCode};

use crate::{BoxFuture, Executor, Health, Invocation, InvokeError, Reply, ReplyBody};

type Handler = dyn Fn(Invocation) -> BoxFuture<'static, Result<Reply, InvokeError>> + Send + Sync;

/// Answers each invocation with a closure.
#[derive(Clone)]
pub struct FakeExecutor {
    handler: Arc<Handler>,
    draining: Arc<AtomicBool>,
}

impl FakeExecutor {
    /// An executor that runs `handler` for each invocation.
    pub fn new<F, Fut>(handler: F) -> Self
    where
        F: Fn(Invocation) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Reply, InvokeError>> + Send + 'static,
    {
        Self {
            handler: Arc::new(move |invocation| Box::pin(handler(invocation))),
            draining: Arc::new(AtomicBool::new(false)),
        }
    }

    /// An executor that answers 200 with `body`.
    #[must_use]
    pub fn fixed(body: &'static [u8]) -> Self {
        Self::new(move |_| async move {
            Ok(Reply {
                status: StatusCode::OK,
                headers: HeaderMap::new(),
                body: ReplyBody::Full(Bytes::from_static(body)),
            })
        })
    }
}

impl Executor for FakeExecutor {
    fn invoke(&self, invocation: Invocation) -> BoxFuture<'_, Result<Reply, InvokeError>> {
        (self.handler)(invocation)
    }

    fn health(&self) -> Health {
        if self.draining.load(Ordering::Acquire) { Health::Draining } else { Health::Ready }
    }

    fn started(&self) -> BoxFuture<'_, Health> {
        Box::pin(std::future::ready(self.health()))
    }

    fn drain(&self, _deadline: tokio::time::Instant) -> BoxFuture<'_, ()> {
        self.draining.store(true, Ordering::Release);
        Box::pin(std::future::ready(()))
    }
}
