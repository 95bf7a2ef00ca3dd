//! From the wire to the words of the product: each request is checked once, and every field at fault is named.

use std::collections::BTreeMap;
use std::fmt;

use ignite_core_model::{
    AppSettings, ArtifactKind, Env, FunctionId, OrganizationId, Runtime, SecretReference, Target, Tier, VersionNumber,
};

use crate::v1;
use crate::v1::__buffa::oneof::runtime::Language;

/// Longest description, in characters.
const DESCRIPTION_CHARS_MAX: usize = 1024;

/// Most variables.
const ENV_MAX: usize = 256;

/// Longest value of a variable, in bytes.
const ENV_VALUE_BYTES_MAX: usize = 32 * 1024;

/// Entries of a page when the caller names no number, and the most there are.
const PAGE: (u32, u32) = (50, 500);

/// A field of a request that cannot be taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldFault {
    /// The field, as in `config.limits.memory_mb`.
    pub field: String,
    /// What it is and what it must be, as a clause that follows the name.
    pub clause: String,
}

/// Every fault of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldFaults(pub Vec<FieldFault>);

impl fmt::Display for FieldFaults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, fault) in self.0.iter().enumerate() {
            let separator = if number == 0 { "" } else { "; " };
            write!(f, "{separator}`{}` {}", fault.field, fault.clause)?;
        }
        Ok(())
    }
}

impl std::error::Error for FieldFaults {}

/// Collects faults while a request is read.
#[derive(Debug, Default)]
pub struct Checker(Vec<FieldFault>);

impl Checker {
    /// Notes a fault.
    pub fn fault(&mut self, field: &str, clause: impl fmt::Display) {
        self.0.push(FieldFault { field: field.to_owned(), clause: clause.to_string() });
    }

    /// A number within a range, or `None` where it is 0, which means absent.
    pub fn number(&mut self, field: &str, value: u32, least: u32, most: u32) -> Option<u32> {
        match value {
            0 => None,
            _ if (least..=most).contains(&value) => Some(value),
            _ => {
                self.fault(field, format_args!("is {value}: it must be from {least} to {most}"));
                None
            }
        }
    }

    /// The value, if nothing is at fault.
    ///
    /// # Errors
    /// All faults.
    pub fn finish<T>(self, value: Option<T>) -> Result<T, FieldFaults> {
        match value {
            Some(value) if self.0.is_empty() => Ok(value),
            _ => Err(FieldFaults(self.0)),
        }
    }

    /// The app a request names: `org/name`, `org:name`, or `name` of the caller's organisation.
    pub fn app_id(&mut self, field: &str, text: &str, organization: &OrganizationId) -> Option<FunctionId> {
        let full = if text.contains(['/', ':']) { text.to_owned() } else { format!("{organization}/{text}") };
        match full.parse() {
            Ok(id) => Some(id),
            Err(_) if text.is_empty() => {
                self.fault(field, "is empty: write `name`, or `org/name`");
                None
            }
            Err(error) => {
                self.fault(field, format_args!("is not valid: {error}"));
                None
            }
        }
    }

    /// The number of a version.
    pub fn version(&mut self, field: &str, number: u32) -> Option<VersionNumber> {
        let version = VersionNumber::new(number);
        if version.is_none() {
            self.fault(field, "is 0: versions are numbered from 1");
        }
        version
    }

    /// Entries of a page.
    pub fn limit(&mut self, field: &str, limit: u32) -> u32 {
        self.number(field, limit, 1, PAGE.1).unwrap_or(PAGE.0)
    }

    /// Puts what a request changes into settings.
    pub fn configure(&mut self, settings: &mut AppSettings, config: &v1::AppConfig) {
        if let Some(description) = &config.description {
            if description.chars().count() > DESCRIPTION_CHARS_MAX {
                self.fault("config.description", format_args!("is longer than {DESCRIPTION_CHARS_MAX} characters"));
            }
            settings.description.clone_from(description);
        }
        match config.resource_tier.as_known() {
            Some(v1::ResourceTier::RESOURCE_TIER_UNSPECIFIED) => {}
            Some(tier) => settings.tier = tier_of(tier),
            None => self.fault("config.resource_tier", "is not a tier there is"),
        }
        if let Some(limits) = config.limits.as_option() {
            settings.memory_mb = self.number("config.limits.memory_mb", limits.memory_mb, 64, 32_768);
            settings.cpu_millicores = self.number("config.limits.cpu_millicores", limits.cpu_millicores, 50, 64_000);
            settings.timeout_secs = self.number("config.limits.timeout_secs", limits.timeout_secs, 1, 3_600);
        }
        if let Some(scaling) = config.scaling.as_option() {
            let now = &mut settings.scaling;
            now.max_replicas =
                self.number("config.scaling.max_replicas", scaling.max_replicas, 1, 1_000).unwrap_or(now.max_replicas);
            now.idle_secs =
                self.number("config.scaling.idle_secs", scaling.idle_secs, 1, 86_400).unwrap_or(now.idle_secs);
            now.reserved = scaling.reserved;
            if now.reserved > now.max_replicas {
                let most = now.max_replicas;
                self.fault(
                    "config.scaling.reserved",
                    format_args!("is {}: there are at most {most}", scaling.reserved),
                );
            }
        }
        if let Some(max_concurrency) = config.max_concurrency {
            settings.max_concurrency = self.number("config.max_concurrency", max_concurrency, 1, 1_000);
        }
        if let Some(allow) = config.allow_unauthenticated {
            settings.allow_unauthenticated = allow;
        }
        if let Some(expose) = config.expose_errors {
            settings.expose_errors = expose;
        }
        if let Some(env) = config.env.as_option() {
            settings.env = self.env("config.env", env.values.iter());
        }
    }

