//! The public API, package `ignite.v1`: messages, services and clients generated from `proto/`.
//!
//! One definition serves gRPC, gRPC-Web and Connect (JSON over HTTP).

#[allow(
    missing_docs,
    unreachable_pub,
    unused_qualifications,
    clippy::all,
    clippy::pedantic,
    clippy::restriction,
    reason = "generated code"
)]
mod generated {
    connectrpc::include_generated!("_ignite.rs");
}

pub mod check;

pub use check::{Checker, FieldFault, FieldFaults};
pub use generated::ignite::v1;

/// The definitions as a `FileDescriptorSet`, for reflection.
pub const DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptor_set.bin"));

/// The definition of the health service as a `FileDescriptorSet`, for reflection.
pub const HEALTH_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/health.bin"));
