//! A component for any host of `wasi:http/incoming-handler`: counts the words of the text it is sent.
//!
//! It knows nothing of Ignite.

pub mod count;

#[cfg(target_family = "wasm")]
mod component;