    fn env<'e>(&mut self, field: &str, values: impl Iterator<Item = (&'e String, &'e String)>) -> Env {
        let mut env = BTreeMap::new();
        for (name, value) in values {
            let field = format!("{field}.{name}");
            let first = name.bytes().next().is_some_and(|byte| byte.is_ascii_alphabetic() || byte == b'_');
            if !first || !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
                self.fault(&field, "is not a name: use letters, digits and `_`, not beginning with a digit");
            } else if name.starts_with("IGNITE_") {
                self.fault(&field, "is the platform's: choose a name that does not begin with `IGNITE_`");
            } else if value.len() > ENV_VALUE_BYTES_MAX {
                self.fault(&field, format_args!("is longer than {ENV_VALUE_BYTES_MAX} bytes"));
            } else if value.contains('\0') {
                self.fault(&field, "has a NUL character");
            } else if let Err(error) = SecretReference::find(value) {
                self.fault(&field, format_args!("is not valid: {error}"));
            }
            env.insert(name.clone(), value.clone());
        }
        if env.len() > ENV_MAX {
            self.fault(field, format_args!("has {} variables: there may be {ENV_MAX}", env.len()));
        }
        Env(env)
    }
}

/// Language, target and form that a request asks for; what it leaves open is found from the source.
#[must_use]
pub fn runtime_of(runtime: Option<&v1::Runtime>) -> (Option<Runtime>, Option<Target>, Option<ArtifactKind>) {
    match runtime.and_then(|runtime| runtime.language.as_ref()) {
        None => (None, None, None),
        Some(Language::Python(_)) => (Some(Runtime::Python), None, None),
        Some(Language::Go(_)) => (Some(Runtime::Go), None, None),
        Some(Language::Component(_)) => (Some(Runtime::Component), None, None),
        Some(Language::Deno(deno)) => {
            let binary = deno.kind.as_known() == Some(v1::DenoArtifactKind::DENO_ARTIFACT_KIND_BINARY);
            (Some(Runtime::Deno), None, binary.then_some(ArtifactKind::Binary))
        }
        Some(Language::Rust(rust)) => {
            let target = match rust.target.as_known() {
                Some(v1::RustCompilationTarget::RUST_COMPILATION_TARGET_WASM) => Some(Target::Wasm),
                Some(v1::RustCompilationTarget::RUST_COMPILATION_TARGET_NATIVE) => Some(Target::Native),
                _ => None,
            };
            (Some(Runtime::Rust), target, None)
        }
    }
}

/// A runtime as it goes over the wire.
#[must_use]
pub fn to_runtime(runtime: Runtime, target: Option<Target>, kind: Option<ArtifactKind>) -> v1::Runtime {
    let language = match runtime {
        Runtime::Python => Language::Python(Box::default()),
        Runtime::Go => Language::Go(Box::default()),
        Runtime::Component => Language::Component(Box::default()),
        Runtime::Deno => {
            let kind = match kind {
                Some(ArtifactKind::Binary) => v1::DenoArtifactKind::DENO_ARTIFACT_KIND_BINARY,
                _ => v1::DenoArtifactKind::DENO_ARTIFACT_KIND_BUNDLE,
            };
            Language::Deno(Box::new(v1::DenoRuntime { kind: kind.into(), ..Default::default() }))
        }
        Runtime::Rust => {
            let target = match target {
                Some(Target::Wasm) => v1::RustCompilationTarget::RUST_COMPILATION_TARGET_WASM,
                _ => v1::RustCompilationTarget::RUST_COMPILATION_TARGET_NATIVE,
            };
            Language::Rust(Box::new(v1::RustRuntime { target: target.into(), ..Default::default() }))
        }
    };
    v1::Runtime { language: Some(language), ..Default::default() }
}

