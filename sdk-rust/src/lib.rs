//! What a Rust function depends on.
