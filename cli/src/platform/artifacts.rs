//! Artifacts as files, for hosts.

use std::future::Future;
use std::path::PathBuf;
use std::pin::Pin;
use std::time::SystemTime;

use ignite_control_deploy::local::Artifacts;
use ignite_core_model::Digest;
use ignite_store_objects::{ObjectKey, Objects};

/// Largest artifact, in bytes.
const ARTIFACT_BYTES_MAX: u64 = 512 << 20;

/// Files that are kept; those that were fetched longest ago go.
const FILES_MAX: usize = 1_000;

/// A folder of artifacts by digest.
pub(crate) struct Kept {
    objects: Objects,
    folder: PathBuf,
}

impl Kept {
    /// A folder that may hold what a former process left; what it left half written goes.
    pub(crate) fn new(objects: Objects, folder: PathBuf) -> std::io::Result<Self> {
        std::fs::create_dir_all(&folder)?;
        for entry in std::fs::read_dir(&folder)?.flatten() {
            if entry.path().extension().is_some_and(|kind| kind == "part") {
                std::fs::remove_file(entry.path())?;
            }
        }
        Ok(Self { objects, folder })
    }

    async fn load(&self, artifact: Digest) -> Result<PathBuf, String> {
        let path = self.folder.join(format!("{}.tar.zst", artifact.to_hex()));
        if path.is_file() {
            return Ok(path);
        }
        let bytes = self
            .objects
            .get_bytes(&ObjectKey::artifact(&artifact), ARTIFACT_BYTES_MAX)
            .await
            .map_err(|error| format!("the artifact could not be had: {error}"))?;
        let (part, to) = (self.folder.join(format!("{}-{}.part", artifact.to_hex(), std::process::id())), path.clone());
        let folder = self.folder.clone();
        let written = tokio::task::spawn_blocking(move || {
            std::fs::write(&part, &bytes)?;
            std::fs::rename(&part, &to)?;
            sweep(&folder)
        })
        .await;
        match written {
            Ok(Ok(())) => Ok(path),
            Ok(Err(error)) => Err(format!("the artifact could not be written to {}: {error}", path.display())),
            Err(error) => Err(error.to_string()),
        }
    }
}

fn sweep(folder: &std::path::Path) -> std::io::Result<()> {
    let mut files: Vec<(SystemTime, PathBuf)> = Vec::new();
    for entry in std::fs::read_dir(folder)?.flatten() {
        files.push((entry.metadata()?.modified()?, entry.path()));
    }
    files.sort();
    let more = files.len().saturating_sub(FILES_MAX);
    for (_, path) in files.into_iter().take(more) {
        std::fs::remove_file(path)?;
    }
    Ok(())
}

impl Artifacts for Kept {
    fn fetch(&self, artifact: Digest) -> Pin<Box<dyn Future<Output = Result<PathBuf, String>> + Send + '_>> {
        Box::pin(self.load(artifact))
    }
}
