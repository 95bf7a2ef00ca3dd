//! The command line and environment of `ignite-builder`, read once.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, ValueEnum};
use ignite_store_meta::has_password;
use ignite_store_objects::{Address, Location as ObjectsLocation};

use crate::worker::WorkerOptions;

/// Compile what a platform's queue holds
#[derive(Debug, Parser)]
#[command(name = "ignite-builder", version)]
struct Args {
    /// Take jobs from the records at sqlite:FILE or postgres://USER@HOST/DATABASE; an address with a password is for the environment alone
    #[arg(long, env = "IGNITE_STORE", value_name = "URL", hide_env_values = true)]
    store: String,
    /// Read sources and write artifacts at file:DIR or s3://BUCKET/PREFIX?endpoint=URL&region=NAME
    #[arg(long, env = "IGNITE_OBJECTS", value_name = "URL", hide_env_values = true)]
    objects: String,
    /// Compile so many at once
    #[arg(long, env = "IGNITE_BUILDER_JOBS", default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..=256))]
    jobs: u16,
    /// Keep downloads, dependencies and artifacts in this folder [default: ~/.cache/ignite]
    #[arg(long, env = "IGNITE_CACHE_DIR", value_name = "DIR")]
    cache: Option<PathBuf>,
    /// Run the steps in this unpacked compile image instead of on this machine's own programs
    #[arg(long, env = "IGNITE_COMPILE_IMAGE", value_name = "DIR")]
    image: Option<PathBuf>,
    /// Compile although this machine cannot hold in what it runs; only for code you trust with all of it
    #[arg(long, env = "IGNITE_ALLOW_UNSANDBOXED")]
    allow_unsandboxed: bool,
    /// Name this builder in leases and logs [default: host name, process id and chance]
    #[arg(long, env = "IGNITE_INSTANCE_ID")]
    name: Option<String>,
    /// Serve metrics and probes on this address
    #[arg(long, env = "IGNITE_ADMIN", default_value = "127.0.0.1:9092", value_name = "ADDRESS:PORT")]
    admin: SocketAddr,
    /// Hold a job for so many seconds without a sign of life before another builder takes it over
    #[arg(long, env = "IGNITE_BUILDER_LEASE_SECS", default_value_t = 30, value_parser = clap::value_parser!(u64).range(2..=3600))]
    lease_secs: u64,
    /// End a compile after so many seconds
    #[arg(long, env = "IGNITE_BUILDER_COMPILE_SECS", default_value_t = 900, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    compile_secs: u64,
    /// Let compiles go on for so many seconds when told to end, then give them back
    #[arg(long, env = "IGNITE_BUILDER_DRAIN_SECS", default_value_t = 20, value_parser = clap::value_parser!(u64).range(0..=86_400))]
    drain_secs: u64,
    /// Write log lines for programs or for people
    #[arg(long, env = "IGNITE_LOG_FORMAT", value_enum, default_value_t = LogFormat::Json)]
    log_format: LogFormat,
}

/// How log lines are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// One JSON object a line.
    Json,
    /// For people.
    Text,
}

