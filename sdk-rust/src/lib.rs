//! What a Rust function depends on.
//!
//! ```
//! use ignite::prelude::*;
//!
//! #[ignite::main]
//! async fn handler(req: Request, ctx: Context) -> Result<impl IntoResponse> {
//!     let name: String = req.field("name")?;
//!     ctx.log().field("name", &name).info("greeting");
//!     Ok(ignite::json!({ "hello": name }))
//! }
//! # let reply = ignite::test::invoke(handler, ignite::test::request().json(&json!({"name": "Ada"})), ignite::test::context());
//! # assert_eq!(reply.text(), r#"{"hello":"Ada"}"#);
//! ```
//!
//! [`main`] says what a handler looks like; [`Request`], [`Context`] and [`IntoResponse`] are what it works with;
//! [`test`](mod@test) calls it without a server.
//!
//! Behind them an execution, to which [`Context`] is a handle, sends what it has to say through an outlet: the host's
//! socket natively, the host's imports on wasm, a recorder in tests. This crate knows no HTTP: the host speaks it. It
//! knows nothing of artifacts and builds either; `README.md` says what a build of a function has to do.

mod blocking;
mod body;
mod context;
mod env;
mod error;
mod execution;
mod log;
mod outcome;
mod place;
mod query;
mod request;
mod response;
mod signals;
mod status;
mod stream;
mod temp_store;

#[cfg(not(target_family = "wasm"))]
mod native;
#[cfg(not(target_family = "wasm"))]
pub mod test;
#[cfg(target_family = "wasm")]
mod wasm;

pub use body::BodyError;
pub use context::Context;
pub use env::{Env, EnvError};
pub use error::{BoxError, Error, Result};
pub use ignite_macros::main;
pub use log::{LOG_BYTES_MAX, Log};
pub use request::Request;
pub use response::{IntoResponse, Json, Response};
pub use serde_json::json;
pub use signals::Cancelled;
pub use status::{InvalidStatus, StatusCode};
pub use stream::{BodyStream, Closed, StreamBuilder, Streamed};
pub use temp_store::{ENTRY_BYTES, TEMP_STORE_BYTES_MAX, TempStore, TempStoreFull};

/// What nearly every function needs.
pub mod prelude {
    pub use crate::{Context, Error, IntoResponse, Json, Request, Response, Result, StatusCode, json};
}

#[doc(hidden)]
pub mod __private;

/// Name and version of this SDK, as the host is told.
#[cfg(not(target_family = "wasm"))]
const SDK: &str = concat!("ignite-rust/", env!("CARGO_PKG_VERSION"));

/// What a function says that was started by hand.
const BY_HAND: &str = "this is an Ignite function; to serve it, run `ignite run` in its folder, and `ignite dev` to rebuild it as you edit";
