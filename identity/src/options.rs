//! What is told of an identity provider.

use serde::Deserialize;

use crate::Algorithm;

/// An issuer of tokens, and what of its tokens means what.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IssuerOptions {
    /// What `iss` must be, to the letter.
    pub issuer: String,
    /// What `aud` must be or contain.
    pub audience: String,
    /// Where its keys are published: `https`, or `http` on this machine.
    pub jwks_url: String,
    /// The claim with the organisation.
    #[serde(default = "organization_claim")]
    pub organization_claim: String,
    /// The claim with the scopes: text with spaces between them, or a list.
    #[serde(default = "scopes_claim")]
    pub scopes_claim: String,
    /// Only scopes that begin with this count, without it.
    #[serde(default)]
    pub scope_prefix: String,
    /// The algorithms that count.
    #[serde(default = "algorithms")]
    pub algorithms: Vec<Algorithm>,
}

fn organization_claim() -> String {
    "org".to_owned()
}

fn scopes_claim() -> String {
    "scope".to_owned()
}

fn algorithms() -> Vec<Algorithm> {
    vec![Algorithm::RS256, Algorithm::ES256, Algorithm::EdDSA]
}

/// Why an issuer cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IssuerFault {
    /// A field is empty.
    #[error("the issuer `{issuer}` has an empty `{field}`")]
    Empty {
        /// The issuer.
        issuer: String,
        /// The field.
        field: &'static str,
    },
    /// Keys would come over a way that anybody may change.
    #[error("the keys of `{0}` must have an `https` URL, or `http` on a loopback address")]
    Insecure(String),
    /// Two with one name.
    #[error("the issuer `{0}` is named twice")]
    Twice(String),
}

impl IssuerOptions {
    /// Every fault.
    pub(crate) fn faults(&self) -> Vec<IssuerFault> {
        let fields = [
            ("issuer", self.issuer.is_empty()),
            ("audience", self.audience.is_empty()),
            ("organization_claim", self.organization_claim.is_empty()),
            ("scopes_claim", self.scopes_claim.is_empty()),
            ("algorithms", self.algorithms.is_empty()),
        ];
        let issuer = || self.issuer.clone();
        let mut faults: Vec<IssuerFault> = fields
            .into_iter()
            .filter(|(_, empty)| *empty)
            .map(|(field, _)| IssuerFault::Empty { issuer: issuer(), field })
            .collect();
        if !is_secure(&self.jwks_url) {
            faults.push(IssuerFault::Insecure(issuer()));
        }
        faults
    }
}

fn is_secure(url: &str) -> bool {
    if let Some(rest) = url.strip_prefix("https://") {
        return !rest.is_empty() && !rest.starts_with('/');
    }
    let Some(rest) = url.strip_prefix("http://") else { return false };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let host = match authority.strip_prefix('[') {
        Some(v6) => v6.split(']').next().unwrap_or_default(),
        None => authority.split(':').next().unwrap_or_default(),
    };
    // A name may mean another machine tomorrow.
    host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_come_over_a_way_that_can_be_trusted() {
        for good in ["https://id.example/keys", "http://127.0.0.1:80/keys", "http://[::1]:80/keys"] {
            assert!(is_secure(good), "{good}");
        }
        for bad in [
            "http://id.example/keys",
            "http://localhost/keys",
            "http://127.0.0.1@id.example/keys",
            "http://127.0.0.1.id.example/",
            "ftp://127.0.0.1/",
            "https://",
            "https:///x",
            "",
        ] {
            assert!(!is_secure(bad), "{bad}");
        }
    }
}
