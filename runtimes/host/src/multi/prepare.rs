//! From an artifact to an app that can be loaded within a moment: its manifest is read, and its machine code is at hand.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ignite_core_artifact::{MANIFEST_NAME, Manifest, ReadError, ReadLimits, read_manifest};
use ignite_core_model::{AppName, ArtifactKind, Digest, FunctionId, HostLabel, OrganizationId, Runtime};
use ignite_runtimes_wasm::{WarmWasm, WasmError};

use super::app::{App, Component, Counts};
use super::folder::Entry;
use crate::unpack::unpack;

/// Why an artifact is not served.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PrepareError {
    #[error("could not read {}", .0.display())]
    Open(PathBuf, #[source] io::Error),
    #[error("could not read the artifact {}", .0.display())]
    Read(PathBuf, #[source] ReadError),
    #[error("the manifest in {} cannot be read: {reason}", dir.display())]
    Manifest { dir: PathBuf, reason: String },
    #[error(
        "the artifact is {runtime} in the form `{kind}`, and a host of many apps serves WebAssembly components only"
    )]
    NotAComponent { runtime: Runtime, kind: ArtifactKind },
    #[error("the artifact was built for version {found} of the protocol, and this host speaks {own}; compile it again")]
    Abi { found: u16, own: u16 },
    #[error("the manifest does not list its own entrypoint `{0}`")]
    NoEntrypoint(String),
    #[error("the component is not the one its manifest names: it has the digest {found}, not {wanted}")]
    Changed { found: Digest, wanted: Digest },
    #[error("`{0}` cannot name an app: a name begins with a letter")]
    Name(HostLabel),
    #[error("could not make machine code of the component")]
    Compile(#[source] WasmError),
    #[error("could not unpack the artifact below {}", .0.display())]
    Place(PathBuf, #[source] io::Error),
}

impl PrepareError {
    /// The error with all its causes, for the log.
    pub(crate) fn in_full(&self) -> String {
        let mut text = self.to_string();
        let mut source = std::error::Error::source(self);
        while let Some(error) = source {
            text.push_str(": ");
            text.push_str(&error.to_string());
            source = error.source();
        }
        text
    }
}

/// What apps are prepared with.
#[derive(Clone)]
pub(crate) struct Workshop {
    pub(crate) engine: WarmWasm,
    pub(crate) aot_cache: PathBuf,
    pub(crate) work_dir: PathBuf,
    /// The organisation of apps whose label does not name one.
    pub(crate) organization: OrganizationId,
}

impl Workshop {
    /// Makes the app that `entry` is to be. Blocks, for long where its code has to be compiled.
    pub(crate) fn app(&self, label: HostLabel, entry: Entry, counts: Arc<Counts>) -> Result<App, PrepareError> {
        let manifest = manifest(&entry)?;
        let component = component(&manifest)?;
        let function = self.function(&label, manifest.name.as_ref())?;
        let app = App::new(label, function, entry, component, manifest.limits, counts);
        if !self.engine.has_code(&app.component.digest, &self.aot_cache) {
            self.compile(&app)?;
        }
        Ok(app)
    }

    /// Makes the machine code of `app`, also where there is some that cannot be used. Blocks for long.
    pub(crate) fn compile(&self, app: &App) -> Result<(), PrepareError> {
        let entry = &app.entry;
        let wasm = if entry.unpacked {
            let path = entry.path.join(&app.component.path);
            fs::read(&path).map_err(|error| PrepareError::Open(path, error))?
        } else {
            self.unpacked(&entry.path, &app.component.path)?
        };
        let found = Digest::of(&wasm);
        if found != app.component.digest {
            return Err(PrepareError::Changed { found, wanted: app.component.digest });
        }
        self.engine.precompile(&wasm, &self.aot_cache).map_err(PrepareError::Compile)
    }

    /// The component of an artifact file, every byte of which is verified.
    fn unpacked(&self, artifact: &Path, component: &Path) -> Result<Vec<u8>, PrepareError> {
        let place = |error| PrepareError::Place(self.work_dir.clone(), error);
        let dir = tempfile::Builder::new().prefix("compile-").tempdir_in(&self.work_dir).map_err(place)?;
        let mut file = File::open(artifact).map_err(|error| PrepareError::Open(artifact.to_owned(), error))?;
        unpack(&mut file, &ReadLimits::default(), dir.path())
            .map_err(|error| PrepareError::Read(artifact.to_owned(), error))?;
        let path = dir.path().join(component);
        fs::read(&path).map_err(|error| PrepareError::Open(path, error))
    }

    /// `NAME-ORG` is the label of ORG/NAME where the artifact says that its name is NAME; any other label is the name of an
    /// app of the host's own organisation.
    fn function(&self, label: &HostLabel, name: Option<&AppName>) -> Result<FunctionId, PrepareError> {
        if let Some(name) = name
            && let Some(organization) =
                label.as_str().strip_prefix(name.as_str()).and_then(|rest| rest.strip_prefix('-'))
            && let Ok(organization) = organization.parse()
        {
            return Ok(FunctionId::new(&organization, name));
        }
        let name = label.as_str().parse().map_err(|_| PrepareError::Name(label.clone()))?;
        Ok(FunctionId::new(&self.organization, &name))
    }
}

fn manifest(entry: &Entry) -> Result<Manifest, PrepareError> {
    if entry.unpacked {
        let path = entry.path.join(MANIFEST_NAME);
        let bytes = fs::read(&path).map_err(|error| PrepareError::Open(path, error))?;
        let broken = |reason: String| PrepareError::Manifest { dir: entry.path.clone(), reason };
        let manifest: Manifest = serde_json::from_slice(&bytes).map_err(|error| broken(error.to_string()))?;
        if manifest.format != ignite_core_artifact::FORMAT {
            return Err(broken(format!("format {} is not known to this version", manifest.format)));
        }
        return Ok(manifest);
    }
    let mut file = File::open(&entry.path).map_err(|error| PrepareError::Open(entry.path.clone(), error))?;
    read_manifest(&mut file, &ReadLimits::default()).map_err(|error| PrepareError::Read(entry.path.clone(), error))
}

fn component(manifest: &Manifest) -> Result<Component, PrepareError> {
    let Manifest { runtime, kind, abi, entrypoint, .. } = manifest;
    if *kind != ArtifactKind::Component {
        return Err(PrepareError::NotAComponent { runtime: *runtime, kind: *kind });
    }
    if *abi != ignite_core_abi::ABI_VERSION {
        return Err(PrepareError::Abi { found: *abi, own: ignite_core_abi::ABI_VERSION });
    }
    let file = manifest.files.iter().find(|file| file.path == *entrypoint);
    let file = file.ok_or_else(|| PrepareError::NoEntrypoint(entrypoint.clone()))?;
    Ok(Component { path: PathBuf::from(&file.path), digest: file.sha256 })
}
