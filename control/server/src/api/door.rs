//! Who gets in: a token, its organisation, and a scope for each method.
//!
//! It stands before the services, so a method that forgets to ask lets nobody in: what is not in the list of methods is refused.

use std::time::Duration;

use connectrpc::ConnectError;
use http::{HeaderMap, header};
use ignite_core_model::OrganizationId;
use ignite_core_proto::DESCRIPTOR_SET;
use ignite_identity::{Identity, IdentityError};
use ignite_store_meta::Token;

use super::Platform;

/// The scope that is every method.
pub(crate) const ALL_SCOPES: &str = "*";

/// The scope to make organisations and their tokens.
pub(crate) const ADMIN_SCOPE: &str = "admin";

/// Services that anybody may ask: they tell the shape of the API and whether it is there, and nothing of anybody.
const OPEN_SERVICES: [&str; 3] =
    ["/grpc.health.v1.Health/", "/grpc.reflection.v1.ServerReflection/", "/grpc.reflection.v1alpha.ServerReflection/"];

/// Longest token, in bytes.
const TOKEN_BYTES_MAX: usize = 8 * 1024;

/// Longest time to look a token up.
const LOOK_UP_MAX: Duration = Duration::from_secs(5);

/// What a secret begins with, so that one that leaked is recognised by those who look for such.
const SECRET_PREFIX: &str = "ignite_";

/// Who asks.
#[derive(Debug, Clone)]
pub struct Caller {
    /// Their organisation: all they can see.
    pub organization: OrganizationId,
    scopes: Vec<String>,
}

impl Caller {
    /// Whether the token has a scope. `*` is every method, and not `admin`.
    #[must_use]
    pub fn allows(&self, scope: &str) -> bool {
        let all = scope != ADMIN_SCOPE && self.scopes.iter().any(|own| own == ALL_SCOPES);
        all || self.scopes.iter().any(|own| own == scope)
    }
}

/// A new secret of 256 bits, and the hash it is stored by.
#[must_use]
pub fn new_secret() -> (String, [u8; 32]) {
    let bytes: [u8; 32] = rand::random();
    let mut secret = SECRET_PREFIX.to_owned();
    for byte in bytes {
        secret.push_str(&format!("{byte:02x}"));
    }
    let hash = Token::hash_of(&secret);
    (secret, hash)
}

/// Whether a scope is one there is: a method of the API, `*` or `admin`.
pub(crate) fn is_scope(scope: &str) -> bool {
    scope == ALL_SCOPES || scope == ADMIN_SCOPE || methods().iter().any(|path| path.rsplit('/').next() == Some(scope))
}

/// Paths of all methods of the public API.
pub(crate) fn methods() -> &'static [String] {
    static METHODS: std::sync::OnceLock<Vec<String>> = std::sync::OnceLock::new();
    METHODS.get_or_init(|| {
        let set = buffa_descriptor::DescriptorPool::decode(DESCRIPTOR_SET);
        let Ok(pool) = set else { return Vec::new() };
        let mut methods = Vec::new();
        for service in pool.services() {
            for method in service.methods() {
                methods.push(format!("/{}/{}", service.full_name(), method.name()));
            }
        }
        methods
    })
}

/// Lets a caller of `path` in, or says why not. `Ok(None)` is an open service.
pub(crate) async fn enter(
    platform: &Platform,
    path: &str,
    headers: &HeaderMap,
) -> Result<Option<Caller>, ConnectError> {
    if OPEN_SERVICES.iter().any(|service| path.starts_with(service)) {
        return Ok(None);
    }
    let token = bearer(headers)?;
    let caller = match platform.issuers.are_meant_by(token) {
        true => identified(platform, token).await?,
        false => known(platform, token).await?,
    };
    let method = path.rsplit('/').next().unwrap_or_default();
    if !methods().iter().any(|known| known == path) {
        return Err(ConnectError::unimplemented(format!("there is no method `{path}`")));
    }
    if caller.allows(method) {
        Ok(Some(caller))
    } else {
        Err(ConnectError::permission_denied(format!("the token does not have the scope `{method}`")))
    }
}

/// Whose token of the platform it is.
async fn known(platform: &Platform, token: &str) -> Result<Caller, ConnectError> {
    let found = tokio::time::timeout(LOOK_UP_MAX, platform.meta().find_token(&Token::hash_of(token))).await;
    let found = match found {
        Ok(Ok(found)) => found,
        Ok(Err(error)) => return Err(super::errors::meta(error)),
        Err(_) => return Err(ConnectError::unavailable("the token could not be checked in time: try again")),
    };
    let token = found.filter(|token| token.is_valid(platform.now_ms())).ok_or_else(|| {
        ConnectError::unauthenticated("the token is not valid: it is unknown, has expired or was revoked")
    })?;
    Ok(Caller { organization: token.organization, scopes: token.scopes })
}

/// Whom an identity provider says it is. Their organisation comes into being with its first caller.
async fn identified(platform: &Platform, token: &str) -> Result<Caller, ConnectError> {
    let now_ms = platform.now_ms();
    let identity = platform.issuers.identify(token, now_ms / 1000).await.map_err(|error| match error {
        IdentityError::Invalid(_) => ConnectError::unauthenticated(error.to_string()),
        IdentityError::Unavailable(_) => ConnectError::unavailable(error.to_string()),
    })?;
    let Identity { organization, mut scopes, .. } = identity;
    // Other organisations are made by tokens of the platform only.
    scopes.retain(|scope| scope != ADMIN_SCOPE);
    if !platform.meta().has_organization(&organization).await.map_err(super::errors::meta)? {
        platform.meta().create_organization(&organization, now_ms).await.map_err(super::errors::meta)?;
    }
    Ok(Caller { organization, scopes })
}

fn bearer(headers: &HeaderMap) -> Result<&str, ConnectError> {
    let missing = || ConnectError::unauthenticated("send `Authorization: Bearer …`; `ignite login` stores a token");
    let value = headers.get(header::AUTHORIZATION).ok_or_else(missing)?;
    let text = value.to_str().map_err(|_| missing())?;
    let (scheme, token) = text.split_once(' ').ok_or_else(missing)?;
    let token = token.trim();
    let fits = scheme.eq_ignore_ascii_case("bearer") && !token.is_empty() && token.len() <= TOKEN_BYTES_MAX;
    if fits { Ok(token) } else { Err(missing()) }
}
