//! Everything a host is told, complete and typed.

use std::ffi::OsString;
use std::path::PathBuf;

use ignite_core_model::toolchain::{self, Tool};
use ignite_core_model::{FunctionId, HostAddress, OrganizationId};
use ignite_telemetry::TracerOptions;

use crate::artifact::ArtifactSource;
use crate::env::LimitOverrides;
use crate::multi::MultiLimits;
use crate::warm::WarmRuntime;

/// What a host serves and how.
#[derive(Clone)]
pub struct HostConfig {
    /// Where requests come in; port 0 takes any.
    pub listen: HostAddress,
    /// Where metrics are read, if anywhere: a socket of a relative path is made in the host's own folder, an address is a
    /// loopback one unless somebody decided otherwise.
    pub admin: Option<HostAddress>,
    /// What is served.
    pub serves: Serves,
    /// The app's id, where no gateway names one.
    pub function_id: FunctionId,
    /// The organisation, where no gateway names one.
    pub organization_id: OrganizationId,
    /// Limits that differ from the defaults and from what the artifact declares.
    pub limits: LimitOverrides,
    /// Whether a failed execution's answer carries the traceback; `None` follows the artifact.
    pub expose_errors: Option<bool>,
    /// The app's environment. Values may be secrets: they are never logged.
    pub env: Vec<(String, String)>,
    /// The interpreters.
    pub runtimes: RuntimePaths,
    /// Machine code of components, made ahead of time; `None` compiles at each start.
    pub aot_cache: Option<PathBuf>,
    /// Where artifacts are unpacked and sockets are made; a folder of the host's own within it is removed at its end.
    pub work_dir: PathBuf,
    /// Where parts of the product that a host unpacks once are kept between starts.
    pub cache_dir: PathBuf,
    /// Names this instance in log lines.
    pub instance: String,
    /// How log lines look.
    pub log_format: LogFormat,
    /// Whether nothing is started before a byte has come on stdin. Until then whoever started the host can put it into a control
    /// group, which all that it starts is then in as well. Where stdin ends without one, the host does too, with 0.
    pub start_with_stdin: bool,
    /// Whether the end of stdin is a request to stop, like SIGTERM: whoever started the host holds the other end, and so a host
    /// never outlives it, however it ended.
    pub stop_with_stdin: bool,
    /// Whether it runs in a user namespace of its own, in which other processes of its user cannot look.
    pub own_user: bool,
    /// Where spans of executions are sent; `None` makes none.
    pub spans: Option<TracerOptions>,
}

/// What a host serves from its start on.
#[derive(Debug, Clone)]
pub enum Serves {
    /// An app.
    Artifact(ArtifactSource),
    /// Nothing, until it is specialised on the admin socket. See `docs/reference/warm.md`.
    Warm(WarmRuntime),
    /// The apps of a folder, by hostname. See `docs/reference/multi.md`.
    Multi(PathBuf, MultiLimits),
}

/// Where the interpreters of packed and bundled apps may be, the surest place first. The first that answers with a version
/// that will do is taken when an app needs it; a machine without one serves all other apps.
#[derive(Debug, Clone, Default)]
pub struct RuntimePaths {
    /// Python 3.12.
    pub python: Vec<PathBuf>,
    /// Deno.
    pub deno: Vec<PathBuf>,
}

impl RuntimePaths {
    /// The places that `toolchains.toml` names; `env` reads the environment.
    #[must_use]
    pub fn candidates(env: &dyn Fn(&str) -> Option<OsString>) -> Self {
        Self { python: toolchain::candidates(Tool::Python, env), deno: toolchain::candidates(Tool::Deno, env) }
    }
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// One JSON object a line.
    Json,
    /// For a person at a terminal.
    Text,
}

impl std::fmt::Debug for HostConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HostConfig")
            .field("listen", &self.listen)
            .field("serves", &self.serves)
            .field("function_id", &self.function_id)
            .field("env", &self.env.iter().map(|(name, _)| name).collect::<Vec<_>>())
            .finish_non_exhaustive()
    }
}
