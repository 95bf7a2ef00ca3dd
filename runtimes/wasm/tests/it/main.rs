//! The executor with real guests: small components written in text, one for each world, that do what a path asks for.
#![allow(clippy::unwrap_used, reason = "a test")]

mod aot;
mod function;
mod limits;
mod load;
mod reactor;
mod stream;
mod support;
mod wasi_http;