/// All that a builder is told.
#[derive(Debug, Clone)]
pub struct BuilderServiceConfig {
    /// Where jobs and logs are.
    pub records: ignite_store_meta::Location,
    /// Where sources and artifacts are.
    pub objects: ObjectsLocation,
    /// How it works.
    pub worker: WorkerOptions,
    /// The cache.
    pub cache_dir: PathBuf,
    /// An unpacked compile image, if the steps run in one.
    pub image: Option<PathBuf>,
    /// Whether it goes on where protections are missing.
    pub allow_unsandboxed: bool,
    /// Where metrics and probes are served.
    pub admin: SocketAddr,
    /// How log lines are written.
    pub log_format: LogFormat,
    /// Which log lines are written, as in `info,ignite_compiler_worker=debug`.
    pub log_filter: String,
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

/// Reads arguments and environment; every fault is told at once.
///
/// # Errors
/// When something is missing or not valid, and for `--help` and `--version`.
pub fn parse(
    arguments: impl IntoIterator<Item = OsString>,
    environment: &[(OsString, OsString)],
) -> Result<BuilderServiceConfig, Refused> {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    let args = Args::try_parse_from(&arguments).map_err(|error| Refused(RefusedBy::Clap(Box::new(error))))?;
    config(args, &arguments, environment).map_err(|faults| Refused(RefusedBy::Faults(faults)))
}

fn config(
    args: Args,
    arguments: &[OsString],
    environment: &[(OsString, OsString)],
) -> Result<BuilderServiceConfig, Vec<String>> {
    let find = |name: &str| {
        let found = environment.iter().find(|(found, _)| found == name).map(|(_, value)| value);
        found.filter(|value| !value.is_empty()).map(|value| value.to_string_lossy().into_owned())
    };
    let mut faults = Vec::new();
    let on_command_line = |url: &str| {
        let equal = |argument: &OsString| argument.to_str().is_some_and(|argument| argument.ends_with(url));
        arguments.iter().any(equal)
    };
    if has_password(&args.store) && on_command_line(&args.store) {
        faults.push(
            "--store has a password, which everybody on this machine can read there: set IGNITE_STORE instead"
                .to_owned(),
        );
    }
    let records = args.store.parse().map_err(|fault| faults.push(format!("--store: {fault}"))).ok();
    let objects = Address::read(&args.objects, find);
    let objects = objects.map(Address::unsigned).map_err(|fault| faults.push(format!("--objects: {fault}"))).ok();
    let cache = args.cache.or_else(|| find("HOME").map(|home| PathBuf::from(home).join(".cache/ignite")));
    let cache = cache.and_then(|cache| std::path::absolute(cache).ok());
    if cache.is_none() {
        faults.push("there is no place for the cache: give --cache DIR".to_owned());
    }
    let mut worker = WorkerOptions::new(args.name.unwrap_or_else(|| own_name(find("HOSTNAME"))), args.jobs.into());
    worker.lease = Duration::from_secs(args.lease_secs);
    worker.compile_max = Duration::from_secs(args.compile_secs);
    worker.drain_max = Duration::from_secs(args.drain_secs);
    let (Some(records), Some(objects), Some(cache_dir), true) = (records, objects, cache, faults.is_empty()) else {
        return Err(faults);
    };
    Ok(BuilderServiceConfig {
        records,
        objects,
        worker,
        cache_dir,
        image: args.image,
        allow_unsandboxed: args.allow_unsandboxed,
        admin: args.admin,
        log_format: args.log_format,
        log_filter: find("IGNITE_LOG").unwrap_or_else(|| "info".to_owned()),
    })
}

/// Two processes may have one number, on two machines or in two containers.
fn own_name(host: Option<String>) -> String {
    let chance: u32 = rand::random();
    format!("{}-{}-{chance:08x}", host.as_deref().unwrap_or("builder"), std::process::id())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test")]
    use super::*;

    fn parsed(arguments: &str, environment: &[(&str, &str)]) -> Result<BuilderServiceConfig, Refused> {
        let environment: Vec<_> = environment.iter().map(|(name, value)| (name.into(), value.into())).collect();
        parse(arguments.split(' ').map(OsString::from), &environment)
    }

    #[test]
    fn a_builder_is_told_where_its_stores_are() {
        let config = parsed(
            "ignite-builder --store sqlite:/data/ignite.db --objects file:/data/objects --jobs 3 --lease-secs 5 --name b",
            &[("HOME", "/home/x")],
        )
        .unwrap();
        assert_eq!((config.worker.name.as_str(), config.worker.compiles_max), ("b", 3));
        assert_eq!(config.worker.lease, Duration::from_secs(5));
        assert_eq!(config.cache_dir, PathBuf::from("/home/x/.cache/ignite"));
        assert!(!config.allow_unsandboxed);
        assert!(parsed("ignite-builder --store sqlite:a", &[]).is_err());
    }

    #[test]
    fn all_faults_are_told_at_once() {
        let refused = parsed("ignite-builder --store mysql://x --objects ftp://y", &[]).unwrap_err();
        let RefusedBy::Faults(faults) = refused.0 else { panic!("{refused:?}") };
        assert_eq!(faults.len(), 3, "{faults:?}");
    }

    #[test]
    fn a_password_is_not_for_the_command_line() {
        let text = "ignite-builder --cache /c --objects file:/o --store";
        for url in ["postgres://user:secret@host/db", "postgres://user@host/db?password=secret"] {
            let refused = parsed(&format!("{text} {url}"), &[]).unwrap_err();
            let RefusedBy::Faults(faults) = refused.0 else { panic!("{refused:?}") };
            assert!(faults[0].contains("IGNITE_STORE") && !faults[0].contains("secret"), "{faults:?}");
        }
        let config = parsed(&format!("{text} postgres://user@host/db"), &[]).unwrap();
        assert!(!format!("{config:?}").contains("user@host"), "an address may hold a password");
    }
}
