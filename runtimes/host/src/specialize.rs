//! A warm host gets its app: one call on the admin socket, once.
//!
//! Until code of the artifact may have run, whatever goes wrong leaves the host as warm as it was, and the caller may try
//! again. From then on it is not clean any more: a host whose app does not load says why and ends.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::{Response, StatusCode};
use ignite_core_model::{FunctionId, OrganizationId};
use ignite_runtimes_executor::Health;
use serde::Deserialize;
use serde_json::json;

use crate::artifact::{self, App, ArtifactError, ArtifactSource};
use crate::body::ResponseBody;
use crate::config::HostConfig;
use crate::env::{LIMIT_VARIABLES, LimitOverrides};
use crate::executors::{self, ExecutorError};
use crate::host::Shared;
use crate::respond;
use crate::serving::{Identity, Serving};
use crate::warm::{Kit, NotWarm, Warm, WarmRuntime};

/// Longest order, in bytes.
pub(crate) const ORDER_BYTES_MAX: usize = 1024 * 1024;

/// The call's body.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Order {
    /// As `--artifact`.
    artifact: String,
    function_id: Option<FunctionId>,
    organization_id: Option<OrganizationId>,
    #[serde(default)]
    env: BTreeMap<String, String>,
    /// By the names of the limits' variables, in lower case and without `IGNITE_`.
    #[serde(default)]
    limits: BTreeMap<String, u64>,
    expose_errors: Option<bool>,
}

