//! Bytes at rest: artifacts, sources, payloads; in a folder or in S3. The only crate that speaks S3.
//!
//! ```no_run
//! # async fn f(body: Vec<u8>) -> Result<(), ignite_store_objects::ObjectsError> {
//! use ignite_core_model::{Digest, Secret};
//! use ignite_store_objects::{Content, Location, ObjectKey, Objects, UrlSigner};
//!
//! let signer = UrlSigner::new(Secret::new([7; 32]), "http://127.0.0.1:8080/objects");
//! let objects = Objects::open(&Location::Folder { root: "data/objects".into(), signer })?;
//! let content = Content { size: body.len() as u64, digest: Digest::of(&body) };
//! let key = ObjectKey::artifact(&content.digest);
//! objects.put_bytes(&key, body.into(), &content).await?;
//! let url = objects.presign_get(&key, 600, 1_716_900_000).await?;
//! # Ok(()) }
//! ```
//!
//! # What one has to know
//!
//! - **An object is there whole or not at all**: [`Objects::put`] checks size and SHA-256 before anything can be seen under the
//!   key, and what it returned for is durable.
//! - **Keys are chosen by the platform**, never taken from a caller: [`ObjectKey`] has no way out of the root.
//! - **A presigned URL is good for one method, one key, one size and one digest, until it expires.** S3 checks all of it
//!   itself; a folder's URLs lead to the control server, which asks [`UrlSigner::verify`] and then calls [`Objects::put`].
//! - Who was given an upload URL may not use it: [`Objects::verify`] the object before relying on it.
//!
//! It knows no app, no version and no database, and has no clock of its own: times are passed in. (The library that speaks
//! S3 dates its requests by the system's.)

#![allow(
    clippy::missing_errors_doc,
    reason = "each method can end as `ObjectsError` says; `# Errors` names what it adds"
)]

mod address;
mod backup;
mod error;
mod key;
mod open;
mod presign;
mod signed;
mod sigv4;
mod transfer;

pub use address::{Address, AddressError};
pub use backup::Copied;
pub use error::ObjectsError;
pub use key::{KEY_BYTES_MAX, KeyError, ObjectKey};
pub use open::{Location, Objects, S3Credentials, S3Options};
pub use presign::Presigned;
pub use signed::{Claim, SignedMethod, UrlError, UrlSigner};
pub use transfer::{Body, Content, Object, ObjectSize, PART_BYTES};
