//! The attribute macro of the Rust SDK, `#[ignite::main]`.
//!
//! The shell here reads the environment and turns tokens around; `expand` is the macro, a function of its arguments. It
//! knows the shape of a handler and nothing of frames or components: what it writes calls `ignite::__private`.

mod expand;
mod signature;

use expand::{Place, expand};
use proc_macro::TokenStream;

/// Makes a function the handler that the host calls.
///
/// ```text
/// use ignite::prelude::*;
///
/// #[ignite::main]
/// async fn handler(req: Request, ctx: Context) -> Result<impl IntoResponse> {
///     Ok(json!({ "path": req.path(), "execution": ctx.execution_id() }))
/// }
/// ```
///
/// It is named `handler`, stands in `src/lib.rs` or `src/main.rs`, and takes a `Request` and a `Context`, which it may
/// call as it likes. It may be `async` or not: one that is not has a thread of its own while it runs and may block. It
/// returns an answer (what implements `IntoResponse`) or a `Result` of one; any error type will do that `?` turns into
/// `Box<dyn Error + Send + Sync>`.
///
/// The function itself stays as it is: tests call it through `ignite::test::invoke`.
#[proc_macro_attribute]
pub fn main(arguments: TokenStream, item: TokenStream) -> TokenStream {
    // Cargo sets it while it compiles a binary target, and only then.
    let place = match std::env::var_os("CARGO_BIN_NAME") {
        Some(_) => Place::Binary,
        None => Place::Library,
    };
    let (mut tokens, errors) = expand(arguments.into(), item.into(), place);
    tokens.extend(errors.iter().map(syn::Error::to_compile_error));
    tokens.into()
}
