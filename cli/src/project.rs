//! An author's folder, as `compile`, `run` and `dev` use it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use ignite_compiler_builder::{
    Builder, BuilderConfig, Cancel, CompileError, CompileEvent, CompileRequest, Compiled, SandboxOptions, SourceLimits,
};
use ignite_core_artifact::Compression;
use ignite_core_model::{AppManifest, AppName, ArtifactKind, Digest, Target};

use crate::args::BuildArgs;
use crate::exit::{CliError, Exit};
use crate::settings::Settings;
use crate::ui::{Ui, time};

/// The author's manifest.
const MANIFEST_FILE: &str = "ignite.toml";

/// How files are called that are served or packed as they are; no part of an app's name.
const ARTIFACT_SUFFIXES: [&str; 7] = [".tar.zst", ".tzst", ".tar.gz", ".tgz", ".tar", ".zip", ".wasm"];

/// What a compile is to be, beside its source.
pub(crate) struct Wanted {
    pub(crate) target: Option<Target>,
    pub(crate) kind: Option<ArtifactKind>,
    pub(crate) no_cache: bool,
    pub(crate) compression: Compression,
    /// Sooner rather than smaller and faster, for work in progress.
    pub(crate) quick: bool,
    /// Whether the tools' lines are shown as they come, or only when something failed.
    pub(crate) show_lines: bool,
    pub(crate) cancel: Cancel,
    /// Files in the folder that are no part of the source.
    pub(crate) beside: Vec<PathBuf>,
}

impl Wanted {
    /// Reads the words of the command line.
    pub(crate) fn new(args: &BuildArgs) -> Result<Self, CliError> {
        let word = |flag: &str, error: &dyn std::error::Error| {
            CliError::new(Exit::InvalidArgument, format!("could not read {flag}")).caused_by(error)
        };
        let target = args.target.as_deref().map(str::parse).transpose().map_err(|error| word("--target", &error))?;
        let kind = args.kind.as_deref().map(str::parse).transpose().map_err(|error| word("--kind", &error))?;
        Ok(Self {
            target,
            kind,
            no_cache: args.no_cache,
            compression: Compression::Zstd,
            quick: false,
            show_lines: true,
            cancel: Cancel::default(),
            beside: Vec::new(),
        })
    }
}

/// The compiler of this machine.
pub(crate) fn builder(settings: &Settings, allow_unsandboxed: bool) -> Builder {
    Builder::new(BuilderConfig {
        cache_dir: settings.cache_dir.clone(),
        env: settings.env.clone(),
        limits: SourceLimits::default(),
        sandbox: SandboxOptions { allow_unsandboxed, ..SandboxOptions::default() },
    })
}

/// Compiles `source` to `out` and tells about it.
pub(crate) fn compile(
    builder: &Builder,
    source: &Path,
    out: &Path,
    wanted: &Wanted,
    ui: &mut Ui,
) -> Result<Compiled, CliError> {
    let request = CompileRequest {
        target: wanted.target,
        kind: wanted.kind,
        compression: wanted.compression,
        no_cache: wanted.no_cache,
        quick: wanted.quick,
        cancel: wanted.cancel.clone(),
        beside: wanted.beside.clone(),
        ..CompileRequest::new(source, out)
    };
    let compiled = builder.compile(&request, &mut |event| match event {
        CompileEvent::Started { step } => ui.step(step),
        CompileEvent::Line { line, .. } if wanted.show_lines => ui.say(&format!("  | {line}")),
        CompileEvent::Line { .. } => {}
        CompileEvent::Finished { step, elapsed, cached } => {
            ui.done(&format!("{step} {}{}", time(elapsed), if cached { " (cached)" } else { "" }));
        }
    });
    ui.stop_spinner();
    compiled.map_err(|error| failed(&error, wanted.show_lines && !ui.is_quiet()))
}

