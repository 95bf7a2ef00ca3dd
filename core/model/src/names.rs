//! Names and ids, each with the form it must have.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// Why a text is not a name or an id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Not a DNS label.
    #[error("`{0}` is not a name: use 1 to 63 of a-z, 0-9 and `-`, beginning with a letter and not ending with `-`")]
    Label(String),
    /// Not `org/name`.
    #[error("`{0}` is not an app id: write `org/name` or `org:name`")]
    FunctionId(String),
    /// Not a ULID.
    #[error("`{0}` is not an execution id: expected a ULID of 26 characters")]
    ExecutionId(String),
}

/// Longest name of an app or organisation, in bytes: a DNS label (RFC 1035 §2.3.4).
const LABEL_BYTES_MAX: usize = 63;

fn label(text: &str) -> Result<Arc<str>, NameError> {
    let bytes = text.as_bytes();
    let fits = bytes.len() <= LABEL_BYTES_MAX
        && bytes.first().is_some_and(u8::is_ascii_lowercase)
        && bytes.last() != Some(&b'-')
        && bytes.iter().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || *byte == b'-');
    if fits { Ok(text.into()) } else { Err(NameError::Label(excerpt(text))) }
}

fn excerpt(text: &str) -> String {
    text.chars().take(80).collect()
}

macro_rules! text_type {
    ($(#[$doc:meta])* $name:ident, $parse:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(Arc<str>);

        impl $name {
            /// The text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = NameError;

            fn from_str(text: &str) -> Result<Self, NameError> {
                $parse(text).map(Self)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

text_type! {
    /// Name of an app within its organisation: 1 to 63 of `a-z`, `0-9` and `-`, beginning with a letter, not ending
    /// with `-`.
    AppName, label
}

text_type! {
    /// Name of an organisation; the same form as [`AppName`].
    OrganizationId, label
}

text_type! {
    /// An app's full id, `org/name`; `org:name` is read too.
    FunctionId, function_id
}

fn function_id(text: &str) -> Result<Arc<str>, NameError> {
    let wrong = || NameError::FunctionId(excerpt(text));
    let (org, name) = text.split_once(['/', ':']).ok_or_else(wrong)?;
    label(org).and_then(|_| label(name)).map_err(|_| wrong())?;
    Ok(format!("{org}/{name}").into())
}

impl FunctionId {
    /// The id of the app `name` of `organization`.
    #[must_use]
    pub fn new(organization: &OrganizationId, name: &AppName) -> Self {
        Self(format!("{organization}/{name}").into())
    }

    /// The organisation's part.
    #[must_use]
    pub fn organization(&self) -> OrganizationId {
        OrganizationId(self.0.split('/').next().unwrap_or_default().into())
    }

    /// The app's part.
    #[must_use]
    pub fn name(&self) -> AppName {
        AppName(self.0.split('/').nth(1).unwrap_or_default().into())
    }
}

/// One execution: a ULID (26 characters of Crockford's base 32, upper case).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ExecutionId(ulid::Ulid);

impl ExecutionId {
    /// The id of an execution that begins at `unix_ms` (milliseconds since 1970), with 80 bits of `random`.
    #[must_use]
    pub fn from_parts(unix_ms: u64, random: u128) -> Self {
        Self(ulid::Ulid::from_parts(unix_ms, random))
    }
}

impl ExecutionId {
    /// Length of the text, in bytes.
    pub const TEXT_BYTES: usize = ulid::ULID_LEN;

    /// The text, written into `buffer`.
    pub fn to_text(self, buffer: &mut [u8; Self::TEXT_BYTES]) -> &str {
        self.0.array_to_str(buffer)
    }
}

impl FromStr for ExecutionId {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        // The library also reads lower case; one id has one spelling here.
        match ulid::Ulid::from_string(text) {
            Ok(id) if !text.bytes().any(|byte| byte.is_ascii_lowercase()) => Ok(Self(id)),
            _ => Err(NameError::ExecutionId(excerpt(text))),
        }
    }
}

impl fmt::Display for ExecutionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test")]
    use super::*;

    #[test]
    fn names_have_one_form() {
        for good in ["a", "hello-world-2", &"a".repeat(63)] {
            assert_eq!(good.parse::<AppName>().unwrap().as_str(), good);
        }
        for bad in ["", "-a", "a-", "A", "2a", "a_b", "a.b", "ä", &"a".repeat(64)] {
            assert!(bad.parse::<AppName>().is_err(), "{bad}");
        }
    }

    #[test]
    fn an_app_id_reads_both_spellings() {
        let id: FunctionId = "acme:hello".parse().unwrap();
        assert_eq!(id.to_string(), "acme/hello");
        assert_eq!(id.organization().as_str(), "acme");
        for bad in ["acme", "acme/", "/hello", "a/b/c", "Acme/hello"] {
            assert!(bad.parse::<FunctionId>().is_err(), "{bad}");
        }
    }

    #[test]
    fn an_execution_id_is_a_ulid() {
        let id = ExecutionId::from_parts(1_716_900_000_000, 7);
        assert_eq!(id.to_string().len(), 26);
        assert_eq!(id.to_string().parse::<ExecutionId>().unwrap(), id);
        assert!(id.to_string().to_lowercase().parse::<ExecutionId>().is_err());
    }
}
