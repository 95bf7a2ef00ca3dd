//! The whole platform in one process: records in SQLite or Postgres, objects in a folder or in S3, hosts as processes of this
//! machine.
//!
//! The parts are those of a cluster; here they are put together. They meet in the store alone, so each could live elsewhere.

mod artifacts;
mod data;
mod issuers;
mod keys;
pub(crate) mod log;
pub(crate) mod stores;

use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use ignite_compiler_worker::{Status, StoreQueue, Worker, WorkerOptions};
use ignite_control_deploy::local::{Confine, LocalBackend, LocalOptions, Probing, SealedSecrets};
use ignite_control_deploy::{Agent, AgentOptions, Wakes};
use ignite_control_pipeline::Bounds;
use ignite_control_pipeline::scale::Load;
use ignite_control_server::api::{self, ApiServer, PublicUrl, new_secret};
use ignite_control_server::executions::{ExecutionLimits, Executions, GatewayClient, GatewayClientOptions};
use ignite_control_server::{AdminServer, Apps, Scaler, SystemClock, rounds};
use ignite_core_model::{FunctionId, Secret, VersionNumber};
use ignite_gateway::{Gateway, GatewayConfig, GatewayLimits};
use ignite_store_meta::{Claim, Meta, MetaOptions};
use ignite_store_objects::UrlSigner;
use ignite_telemetry::{TRACER_VARIABLES, Tracer, TracerOptions};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::exit::{CliError, Exit};
use crate::settings::Settings;

pub(crate) use data::Data;
pub(crate) use keys::FirstToken;
pub(crate) use stores::Stores;

/// Longest time from the start of a host to its first good probe.
const START_MAX: Duration = Duration::from_secs(30);

/// How long hosts may take to finish what they have when the platform ends.
const DRAIN_MAX: Duration = Duration::from_secs(10);

/// Compiles at once.
const COMPILES_MAX: usize = 2;

/// What `ignite serve` is told.
pub(crate) struct PlatformOptions {
    /// The folder of everything that is kept.
    pub(crate) data: Data,
    pub(crate) stores: Stores,
    pub(crate) api_port: u16,
    pub(crate) gateway_port: u16,
    pub(crate) base_domain: String,
    pub(crate) warm_per_runtime: usize,
    pub(crate) allow_unsandboxed: bool,
}

/// A platform that runs.
pub(crate) struct Platform {
    /// What carries out accepted executions, and is ended before the gateway they go through.
    calls: (CancellationToken, JoinHandle<()>),
    api: ApiServer,
    /// Serves metrics of executions, to the end.
    admin: AdminServer,
    gateway: Gateway,
    worker: Worker,
    meta: Meta,
    stop: CancellationToken,
    tasks: Vec<JoinHandle<()>>,
    /// Held as long as the data are in use.
    _lock: File,
    claim: Claim,
    pub(crate) url: PublicUrl,
    /// The token that was made because there was none.
    pub(crate) first_token: Option<FirstToken>,
}

/// Leads what the gateway sees to whoever scales, and that a request waits to the agent as well: it is in this process, and
/// can begin while the row that says so is being written.
struct Scales(Scaler, Wakes);

impl ignite_gateway::Scaler for Scales {
    fn wake(&self, app: &FunctionId, version: VersionNumber) {
        self.1.wake(app, version);
        self.0.wake(app, version);
    }

    fn load(&self, app: &FunctionId, version: VersionNumber, load: ignite_gateway::Load) {
        let load = Load { executions_peak: load.executions_peak, idle_ms: load.idle_ms };
        self.0.load(app, version, load);
    }
}

fn failed(what: &str, error: &dyn std::error::Error) -> CliError {
    CliError::new(Exit::Unavailable, format!("could not {what}")).caused_by(error)
}

