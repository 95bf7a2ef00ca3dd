//! The public API: it translates. A request becomes words of the product, [`Apps`] does what is asked, and what came of it goes
//! back over the wire. Who may ask is decided at the door (`door.rs`), before any method is called.

mod apps;
mod call;
mod code;
mod compute;
mod deployment;
mod door;
mod drafts;
mod errors;
mod executions;
mod identity;
mod logs;
mod secrets;
mod serve;
mod show;
mod source;
mod trials;
mod uploads;
mod versions;

use std::sync::Arc;

use connectrpc::{RequestContext, Router};
use connectrpc_reflection::{ReflectionError, Reflector};
use ignite_core_model::{FunctionId, HostLabel, OrganizationId};
use ignite_core_proto::{Checker, DESCRIPTOR_SET, HEALTH_DESCRIPTOR_SET, v1};
use ignite_identity::Issuers;
use ignite_store_meta::Meta;
use ignite_store_meta::seal::Keyring;
use ignite_store_objects::{Objects, UrlSigner};

use crate::Apps;
use crate::executions::Executions;

pub use door::{Caller, new_secret};
pub use logs::compile_stream;
pub use serve::{ApiServer, ApiStartError};

/// Where apps are reached, for what is shown to people.
#[derive(Debug, Clone)]
pub struct PublicUrl {
    /// `http` or `https`.
    pub scheme: String,
    /// Hostnames are `<app>-<org>.` and this.
    pub base_domain: String,
    /// The port, where it is not the scheme's own.
    pub port: Option<u16>,
}

impl PublicUrl {
    /// Where an app is reached.
    #[must_use]
    pub fn of(&self, app: &FunctionId) -> String {
        let port = self.port.map_or_else(String::new, |port| format!(":{port}"));
        format!("{}://{}.{}{port}/", self.scheme, HostLabel::of(app), self.base_domain)
    }
}

/// What other parts in the same process wait for, a line each; for the probe of readiness.
pub type OtherParts = Arc<dyn Fn() -> Vec<String> + Send + Sync>;

/// What the services have in common.
pub struct Platform {
    /// What else serves in this process.
    pub others: OtherParts,
    /// All apps.
    pub apps: Apps,
    /// Where sources and artifacts are.
    pub objects: Objects,
    /// What calls apps.
    pub executions: Executions,
    /// Where apps are reached.
    pub url: PublicUrl,
    /// Checks URLs of uploads, where the object store is a folder.
    pub signer: Option<UrlSigner>,
    /// Identity providers whose tokens let callers in, beside the platform's own tokens.
    pub issuers: Issuers,
    /// Seals secrets.
    pub keys: Keyring,
}

impl Platform {
    pub(crate) fn meta(&self) -> &Meta {
        self.apps.meta()
    }

    pub(crate) fn now_ms(&self) -> u64 {
        self.apps.clock().now_ms()
    }

    /// Who asks. The door has let them in, so they are known.
    pub(crate) fn caller(ctx: &RequestContext) -> Result<Caller, connectrpc::ConnectError> {
        ctx.extensions()
            .get::<Caller>()
            .cloned()
            .ok_or_else(|| connectrpc::ConnectError::unauthenticated("send `Authorization: Bearer …`"))
    }

    /// The app a request names. Those of others do not exist for who asks.
    pub(crate) fn app_id(
        &self,
        text: &str,
        organization: &OrganizationId,
    ) -> Result<FunctionId, connectrpc::ConnectError> {
        let mut checker = Checker::default();
        let id = checker.app_id("app_id", text, organization);
        let id = checker.finish(id).map_err(|faults| errors::fields(&faults))?;
        if id.organization() == *organization { Ok(id) } else { Err(errors::no_app(&id)) }
    }
}

/// The services of the API.
#[derive(Clone)]
pub(crate) struct Api(pub(crate) Arc<Platform>);

/// What reflection tells of: the API, and health beside it.
fn reflector() -> Result<Reflector, ReflectionError> {
    let mut reflector = Reflector::from_descriptor_set_bytes(DESCRIPTOR_SET)?;
    reflector.add_descriptor_set_bytes(HEALTH_DESCRIPTOR_SET)?;
    Ok(reflector)
}

/// All methods there are, with reflection and health beside them.
pub(crate) fn router(platform: Arc<Platform>) -> Router {
    let api = Arc::new(Api(platform));
    let router = v1::ComputeServiceExt::register(Arc::clone(&api), Router::new());
    let router = v1::DeploymentServiceExt::register(Arc::clone(&api), router);
    let router = v1::SecretServiceExt::register(Arc::clone(&api), router);
    let router = v1::TokenServiceExt::register(api, router);
    let services = ["ComputeService", "DeploymentService", "SecretService", "TokenService"];
    let (router, _) = connectrpc_health::install_static(router, services.map(|name| format!("ignite.v1.{name}")));
    match reflector() {
        Ok(reflector) => connectrpc_reflection::install(router, reflector),
        Err(error) => {
            tracing::error!(%error, "the API is served without reflection");
            router
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test")]
    use super::*;

    #[test]
    fn reflection_tells_of_all_that_is_served() {
        let names = reflector().unwrap().service_names();
        for name in ["ignite.v1.ComputeService", "ignite.v1.TokenService", "grpc.health.v1.Health"] {
            assert!(names.iter().any(|known| known == name), "{name} is not among {names:?}");
        }
    }
}
