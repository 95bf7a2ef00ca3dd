//! The attribute macro of the Rust SDK.
