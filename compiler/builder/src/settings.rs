//! What the author's manifest and the request ask for, taken together.

use ignite_compiler_plan::{KeyBuilder, MANIFEST_FILE, Mistake, Mistakes, Patterns, Wishes};
use ignite_core_artifact::DeclaredLimits;
use ignite_core_model::{AppManifest, AppName, Digest, ManifestErrors};

use crate::error::CompileError;
use crate::request::CompileRequest;

/// What is asked for. The request has won over the manifest.
pub(crate) struct Settings {
    pub(crate) wishes: Wishes,
    pub(crate) patterns: Patterns,
    pub(crate) name: Option<AppName>,
    pub(crate) limits: DeclaredLimits,
    /// Names of variables, never their values.
    pub(crate) env: Vec<String>,
    include: Vec<String>,
}

impl Settings {
    /// Takes the text of `ignite.toml` and the request together.
    ///
    /// # Errors
    /// Every mistake in the manifest.
    pub(crate) fn read(text: Option<&str>, request: &CompileRequest) -> Result<Self, CompileError> {
        let text = text.unwrap_or_default();
        let manifest = AppManifest::parse_compiled(text).map_err(|errors| mistakes(&errors, text))?;
        // What a flag asks for replaces the file's word together with what that word decided.
        let other_runtime = request.runtime.is_some_and(|runtime| manifest.runtime.is_some_and(|own| own != runtime));
        let own = |wanted: bool| wanted && !other_runtime;
        let wishes = Wishes {
            runtime: request.runtime.or(manifest.runtime),
            target: request.target.or(manifest.target.filter(|_| own(request.kind.is_none()))),
            kind: request.kind.or(manifest.kind.filter(|_| own(request.target.is_none()))),
            entrypoint: manifest.entrypoint.filter(|_| own(true)),
        };
        Ok(Self {
            wishes,
            patterns: Patterns::new(&manifest.include, &manifest.exclude)?,
            name: manifest.name,
            limits: DeclaredLimits {
                timeout_secs: manifest.timeout_secs,
                // The size the author chose, whichever way it was written.
                memory_mb: manifest.memory_mb.or(manifest.tier.map(|tier| tier.resources().memory_mb)),
                cpu_millicores: manifest.cpu_millicores.or(manifest.tier.map(|tier| tier.resources().cpu_millicores)),
                max_concurrency: manifest.max_concurrency,
                expose_errors: manifest.expose_errors,
            },
            env: manifest.env.into_keys().collect(),
            include: manifest.include,
        })
    }

    /// Of what is in the artifact or decides what is, besides sources and tools.
    pub(crate) fn key(&self) -> Digest {
        let number = |value: Option<u32>| value.map(|value| value.to_string());
        let limits = &self.limits;
        KeyBuilder::new("settings 1")
            .with_option("name", self.name.as_ref().map(AppName::as_str))
            .with_option("timeout_secs", number(limits.timeout_secs))
            .with_option("memory_mb", number(limits.memory_mb))
            .with_option("cpu_millicores", number(limits.cpu_millicores))
            .with_option("max_concurrency", number(limits.max_concurrency))
            .with_option("expose_errors", limits.expose_errors.map(|on| on.to_string()))
            .with("env", self.env.join("\n"))
            .with("include", self.include.join("\n"))
            .finish()
    }
}

/// The faults of a manifest, with the lines they are in.
pub(crate) fn mistakes(errors: &ManifestErrors, text: &str) -> Mistakes {
    let mistake = |line: usize, message: &str| {
        Mistake::new(message.to_owned()).at(
            MANIFEST_FILE,
            line,
            line.checked_sub(1).and_then(|at| text.lines().nth(at)),
        )
    };
    Mistakes(errors.0.iter().map(|error| mistake(error.line, &error.message)).collect())
}
