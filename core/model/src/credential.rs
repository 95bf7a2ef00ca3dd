//! Secrets of organisations: what they are, and how variables of apps refer to them.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::Secret;

/// What the value of a variable begins with that is a reference to a secret.
const REFERENCE_PREFIX: &str = "secret://";

/// Longest name of a secret, in bytes.
const NAME_BYTES_MAX: usize = 64;

/// The version of the form in which secrets are sealed.
const FORMAT: u32 = 1;

/// The name of a secret within its organisation: 1 to 64 letters, digits, `-` and `_`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SecretName(String);

impl SecretName {
    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for SecretName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for SecretName {
    type Err = CredentialError;

    fn from_str(text: &str) -> Result<Self, CredentialError> {
        let fits = (1..=NAME_BYTES_MAX).contains(&text.len())
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
        if fits { Ok(Self(text.to_owned())) } else { Err(CredentialError::Name) }
    }
}

/// Why something about a secret is not valid. What was given is not repeated: it might be the secret itself.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CredentialError {
    /// Not a name.
    #[error("the name of a secret has 1 to {NAME_BYTES_MAX} letters, digits, `-` and `_`")]
    Name,
    /// A reference to a part there is not in any secret.
    #[error("a reference to a secret is `secret://NAME` or `secret://NAME/PART`; parts are {}", Part::WORDS)]
    Reference,
    /// What was sealed cannot be read.
    #[error("the sealed secret has another form than this release reads")]
    Form,
}

/// A part of a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// What a value holds.
    Value,
    /// Of a git or registry secret.
    Username,
    /// Of a git secret.
    Token,
    /// Of a registry secret.
    Password,
    /// Of a registry secret.
    ServerAddress,
}

impl Part {
    const ALL: [(Self, &'static str); 5] = [
        (Self::Value, "value"),
        (Self::Username, "username"),
        (Self::Token, "token"),
        (Self::Password, "password"),
        (Self::ServerAddress, "server_address"),
    ];
    const WORDS: &'static str = "`value`, `username`, `token`, `password` and `server_address`";

    fn word(self) -> &'static str {
        Self::ALL.iter().find(|(known, _)| *known == self).map_or("", |(_, word)| word)
    }
}

/// What the value of a variable says that stands for a secret: `secret://NAME`, or `secret://NAME/PART`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretReference {
    /// The secret, of the app's organisation.
    pub name: SecretName,
    /// The part; `None` is what is secret in it.
    pub part: Option<Part>,
}

impl SecretReference {
    /// The reference that a variable's value is; `None` where it is just a value.
    ///
    /// # Errors
    /// When it begins like a reference and is none.
    pub fn find(value: &str) -> Result<Option<Self>, CredentialError> {
        let Some(text) = value.strip_prefix(REFERENCE_PREFIX) else { return Ok(None) };
        let (name, part) = match text.split_once('/') {
            Some((name, part)) => (name, Some(part)),
            None => (text, None),
        };
        let known = |word: &str| Part::ALL.iter().find(|(_, known)| *known == word).map(|(part, _)| *part);
        let part = part.map(|word| known(word).ok_or(CredentialError::Reference)).transpose()?;
        let name = name.parse().map_err(|_| CredentialError::Reference)?;
        Ok(Some(Self { name, part }))
    }
}

/// A secret of an organisation.
#[derive(Debug, Clone)]
pub enum Credential {
    /// One text.
    Value(Secret<String>),
    /// For a git server.
    Git {
        /// The user.
        username: String,
        /// What they prove it by.
        token: Secret<String>,
    },
    /// For a registry of images.
    Registry {
        /// The user.
        username: String,
        /// What they prove it by.
        password: Secret<String>,
        /// The registry; empty is Docker Hub.
        server_address: String,
    },
}

