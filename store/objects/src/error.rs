//! What can go wrong with objects.

use std::error::Error;
use std::io;

use ignite_core_model::{Digest, Fault};

use crate::ObjectKey;

/// Why an object could not be read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ObjectsError {
    /// There is no such object.
    #[error("there is no object `{0}`")]
    Missing(ObjectKey),
    /// The bytes are fewer or more than was promised. Nothing was stored.
    #[error("object `{key}` was to have {expected} bytes and has {found}")]
    WrongSize {
        /// The key.
        key: ObjectKey,
        /// The size that was promised.
        expected: u64,
        /// The size it has; one more than promised, or a little more, if reading was stopped there.
        found: u64,
    },
    /// The bytes are others than was promised. Nothing was stored.
    #[error("object `{key}` was to have the digest {expected} and has {found}")]
    WrongDigest {
        /// The key.
        key: ObjectKey,
        /// The digest that was promised.
        expected: Digest,
        /// The digest it has.
        found: Digest,
    },
    /// The bytes to store could not be read to their end. Nothing was stored.
    #[error("the bytes of object `{key}` could not be read")]
    Body {
        /// The key.
        key: ObjectKey,
        /// Why not.
        #[source]
        cause: io::Error,
    },
    /// A part of an object was asked for that it does not have.
    #[error("object `{key}` has {size} bytes, and a part from byte {start} was asked for")]
    OutOfRange {
        /// The key.
        key: ObjectKey,
        /// Its size.
        size: u64,
        /// Where the part was to begin.
        start: u64,
    },
    /// The way to the object leads through a symbolic link, which nobody here has made.
    #[error("the way to object `{0}` leads through a symbolic link; remove it")]
    Link(ObjectKey),
    /// The store does not answer. Later may work.
    #[error("the object store is not available now")]
    Unavailable(#[source] Box<dyn Error + Send + Sync>),
    /// The disk is full.
    #[error("the object store has no room left; free space on its disk")]
    Full(#[source] Box<dyn Error + Send + Sync>),
    /// The store refuses these credentials, or the folder's permissions do.
    #[error("the object store refuses access; check its credentials and permissions")]
    Denied(#[source] Box<dyn Error + Send + Sync>),
    /// The settings of the store cannot work.
    #[error("the object store cannot be used as it is set up")]
    Settings(#[source] Box<dyn Error + Send + Sync>),
    /// Anything else.
    #[error("the object store failed")]
    Other(#[source] Box<dyn Error + Send + Sync>),
}

impl ObjectsError {
    /// Whose fault it is.
    #[must_use]
    pub fn fault(&self) -> Fault {
        match self {
            Self::Missing(_) => Fault::Missing,
            Self::WrongSize { .. } | Self::WrongDigest { .. } | Self::Body { .. } | Self::OutOfRange { .. } => {
                Fault::Caller
            }
            Self::Unavailable(_) | Self::Full(_) => Fault::Busy,
            Self::Link(_) | Self::Denied(_) | Self::Settings(_) | Self::Other(_) => Fault::Internal,
        }
    }

    /// What the library says, about a key.
    pub(crate) fn of(error: object_store::Error, key: &ObjectKey) -> Self {
        match error {
            object_store::Error::NotFound { .. } => Self::Missing(key.clone()),
            other => Self::general(other),
        }
    }

    /// What the library says, about no key.
    pub(crate) fn general(error: object_store::Error) -> Self {
        use object_store::Error as E;
        match io_kind(&error) {
            Some(io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded) => return Self::Full(error.into()),
            Some(io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem) => {
                return Self::Denied(error.into());
            }
            Some(
                io::ErrorKind::ConnectionRefused
                | io::ErrorKind::ConnectionReset
                | io::ErrorKind::ConnectionAborted
                | io::ErrorKind::TimedOut
                | io::ErrorKind::HostUnreachable
                | io::ErrorKind::NetworkUnreachable
                | io::ErrorKind::UnexpectedEof,
            ) => return Self::Unavailable(error.into()),
            _ => {}
        }
        match error {
            E::PermissionDenied { .. } | E::Unauthenticated { .. } => Self::Denied(error.into()),
            // After the library's own retries: the server is away, or answers only with failures.
            E::Generic { store: "S3", .. } => Self::Unavailable(error.into()),
            _ => Self::Other(error.into()),
        }
    }
}

/// What the system said, somewhere below.
fn io_kind(error: &(dyn Error + 'static)) -> Option<io::ErrorKind> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(error) = error.downcast_ref::<io::Error>() {
            return Some(error.kind());
        }
        next = error.source();
    }
    None
}
