//! Tokens checked with keys that are kept, and fetched anew when they may have changed.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ignite_core_model::{Digest, Fault, OrganizationId};
use tokio::time::Instant;

use crate::keys::KeySet;
use crate::options::{IssuerFault, IssuerOptions};
use crate::source::KeySource;
use crate::token::{self, Read};

/// How old keys may be before they are fetched anew, beside the calls that use them.
const KEYS_FRESH: Duration = Duration::from_secs(600);

/// How old they may become when they cannot be fetched anew.
const KEYS_KEPT: Duration = Duration::from_secs(24 * 3600);

/// Least time between two fetches: tokens with made-up key ids cause no more.
const FETCH_EVERY_MIN: Duration = Duration::from_secs(10);

/// How long a token that was checked is known without being checked again.
const CHECKED_FOR: Duration = Duration::from_secs(60);

/// Tokens that are known.
const CHECKED_MAX: usize = 10_000;

/// Who a token says it is from, and what they may do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// Their organisation.
    pub organization: OrganizationId,
    /// What they may do, in the words of the platform's scopes.
    pub scopes: Vec<String>,
    /// Their name with the issuer, cut to a bounded length; for logs.
    pub subject: String,
    /// When the token ends, in seconds since 1970.
    pub expires_s: u64,
}

/// Why a token lets nobody in.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdentityError {
    /// It is not valid.
    #[error("the token {0}")]
    Invalid(String),
    /// It could not be checked.
    #[error("the keys of the issuer `{0}` cannot be had now: try again")]
    Unavailable(String),
}

impl IdentityError {
    /// Whose fault it is.
    #[must_use]
    pub fn fault(&self) -> Fault {
        match self {
            Self::Invalid(_) => Fault::Caller,
            Self::Unavailable(_) => Fault::Busy,
        }
    }
}

/// The issuers whose tokens count.
#[derive(Clone)]
pub struct Issuers(Arc<Shared>);

impl std::fmt::Debug for Issuers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.0.issuers.iter().map(|issuer| &issuer.options.issuer)).finish()
    }
}

struct Shared {
    issuers: Vec<Arc<Issuer>>,
    source: Arc<dyn KeySource>,
    checked: Mutex<HashMap<[u8; 32], Checked>>,
}

struct Checked {
    until: Instant,
    /// The keys it was checked with.
    keys: Arc<KeySet>,
    issuer: usize,
    identity: Identity,
}

struct Issuer {
    options: IssuerOptions,
    kept: Mutex<Kept>,
    /// Held by who fetches.
    fetching: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct Kept {
    keys: Option<(Arc<KeySet>, Instant)>,
    /// When they were fetched, or could not be.
    tried: Option<Instant>,
}

impl Issuers {
    /// Those of `options`, whose keys `source` fetches when the first token comes.
    ///
    /// # Errors
    /// Every fault of every issuer.
    pub fn new(options: Vec<IssuerOptions>, source: Arc<dyn KeySource>) -> Result<Self, Vec<IssuerFault>> {
        let mut faults: Vec<IssuerFault> = options.iter().flat_map(IssuerOptions::faults).collect();
        for (at, one) in options.iter().enumerate() {
            if options[..at].iter().any(|other| other.issuer == one.issuer) {
                faults.push(IssuerFault::Twice(one.issuer.clone()));
            }
        }
        if !faults.is_empty() {
            return Err(faults);
        }
        let issuer =
            |options| Arc::new(Issuer { options, kept: Mutex::default(), fetching: tokio::sync::Mutex::default() });
        let issuers = options.into_iter().map(issuer).collect();
        Ok(Self(Arc::new(Shared { issuers, source, checked: Mutex::default() })))
    }

    /// Nobody's tokens count.
    #[must_use]
    pub fn none() -> Self {
        let nowhere = Arc::new(crate::HttpKeys::default());
        Self(Arc::new(Shared { issuers: Vec::new(), source: nowhere, checked: Mutex::default() }))
    }

    /// Whether a bearer token is one of these rather than one of the platform's own, which have no full stop.
    #[must_use]
    pub fn are_meant_by(&self, token: &str) -> bool {
        !self.0.issuers.is_empty() && token.contains('.')
    }