/// As it is sealed. It may only grow.
#[derive(Serialize)]
#[serde(tag = "type")]
enum Sealed<'a> {
    #[serde(rename = "value_secret")]
    Value { format: u32, value: &'a str },
    #[serde(rename = "git_secret")]
    Git { format: u32, username: &'a str, token: &'a str },
    #[serde(rename = "registry_secret")]
    Registry { format: u32, username: &'a str, password: &'a str, server_address: &'a str },
}

/// [`Sealed`] as it is read: text with escapes cannot be borrowed.
#[derive(Deserialize)]
struct Opened {
    format: u32,
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    value: String,
    #[serde(default)]
    username: String,
    #[serde(default)]
    token: String,
    #[serde(default)]
    password: String,
    #[serde(default)]
    server_address: String,
}

impl Credential {
    /// The word for its kind, as it goes over the wire.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Value(_) => "value_secret",
            Self::Git { .. } => "git_secret",
            Self::Registry { .. } => "registry_secret",
        }
    }

    /// A part, or what is secret in it; `None` where it has no such part.
    #[must_use]
    pub fn part(&self, part: Option<Part>) -> Option<&str> {
        match (self, part) {
            (Self::Value(value), None | Some(Part::Value)) => Some(value.reveal()),
            (Self::Git { token, .. }, None | Some(Part::Token)) => Some(token.reveal()),
            (Self::Registry { password, .. }, None | Some(Part::Password)) => Some(password.reveal()),
            (Self::Git { username, .. } | Self::Registry { username, .. }, Some(Part::Username)) => Some(username),
            (Self::Registry { server_address, .. }, Some(Part::ServerAddress)) => Some(server_address),
            _ => None,
        }
    }

    /// Why a variable cannot be had from it: the part it does not have.
    #[must_use]
    pub fn lacks(&self, reference: &SecretReference) -> String {
        let part = reference.part.map_or("value", Part::word);
        format!("the secret `{}` is a {} and has no part `{part}`", reference.name, self.kind())
    }

    /// As it is to be sealed.
    #[must_use]
    pub fn to_bytes(&self) -> Secret<Vec<u8>> {
        let sealed = match self {
            Self::Value(value) => Sealed::Value { format: FORMAT, value: value.reveal() },
            Self::Git { username, token } => Sealed::Git { format: FORMAT, username, token: token.reveal() },
            Self::Registry { username, password, server_address } => {
                Sealed::Registry { format: FORMAT, username, password: password.reveal(), server_address }
            }
        };
        Secret::new(serde_json::to_vec(&sealed).expect("text has a form in JSON"))
    }

    /// Reads what [`Credential::to_bytes`] wrote.
    ///
    /// # Errors
    /// [`CredentialError::Form`] if it is anything else.
    pub fn from_bytes(bytes: &Secret<Vec<u8>>) -> Result<Self, CredentialError> {
        let opened: Opened = serde_json::from_slice(bytes.reveal()).map_err(|_| CredentialError::Form)?;
        if opened.format != FORMAT {
            return Err(CredentialError::Form);
        }
        let Opened { kind, value, username, token, password, server_address, .. } = opened;
        match kind.as_str() {
            "value_secret" => Ok(Self::Value(Secret::new(value))),
            "git_secret" => Ok(Self::Git { username, token: Secret::new(token) }),
            "registry_secret" => Ok(Self::Registry { username, password: Secret::new(password), server_address }),
            _ => Err(CredentialError::Form),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test")]
    use super::*;

    fn secret(text: &str) -> Secret<String> {
        Secret::new(text.to_owned())
    }

    #[test]
    fn references() {
        let found =
            |text: &str| SecretReference::find(text).map(|found| found.map(|at| (at.name.to_string(), at.part)));
        assert_eq!(found("plain"), Ok(None));
        assert_eq!(found("https://secret://x"), Ok(None));
        assert_eq!(found("secret://db-1"), Ok(Some(("db-1".to_owned(), None))));
        assert_eq!(found("secret://hub/username"), Ok(Some(("hub".to_owned(), Some(Part::Username)))));
        for bad in ["secret://", "secret:///", "secret://a b", "secret://a/colour", "secret://a/b/c", "secret://ä"] {
            let refused = found(bad).unwrap_err();
            assert_eq!(refused, CredentialError::Reference);
            let said = bad.trim_start_matches(REFERENCE_PREFIX);
            assert!(said.len() < 2 || !refused.to_string().contains(said), "{refused}");
        }
    }

    #[test]
    fn what_is_sealed_reads_back_and_is_not_shown() {
        let all = [
            Credential::Value(secret("hunter2 \"\n")),
            Credential::Git { username: "ada".to_owned(), token: secret("hunter2") },
            Credential::Registry {
                username: "ada".to_owned(),
                password: secret("hunter2"),
                server_address: "registry.example".to_owned(),
            },
        ];
        for credential in all {
            assert!(!format!("{credential:?}").contains("hunter2"));
            let again = Credential::from_bytes(&credential.to_bytes()).unwrap();
            assert_eq!(again.kind(), credential.kind());
            for part in Part::ALL.map(|(part, _)| Some(part)).into_iter().chain([None]) {
                assert_eq!(again.part(part), credential.part(part));
            }
            assert!(credential.part(None).unwrap().starts_with("hunter2"));
        }
    }

    /// What an earlier release sealed stays readable.
    #[test]
    fn a_sealed_secret_reads_back() {
        let stored = r#"{"type":"git_secret","format":1,"username":"ada","token":"x"}"#;
        let read = |text: &str| Credential::from_bytes(&Secret::new(text.as_bytes().to_vec()));
        assert_eq!(read(stored).unwrap().part(Some(Part::Token)), Some("x"));
        for bad in ["", "{}", r#"{"type":"other","format":1}"#, r#"{"type":"git_secret","format":2}"#] {
            assert_eq!(read(bad).unwrap_err(), CredentialError::Form, "{bad}");
        }
    }
}
