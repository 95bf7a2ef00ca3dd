//! Calls a handler without a server, in `#[test]` and `#[tokio::test]`.
//!
//! ```
//! use ignite::prelude::*;
//!
//! #[ignite::main]
//! async fn handler(req: Request, ctx: Context) -> Result<impl IntoResponse> {
//!     ctx.log().info("called");
//!     Ok((StatusCode::CREATED, req.field::<String>("name")?))
//! }
//!
//! // in a #[test]:
//! let request = ignite::test::request().json(&json!({ "name": "Ada" }));
//! let reply = ignite::test::invoke(handler, request, ignite::test::context());
//! assert_eq!(reply.status, 201);
//! assert_eq!(reply.text(), "Ada");
//! assert_eq!(reply.logs[0].message, "called");
//! ```

mod reply;
mod setup;

pub use reply::{LogRecord, Reply};
pub use setup::{TestContext, TestRequest, cancel, context, request};

use std::future::ready;
use std::panic::resume_unwind;

use crate::outcome::{Outcome, Output};
use crate::{Context, Request};

/// A handler as an author writes it, `async` or not. `Kind` tells them apart and is always inferred.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a handler",
    label = "not a handler",
    note = "a handler is `async fn handler(req: Request, ctx: Context) -> Result<impl IntoResponse>`, `async` or not"
)]
pub trait TestHandler<Kind> {
    #[doc(hidden)]
    fn call(self, request: Request, context: Context) -> impl Future<Output = Outcome>;
}

/// Marks handlers that are not `async`.
#[derive(Debug)]
pub enum Plain {}

/// Marks `async` handlers.
#[derive(Debug)]
pub enum Async {}

impl<F, O> TestHandler<Plain> for F
where
    F: FnOnce(Request, Context) -> O,
    O: Output,
{
    fn call(self, request: Request, context: Context) -> impl Future<Output = Outcome> {
        ready(self(request, context).into_outcome())
    }
}

impl<F, R> TestHandler<Async> for F
where
    F: FnOnce(Request, Context) -> R,
    R: Future<Output: Output>,
{
    async fn call(self, request: Request, context: Context) -> Outcome {
        self(request, context).await.into_outcome()
    }
}

/// Calls `handler` and waits for its answer, on a thread and a tokio runtime of its own: it works inside and outside of
/// a runtime. A handler that talks to a server which the test itself runs needs [`invoke_async`].
///
/// An error is answered as the host would answer it, with [`Reply::error`] beside it.
///
/// # Panics
/// When the handler panics, so that the test fails with its message; and when the machine refuses a thread.
pub fn invoke<K, H>(handler: H, request: impl Into<TestRequest>, context: impl Into<TestContext>) -> Reply
where
    H: TestHandler<K> + Send,
{
    let (request, context) = (request.into(), context.into());
    let call = || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.map(|runtime| runtime.block_on(invoke_async(handler, request, context)))
    };
    let result = std::thread::scope(|scope| scope.spawn(call).join());
    match result {
        Ok(reply) => reply.expect("the machine gives a test a runtime"),
        Err(panic) => resume_unwind(panic),
    }
}

/// Calls `handler` on the runtime at hand, as in `#[tokio::test]`.
pub async fn invoke_async<K, H>(handler: H, request: impl Into<TestRequest>, context: impl Into<TestContext>) -> Reply
where
    H: TestHandler<K>,
{
    let (execution, recorder) = setup::execution(request.into(), context.into());
    let outcome = handler.call(Request::new(execution.clone()), Context::new(execution.clone())).await;
    reply::reply(&execution, &recorder, outcome)
}
