//! Who may call an app.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::{HeaderMap, header};
use ignite_core_model::{Digest, EXECUTION_ID_HEADER, ExecutionId, OrganizationId, PLATFORM_KEY_HEADER, Secret};
use ignite_identity::{IdentityError, Issuers};
use ignite_store_meta::{Meta, Token};
use tokio::runtime::Handle;
use tokio::time::Instant;

use crate::GatewayError;
use crate::app::App;
use crate::clock::now_ms;

/// The scope a token needs to call apps.
pub const INVOKE_SCOPE: &str = "Invoke";

/// The scope that is all scopes.
const ALL_SCOPES: &str = "*";

/// Longest token, in bytes.
const TOKEN_BYTES_MAX: usize = 8 * 1024;

/// How long what was found of a token is used without asking again: a revoked one ends within this time.
const KEPT_FOR: Duration = Duration::from_secs(5);

/// How long it is used beyond that while the store is away.
const KEPT_WHILE_AWAY: Duration = Duration::from_secs(300);

/// Tokens that are remembered.
const TOKENS_MAX: usize = 10_000;

/// A key that is shorter opens nothing, in bytes.
const PLATFORM_KEY_BYTES_MIN: usize = 32;

/// The execution that a call of the control plane brings; `None` for everybody else's call. The control plane has let its
/// caller in.
pub(crate) fn platform_execution(headers: &HeaderMap, key: Option<&Secret<String>>) -> Option<ExecutionId> {
    let shown = headers.get(PLATFORM_KEY_HEADER)?;
    let key = key.filter(|key| key.reveal().len() >= PLATFORM_KEY_BYTES_MIN)?;
    // Digests are compared, so that the time it takes tells nothing of the key.
    if Digest::of(shown.as_bytes()) != Digest::of(key.reveal().as_bytes()) {
        return None;
    }
    headers.get(EXECUTION_ID_HEADER)?.to_str().ok()?.parse().ok()
}

/// Knows tokens.
pub(crate) struct Tokens {
    meta: Meta,
    /// Where the store's connections live: they must not end with a lane.
    home: Handle,
    issuers: Issuers,
    known: Mutex<Known>,
}

/// What was found, and when, by hash.
type Known = HashMap<[u8; 32], (Instant, Option<Arc<Token>>)>;

impl Tokens {
    /// Has to be called where the store was opened.
    pub(crate) fn new(meta: Meta, issuers: Issuers) -> Self {
        Self { meta, home: Handle::current(), issuers, known: Mutex::default() }
    }

    /// Lets a caller in, or says why not.
    pub(crate) async fn check(&self, headers: &HeaderMap, app: &App) -> Result<(), GatewayError> {
        let token = bearer(headers)?;
        if self.issuers.are_meant_by(token) {
            let identity = self.issuers.identify(token, now_ms() / 1000).await.map_err(|error| match error {
                IdentityError::Invalid(_) => GatewayError::InvalidToken,
                IdentityError::Unavailable(_) => GatewayError::CannotAuthenticate,
            })?;
            return allowed(&identity.organization, &identity.scopes, app);
        }
        let found = self.find(Token::hash_of(token)).await?;
        let now_ms = now_ms();
        let token = found.filter(|token| token.is_valid(now_ms)).ok_or(GatewayError::InvalidToken)?;
        allowed(&token.organization, &token.scopes, app)
    }

    async fn find(&self, hash: [u8; 32]) -> Result<Option<Arc<Token>>, GatewayError> {
        let kept = self.lock().get(&hash).cloned();
        if let Some((at, token)) = &kept
            && at.elapsed() < KEPT_FOR
        {
            return Ok(token.clone());
        }
        let meta = self.meta.clone();
        let asked = self.home.spawn(async move { meta.find_token(&hash).await }).await;
        // It is not aborted: it ends early with all else, or by a fault of the store's.
        match asked.map_err(|_| GatewayError::CannotAuthenticate)? {
            Ok(found) => {
                let found = found.map(Arc::new);
                let mut known = self.lock();
                if known.len() >= TOKENS_MAX {
                    known.retain(|_, (at, _)| at.elapsed() < KEPT_FOR);
                }
                if known.len() < TOKENS_MAX {
                    known.insert(hash, (Instant::now(), found.clone()));
                }
                Ok(found)
            }
            Err(error) => match kept {
                Some((at, Some(token))) if at.elapsed() < KEPT_WHILE_AWAY => Ok(Some(token)),
                _ => {
                    tracing::warn!(error = &error as &dyn std::error::Error, "a token could not be checked");
                    Err(GatewayError::CannotAuthenticate)
                }
            },
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn allowed(organization: &OrganizationId, scopes: &[String], app: &App) -> Result<(), GatewayError> {
    let allows = scopes.iter().any(|scope| scope == INVOKE_SCOPE || scope == ALL_SCOPES);
    if *organization == app.organization && allows { Ok(()) } else { Err(GatewayError::Forbidden) }
}

fn bearer(headers: &HeaderMap) -> Result<&str, GatewayError> {
    let value = headers.get(header::AUTHORIZATION).ok_or(GatewayError::Unauthenticated)?;
    let text = value.to_str().map_err(|_| GatewayError::InvalidToken)?;
    let (scheme, token) = text.split_once(' ').ok_or(GatewayError::Unauthenticated)?;
    if !scheme.eq_ignore_ascii_case("bearer") {
        return Err(GatewayError::Unauthenticated);
    }
    let token = token.trim();
    if token.is_empty() || token.len() > TOKEN_BYTES_MAX { Err(GatewayError::InvalidToken) } else { Ok(token) }
}
