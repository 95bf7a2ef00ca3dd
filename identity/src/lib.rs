//! Who asks, for those who have an identity provider: signed tokens (JWT, RFC 7519) that are checked with the keys their
//! issuer publishes (JWKS, RFC 7517).
//!
//! The API and the gateway let callers in by the same [`Issuers`]. Only asymmetric algorithms are known, so that a public key
//! can never be taken for a shared one, and `none` is no algorithm. A token is refused for any claim that is missing or of
//! another type than it must be.
//!
//! Issuer, audience and claims stand in [`IssuerOptions`]; `token.rs` reads tokens and is pure, `keys.rs` reads key sets and
//! verifies, `issuers.rs` keeps keys and decides when they are fetched anew.

mod algorithm;
pub mod fake;
mod issuers;
mod keys;
mod options;
mod source;
mod token;

pub use algorithm::Algorithm;
pub use issuers::{Identity, IdentityError, Issuers};
pub use options::{IssuerFault, IssuerOptions};
pub use source::{FetchKeys, HttpKeys, KEY_SET_BYTES_MAX, KeySource};