impl Platform {
    /// Starts every part.
    pub(crate) async fn start(options: PlatformOptions, settings: &Settings) -> Result<Self, CliError> {
        let lock = options.data.lock()?;
        let data = options.data.folder();
        let key = keys::load_or_make(&data.join("key"))?;
        let issuers = issuers::load(&data.join("identity.toml"))?;
        let sealing = keys::sealing(&settings.env, &data.join("sealing-key"))?;
        let meta = Meta::open(&MetaOptions::new(options.stores.records))
            .await
            .map_err(|error| failed("open the records", &error))?;
        let claim = stores::claim(&meta).await?;
        let (listener, address) = ApiServer::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, options.api_port)))
            .await
            .map_err(|error| failed("serve the API", &error).hint("choose another port with --api-port"))?;
        let signer = UrlSigner::new(key, &format!("http://{address}/objects"));
        let (objects, signer) = stores::objects(options.stores.objects, signer).await?;
        let apps = Apps::new(meta.clone(), Arc::new(SystemClock), Bounds::default());
        let stop = CancellationToken::new();

        let mut tasks = vec![tokio::spawn(rounds::run(apps.clone(), stop.clone()))];
        let scaler = Scaler::start(apps.clone(), stop.clone());
        let artifacts = artifacts::Kept::new(objects.clone(), data.join("artifacts"))
            .map_err(|error| failed("keep artifacts", &error))?;
        let backend = LocalBackend::new(
            LocalOptions {
                host_program: host_program(settings)?,
                work_dir: data.join("hosts"),
                cache_dir: settings.cache_dir.clone(),
                warm_per_runtime: options.warm_per_runtime,
                start_max: START_MAX,
                drain_max: DRAIN_MAX,
                probing: Probing::default(),
                confine: Confine::WherePossible,
                env: host_environment(settings),
            },
            Arc::new(artifacts),
            Arc::new(SealedSecrets::new(meta.clone(), sealing.clone())),
        )
        .map_err(|error| failed("make a place for hosts", &error))?;
        let agent = AgentOptions { name: "local".to_owned(), drain_max: DRAIN_MAX };
        let mut agent = Agent::new(meta.clone(), Arc::new(backend), agent);
        let (agent_status, wakes) = (agent.status(), agent.wakes());
        let worker_status = Arc::new(Status::default());
        let worker = Worker::start_with(
            WorkerOptions::new("local", COMPILES_MAX),
            Arc::new(StoreQueue::new(meta.clone(), objects.clone())),
            Arc::new(crate::project::builder(settings, options.allow_unsandboxed)),
            stop.clone(),
            Arc::default(),
            Arc::clone(&worker_status),
        );
        // Nobody but this process knows it.
        let platform_key = Secret::new(new_secret().0);
        let gateway = GatewayConfig {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, options.gateway_port)),
            admin: Some(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))),
            base_domain: options.base_domain.clone(),
            name: "gateway-local".to_owned(),
            platform_key: Some(platform_key.clone()),
            issuers: issuers.clone(),
            tracer: tracer(settings)?,
            limits: GatewayLimits { drain_timeout: DRAIN_MAX, ..GatewayLimits::default() },
        };
        let gateway = Gateway::start(gateway, meta.clone(), Arc::new(Scales(scaler, wakes)))
            .await
            .map_err(|error| failed("serve the gateway", &error).hint("choose another port with --gateway-port"))?;
        agent.heard_by(Arc::new(gateway.hears()));
        tasks.push(tokio::spawn(agent.run(stop.clone())));
        let caller = GatewayClient::new(GatewayClientOptions {
            address: gateway.address().to_string(),
            base_domain: options.base_domain.clone(),
            key: platform_key,
        });
        let limits = ExecutionLimits { drain_max: DRAIN_MAX, ..ExecutionLimits::default() };
        let executions = Executions::new(apps.clone(), objects.clone(), caller, limits);
        let admin = AdminServer::start(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), executions.clone())
            .await
            .map_err(|error| failed("serve metrics", &error))?;
        let stop_calls = CancellationToken::new();
        let calls = tokio::spawn(executions.clone().run("control-local".to_owned(), stop_calls.clone()));
        let url = PublicUrl {
            scheme: "http".to_owned(),
            base_domain: options.base_domain,
            port: Some(gateway.address().port()),
        };
        let others: api::OtherParts = Arc::new(move || {
            let agent = agent_status.waits_for().map(|what| format!("the agent waits for {what}"));
            let worker = worker_status.not_ready().unwrap_or_default();
            agent.into_iter().chain(worker.lines().map(|line| format!("the builder {line}"))).collect()
        });
        let parts =
            api::Platform { others, apps, objects, executions, url: url.clone(), signer, issuers, keys: sealing };
        let api = ApiServer::start(listener, address, parts);
        // Last, so that no token is made by a start that fails and shows it to nobody.
        let first_token = keys::first_token(&meta).await?;
        Ok(Self {
            calls: (stop_calls, calls),
            api,
            admin,
            gateway,
            worker,
            meta,
            stop,
            tasks,
            _lock: lock,
            claim,
            url,
            first_token,
        })
    }

    /// Where the API is served.
    pub(crate) fn api_address(&self) -> SocketAddr {
        self.api.address()
    }

    /// Where metrics and probes of the gateway are served.
    pub(crate) fn gateway_admin(&self) -> Option<SocketAddr> {
        self.gateway.admin_address()
    }

    /// Where metrics of the control plane are served.
    pub(crate) fn control_admin(&self) -> SocketAddr {
        self.admin.address()
    }

    /// Ends when another platform has the records, as may be after a restart of their database.
    pub(crate) async fn lost(&mut self) {
        self.claim.lost().await;
    }

    /// Lets all that is in flight finish, for a bounded time: callers first, then what serves them.
    pub(crate) async fn drain(self) {
        let (stop_calls, calls) = self.calls;
        stop_calls.cancel();
        let _ = calls.await;
        self.gateway.drain().await;
        self.api.drain().await;
        self.stop.cancel();
        self.worker.drain().await;
        for task in self.tasks {
            let _ = task.await;
        }
        self.meta.close().await;
    }
}

/// The host's program: `IGNITE_HOST_PROGRAM`, else the one beside this program.
fn host_program(settings: &Settings) -> Result<PathBuf, CliError> {
    let named = (settings.env)("IGNITE_HOST_PROGRAM").map(PathBuf::from);
    let beside = std::env::current_exe().ok().and_then(|own| Some(own.parent()?.join("ignite-host")));
    named.or(beside).filter(|path| path.is_file()).ok_or_else(|| {
        CliError::new(Exit::Unavailable, "could not find `ignite-host`")
            .hint("put it beside `ignite`, or name it with IGNITE_HOST_PROGRAM")
    })
}

/// Where spans of the gateway go, as the environment says.
fn tracer(settings: &Settings) -> Result<Tracer, CliError> {
    let find = |name: &str| Some((settings.env)(name)?.to_string_lossy().into_owned());
    let options = TracerOptions::read(find, "ignite-gateway", "gateway-local");
    let started = options.and_then(|options| options.map_or(Ok(Tracer::off()), Tracer::start));
    started.map_err(|fault| CliError::new(Exit::InvalidArgument, fault.to_string()))
}

/// What hosts need of this process's environment: where interpreters are. Nothing of it reaches an app.
fn host_environment(settings: &Settings) -> Vec<(String, String)> {
    ["PATH", "HOME", "IGNITE_PYTHON", "IGNITE_DENO", "IGNITE_CACHE_DIR"]
        .into_iter()
        .chain(TRACER_VARIABLES)
        .filter_map(|name| Some((name.to_owned(), (settings.env)(name)?.to_string_lossy().into_owned())))
        .collect()
}
