//! Settings of an app as somebody wants them: from flags, from `ignite.toml`, and what of it the API must be told. Pure but for
//! the file of variables.

use std::collections::BTreeMap;

use ignite_core_model::{AppManifest, Tier};
use ignite_core_proto::check::to_tier;
use ignite_core_proto::v1;

use crate::args::platform::{ConfigArgs, TierArg};
use crate::client::words::word;
use crate::exit::{CliError, Exit};

/// Longest execution when nobody says, in seconds.
const TIMEOUT_SECS: u32 = 30;

/// Largest file of variables, in bytes.
const ENV_FILE_BYTES_MAX: u64 = 16 << 20;

/// What somebody wants. `None` leaves it as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Wanted {
    description: Option<String>,
    tier: Option<Tier>,
    memory_mb: Option<u32>,
    cpu_millicores: Option<u32>,
    timeout_secs: Option<u32>,
    max_replicas: Option<u32>,
    reserved: Option<u32>,
    idle_secs: Option<u32>,
    max_concurrency: Option<u32>,
    allow_unauthenticated: Option<bool>,
    expose_errors: Option<bool>,
    env: Option<BTreeMap<String, String>>,
}

impl Wanted {
    /// Reads the flags.
    pub(crate) fn of_flags(args: &ConfigArgs) -> Result<Self, CliError> {
        let tier = |tier: TierArg| match tier {
            TierArg::Small => Tier::Small,
            TierArg::Medium => Tier::Medium,
            TierArg::Large => Tier::Large,
            TierArg::Xlarge => Tier::Xlarge,
        };
        Ok(Self {
            description: args.description.clone(),
            tier: args.tier.map(tier),
            memory_mb: args.memory,
            cpu_millicores: args.cpu,
            timeout_secs: args.timeout_secs,
            max_replicas: args.max_replicas,
            reserved: args.reserved,
            idle_secs: args.idle_secs,
            max_concurrency: args.max_concurrency,
            allow_unauthenticated: args.allow_unauthenticated,
            expose_errors: args.expose_errors,
            env: env(args)?,
        })
    }

    /// What a project's manifest says.
    pub(crate) fn of_manifest(manifest: &AppManifest) -> Self {
        Self {
            description: manifest.description.clone(),
            tier: manifest.tier,
            memory_mb: manifest.memory_mb,
            cpu_millicores: manifest.cpu_millicores,
            timeout_secs: manifest.timeout_secs,
            max_replicas: manifest.scaling.max_replicas,
            reserved: manifest.scaling.reserved,
            idle_secs: manifest.scaling.idle_secs,
            max_concurrency: manifest.max_concurrency,
            allow_unauthenticated: manifest.allow_unauthenticated,
            expose_errors: manifest.expose_errors,
            env: Some(manifest.env.clone()).filter(|env| !env.is_empty()),
        }
    }

    /// These wishes, and where they say nothing those of `other`. Of variables each counts for itself, unless all go.
    pub(crate) fn or(self, other: Self) -> Self {
        let env = match (self.env, other.env) {
            (Some(own), Some(below)) if !own.is_empty() => Some(below.into_iter().chain(own).collect()),
            (Some(own), _) => Some(own),
            (None, below) => below,
        };
        Self {
            description: self.description.or(other.description),
            tier: self.tier.or(other.tier),
            memory_mb: self.memory_mb.or(other.memory_mb),
            cpu_millicores: self.cpu_millicores.or(other.cpu_millicores),
            timeout_secs: self.timeout_secs.or(other.timeout_secs),
            max_replicas: self.max_replicas.or(other.max_replicas),
            reserved: self.reserved.or(other.reserved),
            idle_secs: self.idle_secs.or(other.idle_secs),
            max_concurrency: self.max_concurrency.or(other.max_concurrency),
            allow_unauthenticated: self.allow_unauthenticated.or(other.allow_unauthenticated),
            expose_errors: self.expose_errors.or(other.expose_errors),
            env,
        }
    }

