//! URLs that a folder's objects are reached by: signed with HMAC-SHA-256, good for one thing until they expire.
//!
//! `<base>/<key>?method=PUT&expires=<unix seconds>&size=<bytes>&sha256=<hex>&signature=<hex>`; a URL to read has no size
//! and no digest. The control server serves them: it cuts `<base>/` off, asks [`UrlSigner::verify`], and does what the
//! [`Claim`] says.

use std::fmt;

use hmac::{Hmac, KeyInit as _, Mac as _};
use ignite_core_model::{Digest, Fault, Secret};
use sha2::Sha256;

use crate::{Content, ObjectKey};

/// Why a URL is not good.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UrlError {
    /// It lacks a part, or has one that cannot be read.
    #[error("the URL is not a signed one: `{0}` is missing or unreadable")]
    Malformed(&'static str),
    /// It was not signed here, or was changed since.
    #[error("the signature of the URL is not valid")]
    Forged,
    /// Its time is over.
    #[error("the URL has expired; ask for a new one")]
    Expired,
    /// It is good for another method.
    #[error("the URL is good for {0} only")]
    Method(SignedMethod),
}

impl UrlError {
    /// Whose fault it is.
    #[must_use]
    pub fn fault(&self) -> Fault {
        Fault::Caller
    }
}

/// What a URL lets do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SignedMethod {
    /// To read the object.
    Get,
    /// To write it.
    Put,
}

impl fmt::Display for SignedMethod {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Get => "GET",
            Self::Put => "PUT",
        })
    }
}

/// What a URL is good for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Claim {
    /// To read this object.
    Get(ObjectKey),
    /// To write this object, with this content.
    Put(ObjectKey, Content),
}

/// Signs and verifies URLs of a folder's objects.
#[derive(Debug, Clone)]
pub struct UrlSigner {
    key: Secret<[u8; 32]>,
    base: String,
}

impl UrlSigner {
    /// Signs with `key` for objects below the URL `base`, with which no other key is used for anything else.
    #[must_use]
    pub fn new(key: Secret<[u8; 32]>, base: &str) -> Self {
        Self { key, base: base.trim_end_matches('/').to_owned() }
    }

    /// A URL that is good for `claim` until `expires_secs`, in seconds since 1970.
    #[must_use]
    pub fn sign(&self, claim: &Claim, expires_secs: u64) -> String {
        let (key, query) = unsigned(claim, expires_secs);
        let signature = Digest::from_bytes(self.mac(&key, &query).finalize().into_bytes().into()).to_hex();
        format!("{}/{key}?{query}&signature={signature}", self.base)
    }

    /// What a request to `key` (what follows `<base>/` in its path) with this query is good for, at `now_secs`.
    ///
    /// # Errors
    /// See [`UrlError`]. Nothing of the URL is believed before its signature was found valid.
    pub fn verify(&self, method: SignedMethod, key: &str, query: &str, now_secs: u64) -> Result<Claim, UrlError> {
        let key: ObjectKey = key.parse().map_err(|_| UrlError::Malformed("key"))?;
        // The signature is the last part and signs all before it, to the letter.
        let (signed, signature) = query.rsplit_once("&signature=").ok_or(UrlError::Malformed("signature"))?;
        let signature =
            format!("sha256:{signature}").parse::<Digest>().map_err(|_| UrlError::Malformed("signature"))?;
        self.mac(key.as_str(), signed).verify_slice(signature.as_bytes()).map_err(|_| UrlError::Forged)?;

        let part = |name: &'static str| {
            let mut parts = signed.split('&').filter_map(|part| part.split_once('='));
            parts.find(|(found, _)| *found == name).map(|(_, value)| value).ok_or(UrlError::Malformed(name))
        };
        let number = |name| part(name)?.parse::<u64>().map_err(|_| UrlError::Malformed(name));
        if now_secs >= number("expires")? {
            return Err(UrlError::Expired);
        }
        let good_for = if part("method")? == "PUT" { SignedMethod::Put } else { SignedMethod::Get };
        if method != good_for {
            return Err(UrlError::Method(good_for));
        }
        if method == SignedMethod::Get {
            return Ok(Claim::Get(key));
        }
        let digest = format!("sha256:{}", part("sha256")?).parse().map_err(|_| UrlError::Malformed("sha256"))?;
        Ok(Claim::Put(key, Content { size: number("size")?, digest }))
    }

    fn mac(&self, key: &str, query: &str) -> Hmac<Sha256> {
        let mut mac = Hmac::<Sha256>::new_from_slice(self.key.reveal()).expect("a key of HMAC may have any length");
        // The version and a separator that no key has.
        mac.update(b"ignite object url 1\n");
        mac.update(key.as_bytes());
        mac.update(b"\n");
        mac.update(query.as_bytes());
        mac
    }
}

