//! Where objects are, and how to get at them.

use std::fmt;
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path as FilePath, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use ignite_core_model::Secret;
use object_store::aws::{AmazonS3, AmazonS3Builder, AwsCredentialProvider};
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{BackoffConfig, ClientOptions, ObjectStore, ObjectStoreExt as _, RetryConfig};

use crate::{ObjectKey, ObjectsError, UrlSigner};

/// Where the objects are.
#[derive(Debug, Clone)]
pub enum Location {
    /// A folder, which is made, for its owner only, if it is not there.
    Folder {
        /// The folder.
        root: PathBuf,
        /// Signs URLs that lead to the control server.
        signer: UrlSigner,
    },
    /// A bucket.
    S3(S3Options),
}

/// A bucket and how to reach it.
#[derive(Debug, Clone)]
pub struct S3Options {
    /// The server, as `https://host:port`; AWS itself if absent.
    pub endpoint: Option<String>,
    /// The server as authors reach it, for presigned URLs, if that is another address.
    pub public_endpoint: Option<String>,
    /// The bucket; it must exist.
    pub bucket: String,
    /// The region; servers other than AWS mostly take `us-east-1`.
    pub region: String,
    /// What all keys begin with, if the bucket is shared; without a slash at its ends.
    pub prefix: Option<String>,
    /// Whether the bucket is a part of the host's name, as AWS wants it, rather than of the path. Then an endpoint, if one is
    /// given, has the bucket in its name.
    pub virtual_hosted: bool,
    /// Who we are.
    pub credentials: S3Credentials,
}

/// How we show who we are.
#[derive(Debug, Clone)]
pub enum S3Credentials {
    /// A key that was configured.
    Key {
        /// Its id, which is no secret.
        id: String,
        /// The key.
        secret: Secret<String>,
        /// The session it belongs to, if it is a passing one.
        session: Option<Secret<String>>,
    },
    /// What the machine or the pod was given, found by AWS' own rules: its variables, a web identity token, the metadata
    /// service.
    Machine,
}

/// The objects of the platform. Cheap to clone.
#[derive(Clone)]
pub struct Objects {
    pub(crate) store: Arc<dyn ObjectStore>,
    pub(crate) kind: Kind,
}

#[derive(Clone)]
pub(crate) enum Kind {
    Folder { root: Arc<FilePath>, signer: UrlSigner },
    S3(Arc<Bucket>),
}

pub(crate) struct Bucket {
    pub(crate) prefix: Option<Path>,
    pub(crate) region: String,
    pub(crate) credentials: AwsCredentialProvider,
    /// What presigned URLs begin with: scheme, host and, mostly, the bucket.
    pub(crate) public_url: String,
}

impl fmt::Debug for Objects {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            Kind::Folder { root, .. } => f.debug_tuple("Objects").field(root).finish(),
            Kind::S3(bucket) => f.debug_tuple("Objects").field(&bucket.public_url).finish(),
        }
    }
}

/// Longest wait for a connection to S3.
const CONNECT_MAX: Duration = Duration::from_secs(5);

/// Longest request to S3 with its whole body.
const REQUEST_MAX: Duration = Duration::from_secs(300);

/// How often a request to S3 is made again, and for how long. The only layer that does so.
const RETRIES_MAX: usize = 4;
const RETRY_MAX: Duration = Duration::from_secs(30);

impl Objects {
    /// Opens a folder or a bucket. Nothing is asked of S3 yet; see [`Objects::check`].
    ///
    /// # Errors
    /// [`ObjectsError::Settings`] if an address cannot be read, [`ObjectsError::Denied`] if the folder cannot be made.
    pub fn open(location: &Location) -> Result<Self, ObjectsError> {
        match location {
            Location::Folder { root, signer } => open_folder(root, signer),
            Location::S3(options) => open_s3(options),
        }
    }

    /// Asks the store for something that is not there: it answers, and takes our credentials.
    pub async fn check(&self) -> Result<(), ObjectsError> {
        let path = self.whole_path("ignite-check");
        match self.store.head(&path).await {
            Ok(_) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(ObjectsError::general(error)),
        }
    }

    /// Where a key is, for the library. Refuses a way through a symbolic link: no key leads out of the folder.
    pub(crate) fn path(&self, key: &ObjectKey) -> Result<Path, ObjectsError> {
        if let Kind::Folder { root, .. } = &self.kind {
            let mut file = root.to_path_buf();
            for segment in key.as_str().split('/') {
                file.push(segment);
                match file.symlink_metadata() {
                    Ok(metadata) if metadata.is_symlink() => return Err(ObjectsError::Link(key.clone())),
                    Ok(_) => {}
                    // Not there, and so nothing beyond it is.
                    Err(_) => break,
                }
            }
        }
        Ok(self.whole_path(key.as_str()))
    }

