//! Stores for tests.

use bytes::Bytes;
use ignite_core_model::Secret;
use ignite_store_objects::{Location, ObjectKey, Objects, S3Credentials, S3Options, UrlSigner};
use ignite_store_testing::S3;
use tempfile::TempDir;

/// A store of its own, gone when dropped.
pub(crate) struct Store {
    pub objects: Objects,
    pub folder: TempDir,
    _server: Option<S3>,
}

pub(crate) fn signer() -> UrlSigner {
    UrlSigner::new(Secret::new([7; 32]), "http://localhost/objects")
}

pub(crate) fn folder() -> Store {
    let folder = tempfile::tempdir().unwrap();
    let location = Location::Folder { root: folder.path().join("deep/objects"), signer: signer() };
    Store { objects: Objects::open(&location).unwrap(), folder, _server: None }
}

/// A server that speaks S3 and checks signatures, on a port of its own.
pub(crate) fn s3(prefix: Option<&str>) -> Store {
    let server = S3::start();
    let mut options = options(&server.endpoint());
    options.prefix = prefix.map(str::to_owned);
    let folder = tempfile::tempdir().unwrap();
    Store { objects: Objects::open(&Location::S3(options)).unwrap(), folder, _server: Some(server) }
}

pub(crate) fn options(endpoint: &str) -> S3Options {
    S3Options {
        endpoint: Some(endpoint.to_owned()),
        public_endpoint: None,
        bucket: S3::BUCKET.into(),
        region: "us-east-1".into(),
        prefix: None,
        virtual_hosted: false,
        credentials: S3Credentials::Key { id: S3::KEY_ID.into(), secret: Secret::new(S3::KEY.into()), session: None },
    }
}

pub(crate) fn key(text: &str) -> ObjectKey {
    text.parse().unwrap()
}

/// Bytes that repeat only after a long while.
pub(crate) fn noise(size: usize) -> Bytes {
    let mut state = 7_u32;
    let next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    std::iter::repeat_with(next).take(size).collect::<Vec<_>>().into()
}