fn unsigned(claim: &Claim, expires_secs: u64) -> (String, String) {
    match claim {
        Claim::Get(key) => (key.to_string(), format!("method=GET&expires={expires_secs}")),
        Claim::Put(key, Content { size, digest }) => {
            let digest = digest.to_hex();
            (key.to_string(), format!("method=PUT&expires={expires_secs}&size={size}&sha256={digest}"))
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test")]
    use super::*;

    const NOW: u64 = 1_716_900_000;

    fn signer() -> UrlSigner {
        UrlSigner::new(Secret::new([7; 32]), "http://localhost:1/objects/")
    }

    fn put() -> Claim {
        Claim::Put("uploads/01J".parse().unwrap(), Content::of(b"abc"))
    }

    fn split(url: &str) -> (&str, &str) {
        url.strip_prefix("http://localhost:1/objects/").unwrap().split_once('?').unwrap()
    }

    #[test]
    fn a_url_is_good_for_what_it_was_signed_for() {
        let url = signer().sign(&put(), NOW + 60);
        let (key, query) = split(&url);
        assert_eq!(signer().verify(SignedMethod::Put, key, query, NOW).unwrap(), put());
        assert_eq!(signer().verify(SignedMethod::Put, key, query, NOW + 59).unwrap(), put());
        assert_eq!(signer().verify(SignedMethod::Put, key, query, NOW + 60), Err(UrlError::Expired));
        assert_eq!(signer().verify(SignedMethod::Get, key, query, NOW), Err(UrlError::Method(SignedMethod::Put)));
        let read = Claim::Get("artifacts/a".parse().unwrap());
        let url = signer().sign(&read, NOW + 60);
        let (key, query) = split(&url);
        assert_eq!(signer().verify(SignedMethod::Get, key, query, NOW).unwrap(), read);
        assert_eq!(signer().verify(SignedMethod::Put, key, query, NOW), Err(UrlError::Method(SignedMethod::Get)));
    }

    #[test]
    fn a_changed_url_is_good_for_nothing() {
        let url = signer().sign(&put(), NOW + 60);
        let (key, query) = split(&url);
        let other = UrlSigner::new(Secret::new([8; 32]), "http://localhost:1/objects");
        assert_eq!(other.verify(SignedMethod::Put, key, query, NOW), Err(UrlError::Forged));
        assert_eq!(signer().verify(SignedMethod::Put, "uploads/01K", query, NOW), Err(UrlError::Forged));
        for (from, to) in [
            ("size=3", "size=4"),
            ("method=PUT", "method=GET"),
            ("expires=17", "expires=97"),
            ("sha256=b", "sha256=c"),
            ("method=PUT&", ""),
            ("size=3", "size=3&size=9"),
        ] {
            let changed = query.replace(from, to);
            assert_ne!(changed, query);
            assert_eq!(signer().verify(SignedMethod::Put, key, &changed, NOW), Err(UrlError::Forged), "{to}");
        }
        let cut = &query[..query.len() - 1];
        assert_eq!(signer().verify(SignedMethod::Put, key, cut, NOW), Err(UrlError::Malformed("signature")));
        for query in ["", "method=PUT", "&signature=", "signature=00"] {
            assert_eq!(signer().verify(SignedMethod::Put, key, query, NOW), Err(UrlError::Malformed("signature")));
        }
        assert_eq!(signer().verify(SignedMethod::Put, "../etc", query, NOW), Err(UrlError::Malformed("key")));
    }

    #[test]
    fn a_part_after_the_signature_is_forged() {
        let url = signer().sign(&put(), NOW + 60);
        let (key, query) = split(&url);
        for more in ["&size=9", "&signature=00"] {
            let answer = signer().verify(SignedMethod::Put, key, &format!("{query}{more}"), NOW);
            assert_eq!(answer, Err(UrlError::Malformed("signature")));
        }
    }

    /// A URL that an earlier release handed out is good until it expires.
    #[test]
    fn a_url_has_one_form() {
        assert_eq!(
            signer().sign(&put(), 1_716_900_060),
            "http://localhost:1/objects/uploads/01J?method=PUT&expires=1716900060&size=3&\
             sha256=ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad&\
             signature=a529bc5b44e9dea3b632369884d26b60cae2183f104971294ef0e19a28c52d76"
        );
    }
}