    /// A key or the beginning of keys with the bucket's prefix before it.
    pub(crate) fn whole_path(&self, text: &str) -> Path {
        match &self.kind {
            Kind::S3(bucket) if bucket.prefix.is_some() => {
                Path::from_iter(bucket.prefix.iter().flat_map(Path::parts).chain(Path::from(text).parts()))
            }
            _ => Path::from(text),
        }
    }

    /// The key of what the library has found; `None` for a file that is not ours.
    pub(crate) fn key(&self, path: &Path) -> Option<ObjectKey> {
        let text = path.as_ref();
        let prefix = match &self.kind {
            Kind::S3(bucket) => bucket.prefix.as_ref(),
            Kind::Folder { .. } => None,
        };
        match prefix {
            Some(prefix) => text.strip_prefix(prefix.as_ref())?.strip_prefix('/')?.parse().ok(),
            None => text.parse().ok(),
        }
    }
}

fn open_folder(root: &FilePath, signer: &UrlSigner) -> Result<Objects, ObjectsError> {
    let unusable = |error: io::Error| match error.kind() {
        io::ErrorKind::StorageFull => ObjectsError::Full(error.into()),
        _ => ObjectsError::Denied(error.into()),
    };
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(root).map_err(unusable)?;
    let root = root.canonicalize().map_err(unusable)?;
    let store = LocalFileSystem::new_with_prefix(&root)
        .map_err(|error| ObjectsError::Settings(error.into()))?
        // A file and the folder it is in reach the disk before a write returns.
        .with_fsync(true);
    Ok(Objects { store: Arc::new(store), kind: Kind::Folder { root: root.into(), signer: signer.clone() } })
}

fn open_s3(options: &S3Options) -> Result<Objects, ObjectsError> {
    // The HTTP client takes whatever provider the process has, and none is built in. A second call changes nothing.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let store = build_s3(options)?;
    let prefix = options.prefix.as_deref().filter(|prefix| !prefix.is_empty());
    let prefix = prefix.map(|prefix| prefix.parse::<ObjectKey>().map(|key| Path::from(key.as_str()))).transpose();
    let prefix = prefix.map_err(|error| ObjectsError::Settings(error.into()))?;
    let bucket = Bucket {
        prefix,
        region: options.region.clone(),
        credentials: store.credentials().clone(),
        public_url: public_url(options),
    };
    Ok(Objects { store: Arc::new(store), kind: Kind::S3(Arc::new(bucket)) })
}

fn public_url(options: &S3Options) -> String {
    let S3Options { bucket, region, .. } = options;
    let endpoint = options.public_endpoint.as_ref().or(options.endpoint.as_ref());
    match (endpoint.map(|endpoint| endpoint.trim_end_matches('/')), options.virtual_hosted) {
        (Some(endpoint), true) => endpoint.to_owned(),
        (Some(endpoint), false) => format!("{endpoint}/{bucket}"),
        (None, true) => format!("https://{bucket}.s3.{region}.amazonaws.com"),
        (None, false) => format!("https://s3.{region}.amazonaws.com/{bucket}"),
    }
}

fn build_s3(options: &S3Options) -> Result<AmazonS3, ObjectsError> {
    let mut builder = match &options.credentials {
        S3Credentials::Machine => AmazonS3Builder::from_env(),
        S3Credentials::Key { id, secret, session } => {
            let builder =
                AmazonS3Builder::new().with_access_key_id(id.as_str()).with_secret_access_key(secret.reveal().as_str());
            match session {
                Some(session) => builder.with_token(session.reveal().as_str()),
                None => builder,
            }
        }
    };
    if let Some(endpoint) = &options.endpoint {
        builder = builder.with_endpoint(endpoint.as_str());
    }
    builder
        .with_bucket_name(options.bucket.as_str())
        .with_region(options.region.as_str())
        .with_virtual_hosted_style_request(options.virtual_hosted)
        // An `http://` endpoint is somebody's choice, made in the settings.
        .with_allow_http(true)
        .with_client_options(
            ClientOptions::new().with_allow_http(true).with_connect_timeout(CONNECT_MAX).with_timeout(REQUEST_MAX),
        )
        .with_retry(RetryConfig {
            backoff: BackoffConfig::default(),
            max_retries: RETRIES_MAX,
            retry_timeout: RETRY_MAX,
        })
        .build()
        .map_err(|error| ObjectsError::Settings(error.into()))
}