    /// Whether nothing is wanted.
    pub(crate) fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// What the API is told, for an app as it is `now`. The API takes limits and scaling each as a whole, so what is not wanted
    /// otherwise is said again.
    pub(crate) fn config(&self, now: Option<&v1::AppMeta>) -> v1::AppConfig {
        let mut config = v1::AppConfig {
            description: self.description.clone(),
            max_concurrency: self.max_concurrency,
            allow_unauthenticated: self.allow_unauthenticated,
            expose_errors: self.expose_errors,
            ..Default::default()
        };
        if let Some(tier) = self.tier {
            config.resource_tier = to_tier(tier).into();
        }
        if self.memory_mb.or(self.cpu_millicores).or(self.timeout_secs).is_some() {
            let kept = now.map(own_limits).unwrap_or_default();
            config.limits = buffa::MessageField::some(v1::ResourceLimits {
                memory_mb: self.memory_mb.unwrap_or(kept.memory_mb),
                cpu_millicores: self.cpu_millicores.unwrap_or(kept.cpu_millicores),
                timeout_secs: self.timeout_secs.unwrap_or(kept.timeout_secs),
                ..Default::default()
            });
        }
        if self.max_replicas.or(self.reserved).or(self.idle_secs).is_some() {
            let kept = now.map(|now| now.scaling.reserved).unwrap_or_default();
            config.scaling = buffa::MessageField::some(v1::ScalingConfig {
                // 0 leaves these two as they are.
                max_replicas: self.max_replicas.unwrap_or_default(),
                idle_secs: self.idle_secs.unwrap_or_default(),
                reserved: self.reserved.unwrap_or(kept),
                ..Default::default()
            });
        }
        if let Some(env) = &self.env {
            let values = env.iter().map(|(name, value)| (name.clone(), value.clone())).collect();
            config.env = buffa::MessageField::some(v1::EnvMap { values, ..Default::default() });
        }
        config
    }

    /// Variables that an app has now and will not have any more.
    pub(crate) fn removed_variables(&self, now: &v1::AppMeta) -> Vec<String> {
        let Some(env) = &self.env else { return Vec::new() };
        let mut gone: Vec<String> = now.env.keys().filter(|name| !env.contains_key(*name)).cloned().collect();
        gone.sort();
        gone
    }
}

/// Limits that are an app's own and not its tier's. The API shows those that apply, whoever set them.
fn own_limits(now: &v1::AppMeta) -> v1::ResourceLimits {
    let tier = word(now.resource_tier).parse::<Tier>().unwrap_or_default().resources();
    let own = |value: u32, tiers: u32| if value == tiers { 0 } else { value };
    v1::ResourceLimits {
        memory_mb: own(now.limits.memory_mb, tier.memory_mb),
        cpu_millicores: own(now.limits.cpu_millicores, tier.cpu_millicores),
        timeout_secs: own(now.limits.timeout_secs, TIMEOUT_SECS),
        ..Default::default()
    }
}

fn env(args: &ConfigArgs) -> Result<Option<BTreeMap<String, String>>, CliError> {
    if args.clear_env {
        return Ok(Some(BTreeMap::new()));
    }
    let mut env = BTreeMap::new();
    if let Some(path) = &args.env_file {
        let refused = |cause: String| {
            CliError::new(Exit::InvalidArgument, format!("could not read variables from {}", path.display()))
                .because(cause)
        };
        let size = std::fs::metadata(path).map_err(|error| refused(error.to_string()))?.len();
        if size > ENV_FILE_BYTES_MAX {
            return Err(refused(format!("it has more than {ENV_FILE_BYTES_MAX} bytes")));
        }
        let text = std::fs::read_to_string(path).map_err(|error| refused(error.to_string()))?;
        env = env_file(&text).map_err(refused)?;
    }
    for pair in &args.env {
        // The value may be secret, so it is not repeated.
        let (name, value) = pair.split_once('=').ok_or_else(|| {
            CliError::new(Exit::InvalidArgument, "could not read --env")
                .because("one of them has no `=`")
                .hint("write --env NAME=VALUE")
        })?;
        env.insert(name.to_owned(), value.to_owned());
    }
    let given = args.env_file.is_some() || !args.env.is_empty();
    Ok(given.then_some(env))
}