    /// Who a token is from, at the time `now_s` (seconds since 1970).
    ///
    /// # Errors
    /// [`IdentityError::Invalid`] with the reason, [`IdentityError::Unavailable`] when there are no keys to check it with.
    pub async fn identify(&self, token: &str, now_s: u64) -> Result<Identity, IdentityError> {
        let invalid = |why: &str| IdentityError::Invalid(why.to_owned());
        let hash = *Digest::of(token.as_bytes()).as_bytes();
        if let Some(identity) = self.known(&hash, now_s) {
            return Ok(identity);
        }
        let read = token::read(token).map_err(invalid)?;
        let issuer = read.claims.issuer().ok_or_else(|| invalid("has no `iss`"))?;
        let at = self.0.issuers.iter().position(|known| known.options.issuer == issuer);
        let at = at.ok_or_else(|| invalid("is from an issuer that is not known here"))?;
        let issuer = &self.0.issuers[at];
        if !issuer.options.algorithms.contains(&read.algorithm) {
            return Err(invalid("is signed with an algorithm that is not allowed"));
        }
        let keys = self.keys_for(issuer, &read).await?;
        // Claims count only once it is known who wrote them.
        if !keys.verifies(&read) {
            return Err(invalid("has a signature that is not its issuer's"));
        }
        let identity = read.claims.identity(&issuer.options, now_s).map_err(IdentityError::Invalid)?;
        self.remember(
            hash,
            Checked { until: Instant::now() + CHECKED_FOR, keys, issuer: at, identity: identity.clone() },
        );
        Ok(identity)
    }

    /// A token that was checked, with keys that are still the issuer's, and has not ended.
    fn known(&self, hash: &[u8; 32], now_s: u64) -> Option<Identity> {
        let checked = self.checked();
        let found = checked.get(hash)?;
        let current = self.0.issuers[found.issuer].kept().keys.as_ref().map(|(keys, _)| Arc::clone(keys))?;
        let holds =
            Instant::now() < found.until && Arc::ptr_eq(&current, &found.keys) && now_s < found.identity.expires_s;
        holds.then(|| found.identity.clone())
    }

    fn remember(&self, hash: [u8; 32], found: Checked) {
        let mut checked = self.checked();
        if checked.len() >= CHECKED_MAX {
            let now = Instant::now();
            checked.retain(|_, one| now < one.until);
        }
        if checked.len() < CHECKED_MAX {
            checked.insert(hash, found);
        }
    }

    fn checked(&self) -> MutexGuard<'_, HashMap<[u8; 32], Checked>> {
        self.0.checked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keys that may have signed the token. They are fetched anew when none of them can have: issuers change keys.
    async fn keys_for(&self, issuer: &Arc<Issuer>, token: &Read<'_>) -> Result<Arc<KeySet>, IdentityError> {
        match issuer.current() {
            Some((keys, age)) if keys.has_key_for(token) => {
                if age > KEYS_FRESH && issuer.may_fetch() {
                    // Nobody waits for it; the keys at hand do until then.
                    let (issuer, source) = (Arc::clone(issuer), Arc::clone(&self.0.source));
                    tokio::spawn(async move { issuer.fetch(&*source).await });
                }
                Ok(keys)
            }
            _ => {
                issuer.fetch(&*self.0.source).await;
                let unavailable = || IdentityError::Unavailable(issuer.options.issuer.clone());
                let (keys, _) = issuer.current().ok_or_else(unavailable)?;
                if keys.has_key_for(token) {
                    return Ok(keys);
                }
                Err(IdentityError::Invalid("is signed with a key that its issuer does not publish".to_owned()))
            }
        }
    }
}

impl Issuer {
    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The keys, unless they are too old, and their age.
    fn current(&self) -> Option<(Arc<KeySet>, Duration)> {
        let kept = self.kept();
        let (keys, fetched) = kept.keys.as_ref()?;
        let age = fetched.elapsed();
        (age < KEYS_KEPT).then(|| (Arc::clone(keys), age))
    }

    fn may_fetch(&self) -> bool {
        self.kept().tried.is_none_or(|tried| tried.elapsed() >= FETCH_EVERY_MIN)
    }

    /// Fetches the keys, unless that was done a moment ago. Those who come meanwhile wait for it and do not fetch again.
    async fn fetch(&self, source: &dyn KeySource) {
        let _alone = self.fetching.lock().await;
        if !self.may_fetch() {
            return;
        }
        let fetched = source.fetch(&self.options.jwks_url).await.and_then(|bytes| KeySet::read(&bytes));
        let mut kept = self.kept();
        let now = Instant::now();
        kept.tried = Some(now);
        match fetched {
            Ok(keys) => {
                // The same keys stay the same, so that tokens stay known.
                let keys = match &kept.keys {
                    Some((old, _)) if **old == keys => Arc::clone(old),
                    _ => Arc::new(keys),
                };
                kept.keys = Some((keys, now));
            }
            Err(reason) => {
                let issuer = &self.options.issuer;
                tracing::warn!(
                    issuer,
                    url = self.options.jwks_url,
                    reason,
                    "the keys of an issuer could not be fetched"
                );
            }
        }
    }
}
