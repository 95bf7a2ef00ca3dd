//! The command line and environment of `ignite-host`, read once.

use std::ffi::OsString;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, ValueEnum};
use ignite_core_model::{FunctionId, HostAddress, OrganizationId};
use ignite_telemetry::TracerOptions;

use crate::artifact::ArtifactSource;
use crate::config::{HostConfig, LogFormat, RuntimePaths, Serves};
use crate::env::LimitOverrides;
use crate::multi::MultiLimits;
use crate::warm::WarmRuntime;

/// Variables with this prefix become the app's environment, without it.
const APP_ENV_PREFIX: &str = "IGNITE_ENV_";

/// Serve one app version over HTTP
#[derive(Debug, Parser)]
#[command(name = "ignite-host", version)]
struct Args {
    /// Serve this artifact: a file, a folder it was unpacked to, or URL#sha256=HEX
    #[arg(long, env = "IGNITE_ARTIFACT", required_unless_present_any = ["warm", "multi"], conflicts_with_all = ["warm", "multi"])]
    artifact: Option<ArtifactSource>,
    /// Start without code and wait for an app of this runtime: python, go, rust, deno or wasm
    #[arg(long, env = "IGNITE_WARM", value_name = "RUNTIME")]
    warm: Option<WarmRuntime>,
    /// Serve many WebAssembly apps by hostname: a folder with one artifact for each, named by its label
    #[arg(long, env = "IGNITE_MULTI", value_name = "DIR", conflicts_with = "warm")]
    multi: Option<PathBuf>,
    /// Keep at most so many of many apps loaded
    #[arg(long, env = "IGNITE_MULTI_LOADED_MAX", default_value_t = 256, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    multi_loaded_max: u32,
    /// Run at most so many executions of many apps together at once
    #[arg(long, env = "IGNITE_MULTI_CONCURRENCY", default_value_t = 256, value_parser = clap::value_parser!(u32).range(1..=4096))]
    multi_concurrency: u32,
    /// Listen on this port; 0 takes any
    #[arg(long, env = "PORT", default_value_t = 8080)]
    port: u16,
    /// Listen on this address
    #[arg(long, env = "IGNITE_LISTEN_HOST", default_value = "0.0.0.0")]
    host: IpAddr,
    /// Listen on this Unix socket, for this user alone, and on no address
    #[arg(long, env = "IGNITE_SOCKET", value_name = "PATH")]
    socket: Option<PathBuf>,
    /// Serve metrics at unix:PATH or ADDRESS:PORT, or say off
    #[arg(long, env = "IGNITE_ADMIN", default_value = "unix:admin.sock")]
    admin: String,
    /// Name the app, ORG/NAME, where no gateway does
    #[arg(long, env = "IGNITE_FUNCTION_ID", default_value = "local/app")]
    function_id: FunctionId,
    /// Name the organisation, where no gateway does [default: that of the app]
    #[arg(long, env = "IGNITE_ORGANIZATION_ID")]
    organization_id: Option<OrganizationId>,
    /// Show tracebacks in answers: true or false [default: as the artifact says, else false]
    #[arg(long, env = "IGNITE_EXPOSE_ERRORS")]
    expose_errors: Option<bool>,
    /// Set a variable of the app's environment, NAME=VALUE; also IGNITE_ENV_NAME=VALUE in the host's own
    #[arg(long = "env", value_name = "NAME=VALUE")]
    env: Vec<String>,
    /// Keep machine code of components in this folder [default: aot in the cache folder]
    #[arg(long, env = "IGNITE_AOT_CACHE")]
    aot_cache: Option<PathBuf>,
    /// Unpack below this folder [default: the system's folder for temporary files]
    #[arg(long, env = "IGNITE_WORK_DIR")]
    work_dir: Option<PathBuf>,
    /// Keep what is the same at each start in this folder [default: ~/.cache/ignite]
    #[arg(long, env = "IGNITE_CACHE_DIR")]
    cache_dir: Option<PathBuf>,
    /// Name this instance in log lines [default: host name and process id]
    #[arg(long, env = "IGNITE_INSTANCE_ID")]
    instance: Option<String>,
    /// Write log lines for programs or for people
    #[arg(long, env = "IGNITE_LOG_FORMAT", value_enum, default_value_t = Format::Json)]
    log_format: Format,
    /// Start nothing before a byte has come on stdin, and end if none comes: until then the host can be put into a control
    /// group
    #[arg(long, env = "IGNITE_START_WITH_STDIN")]
    start_with_stdin: bool,
    /// Drain and end when stdin ends, as when the process that started the host is gone
    #[arg(long, env = "IGNITE_STOP_WITH_STDIN")]
    stop_with_stdin: bool,
    /// Run in a user namespace of its own, so that hosts of one user cannot look into each other; exit code 3 without one
    #[arg(long, env = "IGNITE_OWN_USER")]
    own_user: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Format {
    Json,
    Text,
}

/// Why there is no configuration: what to print and how to end.
#[derive(Debug)]
pub struct Refused(RefusedBy);

#[derive(Debug)]
enum RefusedBy {
    Clap(Box<clap::Error>),
    Faults(Vec<String>),
}

impl Refused {
    /// Prints it: help to stdout, faults to stderr; 2 is the exit code of the latter.
    #[must_use]
    pub fn print(&self) -> ExitCode {
        match &self.0 {
            RefusedBy::Clap(error) => {
                let _ = error.print();
                ExitCode::from(if error.use_stderr() { 2 } else { 0 })
            }
            RefusedBy::Faults(faults) => {
                let lines: String = faults.iter().map(|fault| format!("error: {fault}\n")).collect();
                let _ = std::io::Write::write_all(&mut std::io::stderr(), lines.as_bytes());
                ExitCode::from(2)
            }
        }
    }
}

/// Reads arguments and environment; every fault of the environment is told at once.
///
/// # Errors
/// When something is missing or not valid, and for `--help` and `--version`.
pub fn parse(
    arguments: impl IntoIterator<Item = OsString>,
    environment: Vec<(OsString, OsString)>,
) -> Result<HostConfig, Refused> {
    let args = Args::try_parse_from(arguments).map_err(|error| Refused(RefusedBy::Clap(Box::new(error))))?;
    config(args, &environment).map_err(|faults| Refused(RefusedBy::Faults(faults)))
}

fn config(args: Args, environment: &[(OsString, OsString)]) -> Result<HostConfig, Vec<String>> {
    let find = |name: &str| {
        environment.iter().find(|(found, _)| found == name).map(|(_, value)| value).filter(|value| !value.is_empty())
    };
    let mut faults = Vec::new();
    let limits = LimitOverrides::read(|name| find(name).map(|value| value.to_string_lossy().into_owned()))
        .unwrap_or_else(|found| {
            faults.extend(found);
            LimitOverrides::default()
        });
    let admin = admin(&args.admin).unwrap_or_else(|fault| {
        faults.push(fault);
        None
    });
    let many = MultiLimits { loaded_max: args.multi_loaded_max, max_concurrency: args.multi_concurrency };
    let serves = match (args.artifact, args.warm, args.multi) {
        (_, _, Some(dir)) => Some(Serves::Multi(dir, many)),
        (_, Some(runtime), None) => Some(Serves::Warm(runtime)),
        (Some(artifact), None, None) => Some(Serves::Artifact(artifact)),
        (None, None, None) => {
            faults.push("there is nothing to serve: give --artifact, --warm or --multi".to_owned());
            None
        }
    };
    if matches!(serves, Some(Serves::Warm(_))) && !matches!(admin, Some(HostAddress::Unix(_))) {
        faults.push("a warm host is specialised on its admin socket: give --admin unix:PATH".to_owned());
    }
    let (env, env_faults) = app_env(&args.env, environment);
    faults.extend(env_faults);
    let instance = args.instance.unwrap_or_else(|| {
        let name = find("HOSTNAME").map_or("host".into(), |name| name.to_string_lossy());
        format!("{name}-{}", std::process::id())
    });
    let text = |name: &str| find(name).map(|value| value.to_string_lossy().into_owned());
    let spans = TracerOptions::read(text, "ignite-host", &instance).unwrap_or_else(|fault| {
        faults.push(fault.to_string());
        None
    });
    let cache_dir = args
        .cache_dir
        .or_else(|| find("HOME").map(|home| PathBuf::from(home).join(".cache/ignite")))
        .unwrap_or_else(|| std::env::temp_dir().join("ignite-cache"));
    let (Some(serves), true) = (serves, faults.is_empty()) else { return Err(faults) };
    Ok(HostConfig {
        listen: args.socket.map_or_else(|| SocketAddr::new(args.host, args.port).into(), HostAddress::Unix),
        admin,
        serves,
        organization_id: args.organization_id.unwrap_or_else(|| args.function_id.organization()),
        function_id: args.function_id,
        limits,
        expose_errors: args.expose_errors,
        env,
        runtimes: RuntimePaths::candidates(&|name| find(name).cloned()),
        aot_cache: Some(args.aot_cache.unwrap_or_else(|| cache_dir.join("aot"))),
        work_dir: args.work_dir.unwrap_or_else(std::env::temp_dir),
        cache_dir,
        instance,
        start_with_stdin: args.start_with_stdin,
        stop_with_stdin: args.stop_with_stdin,
        own_user: args.own_user,
        spans,
        log_format: match args.log_format {
            Format::Json => LogFormat::Json,
            Format::Text => LogFormat::Text,
        },
    })
}

fn admin(text: &str) -> Result<Option<HostAddress>, String> {
    if text == "off" {
        return Ok(None);
    }
    text.parse().map(Some).map_err(|_| {
        format!("`{text}` is not an admin address: write unix:PATH, ADDRESS:PORT as in 127.0.0.1:9090, or off")
    })
}

/// The app's environment; flags win over the host's variables.
fn app_env(flags: &[String], environment: &[(OsString, OsString)]) -> (Vec<(String, String)>, Vec<String>) {
    let mut env = std::collections::BTreeMap::new();
    let mut faults = Vec::new();
    for (name, value) in environment {
        let Some(name) = name.to_str().and_then(|name| name.strip_prefix(APP_ENV_PREFIX)) else { continue };
        match value.to_str() {
            Some(value) if !name.is_empty() => drop(env.insert(name.to_owned(), value.to_owned())),
            _ => faults.push(format!("{APP_ENV_PREFIX}{name} is not UTF-8, or names no variable")),
        }
    }
    for flag in flags {
        match flag.split_once('=') {
            Some((name, value)) if !name.is_empty() => drop(env.insert(name.to_owned(), value.to_owned())),
            // The value may be a secret, so the flag is not repeated.
            _ => faults.push("a value of --env has no name: write --env NAME=VALUE".to_owned()),
        }
    }
    (env.into_iter().collect(), faults)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test")]
    use super::*;

    fn parsed(arguments: &str, environment: &[(&str, &str)]) -> Result<HostConfig, Refused> {
        let environment = environment.iter().map(|(name, value)| (name.into(), value.into())).collect();
        parse(arguments.split(' ').map(OsString::from), environment)
    }

    #[test]
    fn the_apps_environment_is_its_own() {
        let config = parsed(
            "ignite-host --artifact a.tar.zst --env COLOUR=mauve",
            &[("IGNITE_ENV_COLOUR", "red"), ("IGNITE_ENV_SHAPE", "round"), ("SECRET", "x")],
        )
        .unwrap();
        assert_eq!(config.env, [("COLOUR".into(), "mauve".into()), ("SHAPE".into(), "round".into())]);
        assert!(!format!("{config:?}").contains("mauve"), "values are not shown");
    }

    #[test]
    fn all_faults_are_told_at_once() {
        let refused =
            parsed("ignite-host --artifact a --admin here --env =x", &[("IGNITE_TIMEOUT_MS", "soon")]).unwrap_err();
        let RefusedBy::Faults(faults) = refused.0 else { panic!("{refused:?}") };
        assert_eq!(faults.len(), 3, "{faults:?}");
    }

    #[test]
    fn a_warm_host_has_a_runtime_no_artifact_and_an_admin_socket() {
        let config = parsed("ignite-host --warm python", &[]).unwrap();
        assert!(matches!(config.serves, Serves::Warm(WarmRuntime::Python)));
        for wrong in [
            "--warm",
            "--warm perl",
            "--warm go --artifact a.tar.zst",
            "--warm go --admin off",
            "--warm go --admin 127.0.0.1:0",
        ] {
            assert!(parsed(&format!("ignite-host {wrong}"), &[]).is_err(), "{wrong}");
        }
        assert!(parsed("ignite-host", &[]).is_err());
    }

    #[test]
    fn a_url_needs_a_digest() {
        assert!(parsed("ignite-host --artifact http://127.0.0.1/a.tar.zst", &[]).is_err());
    }
}
