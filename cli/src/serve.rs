//! The embedded host, as `run` and `dev` use it: the same as `ignite-host`, on the loopback address.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;

use ignite_core_model::{FunctionId, HostAddress, OrganizationId};
use ignite_runtimes_host::{
    ArtifactSource, Host, HostConfig, LimitOverrides, LogFormat, RuntimePaths, Serves, StartError,
};
use tokio::runtime::Runtime;

use crate::exit::{CliError, Exit};
use crate::project;
use crate::settings::Settings;
use crate::stops::Stops;

/// What is served, and how.
pub(crate) struct Served<'a> {
    /// The project's folder or the artifact that the person named.
    pub(crate) source: &'a Path,
    /// The artifact.
    pub(crate) artifact: &'a Path,
    pub(crate) port: u16,
    /// Whether answers carry tracebacks; `None` follows the artifact.
    pub(crate) expose_errors: Option<bool>,
}

/// The configuration of a host on this machine.
pub(crate) fn config(served: &Served<'_>, settings: &Settings) -> Result<HostConfig, CliError> {
    let env = settings.env.clone();
    let limits =
        LimitOverrides::read(|name| env(name).map(|value| value.to_string_lossy().into_owned())).map_err(|faults| {
            CliError::new(Exit::InvalidArgument, "the environment is not valid").because(faults.join("\n"))
        })?;
    let organization: OrganizationId = "local".parse().expect("`local` is a name");
    let function_id = FunctionId::new(&organization, &project::name(served.source));
    Ok(HostConfig {
        listen: SocketAddr::from((Ipv4Addr::LOCALHOST, served.port)).into(),
        admin: Some(HostAddress::Unix("admin.sock".into())),
        serves: Serves::Artifact(source(served.artifact)),
        function_id,
        organization_id: organization,
        limits,
        expose_errors: served.expose_errors,
        env: project::environment(served.source),
        runtimes: RuntimePaths::candidates(&|name| env(name)),
        aot_cache: Some(settings.cache_dir.join("aot")),
        work_dir: std::env::temp_dir(),
        cache_dir: settings.cache_dir.clone(),
        instance: format!("local-{}", std::process::id()),
        log_format: LogFormat::Text,
        start_with_stdin: false,
        stop_with_stdin: false,
        own_user: false,
        spans: None,
    })
}

/// An artifact file, or a folder it was unpacked to.
pub(crate) fn source(artifact: &Path) -> ArtifactSource {
    if artifact.is_dir() { ArtifactSource::Dir(artifact.to_owned()) } else { ArtifactSource::File(artifact.to_owned()) }
}

/// The threads that a host or the platform runs on.
pub(crate) fn runtime() -> Result<Runtime, CliError> {
    // Before there are any. Where it is refused, all is only slower.
    let _ = ignite_scheduling::prefer_batches();
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| CliError::new(Exit::Internal, "could not start threads").caused_by(&error))
}

/// What a person does about a host that does not start.
pub(crate) fn failed(error: &StartError, port: u16) -> CliError {
    match error {
        StartError::Listen(..) => CliError::new(Exit::Unavailable, "could not serve")
            .caused_by(error)
            .hint(format!("port {port} may be taken: choose another with --port, or any with --port 0")),
        StartError::Load(_) => CliError::new(Exit::Failed, "could not serve").caused_by(error),
        StartError::Executor(_) => CliError::new(Exit::Unavailable, "could not serve")
            .caused_by(error)
            .hint("`ignite doctor` lists the toolchains"),
        _ => CliError::new(Exit::InvalidArgument, "could not serve").caused_by(error),
    }
}

/// Drains the host; a second request to stop ends it at once.
pub(crate) async fn stop(host: Host, stops: &Stops) {
    tokio::select! {
        _ = host.drain() => (),
        () = stops.second() => (),
    }
}
