//! Stores for tests.

use bytes::Bytes;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use ignite_core_model::Secret;
use ignite_store_objects::{Location, ObjectKey, Objects, S3Credentials, S3Options, UrlSigner};
use s3s::auth::SimpleAuth;
use s3s::service::S3ServiceBuilder;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// A store of its own, gone when dropped.
pub(crate) struct Store {
    pub objects: Objects,
    pub folder: TempDir,
    server: Option<JoinHandle<()>>,
}

impl Drop for Store {
    fn drop(&mut self) {
        if let Some(server) = &self.server {
            server.abort();
        }
    }
}

pub(crate) fn signer() -> UrlSigner {
    UrlSigner::new(Secret::new([7; 32]), "http://localhost/objects")
}

pub(crate) fn folder() -> Store {
    let folder = tempfile::tempdir().unwrap();
    let location = Location::Folder { root: folder.path().join("deep/objects"), signer: signer() };
    Store { objects: Objects::open(&location).unwrap(), folder, server: None }
}

/// A server that speaks S3 and checks signatures, on a port of its own.
pub(crate) async fn s3(prefix: Option<&str>) -> Store {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("bucket")).unwrap();
    let mut service = S3ServiceBuilder::new(s3s_fs::FileSystem::new(folder.path()).unwrap());
    service.set_auth(SimpleAuth::from_single("id", "secret"));
    let service = service.build();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let server = tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            let service = service.clone();
            tokio::spawn(async move {
                let _ = Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(socket), service).await;
            });
        }
    });
    let mut options = options(&endpoint);
    options.prefix = prefix.map(str::to_owned);
    Store { objects: Objects::open(&Location::S3(options)).unwrap(), folder, server: Some(server) }
}

pub(crate) fn options(endpoint: &str) -> S3Options {
    S3Options {
        endpoint: Some(endpoint.to_owned()),
        public_endpoint: None,
        bucket: "bucket".into(),
        region: "us-east-1".into(),
        prefix: None,
        virtual_hosted: false,
        credentials: S3Credentials::Key { id: "id".into(), secret: Secret::new("secret".into()), session: None },
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