/// Why a host was not specialised.
#[derive(Debug, thiserror::Error)]
enum SpecializeError {
    #[error("the order is not valid: {0}")]
    Order(String),
    #[error("this host was started with an artifact and serves that")]
    NotWarm,
    #[error("this host is still coming up")]
    ComingUp,
    #[error("this host was given its app before")]
    Again,
    #[error(transparent)]
    Artifact(#[from] ArtifactError),
    #[error("this host is warm for {warm}, and the artifact is {found}")]
    OtherRuntime { warm: WarmRuntime, found: String },
    #[error(transparent)]
    Executor(#[from] ExecutorError),
    #[error("the handler could not be loaded, and the host ends: {0}")]
    Load(String),
    #[error("a task of the host failed: {0}")]
    Task(String),
}

impl SpecializeError {
    /// The `type` of the answer.
    fn kind(&self) -> &'static str {
        match self {
            Self::Order(_) => "invalid_order",
            Self::NotWarm => "not_warm",
            Self::ComingUp => "coming_up",
            Self::Again => "already_specialized",
            Self::Artifact(_) => "artifact",
            Self::OtherRuntime { .. } => "other_runtime",
            Self::Executor(_) => "cannot_run",
            Self::Load(_) => "not_loaded",
            Self::Task(_) => "internal",
        }
    }

    fn status(&self) -> StatusCode {
        match self {
            Self::Order(_) => StatusCode::BAD_REQUEST,
            Self::NotWarm | Self::Again => StatusCode::CONFLICT,
            Self::ComingUp => StatusCode::SERVICE_UNAVAILABLE,
            Self::Artifact(_) | Self::OtherRuntime { .. } | Self::Executor(_) => StatusCode::UNPROCESSABLE_ENTITY,
            Self::Load(_) => StatusCode::BAD_GATEWAY,
            Self::Task(_) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// The error with all its causes, which the operator on this socket may see.
    fn in_full(&self) -> String {
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

/// How a host was specialised.
struct Specialized {
    /// Where the files came from.
    origin: &'static str,
    /// Why the app was started anew although something was up for it.
    cold_because: Option<String>,
    artifact: Duration,
    start: Duration,
    total: Duration,
}

/// Specialises the host as `body` says, and answers when its app is ready or is known not to be. Goes on to its end even
/// where nobody waits for the answer any more.
pub(crate) async fn specialize(shared: Arc<Shared>, body: Vec<u8>) -> Response<ResponseBody> {
    let begun = Instant::now();
    let log = Arc::clone(&shared);
    let done = tokio::spawn(async move { run(&shared, &body, begun).await }).await;
    match done.unwrap_or_else(|error| Err(SpecializeError::Task(error.to_string()))) {
        Ok(done) => {
            let ms = |time: Duration| (time.as_secs_f64() * 1e6).round() / 1e3;
            let figures = json!({
                "artifact": done.origin,
                "warm": done.cold_because.is_none(),
                "cold_because": done.cold_because,
                "artifact_ms": ms(done.artifact),
                "start_ms": ms(done.start),
                "total_ms": ms(done.total),
            });
            log.logs.host("info", "specialized", &figures);
            let mut answer = figures;
            answer["status"] = "ready".into();
            respond::json(StatusCode::OK, &answer)
        }
        Err(error) => {
            let text = error.in_full();
            log.logs.host("error", "not specialized", &json!({ "error": text, "type": error.kind() }));
            respond::json(error.status(), &json!({ "error": text, "type": error.kind() }))
        }
    }
}

async fn run(shared: &Arc<Shared>, body: &[u8], begun: Instant) -> Result<Specialized, SpecializeError> {
    let (source, config) = read(body, &shared.config)?;
    let warm = shared.warm.as_ref().ok_or(SpecializeError::NotWarm)?;
    let kit = warm.take().map_err(|why| match why {
        NotWarm::ComingUp => SpecializeError::ComingUp,
        NotWarm::Taken => SpecializeError::Again,
    })?;
    let app = match open(shared, source, warm).await {
        Ok(app) => app,
        Err(error) => {
            warm.put(kit);
            return Err(error);
        }
    };
    let opened = begun.elapsed();
    let (origin, limits) = (app.origin.word(), config.limits.resolve(&app.manifest.limits));
    let (plan, cold_because) = match executors::plan(&app, &limits, &config, Arc::clone(&shared.logs) as _, &kit) {
        Ok(plan) => {
            let unfit = plan.unfit(&kit);
            (plan, unfit)
        }
        Err(error) => {
            warm.put(kit);
            return Err(error.into());
        }
    };
    // From here on code of the artifact may run.
    let kit = if cold_because.is_some() { Kit::Nothing } else { kit };
    let executor = plan.start(kit).inspect_err(|error| warm.end(error.to_string()))?;
    match executor.started().await {
        Health::Ready => {}
        Health::Failed(reason) => {
            warm.end(format!("the handler could not be loaded: {reason}"));
            executor.drain(tokio::time::Instant::now()).await;
            return Err(SpecializeError::Load(reason));
        }
        Health::Starting | Health::Warm | Health::Draining => {
            return Err(SpecializeError::Load("the host is shutting down".into()));
        }
    }
    let expose_errors = config.expose_errors.or(app.manifest.limits.expose_errors).unwrap_or(false);
    let identity = Identity { function: config.function_id, organization: config.organization_id };
    shared.serving.store(Arc::new(Serving::new(executor, limits, expose_errors, identity, Some(app))));
    let total = begun.elapsed();
    Ok(Specialized { origin, cold_because, artifact: opened, start: total - opened, total })
}

/// Opens the artifact and makes sure that it is of the runtime that is up. Runs nothing of it.
async fn open(shared: &Shared, source: ArtifactSource, warm: &Warm) -> Result<App, SpecializeError> {
    let (place, apps) = (shared.work_dir.clone(), shared.apps.clone());
    let opened = tokio::task::spawn_blocking(move || artifact::open(&source, &place, apps.as_ref())).await;
    let app = opened.map_err(|error| SpecializeError::Task(error.to_string()))??;
    let (runtime, kind) = (app.manifest.runtime, app.manifest.kind);
    if !warm.runtime.takes(runtime, kind) {
        return Err(SpecializeError::OtherRuntime {
            warm: warm.runtime,
            found: format!("{runtime} in the form `{kind}`"),
        });
    }
    Ok(app)
}

/// The order as a configuration: what it leaves out is the host's own.
fn read(body: &[u8], own: &HostConfig) -> Result<(ArtifactSource, HostConfig), SpecializeError> {
    let order: Order = serde_json::from_slice(body).map_err(|error| SpecializeError::Order(error.to_string()))?;
    let source: ArtifactSource = order.artifact.parse().map_err(SpecializeError::Order)?;
    if let ArtifactSource::File(path) | ArtifactSource::Dir(path) | ArtifactSource::Pinned { path, .. } = &source
        && !Path::new(path).is_absolute()
    {
        return Err(SpecializeError::Order(format!("`{}` is no absolute path", path.display())));
    }
    if let Some(name) = order.env.keys().find(|name| name.is_empty() || name.contains(['=', '\0'])) {
        return Err(SpecializeError::Order(format!("`{name}` is no name of a variable")));
    }
    if let Some((name, _)) = order.env.iter().find(|(_, value)| value.contains('\0')) {
        return Err(SpecializeError::Order(format!("the value of `{name}` contains a zero byte")));
    }
    let variable = |name: &str| format!("IGNITE_{}", name.to_uppercase());
    let unknown = |name: &&String| !LIMIT_VARIABLES.iter().any(|known| known.name == variable(name));
    if let Some(name) = order.limits.keys().find(unknown) {
        let known: Vec<String> =
            LIMIT_VARIABLES.iter().map(|known| known.name.trim_start_matches("IGNITE_").to_lowercase()).collect();
        return Err(SpecializeError::Order(format!("there is no limit `{name}`; there are {}", known.join(", "))));
    }
    let given: BTreeMap<String, u64> = order.limits.iter().map(|(name, value)| (variable(name), *value)).collect();
    let limits = LimitOverrides::read(|name| given.get(name).map(u64::to_string))
        .map_err(|faults| SpecializeError::Order(faults.join("; ")))?;
    let function_id = order.function_id.unwrap_or_else(|| own.function_id.clone());
    let mut env: BTreeMap<String, String> = own.env.iter().cloned().collect();
    env.extend(order.env);
    Ok((
        source,
        HostConfig {
            organization_id: order.organization_id.unwrap_or_else(|| function_id.organization()),
            function_id,
            env: env.into_iter().collect(),
            limits: own.limits.clone().with(limits),
            expose_errors: order.expose_errors.or(own.expose_errors),
            ..own.clone()
        },
    ))
}
