//! Tokens: read, and their claims checked. No IO and no keys.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ignite_core_model::OrganizationId;
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::{Algorithm, Identity, IssuerOptions};

/// Longest token, in bytes.
pub(crate) const TOKEN_BYTES_MAX: usize = 8 * 1024;

/// How far clocks may be apart, in seconds.
const LEEWAY_S: u64 = 60;

/// Most scopes of a token.
const SCOPES_MAX: usize = 200;

/// Longest subject that is kept, in bytes.
const SUBJECT_BYTES_MAX: usize = 255;

/// A token that has the form of one. Nothing in it is known to be true.
pub(crate) struct Read<'a> {
    /// What is signed.
    pub(crate) signed: &'a [u8],
    pub(crate) signature: Vec<u8>,
    pub(crate) algorithm: Algorithm,
    pub(crate) key_id: Option<String>,
    pub(crate) claims: Claims,
}

pub(crate) struct Claims(Map<String, Value>);

#[derive(Deserialize)]
struct Header {
    alg: String,
    kid: Option<String>,
    typ: Option<String>,
    crit: Option<Value>,
    b64: Option<Value>,
}

/// Reads a token in its compact form. The error is a clause for whoever sent it.
pub(crate) fn read(token: &str) -> Result<Read<'_>, &'static str> {
    if token.len() > TOKEN_BYTES_MAX {
        return Err("is longer than 8 KiB");
    }
    let mut parts = token.split('.');
    let (Some(header), Some(payload), Some(signature), None) = (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err("does not have three parts");
    };
    let signed = &token.as_bytes()[..header.len() + 1 + payload.len()];
    let decode = |part: &str| URL_SAFE_NO_PAD.decode(part).map_err(|_| "is not base64url");
    let header: Header = serde_json::from_slice(&decode(header)?).map_err(|_| "has a header that is none")?;
    if header.crit.is_some() || header.b64.is_some() {
        return Err("asks for an extension that is not known");
    }
    let typ = header.typ.as_deref().map(|typ| typ.to_ascii_lowercase());
    if typ.as_deref().is_some_and(|typ| !matches!(typ.trim_start_matches("application/"), "jwt" | "at+jwt")) {
        return Err("is of another type than `JWT`");
    }
    let algorithm = Algorithm::find(&header.alg).ok_or("is signed with an algorithm that is not allowed")?;
    let claims = serde_json::from_slice(&decode(payload)?).map_err(|_| "has claims that are no object")?;
    Ok(Read { signed, signature: decode(signature)?, algorithm, key_id: header.kid, claims: Claims(claims) })
}

impl Claims {
    /// Whom the token says it is from.
    pub(crate) fn issuer(&self) -> Option<&str> {
        self.0.get("iss").and_then(Value::as_str)
    }

    /// Who it is, at the time `now_s`. The error is a clause for whoever sent it.
    pub(crate) fn identity(&self, options: &IssuerOptions, now_s: u64) -> Result<Identity, String> {
        let text = |claim: &str| self.0.get(claim).and_then(Value::as_str);
        if text("iss") != Some(options.issuer.as_str()) {
            return Err("is from another issuer".to_owned());
        }
        let audience = match self.0.get("aud") {
            Some(Value::String(audience)) => *audience == options.audience,
            Some(Value::Array(all)) => all.iter().any(|one| one.as_str() == Some(&options.audience)),
            _ => false,
        };
        if !audience {
            return Err(format!("is not for the audience `{}`", options.audience));
        }
        let expires_s = self.time("exp")?.ok_or("has no `exp`")?;
        if now_s >= expires_s.saturating_add(LEEWAY_S) {
            return Err("has expired".to_owned());
        }
        if self.time("nbf")?.is_some_and(|from| from > now_s.saturating_add(LEEWAY_S)) {
            return Err("is not valid yet".to_owned());
        }
        let claim = &options.organization_claim;
        let organization = text(claim).ok_or_else(|| format!("has no claim `{claim}` with an organisation"))?;
        let organization: OrganizationId = organization
            .parse()
            .map_err(|_| format!("has a claim `{claim}` that is not the name of an organisation"))?;
        let subject = text("sub").unwrap_or_default().chars().take(SUBJECT_BYTES_MAX / 4).collect();
        Ok(Identity { organization, scopes: self.scopes(options)?, subject, expires_s })
    }

    fn scopes(&self, options: &IssuerOptions) -> Result<Vec<String>, String> {
        let claim = &options.scopes_claim;
        let wrong = || format!("has a claim `{claim}` that is neither text nor a list of texts");
        let words: Vec<&str> = match self.0.get(claim) {
            None => Vec::new(),
            Some(Value::String(text)) => text.split_ascii_whitespace().collect(),
            Some(Value::Array(all)) => {
                all.iter().map(Value::as_str).collect::<Option<Vec<&str>>>().ok_or_else(wrong)?
            }
            Some(_) => return Err(wrong()),
        };
        let own: Vec<String> = words
            .iter()
            .filter_map(|word| word.strip_prefix(options.scope_prefix.as_str()))
            .map(str::to_owned)
            .collect();
        if own.len() > SCOPES_MAX { Err(format!("has more than {SCOPES_MAX} scopes")) } else { Ok(own) }
    }

    /// A time in seconds since 1970. One of another type is refused, and not taken for absent.
    fn time(&self, claim: &str) -> Result<Option<u64>, String> {
        let wrong = || format!("has a claim `{claim}` that is no time");
        match self.0.get(claim) {
            None => Ok(None),
            Some(Value::Number(number)) => {
                let whole = number.as_u64().or_else(|| {
                    let seconds = number.as_f64().filter(|seconds| (0.0..1e15).contains(seconds))?;
                    Some(seconds as u64)
                });
                whole.map(Some).ok_or_else(wrong)
            }
            Some(_) => Err(wrong()),
        }
    }
}
