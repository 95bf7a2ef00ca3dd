//! The program `ignite-builder`: from settings to a worker that drains on a signal.

mod admin;
pub mod args;

use std::io::Write as _;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use ignite_compiler_builder::{Builder, BuilderConfig, SandboxOptions, SourceLimits};
use ignite_store_meta::{Meta, MetaError, MetaOptions};
use ignite_store_objects::{Objects, ObjectsError};
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::metrics::Metrics;
use crate::status::{Part, Status};
use crate::store::StoreQueue;
use crate::words::in_full;
use crate::worker::Worker;
use args::{BuilderServiceConfig, LogFormat};

/// It could not be started: the settings or this machine are not usable.
const EXIT_START: u8 = 1;
/// Work was given back to a second signal (128 + SIGTERM).
const EXIT_WORK_LOST: u8 = 143;

/// Pause between two tries to reach a store at the start.
const REACH_AGAIN: Duration = Duration::from_secs(1);

/// Why a builder could not start.
#[derive(Debug, thiserror::Error)]
enum StartError {
    #[error("could not serve probes on {0}")]
    Admin(std::net::SocketAddr, #[source] std::io::Error),
    #[error("could not listen for signals")]
    Signals(#[source] std::io::Error),
    #[error("{0}")]
    Sandbox(String),
    #[error("could not open the records")]
    Records(#[source] MetaError),
    #[error("could not open the object store")]
    Objects(#[source] ObjectsError),
}

/// Runs a builder until SIGTERM or SIGINT and drains it. Gives the exit code: 0 when all work was finished or given back in
/// time, 143 after a second signal, 1 when it could not start.
#[must_use]
pub fn run_until_signal(config: BuilderServiceConfig) -> ExitCode {
    log_to_stdout(&config);
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return failed(&error),
    };
    match runtime.block_on(serve(config)) {
        Ok(code) => code,
        Err(error) => failed(&error),
    }
}

/// Lines are the record of a service, and stdout is where those who keep them look.
fn log_to_stdout(config: &BuilderServiceConfig) {
    let filter = tracing_subscriber::EnvFilter::try_new(&config.log_filter)
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("info"));
    let builder = tracing_subscriber::fmt().with_env_filter(filter);
    // There may be one already, in a test.
    let _ = match config.log_format {
        LogFormat::Json => builder.json().flatten_event(true).with_current_span(true).with_span_list(false).try_init(),
        LogFormat::Text => builder.try_init(),
    };
}

fn failed(error: &dyn std::error::Error) -> ExitCode {
    let mut text = format!("error: could not start the builder\n  cause: {error}\n");
    let mut source = error.source();
    while let Some(error) = source {
        text.push_str(&format!("  cause: {error}\n"));
        source = error.source();
    }
    let _ = std::io::stderr().write_all(text.as_bytes());
    ExitCode::from(EXIT_START)
}

async fn serve(config: BuilderServiceConfig) -> Result<ExitCode, StartError> {
    let mut signals = Signals::new().map_err(StartError::Signals)?;
    let (metrics, status) =
        (Arc::new(Metrics::default()), Arc::new(Status::waiting_for(&[Part::Sandbox, Part::Records, Part::Objects])));
    let listener = TcpListener::bind(config.admin).await.map_err(|error| StartError::Admin(config.admin, error))?;
    let address = listener.local_addr().map_err(|error| StartError::Admin(config.admin, error))?;
    tracing::info!(admin = %address, builder = config.worker.name, "probes and metrics are served");
    let end_admin = CancellationToken::new();
    let admin = tokio::spawn(admin::serve(listener, Arc::clone(&metrics), Arc::clone(&status), end_admin.clone()));

    let made = tokio::select! {
        made = prepare(&config, &status) => Some(made?),
        () = signals.next() => None,
    };
    let mut code = ExitCode::SUCCESS;
    if let Some((builder, meta, objects)) = made {
        let queue = Arc::new(StoreQueue::new(meta.clone(), objects));
        let options = config.worker.clone();
        let jobs = options.compiles_max;
        let stop = CancellationToken::new();
        let worker = Worker::start_with(options, queue, builder, stop, Arc::clone(&metrics), Arc::clone(&status));
        tracing::info!(jobs, "jobs are taken");
        signals.next().await;
        tracing::info!("the builder ends: it takes no more jobs");
        let give_up = worker.give_up();
        let draining = worker.drain();
        tokio::pin!(draining);
        tokio::select! {
            () = &mut draining => {}
            () = signals.next() => {
                give_up.cancel();
                code = ExitCode::from(EXIT_WORK_LOST);
                draining.await;
            }
        }
        meta.close().await;
    }
    end_admin.cancel();
    let _ = admin.await;
    tracing::info!("the builder has ended");
    Ok(code)
}

/// Everything a worker needs, once it can be reached.
async fn prepare(config: &BuilderServiceConfig, status: &Status) -> Result<(Arc<Builder>, Meta, Objects), StartError> {
    let builder = sandboxed(config).await?;
    status.has(Part::Sandbox);
    let meta = records(config, status).await?;
    let objects = Objects::open(&config.objects).map_err(StartError::Objects)?;
    loop {
        match objects.check().await {
            Ok(()) => break,
            Err(error) => waits(status, Part::Objects, &error).await,
        }
    }
    status.has(Part::Objects);
    Ok((builder, meta, objects))
}

/// The compiler, and whether this machine can hold in what it runs. What it lacks is said in each start's log.
async fn sandboxed(config: &BuilderServiceConfig) -> Result<Arc<Builder>, StartError> {
    let builder = Arc::new(Builder::new(BuilderConfig {
        cache_dir: config.cache_dir.clone(),
        env: Arc::new(|name| std::env::var_os(name)),
        limits: SourceLimits::default(),
        sandbox: SandboxOptions {
            allow_unsandboxed: config.allow_unsandboxed,
            image: config.image.clone(),
            ..SandboxOptions::default()
        },
    }));
    let looking = Arc::clone(&builder);
    let features = tokio::task::spawn_blocking(move || looking.sandbox()).await;
    let features = features.map_err(|error| StartError::Sandbox(error.to_string()))?;
    let features = features.map_err(|error| StartError::Sandbox(error.report()))?;
    let missing: Vec<String> = features.missing.iter().map(ToString::to_string).collect();
    if !missing.is_empty() && !config.allow_unsandboxed {
        return Err(StartError::Sandbox(format!(
            "{}; for code you trust with all of this machine, --allow-unsandboxed goes on without",
            missing.join("; ")
        )));
    }
    for missing in missing {
        tracing::warn!(missing, "allowed by --allow-unsandboxed");
    }
    tracing::info!(means = features.means, "the sandbox was looked at");
    Ok(builder)
}

/// The records, as soon as they can be reached.
async fn records(config: &BuilderServiceConfig, status: &Status) -> Result<Meta, StartError> {
    let options = MetaOptions::new(config.records.clone());
    loop {
        match Meta::open(&options).await {
            Ok(meta) => {
                status.has(Part::Records);
                return Ok(meta);
            }
            Err(error @ MetaError::Busy(_)) => waits(status, Part::Records, &error).await,
            Err(error) => return Err(StartError::Records(error)),
        }
    }
}

async fn waits(status: &Status, part: Part, error: &(dyn std::error::Error + Send + Sync + 'static)) {
    let why = in_full(error);
    tracing::warn!(part = ?part, why, "the builder waits");
    status.waits(part, why);
    tokio::time::sleep(REACH_AGAIN).await;
}

struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => (),
            _ = self.interrupt.recv() => (),
        }
    }
}