/// What the tool said stands above already where its lines were shown.
pub(crate) fn failed(error: &CompileError, lines_were_shown: bool) -> CliError {
    let exit = match error {
        CompileError::NoSource { .. } | CompileError::Output { .. } => Exit::InvalidArgument,
        CompileError::Tool(_) => Exit::Unavailable,
        CompileError::TimedOut { .. } => Exit::DeadlineExceeded,
        other => Exit::of(other.fault()),
    };
    if !lines_were_shown || !matches!(error, CompileError::Step { .. }) {
        return CliError::told(exit, error.report());
    }
    let mut told = CliError::new(exit, error.to_string());
    told.hint = error.hint();
    told
}

/// Where the compiled form of `source` is kept that nobody asked to have in a file.
pub(crate) fn kept_artifact(settings: &Settings, source: &Path) -> Result<PathBuf, CliError> {
    let dir = settings.cache_dir.join("run");
    std::fs::create_dir_all(&dir).map_err(|error| {
        CliError::new(Exit::Unavailable, format!("could not use the cache at {}", dir.display())).caused_by(&error)
    })?;
    let identity = source.canonicalize().unwrap_or_else(|_| source.to_owned());
    let name = &Digest::of(identity.as_os_str().as_encoded_bytes()).to_hex()[..32];
    Ok(dir.join(format!("{name}-{}.tar.zst", std::process::id())))
}

/// The author's manifest. One that is absent or cannot be read says nothing; the compiler tells why it cannot be.
fn manifest(source: &Path) -> Option<AppManifest> {
    let text = std::fs::read_to_string(source.join(MANIFEST_FILE)).ok()?;
    AppManifest::parse_compiled(&text).ok()
}

/// The app's environment, from its manifest.
pub(crate) fn environment(source: &Path) -> Vec<(String, String)> {
    let env: BTreeMap<String, String> = manifest(source).map(|manifest| manifest.env).unwrap_or_default();
    env.into_iter().collect()
}

/// The app's name: as its manifest says, else as its folder or file is called where that can be a name, else `app`.
pub(crate) fn name(source: &Path) -> AppName {
    if let Some(declared) = manifest(source).and_then(|manifest| manifest.name) {
        return declared;
    }
    let path = source.canonicalize().unwrap_or_else(|_| source.to_owned());
    let called = path.file_name().map(|name| name.to_string_lossy().to_lowercase()).unwrap_or_default();
    let stem = ARTIFACT_SUFFIXES.iter().find_map(|suffix| called.strip_suffix(suffix)).unwrap_or(&called);
    let name = stem.replace(['_', '.', ' '], "-").parse();
    name.unwrap_or_else(|_| "app".parse().expect("`app` is a name"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test")]
    use super::*;

    #[test]
    fn the_name_is_declared_or_that_of_the_folder_or_artifact() {
        let dir = tempfile::tempdir().unwrap();
        for (called, expected) in [
            ("my_app", "my-app"),
            ("My.App", "my-app"),
            ("2go", "app"),
            ("hello.tar.zst", "hello"),
            ("hello.tar.gz", "hello"),
            ("hello.wasm", "hello"),
        ] {
            let path = dir.path().join(called);
            std::fs::create_dir(&path).unwrap();
            assert_eq!(name(&path).as_str(), expected, "{called}");
        }
        std::fs::write(dir.path().join("my_app/ignite.toml"), "name = \"declared\"\n[env]\nA = \"1\"\n").unwrap();
        assert_eq!(name(&dir.path().join("my_app")).as_str(), "declared");
        assert_eq!(environment(&dir.path().join("my_app")), [("A".to_owned(), "1".to_owned())]);
    }

    #[test]
    fn a_manifest_that_cannot_be_read_says_nothing() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("ignite.toml"), "name = ").unwrap();
        assert_eq!(environment(dir.path()), []);
        assert_eq!(name(Path::new("/")).as_str(), "app");
    }
}
