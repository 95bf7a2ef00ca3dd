//! An issuer for tests of those who use this crate.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::signature::{Ed25519KeyPair, KeyPair as _};
use serde_json::{Value, json};

use crate::{Algorithm, FetchKeys, IssuerOptions, Issuers, KeySource};

/// What its tokens are from.
const ISSUER: &str = "https://id.example/";

/// Whom they are for.
const AUDIENCE: &str = "ignite";

/// The id of its key.
const KEY_ID: &str = "fake";

/// Signs tokens, and publishes its key to nobody but [`FakeIssuer::issuers`].
pub struct FakeIssuer(Ed25519KeyPair);

impl FakeIssuer {
    /// An issuer with a key made of `seed`.
    ///
    /// # Panics
    /// Never: every 32 bytes are the seed of a key.
    #[must_use]
    pub fn new(seed: [u8; 32]) -> Self {
        Self(Ed25519KeyPair::from_seed_unchecked(&seed).expect("32 bytes are the seed of a key"))
    }

    /// Those who take its tokens.
    #[must_use]
    pub fn issuers(&self) -> Issuers {
        let options = IssuerOptions {
            issuer: ISSUER.to_owned(),
            audience: AUDIENCE.to_owned(),
            jwks_url: format!("{ISSUER}keys"),
            organization_claim: "org".to_owned(),
            scopes_claim: "scope".to_owned(),
            scope_prefix: String::new(),
            algorithms: vec![Algorithm::EdDSA],
        };
        let x = URL_SAFE_NO_PAD.encode(self.0.public_key().as_ref());
        let keys = json!({ "keys": [{ "kty": "OKP", "crv": "Ed25519", "kid": KEY_ID, "x": x }] });
        Issuers::new(vec![options], Arc::new(Published(keys.to_string()))).unwrap_or_else(|_| Issuers::none())
    }

    /// A token of somebody of `organization` who may do what `scope` says, until `expires_s` (seconds since 1970).
    #[must_use]
    pub fn token(&self, organization: &str, scope: &str, expires_s: u64) -> String {
        self.sign(&json!({ "iss": ISSUER, "aud": AUDIENCE, "exp": expires_s, "org": organization, "scope": scope }))
    }

    /// A token with these claims.
    #[must_use]
    pub fn sign(&self, claims: &Value) -> String {
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!("{}.{}", part(&json!({ "alg": "EdDSA", "kid": KEY_ID })), part(claims));
        let signature = self.0.sign(signed.as_bytes());
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
    }
}

struct Published(String);

impl KeySource for Published {
    fn fetch<'a>(&'a self, _: &'a str) -> FetchKeys<'a> {
        Box::pin(std::future::ready(Ok(self.0.clone().into_bytes())))
    }
}
