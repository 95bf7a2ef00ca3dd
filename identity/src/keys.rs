//! Key sets (RFC 7517), and signatures checked with them.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::signature::{RsaPublicKeyComponents, UnparsedPublicKey};
use serde::Deserialize;

use crate::Algorithm;
use crate::token::Read;

/// Most keys of a set.
const KEYS_MAX: usize = 64;

/// The keys of an issuer.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct KeySet(Vec<Key>);

#[derive(Debug, PartialEq, Eq)]
struct Key {
    id: Option<String>,
    /// The one algorithm it is for, where it says so.
    algorithm: Option<String>,
    public: Public,
}

#[derive(Debug, PartialEq, Eq)]
enum Public {
    Rsa { n: Vec<u8>, e: Vec<u8> },
    Point { curve: String, bytes: Vec<u8> },
}

#[derive(Deserialize)]
struct Written {
    keys: Vec<serde_json::Value>,
}

#[derive(Deserialize)]
struct WrittenKey {
    kty: String,
    kid: Option<String>,
    alg: Option<String>,
    #[serde(rename = "use")]
    usage: Option<String>,
    key_ops: Option<Vec<String>>,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
}

impl KeySet {
    /// Reads a set. Keys of kinds that are not known, or not for signatures, are left out, as the standard wants it.
    pub(crate) fn read(bytes: &[u8]) -> Result<Self, String> {
        let written: Written = serde_json::from_slice(bytes).map_err(|error| format!("it is no key set: {error}"))?;
        if written.keys.len() > KEYS_MAX {
            return Err(format!("it has {} keys, more than {KEYS_MAX}", written.keys.len()));
        }
        let keys: Vec<Key> = written.keys.into_iter().filter_map(key).collect();
        if keys.is_empty() { Err("it has no key for signatures that is known here".to_owned()) } else { Ok(Self(keys)) }
    }

    /// Whether a key may have signed the token.
    pub(crate) fn has_key_for(&self, token: &Read<'_>) -> bool {
        self.candidates(token).next().is_some()
    }

    /// Whether a key has signed the token.
    pub(crate) fn verifies(&self, token: &Read<'_>) -> bool {
        self.candidates(token).any(|key| key.verifies(token.algorithm, token.signed, &token.signature))
    }

    fn candidates(&self, token: &Read<'_>) -> impl Iterator<Item = &Key> {
        let (id, algorithm) = (token.key_id.clone(), token.algorithm);
        self.0.iter().filter(move |key| (id.is_none() || key.id == id) && key.is_for(algorithm))
    }
}

fn key(value: serde_json::Value) -> Option<Key> {
    let written: WrittenKey = serde_json::from_value(value).ok()?;
    let signs = written.usage.as_deref().is_none_or(|usage| usage == "sig")
        && written.key_ops.as_ref().is_none_or(|ops| ops.iter().any(|op| op == "verify"));
    let decode = |part: &Option<String>| URL_SAFE_NO_PAD.decode(part.as_deref()?).ok();
    let public = match written.kty.as_str() {
        "RSA" => Public::Rsa { n: decode(&written.n)?, e: decode(&written.e)? },
        "EC" => {
            // Uncompressed (SEC 1 §2.3.3).
            let mut bytes = vec![4];
            bytes.extend(decode(&written.x)?);
            bytes.extend(decode(&written.y)?);
            Public::Point { curve: written.crv?, bytes }
        }
        "OKP" => Public::Point { curve: written.crv?, bytes: decode(&written.x)? },
        _ => return None,
    };
    signs.then_some(Key { id: written.kid, algorithm: written.alg, public })
}

impl Key {
    fn is_for(&self, algorithm: Algorithm) -> bool {
        let named = self.algorithm.as_deref().is_none_or(|word| Algorithm::find(word) == Some(algorithm));
        named
            && match &self.public {
                Public::Rsa { .. } => algorithm.rsa().is_some(),
                Public::Point { curve, .. } => algorithm.on_curve(curve).is_some(),
            }
    }

    fn verifies(&self, algorithm: Algorithm, signed: &[u8], signature: &[u8]) -> bool {
        match &self.public {
            Public::Rsa { n, e } => algorithm
                .rsa()
                .is_some_and(|how| RsaPublicKeyComponents { n, e }.verify(how, signed, signature).is_ok()),
            Public::Point { curve, bytes } => algorithm
                .on_curve(curve)
                .is_some_and(|how| UnparsedPublicKey::new(how, bytes).verify(signed, signature).is_ok()),
        }
    }
}