fn tier_of(tier: v1::ResourceTier) -> Tier {
    match tier {
        v1::ResourceTier::RESOURCE_TIER_SMALL => Tier::Small,
        v1::ResourceTier::RESOURCE_TIER_LARGE => Tier::Large,
        v1::ResourceTier::RESOURCE_TIER_XLARGE => Tier::Xlarge,
        v1::ResourceTier::RESOURCE_TIER_MEDIUM | v1::ResourceTier::RESOURCE_TIER_UNSPECIFIED => Tier::Medium,
    }
}

/// A tier as it goes over the wire.
#[must_use]
pub fn to_tier(tier: Tier) -> v1::ResourceTier {
    match tier {
        Tier::Small => v1::ResourceTier::RESOURCE_TIER_SMALL,
        Tier::Medium => v1::ResourceTier::RESOURCE_TIER_MEDIUM,
        Tier::Large => v1::ResourceTier::RESOURCE_TIER_LARGE,
        Tier::Xlarge => v1::ResourceTier::RESOURCE_TIER_XLARGE,
    }
}

/// Limits as they apply: what is set, else what the tier gives.
#[must_use]
pub fn to_limits(settings: &AppSettings) -> v1::ResourceLimits {
    let resources = settings.resources();
    v1::ResourceLimits {
        memory_mb: resources.memory_mb,
        cpu_millicores: resources.cpu_millicores,
        timeout_secs: settings.timeout_secs.unwrap_or(30),
        ..Default::default()
    }
}

/// How many instances there may be, as it goes over the wire.
#[must_use]
pub fn to_scaling(settings: &AppSettings) -> v1::ScalingConfig {
    let scaling = settings.scaling;
    v1::ScalingConfig {
        max_replicas: scaling.max_replicas,
        reserved: scaling.reserved,
        idle_secs: scaling.idle_secs,
        ..Default::default()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test")]
    use super::*;

    #[test]
    fn every_field_at_fault_is_named() {
        let json = r#"{"resourceTier":"RESOURCE_TIER_LARGE","limits":{"memoryMb":1,"timeoutSecs":99999},
            "scaling":{"maxReplicas":2,"reserved":3},"env":{"values":{"1A":"x","IGNITE_X":"y","OK":"z","REFERENCE":"secret://no/part"}}}"#;
        let config: v1::AppConfig = serde_json::from_str(json).unwrap();
        let mut checker = Checker::default();
        checker.configure(&mut AppSettings::default(), &config);
        checker.app_id("app_id", "Not A Name", &"acme".parse().unwrap());
        let mut faults = checker.finish::<()>(None).unwrap_err();
        faults.0.sort_by(|one, other| one.field.cmp(&other.field));
        let fields: Vec<&str> = faults.0.iter().map(|fault| fault.field.as_str()).collect();
        assert_eq!(
            fields,
            [
                "app_id",
                "config.env.1A",
                "config.env.IGNITE_X",
                "config.env.REFERENCE",
                "config.limits.memory_mb",
                "config.limits.timeout_secs",
                "config.scaling.reserved",
            ]
        );
    }

    #[test]
    fn what_is_absent_stays() {
        let mut settings = AppSettings { description: "kept".to_owned(), tier: Tier::Small, ..AppSettings::default() };
        settings.env.0.insert("A".to_owned(), "b".to_owned());
        let before = settings.clone();
        let mut checker = Checker::default();
        checker.configure(&mut settings, &v1::AppConfig::default());
        assert_eq!(settings, before);
        checker.finish(Some(())).unwrap();
    }

    #[test]
    fn a_runtime_reads_back_what_it_says() {
        for (runtime, target, kind) in [
            (Runtime::Python, None, None),
            (Runtime::Rust, Some(Target::Wasm), None),
            (Runtime::Deno, None, Some(ArtifactKind::Binary)),
            (Runtime::Component, None, None),
        ] {
            assert_eq!(runtime_of(Some(&to_runtime(runtime, target, kind))), (Some(runtime), target, kind));
        }
    }

    /// The names on the wire are a contract.
    #[test]
    fn json_has_the_names_of_the_contract() {
        let text = r#"{"code":{"compile":{"runtime":{"rust":{"target":"RUST_COMPILATION_TARGET_NATIVE","toolchainVersion":"1.82"}},"sourceCode":"aGk="}}}"#;
        let request: v1::SaveDraftRequest = serde_json::from_str(text).unwrap();
        assert_eq!(serde_json::to_string(&request).unwrap(), text);
        let info = v1::VersionInfo {
            version: 4,
            status: v1::VersionStatus::VERSION_STATUS_ACTIVE.into(),
            created_at_ms: 1_716_900_000_000,
            code_kind: v1::CodeKind::CODE_KIND_SDK.into(),
            ..Default::default()
        };
        assert_eq!(
            serde_json::to_string(&info).unwrap(),
            r#"{"version":4,"status":"VERSION_STATUS_ACTIVE","createdAtMs":"1716900000000","codeKind":"CODE_KIND_SDK"}"#
        );
    }
}
