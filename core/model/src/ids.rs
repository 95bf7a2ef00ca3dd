//! Ids that the platform gives out.

use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Why a text is not an id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    /// Not a ULID.
    #[error("`{0}` is not an id: expected a ULID of 26 characters")]
    Ulid(String),
    /// Not a version number.
    #[error("`{0}` is not a version: versions are numbered from 1")]
    Version(String),
}

/// The number of an immutable version of an app: 1, 2, 3 and so on. The draft has no number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct VersionNumber(NonZeroU32);

impl VersionNumber {
    /// The first version of an app.
    pub const FIRST: Self = Self(NonZeroU32::MIN);

    /// The place of code that is run once to be tried, live or not. No version is ever numbered so.
    pub const TRIAL: Self = Self(NonZeroU32::MAX);

    /// The version `number`; 0 is the draft and has none.
    #[must_use]
    pub fn new(number: u32) -> Option<Self> {
        NonZeroU32::new(number).map(Self)
    }

    /// The number.
    #[must_use]
    pub fn get(self) -> u32 {
        self.0.get()
    }

    /// The version after this one; the last number there is stays.
    #[must_use]
    pub fn next(self) -> Self {
        let next = Self(self.0.saturating_add(1));
        if next == Self::TRIAL { self } else { next }
    }
}

impl fmt::Display for VersionNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for VersionNumber {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        text.parse().map(Self).map_err(|_| IdError::Version(text.chars().take(80).collect()))
    }
}

macro_rules! ulid_type {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(ulid::Ulid);

        impl $name {
            /// The id of what begins at `unix_ms` (milliseconds since 1970), with 80 bits of `random`.
            #[must_use]
            pub fn from_parts(unix_ms: u64, random: u128) -> Self {
                Self(ulid::Ulid::from_parts(unix_ms, random))
            }
        }

        impl FromStr for $name {
            type Err = IdError;

            fn from_str(text: &str) -> Result<Self, IdError> {
                match ulid::Ulid::from_string(text) {
                    // The library also reads lower case; one id has one spelling here.
                    Ok(id) if !text.bytes().any(|byte| byte.is_ascii_lowercase()) => Ok(Self(id)),
                    _ => Err(IdError::Ulid(text.chars().take(80).collect())),
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }

        impl Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

ulid_type! {
    /// One durable job: a compile, a publish, a rollback.
    JobId
}

ulid_type! {
    /// One running host or container.
    InstanceId
}

ulid_type! {
    /// One API token; not its secret.
    TokenId
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test")]
    use super::*;

    #[test]
    fn a_version_is_numbered_from_one() {
        assert_eq!("3".parse::<VersionNumber>().unwrap().get(), 3);
        assert_eq!(VersionNumber::FIRST.next().to_string(), "2");
        let last = VersionNumber::new(u32::MAX - 1).unwrap();
        assert_eq!(last.next(), last, "a version would stand where code is tried");
        for bad in ["0", "-1", "v1", "", "4294967296"] {
            assert!(bad.parse::<VersionNumber>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_job_has_one_spelling() {
        let id = JobId::from_parts(1_716_900_000_000, 7);
        assert_eq!(id.to_string().parse::<JobId>().unwrap(), id);
        assert!(id.to_string().to_lowercase().parse::<JobId>().is_err());
        assert_eq!(serde_json::from_str::<JobId>(&serde_json::to_string(&id).unwrap()).unwrap(), id);
    }
}
