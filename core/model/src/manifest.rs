//! The app manifest: what an author writes in `ignite.toml`.

mod errors;
mod rules;
mod schema;
mod section;

use std::collections::BTreeMap;

use schemars::JsonSchema;
use toml::de::DeTable;

use crate::{AppName, ArtifactKind, OrganizationId, Resources, Runtime, Target, Tier};
use section::Document;

pub use errors::{ManifestError, ManifestErrors};
pub use schema::json_schema;

/// The name of the file, in the author's folder.
pub const MANIFEST_FILE: &str = "ignite.toml";

/// Longest `ignite.toml`, in bytes.
pub const MANIFEST_TEXT_BYTES_MAX: usize = 256 * 1024;

/// Settings of one app. Every key is optional, and a key that is not listed here is an error.
#[derive(Debug, Clone, Default, PartialEq, Eq, JsonSchema)]
#[schemars(title = "ignite.toml", deny_unknown_fields)]
pub struct AppManifest {
    /// Name of the app: 1 to 63 of a-z, 0-9 and `-`, beginning with a letter. Default: the folder's name.
    #[schemars(with = "Option<String>", regex(pattern = "^[a-z]([a-z0-9-]{0,61}[a-z0-9])?$"))]
    pub name: Option<AppName>,
    /// Organisation the app belongs to; the same form as `name`.
    #[schemars(with = "Option<String>", regex(pattern = "^[a-z]([a-z0-9-]{0,61}[a-z0-9])?$"))]
    pub org: Option<OrganizationId>,
    /// Language of the handler. Default: found from the files in the folder.
    pub runtime: Option<Runtime>,
    /// Machine to compile for. Default: `native`.
    pub target: Option<Target>,
    /// Form of the artifact. Default: the first that the language has.
    pub kind: Option<ArtifactKind>,
    /// File with the handler, relative to the folder. Default: the language's own, such as `handler.py`.
    pub entrypoint: Option<String>,
    /// What the app does, for people.
    #[schemars(length(max = 1024))]
    pub description: Option<String>,
    /// Size of an instance. Default: `medium`.
    pub tier: Option<Tier>,
    /// Memory of an instance in MiB, in place of the tier's.
    #[schemars(range(min = 64, max = 32768))]
    pub memory_mb: Option<u32>,
    /// Processor share of an instance in thousandths of a core, in place of the tier's.
    #[schemars(range(min = 50, max = 64000))]
    pub cpu_millicores: Option<u32>,
    /// Longest execution, in seconds. Default: 30.
    #[schemars(range(min = 1, max = 3600))]
    pub timeout_secs: Option<u32>,
    /// Executions at once in an instance. Default: 16.
    #[schemars(range(min = 1, max = 1000))]
    pub max_concurrency: Option<u32>,
    /// Whether the answer of a failed execution carries the traceback. Default: false.
    pub expose_errors: Option<bool>,
    /// Whether the app may be called without a token. Default: false.
    pub allow_unauthenticated: Option<bool>,
    /// Files to pack beside the handler, as patterns relative to the folder.
    #[schemars(length(max = 256))]
    pub include: Vec<String>,
    /// Files to leave out, as patterns relative to the folder.
    #[schemars(length(max = 256))]
    pub exclude: Vec<String>,
    /// Environment of the handler. Values are text; secrets do not belong here.
    pub env: BTreeMap<String, String>,
    /// How many instances there may be.
    pub scaling: ScalingSettings,
    /// Settings of an app that is a container. They do nothing for a compiled app and are an error there.
    #[schemars(with = "Option<ImageSettings>")]
    pub image: Option<ImageSettings>,
}

/// How many instances there may be.
#[derive(Debug, Clone, Default, PartialEq, Eq, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct ScalingSettings {
    /// Most instances at once.
    #[schemars(range(min = 1, max = 1000))]
    pub max_replicas: Option<u32>,
    /// Instances that are kept warm without traffic. Default: 0.
    #[schemars(range(min = 0, max = 1000))]
    pub reserved: Option<u32>,
    /// Seconds without an execution after which an instance ends. Default: 60.
    #[schemars(range(min = 1, max = 86400))]
    pub idle_secs: Option<u32>,
}

/// Settings of an app that is a container.
#[derive(Debug, Clone, Default, PartialEq, Eq, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct ImageSettings {
    /// The Dockerfile, relative to the folder.
    pub dockerfile: Option<String>,
    /// Ports the container listens on, the one for HTTP first.
    #[schemars(length(max = 16), inner(range(min = 1, max = 65535)))]
    pub ports: Vec<u16>,
    /// Path that answers 2xx when the container is ready. Default: `/healthz`.
    #[schemars(regex(pattern = "^/"), length(max = 1024))]
    pub health_path: Option<String>,
    /// Build arguments of the Dockerfile.
    pub build_args: BTreeMap<String, String>,
}

