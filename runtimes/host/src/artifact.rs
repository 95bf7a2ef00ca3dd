//! Where an artifact comes from, and the app it becomes.

use std::fs::{self, File};
use std::io::{self, Read as _, Seek as _};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use ignite_core_artifact::{MANIFEST_NAME, Manifest, ReadArtifact, ReadError, ReadLimits};
use ignite_core_model::Digest;
use tempfile::TempDir;

use crate::apps::Apps;
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
    /// An artifact file that must have the digest. It is not even read where the same was unpacked before.
    Pinned {
        /// The file.
        path: PathBuf,
        /// What it must have.
        digest: Digest,
    },
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
        if let Some((path, digest)) = text.rsplit_once("#sha256=") {
            let digest = format!("sha256:{digest}").parse().map_err(|error| format!("{error}"))?;
            return Ok(Self::Pinned { path: path.into(), digest });
        }
        let path = PathBuf::from(text);
        Ok(if path.is_dir() { Self::Dir(path) } else { Self::File(path) })
    }
}

/// An unpacked app, ready to be run.
pub(crate) struct App {
    pub(crate) dir: PathBuf,
    pub(crate) manifest: Manifest,
    /// Where it comes from, for whoever asks why a start took as long as it did.
    pub(crate) origin: Origin,
    /// The folder it was unpacked into, removed with this value.
    _unpacked: Option<TempDir>,
}

/// Where an app's files come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Origin {
    /// They lay there.
    Folder,
    /// They were unpacked.
    Unpacked,
    /// They were unpacked and verified by an earlier host.
    Kept,
}

impl Origin {
    /// The word for it.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Folder => "folder",
            Self::Unpacked => "unpacked",
            Self::Kept => "kept",
        }
    }
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
    #[error("the artifact from {source_name} has the digest {found}, not {wanted}")]
    WrongDigest {
        /// From where.
        source_name: String,
        /// What it has.
        found: Digest,
        /// What it should have.
        wanted: Digest,
    },
}

/// Makes the app that `source` names, in a folder below `work_dir` where it must be unpacked; what was unpacked once is kept
/// in `apps`. Blocks.
pub(crate) fn open(source: &ArtifactSource, work_dir: &Path, apps: Option<&Apps>) -> Result<App, ArtifactError> {
    match source {
        ArtifactSource::Dir(dir) => open_dir(dir),
        ArtifactSource::File(path) => {
            let mut file = open_file(path)?;
            let known = apps.and_then(|apps| apps.digest_of(&file));
            if let Some(app) = find(apps, known.as_ref(), work_dir)? {
                return Ok(app);
            }
            let (app, digest) = unpack_file(&mut file, &path.display().to_string(), work_dir, apps)?;
            if let Some(apps) = apps {
                apps.remember(&file, &digest);
            }
            Ok(app)
        }
        ArtifactSource::Pinned { path, digest } => match find(apps, Some(digest), work_dir)? {
            Some(app) => Ok(app),
            None => expect(digest, &mut open_file(path)?, &path.display().to_string(), work_dir, apps),
        },
        ArtifactSource::Url { url, digest } => match find(apps, Some(digest), work_dir)? {
            Some(app) => Ok(app),
            None => expect(digest, &mut download(url, work_dir)?, url, work_dir, apps),
        },
    }
}

fn open_file(path: &Path) -> Result<File, ArtifactError> {
    File::open(path).map_err(|error| ArtifactError::Open(path.to_owned(), error))
}

/// The app with this digest, if it is kept.
fn find(apps: Option<&Apps>, digest: Option<&Digest>, work_dir: &Path) -> Result<Option<App>, ArtifactError> {
    let (Some(apps), Some(digest)) = (apps, digest) else { return Ok(None) };
    let (unpacked, dir) = own_folder(work_dir)?;
    let found = apps.find(digest, &dir);
    Ok(found.map(|kept| App { dir, manifest: kept.manifest, origin: Origin::Kept, _unpacked: Some(unpacked) }))
}

/// A new folder for one app.
fn own_folder(work_dir: &Path) -> Result<(TempDir, PathBuf), ArtifactError> {
    let place = |error| ArtifactError::Place(work_dir.to_owned(), error);
    let unpacked = tempfile::Builder::new().prefix("app-").tempdir_in(work_dir).map_err(place)?;
    let dir = fs::canonicalize(unpacked.path()).map_err(place)?;
    Ok((unpacked, dir))
}

/// Unpacks `file`, which must have the digest `wanted`.
fn expect(
    wanted: &Digest,
    file: &mut File,
    source_name: &str,
    work_dir: &Path,
    apps: Option<&Apps>,
) -> Result<App, ArtifactError> {
    let (app, found) = unpack_file(file, source_name, work_dir, apps)?;
    if found == *wanted {
        Ok(app)
    } else {
        Err(ArtifactError::WrongDigest { source_name: source_name.to_owned(), found, wanted: *wanted })
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
    Ok(App { dir, manifest, origin: Origin::Folder, _unpacked: None })
}

fn unpack_file(
    file: &mut File,
    source_name: &str,
    work_dir: &Path,
    apps: Option<&Apps>,
) -> Result<(App, Digest), ArtifactError> {
    let (unpacked, dir) = own_folder(work_dir)?;
    let refused = |cause| ArtifactError::Read { source_name: source_name.to_owned(), cause };
    let app = |read: ReadArtifact| {
        (
            App { dir: dir.clone(), manifest: read.manifest, origin: Origin::Unpacked, _unpacked: Some(unpacked) },
            read.digest,
        )
    };
    // Where it is kept, and linked from there; what goes wrong with that is no fault of the artifact's.
    if let Some(apps) = apps
        && let Ok(new) = apps.begin()
    {
        match unpack(file, &ReadLimits::default(), &Apps::content(new.path())) {
            Ok(read) => {
                if apps.keep(new, &read).is_ok() && apps.find(&read.digest, &dir).is_some() {
                    return Ok(app(read));
                }
            }
            Err(ReadError::Sink(_)) => {}
            Err(cause) => return Err(refused(cause)),
        }
        file.rewind().map_err(|error| refused(ReadError::Input(error)))?;
    }
    let read = unpack(file, &ReadLimits::default(), &dir).map_err(refused)?;
    Ok(app(read))
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
