//! The label of an app in a hostname.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use crate::{Digest, FunctionId};

/// Longest label of a hostname, in bytes (RFC 1035 §2.3.4).
const LABEL_BYTES_MAX: usize = 63;

/// Hexadecimal digits of the hash in a label that was too long.
const HASH_DIGITS: usize = 8;

/// Why a text is not the label of an app.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not an app's hostname label: expected 1 to 63 of a-z, 0-9 and `-`")]
pub struct HostLabelError(String);

/// The first label of an app's hostname: `<app>-<org>`, and `<app>-<org>-<port>` for a further port of a container.
///
/// Two apps may ask for the same label (`a-b` of `c`, and `a` of `b-c`); who comes second is refused when it is created.
/// A label that would be longer than 63 bytes is cut and ends with 8 digits of a hash of the app's id and port.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct HostLabel(Arc<str>);

impl HostLabel {
    /// The label of an app's first port.
    #[must_use]
    pub fn of(app: &FunctionId) -> Self {
        Self::make(app, "")
    }

    /// The label of a further port.
    #[must_use]
    pub fn of_port(app: &FunctionId, port: u16) -> Self {
        Self::make(app, &format!("-{port}"))
    }

    fn make(app: &FunctionId, end: &str) -> Self {
        let text = format!("{}-{}{end}", app.name(), app.organization());
        if text.len() <= LABEL_BYTES_MAX {
            return Self(text.into());
        }
        let hash = &Digest::of(format!("{app}{end}").as_bytes()).to_hex()[..HASH_DIGITS];
        // Names are ASCII, and a `-` before the hash's own would make an empty word.
        let kept = text[..LABEL_BYTES_MAX - HASH_DIGITS - 1].trim_end_matches('-');
        Self(format!("{kept}-{hash}").into())
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for HostLabel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for HostLabel {
    type Err = HostLabelError;

    /// Hostnames know no case (RFC 4343), so upper case is read as lower case.
    fn from_str(text: &str) -> Result<Self, HostLabelError> {
        let fits = !text.is_empty()
            && text.len() <= LABEL_BYTES_MAX
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
            && !text.starts_with('-')
            && !text.ends_with('-');
        if fits {
            Ok(Self(text.to_ascii_lowercase().into()))
        } else {
            Err(HostLabelError(text.chars().take(80).collect()))
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test")]
    use super::*;

    fn id(text: &str) -> FunctionId {
        text.parse().unwrap()
    }

    #[test]
    fn a_label_is_app_and_organisation() {
        assert_eq!(HostLabel::of(&id("acme/hello")).as_str(), "hello-acme");
        assert_eq!(HostLabel::of_port(&id("acme/hello"), 9090).as_str(), "hello-acme-9090");
        assert_eq!("Hello-ACME".parse::<HostLabel>().unwrap(), HostLabel::of(&id("acme/hello")));
    }

    #[test]
    fn different_apps_can_ask_for_one_label() {
        assert_eq!(HostLabel::of(&id("c/a-b")), HostLabel::of(&id("b-c/a")));
    }

    #[test]
    fn a_long_label_is_cut_and_stays_distinct() {
        let name = "a".repeat(60);
        let one = HostLabel::of(&id(&format!("acme/{name}")));
        let other = HostLabel::of(&id(&format!("acme/{name}b")));
        assert_eq!(one.as_str().len(), 63);
        assert_ne!(one, other);
        assert!(one.as_str().parse::<HostLabel>().is_ok());
        let cut_at_dash = HostLabel::of(&id(&format!("acme/{}-bbbbb", "a".repeat(53))));
        assert!(!cut_at_dash.as_str().contains("--"), "{cut_at_dash}");
    }

    #[test]
    fn other_texts_are_no_labels() {
        for bad in ["", "-a", "a-", "a.b", "a_b", "ä", &"a".repeat(64)] {
            assert!(bad.parse::<HostLabel>().is_err(), "{bad}");
        }
    }
}
