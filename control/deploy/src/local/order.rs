//! What a host is told of its app.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use http::{Method, StatusCode};
use ignite_core_model::{ArtifactKind, InstanceSpec, Runtime};
use serde::Deserialize;
use serde_json::json;

use super::admin;
use super::secrets::Variables;

/// Why a host did not take its app.
#[derive(Debug)]
pub(super) enum NotSpecialized {
    /// The app cannot be run, here or in another host.
    App(String),
    /// This host is of no use; another may be.
    Host(String),
}

/// The word by which hosts are kept warm for such an app.
pub(super) fn warm_runtime(spec: &InstanceSpec) -> &'static str {
    match (spec.compiled.artifact_kind, spec.compiled.runtime) {
        (ArtifactKind::Component, _) | (_, Runtime::Component) => "wasm",
        (_, Runtime::Python) => "python",
        (_, Runtime::Go) => "go",
        (_, Runtime::Deno) => "deno",
        (_, Runtime::Rust) => "rust",
    }
}

/// Limits of the app, by the names of the host's variables.
pub(super) fn limits(spec: &InstanceSpec) -> BTreeMap<&'static str, u64> {
    let mut limits = BTreeMap::from([("memory_mb", u64::from(spec.settings.resources().memory_mb))]);
    if let Some(secs) = spec.settings.timeout_secs {
        limits.insert("timeout_ms", u64::from(secs) * 1000);
    }
    if let Some(max_concurrency) = spec.settings.max_concurrency {
        limits.insert("max_concurrency", max_concurrency.into());
    }
    limits
}

/// Gives a host its app. The variables go over the socket: neither arguments nor environment of the host show them.
pub(super) async fn specialize(
    socket: &Path,
    spec: &InstanceSpec,
    variables: &Variables,
    artifact: &Path,
    at_most: Duration,
) -> Result<(), NotSpecialized> {
    let env: BTreeMap<&str, &str> =
        variables.iter().map(|(name, value)| (name.as_str(), value.reveal().as_str())).collect();
    let order = json!({
        "artifact": format!("{}#sha256={}", artifact.display(), spec.compiled.artifact.to_hex()),
        "function_id": spec.app,
        "organization_id": spec.app.organization(),
        "env": env,
        "limits": limits(spec),
        "expose_errors": spec.settings.expose_errors,
    });
    let body = order.to_string().into_bytes();
    let (status, answer) =
        admin::call(socket, Method::POST, "/specialize", body, at_most).await.map_err(NotSpecialized::Host)?;
    let reason = || reason(&answer);
    match status {
        StatusCode::OK => Ok(()),
        StatusCode::BAD_REQUEST
        | StatusCode::PAYLOAD_TOO_LARGE
        | StatusCode::UNPROCESSABLE_ENTITY
        | StatusCode::BAD_GATEWAY => Err(NotSpecialized::App(reason())),
        _ => Err(NotSpecialized::Host(reason())),
    }
}

/// What a page of the host says, in its own words.
pub(super) fn reason(page: &[u8]) -> String {
    #[derive(Deserialize)]
    struct Page {
        #[serde(alias = "reason")]
        error: String,
    }
    let said = serde_json::from_slice::<Page>(page).map(|page| page.error);
    said.unwrap_or_else(|_| String::from_utf8_lossy(page).into_owned())
}
