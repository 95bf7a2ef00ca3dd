//! What `#[ignite::main]` writes calls to. Nothing here is promised to authors.

use crate::{Context, Request};

#[cfg(not(target_family = "wasm"))]
pub use crate::native::{Handler, run};
pub use crate::outcome::{Outcome, Output};
#[cfg(target_family = "wasm")]
pub use crate::wasm::{Handler, bindings, handle, run};

/// An `async` handler.
#[derive(Debug)]
pub struct Asynchronous<F>(pub(crate) F);

/// A handler that is not `async`.
#[derive(Debug)]
pub struct Synchronous<F>(pub(crate) F);

/// Takes an `async` handler.
#[cfg(not(target_family = "wasm"))]
pub fn asynchronous<F, R>(handler: F) -> Asynchronous<F>
where
    F: Fn(Request, Context) -> R + Send + Sync + 'static,
    R: Future<Output = Outcome> + Send + 'static,
{
    Asynchronous(handler)
}

/// Takes an `async` handler; one thread runs all of it, so that its future need not be `Send`.
#[cfg(target_family = "wasm")]
pub fn asynchronous<F, R>(handler: F) -> Asynchronous<F>
where
    F: Fn(Request, Context) -> R,
    R: Future<Output = Outcome>,
{
    Asynchronous(handler)
}

/// Takes a handler that is not `async`.
pub fn synchronous<F>(handler: F) -> Synchronous<F>
where
    F: Fn(Request, Context) -> Outcome + Send + Sync + 'static,
{
    Synchronous(handler)
}

/// The first parameter of a handler.
#[diagnostic::on_unimplemented(
    message = "the first parameter of a handler is a `Request`, not `{Self}`",
    label = "write `Request` here",
    note = "a handler is `async fn handler(req: Request, ctx: Context) -> Result<impl IntoResponse>`; `req.body::<T>()` reads the body as JSON"
)]
pub trait FirstParameter {
    /// Gives the request.
    fn give(request: Request) -> Self;
}

impl FirstParameter for Request {
    fn give(request: Request) -> Self {
        request
    }
}

/// The second parameter of a handler.
#[diagnostic::on_unimplemented(
    message = "the second parameter of a handler is a `Context`, not `{Self}`",
    label = "write `Context` here",
    note = "a handler is `async fn handler(req: Request, ctx: Context) -> Result<impl IntoResponse>`"
)]
pub trait SecondParameter {
    /// Gives the context.
    fn give(context: Context) -> Self;
}

impl SecondParameter for Context {
    fn give(context: Context) -> Self {
        context
    }
}

/// Writes the exports of a component that calls the handler `$handler` gives. Natively there are none.
#[doc(hidden)]
#[macro_export]
#[cfg(not(target_family = "wasm"))]
macro_rules! __component {
    ($handler:path) => {};
}

/// Writes the exports of a component that calls the handler `$handler` gives.
#[doc(hidden)]
#[macro_export]
#[cfg(target_family = "wasm")]
macro_rules! __component {
    ($handler:path) => {
        const _: () = {
            struct Component;
            impl $crate::__private::bindings::Guest for Component {
                fn handle(
                    request: $crate::__private::bindings::Request,
                ) -> ::core::result::Result<$crate::__private::bindings::Outcome, $crate::__private::bindings::Failure>
                {
                    $crate::__private::handle($handler(), request)
                }
            }
    $crate::__private::bindings::__export_function!(Component with_types_in $crate::__private::bindings);
        };
    };
}