/// Reads `NAME=VALUE` lines. Empty lines and those with `#` in front say nothing; `export` and a pair of quotes around the
/// value are dropped.
fn env_file(text: &str) -> Result<BTreeMap<String, String>, String> {
    let mut env = BTreeMap::new();
    for (index, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let line = line.strip_prefix("export ").unwrap_or(line);
        let (name, value) = line.split_once('=').ok_or_else(|| format!("line {} has no `=`", index + 1))?;
        let value = value.trim();
        let quoted = ['"', '\''].into_iter().find_map(|quote| value.strip_prefix(quote)?.strip_suffix(quote));
        env.insert(name.trim().to_owned(), quoted.unwrap_or(value).to_owned());
    }
    Ok(env)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test")]
    use super::*;

    fn now() -> v1::AppMeta {
        v1::AppMeta {
            resource_tier: v1::ResourceTier::RESOURCE_TIER_SMALL.into(),
            limits: buffa::MessageField::some(v1::ResourceLimits {
                memory_mb: 300,
                cpu_millicores: 250,
                timeout_secs: 60,
                ..Default::default()
            }),
            scaling: buffa::MessageField::some(v1::ScalingConfig {
                reserved: 2,
                max_replicas: 5,
                ..Default::default()
            }),
            env: [("OLD", ""), ("KEPT", "")]
                .into_iter()
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .collect(),
            ..Default::default()
        }
    }

    fn json(wanted: &Wanted, now: Option<&v1::AppMeta>) -> String {
        serde_json::to_string(&wanted.config(now)).unwrap()
    }

    #[test]
    fn what_is_not_wanted_stays_as_it_is() {
        assert_eq!(json(&Wanted::default(), Some(&now())), "{}");
        let cpu = Wanted { cpu_millicores: Some(700), ..Wanted::default() };
        assert_eq!(json(&cpu, Some(&now())), r#"{"limits":{"memoryMb":300,"cpuMillicores":700,"timeoutSecs":60}}"#);
        assert_eq!(json(&cpu, None), r#"{"limits":{"cpuMillicores":700}}"#);
        let memory = Wanted { memory_mb: Some(0), ..Wanted::default() };
        assert_eq!(json(&memory, Some(&now())), r#"{"limits":{"timeoutSecs":60}}"#);
        let most = Wanted { max_replicas: Some(9), ..Wanted::default() };
        assert_eq!(json(&most, Some(&now())), r#"{"scaling":{"maxReplicas":9,"reserved":2}}"#);
    }

    #[test]
    fn flags_win_over_the_manifest_and_variables_one_by_one() {
        let manifest =
            AppManifest::parse("tier = \"large\"\nmemory_mb = 900\n[env]\nA = \"file\"\nB = \"file\"\n").unwrap();
        let flags = ConfigArgs {
            tier: Some(TierArg::Small),
            env: vec!["B=flag=1".to_owned(), "C=".to_owned()],
            ..ConfigArgs::default()
        };
        let wanted = Wanted::of_flags(&flags).unwrap().or(Wanted::of_manifest(&manifest));
        assert_eq!((wanted.tier, wanted.memory_mb), (Some(Tier::Small), Some(900)));
        let env: Vec<String> =
            wanted.env.as_ref().unwrap().iter().map(|(name, value)| format!("{name}={value}")).collect();
        assert_eq!(env, ["A=file", "B=flag=1", "C="]);
        assert_eq!(wanted.removed_variables(&now()), ["KEPT", "OLD"]);
        let none = Wanted::of_flags(&ConfigArgs { clear_env: true, ..ConfigArgs::default() }).unwrap();
        assert_eq!(json(&none.or(Wanted::of_manifest(&manifest)), None).matches("env").count(), 1);
    }

    #[test]
    fn a_file_of_variables_is_read_as_shells_write_it() {
        let env = env_file("# comment\n\nexport A=1\nB = \"two words\"\nC='x=y'\nD=\n").unwrap();
        let shown: Vec<String> = env.iter().map(|(name, value)| format!("{name}={value}")).collect();
        assert_eq!(shown, ["A=1", "B=two words", "C=x=y", "D="]);
        assert_eq!(env_file("A=1\nsecret\n").unwrap_err(), "line 2 has no `=`");
        let error =
            Wanted::of_flags(&ConfigArgs { env: vec!["hunter2".to_owned()], ..ConfigArgs::default() }).unwrap_err();
        assert!(!format!("{error:?}").contains("hunter2"));
    }
}