impl AppManifest {
    /// Reads `ignite.toml` of any app.
    ///
    /// # Errors
    ///
    /// Every fault in the text at once, each with its line and what to write instead.
    pub fn parse(text: &str) -> Result<Self, ManifestErrors> {
        read(text, false)
    }

    /// Reads `ignite.toml` of an app that is compiled, where the settings of containers are faults too.
    ///
    /// # Errors
    ///
    /// Every fault in the text at once, each with its line and what to write instead.
    pub fn parse_compiled(text: &str) -> Result<Self, ManifestErrors> {
        read(text, true)
    }

    /// What an instance may use: what is written down, else what the tier gives.
    #[must_use]
    pub fn resources(&self) -> Resources {
        let tier = self.tier.unwrap_or_default().resources();
        Resources {
            memory_mb: self.memory_mb.unwrap_or(tier.memory_mb),
            cpu_millicores: self.cpu_millicores.unwrap_or(tier.cpu_millicores),
        }
    }
}

/// Keys that only a compiled app has.
const COMPILED_KEYS: [&str; 4] = ["runtime", "target", "kind", "entrypoint"];

/// Reads a manifest of an app that is known to be compiled, or may be either.
fn read(text: &str, compiled: bool) -> Result<AppManifest, ManifestErrors> {
    let table = section::parse(text)?;
    let mut document = Document::new(text);
    // Sections that are not there are read too, so that their keys are known when one stands in the wrong place.
    let absent = DeTable::new();
    let mut top = document.section(&table, "");
    let manifest = AppManifest {
        name: top.parsed("name"),
        org: top.parsed("org"),
        runtime: top.word("runtime", Runtime::ALL.iter().map(|word| word.as_str())),
        target: top.word("target", Target::ALL.iter().map(|word| word.as_str())),
        kind: top.word("kind", ArtifactKind::ALL.iter().map(|word| word.as_str())),
        entrypoint: top.checked_text("entrypoint", rules::relative_path),
        description: top.checked_text("description", rules::description),
        tier: top.word("tier", Tier::ALL.iter().map(|word| word.as_str())),
        memory_mb: top.number("memory_mb", 64..=32_768, "MiB"),
        cpu_millicores: top.number("cpu_millicores", 50..=64_000, "thousandths of a core"),
        timeout_secs: top.number("timeout_secs", 1..=3600, "seconds"),
        max_concurrency: top.number("max_concurrency", 1..=1000, "executions"),
        expose_errors: top.boolean("expose_errors"),
        allow_unauthenticated: top.boolean("allow_unauthenticated"),
        include: top.texts("include", rules::PATTERNS_MAX, rules::pattern),
        exclude: top.texts("exclude", rules::PATTERNS_MAX, rules::pattern),
        env: top.map("env", rules::ENTRIES_MAX, rules::env_name, rules::env_value),
        scaling: scaling(top.section("scaling", &absent)),
        image: Some(image(top.section("image", &absent))).filter(|_| table.contains_key("image")),
    };
    top.finish();

    if let Some(fault) = rules::combination(&manifest) {
        document.fault(&table, "", &["kind", "target", "runtime"], fault);
    }
    let contradiction = COMPILED_KEYS.into_iter().find(|key| table.contains_key(*key));
    if let Some(image) = table.get("image")
        && (compiled || contradiction.is_some())
    {
        document.image_keys(image, contradiction);
    }
    document.finish(manifest)
}

fn scaling(mut section: section::Section<'_, '_>) -> ScalingSettings {
    let scaling = ScalingSettings {
        max_replicas: section.number("max_replicas", 1..=1000, "instances"),
        reserved: section.number("reserved", 0..=1000, "instances"),
        idle_secs: section.number("idle_secs", 1..=86_400, "seconds"),
    };
    if let (Some(reserved), Some(max)) = (scaling.reserved, scaling.max_replicas)
        && reserved > max
    {
        section.fault("reserved", format!("is {reserved}, more than `scaling.max_replicas`, which is {max}"));
    }
    section.finish();
    scaling
}

fn image(mut section: section::Section<'_, '_>) -> ImageSettings {
    let image = ImageSettings {
        dockerfile: section.checked_text("dockerfile", rules::relative_path),
        ports: section.ports("ports"),
        health_path: section.checked_text("health_path", rules::url_path),
        build_args: section.map("build_args", rules::ENTRIES_MAX, rules::argument_name, rules::argument_value),
    };
    section.finish();
    image
}

#[cfg(test)]
mod tests;
