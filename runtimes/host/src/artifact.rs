//! Where an artifact comes from, and the app it becomes.

use std::fs::{self, File};
use std::io::{self, Read as _, Seek as _};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use ignite_core_artifact::{MANIFEST_NAME, Manifest, ReadError, ReadLimits};
use ignite_core_model::Digest;
use tempfile::TempDir;

use crate::unpack::unpack;

/// Longest artifact taken from a URL, in bytes.
const DOWNLOAD_BYTES_MAX: u64 = 1024 * 1024 * 1024;
/// Longest time a download may take.
const DOWNLOAD_MAX: Duration = Duration::from_secs(300);

/// Where an artifact is found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ArtifactSource {
    /// An artifact file; verified and unpacked.
    File(PathBuf),
    /// A folder with an unpacked artifact and its manifest, as runtime images have it; used where it lies, unverified:
    /// whoever put it there answers for it.
    Dir(PathBuf),
    /// Downloaded; must have the digest.
    Url {
        /// `http:` or `https:`.
        url: String,
        /// What the file must have.
        digest: Digest,
    },
}

impl FromStr for ArtifactSource {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.starts_with("http://") || text.starts_with("https://") {
            let (url, digest) = text.split_once("#sha256=").ok_or_else(|| {
                format!("`{text}` has no digest: write URL#sha256=HEX, so that nobody can put other code there")
            })?;
            let digest = format!("sha256:{digest}").parse().map_err(|error| format!("{error}"))?;
            return Ok(Self::Url { url: url.to_owned(), digest });
        }
        let path = PathBuf::from(text);
        Ok(if path.is_dir() { Self::Dir(path) } else { Self::File(path) })
    }
}

/// An unpacked app, ready to be run.
pub(crate) struct App {
    pub(crate) dir: PathBuf,
    pub(crate) manifest: Manifest,
    /// The folder it was unpacked into, removed with this value.
    _unpacked: Option<TempDir>,
}

/// Why there is no app.
#[derive(Debug, thiserror::Error)]
pub enum ArtifactError {
    /// The file or folder cannot be used.
    #[error("could not open the artifact {}", .0.display())]
    Open(PathBuf, #[source] io::Error),
    /// The artifact is refused.
    #[error("could not open the artifact {source_name}")]
    Read {
        /// The file or URL.
        source_name: String,
        /// What is wrong with it.
        #[source]
        cause: ReadError,
    },
    /// A folder without a manifest that can be read.
    #[error("the folder {} is no unpacked artifact: {reason}", dir.display())]
    NotUnpacked {
        /// The folder.
        dir: PathBuf,
        /// Why.
        reason: String,
    },
    /// There is no place to unpack to.
    #[error("could not unpack the artifact below {}", .0.display())]
    Place(PathBuf, #[source] io::Error),
    /// It could not be downloaded.
    #[error("could not download the artifact from {url}: {reason}")]
    Download {
        /// From where.
        url: String,
        /// Why.
        reason: String,
    },
    /// The download is not what was asked for.
    #[error("the artifact from {url} has the digest {found}, not {wanted}")]
    WrongDigest {
        /// From where.
        url: String,
        /// What it has.
        found: Digest,
        /// What it should have.
        wanted: Digest,
    },
}

/// Makes the app that `source` names, unpacked below `work_dir` where it must be. Blocks.
pub(crate) fn open(source: &ArtifactSource, work_dir: &Path) -> Result<App, ArtifactError> {
    match source {
        ArtifactSource::Dir(dir) => open_dir(dir),
        ArtifactSource::File(path) => {
            let mut file = File::open(path).map_err(|error| ArtifactError::Open(path.clone(), error))?;
            unpack_file(&mut file, &path.display().to_string(), work_dir).map(|(app, _)| app)
        }
        ArtifactSource::Url { url, digest } => {
            let mut file = download(url, work_dir)?;
            let (app, found) = unpack_file(&mut file, url, work_dir)?;
            if found != *digest {
                return Err(ArtifactError::WrongDigest { url: url.clone(), found, wanted: *digest });
            }
            Ok(app)
        }
    }
}

fn open_dir(dir: &Path) -> Result<App, ArtifactError> {
    let not_unpacked = |reason: String| ArtifactError::NotUnpacked { dir: dir.to_owned(), reason };
    let path = dir.join(MANIFEST_NAME);
    let bytes = fs::read(&path).map_err(|error| not_unpacked(format!("{MANIFEST_NAME}: {error}")))?;
    let manifest: Manifest = serde_json::from_slice(&bytes).map_err(|error| not_unpacked(error.to_string()))?;
    if manifest.format != ignite_core_artifact::FORMAT {
        return Err(not_unpacked(format!("format {} is not known to this version", manifest.format)));
    }
    let dir = fs::canonicalize(dir).map_err(|error| ArtifactError::Open(dir.to_owned(), error))?;
    Ok(App { dir, manifest, _unpacked: None })
}

fn unpack_file(file: &mut File, source_name: &str, work_dir: &Path) -> Result<(App, Digest), ArtifactError> {
    let place = |error| ArtifactError::Place(work_dir.to_owned(), error);
    let unpacked = tempfile::Builder::new().prefix("app-").tempdir_in(work_dir).map_err(place)?;
    let dir = fs::canonicalize(unpacked.path()).map_err(place)?;
    let read = unpack(file, &ReadLimits::default(), &dir)
        .map_err(|cause| ArtifactError::Read { source_name: source_name.to_owned(), cause })?;
    Ok((App { dir, manifest: read.manifest, _unpacked: Some(unpacked) }, read.digest))
}

fn download(url: &str, work_dir: &Path) -> Result<File, ArtifactError> {
    let failed = |reason: String| ArtifactError::Download { url: url.to_owned(), reason };
    let agent: ureq::Agent = ureq::Agent::config_builder().timeout_global(Some(DOWNLOAD_MAX)).build().into();
    let response = agent.get(url).call().map_err(|error| failed(error.to_string()))?;
    let mut body = response.into_body().into_reader().take(DOWNLOAD_BYTES_MAX + 1);
    let mut file = tempfile::tempfile_in(work_dir).map_err(|error| ArtifactError::Place(work_dir.to_owned(), error))?;
    let bytes = io::copy(&mut body, &mut file).map_err(|error| failed(error.to_string()))?;
    if bytes > DOWNLOAD_BYTES_MAX {
        return Err(failed(format!("it is longer than {DOWNLOAD_BYTES_MAX} bytes")));
    }
    file.rewind().map_err(|error| failed(error.to_string()))?;
    Ok(file)
}
