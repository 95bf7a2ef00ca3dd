//! Why a call failed, and how a command ends by it.

use serde::Deserialize;

use crate::exit::{CliError, Exit};

/// Longest text of a server that is repeated, in characters.
const SAID_CHARS_MAX: usize = 2000;

/// Why the API did not answer as it was asked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ApiError {
    /// It refused.
    #[error("{message}")]
    Refused {
        /// Its code.
        code: Code,
        /// Its words, for people.
        message: String,
    },
    /// Nobody answered at all.
    #[error("nothing answers at {endpoint}")]
    Unreachable {
        /// Where.
        endpoint: String,
        /// Why.
        #[source]
        cause: ureq::Error,
    },
    /// The answer did not come in time.
    #[error("{endpoint} did not answer in time")]
    TimedOut {
        /// Where.
        endpoint: String,
    },
    /// The answer ended too early.
    #[error("the answer was broken off")]
    Broken(#[source] std::io::Error),
    /// Something answered that does not speak the API.
    #[error("{endpoint} answers with status {status} and does not speak the API of Ignite")]
    NoApi {
        /// Where.
        endpoint: String,
        /// HTTP status.
        status: u16,
    },
    /// A message that cannot be read.
    #[error("the answer cannot be read")]
    Unreadable(#[source] serde_json::Error),
}

/// What a refusal is called on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Code {
    Canceled,
    InvalidArgument,
    DeadlineExceeded,
    NotFound,
    AlreadyExists,
    PermissionDenied,
    ResourceExhausted,
    FailedPrecondition,
    Aborted,
    OutOfRange,
    Unimplemented,
    Internal,
    Unavailable,
    DataLoss,
    Unauthenticated,
    #[serde(other)]
    Unknown,
}

/// A refusal as it is sent.
#[derive(Debug, Deserialize)]
pub(crate) struct Refusal {
    code: Code,
    #[serde(default)]
    message: String,
}

impl From<Refusal> for ApiError {
    fn from(refusal: Refusal) -> Self {
        let message = match refusal.message.trim() {
            "" => format!("the API answers `{:?}` without words", refusal.code),
            said => said.chars().take(SAID_CHARS_MAX).collect(),
        };
        Self::Refused { code: refusal.code, message: super::words::plain(&message) }
    }
}

impl ApiError {
    /// Reads the body of an answer that is none.
    pub(crate) fn of_status(endpoint: &str, status: u16, body: &[u8]) -> Self {
        match serde_json::from_slice::<Refusal>(body) {
            Ok(refusal) => refusal.into(),
            Err(_) => Self::NoApi { endpoint: endpoint.to_owned(), status },
        }
    }

    /// The code of a refusal.
    pub(crate) fn code(&self) -> Option<Code> {
        match self {
            Self::Refused { code, .. } => Some(*code),
            _ => None,
        }
    }

    /// Whether there is no such thing.
    pub(crate) fn is_missing(&self) -> bool {
        self.code() == Some(Code::NotFound)
    }

    /// Whether the same call may well succeed a moment later.
    pub(crate) fn is_passing(&self) -> bool {
        match self {
            Self::Refused { code, .. } => matches!(code, Code::Unavailable | Code::Aborted),
            Self::Unreachable { .. } | Self::Broken(_) => true,
            // What stands before a control plane that restarts says so.
            Self::NoApi { status, .. } => matches!(status, 502..=504),
            Self::TimedOut { .. } | Self::Unreadable(_) => false,
        }
    }

    /// The one table from what the API says to exit codes.
    pub(crate) fn exit(&self) -> Exit {
        match self {
            Self::Refused { code, .. } => match code {
                Code::InvalidArgument | Code::FailedPrecondition | Code::OutOfRange => Exit::InvalidArgument,
                Code::Unauthenticated => Exit::Unauthenticated,
                Code::PermissionDenied => Exit::PermissionDenied,
                Code::NotFound => Exit::NotFound,
                Code::AlreadyExists => Exit::AlreadyExists,
                Code::ResourceExhausted => Exit::ResourceExhausted,
                Code::DeadlineExceeded => Exit::DeadlineExceeded,
                Code::Unavailable | Code::Aborted | Code::Canceled | Code::Unimplemented => Exit::Unavailable,
                Code::Internal | Code::DataLoss | Code::Unknown => Exit::Internal,
            },
            Self::TimedOut { .. } => Exit::DeadlineExceeded,
            Self::Unreachable { .. } | Self::Broken(_) | Self::NoApi { .. } => Exit::Unavailable,
            Self::Unreadable(_) => Exit::Internal,
        }
    }

    fn next(&self) -> Option<&'static str> {
        match self {
            Self::Refused { code, .. } => match code {
                Code::Unauthenticated => Some("`ignite login` stores a token; IGNITE_TOKEN and --token take one too"),
                Code::PermissionDenied => {
                    Some("use another token, or let its organisation make one: `ignite token create --scopes …`")
                }
                Code::Unavailable | Code::Aborted | Code::ResourceExhausted => Some("try again in a moment"),
                Code::Unimplemented => Some("the platform there does not have this yet"),
                _ => None,
            },
            Self::Unreachable { .. } | Self::NoApi { .. } => {
                Some("`ignite config view` shows where the platform is looked for; `ignite serve` starts one here")
            }
            Self::TimedOut { .. } => Some("--timeout waits longer"),
            Self::Broken(_) => Some("try again"),
            Self::Unreadable(_) => Some("is this `ignite` much older than the platform?"),
        }
    }

    /// As a failure of what was tried.
    pub(crate) fn told(&self, what: impl Into<String>) -> CliError {
        let error = CliError::new(self.exit(), what).caused_by(self);
        match self.next() {
            Some(next) => error.hint(next),
            None => error,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_its_exit() {
        for (code, exit) in [
            ("invalid_argument", 2),
            ("failed_precondition", 2),
            ("unauthenticated", 3),
            ("permission_denied", 4),
            ("not_found", 5),
            ("already_exists", 6),
            ("resource_exhausted", 7),
            ("deadline_exceeded", 8),
            ("unavailable", 9),
            ("unimplemented", 9),
            ("internal", 10),
            ("something_new", 10),
        ] {
            let error = ApiError::of_status("x", 400, format!("{{\"code\":\"{code}\",\"message\":\"m\"}}").as_bytes());
            assert_eq!((error.exit().code(), error.to_string()), (exit, "m".to_owned()), "{code}");
        }
        let page = ApiError::of_status("http://x", 404, b"<html>");
        assert_eq!(page.exit(), Exit::Unavailable);
        assert_eq!(page.to_string(), "http://x answers with status 404 and does not speak the API of Ignite");
    }

    #[test]
    fn a_servers_words_are_bounded_and_harmless() {
        let body = format!("{{\"code\":\"internal\",\"message\":\"\\u001b]0;x{}\"}}", "y".repeat(9000));
        let said = ApiError::of_status("x", 500, body.as_bytes()).to_string();
        assert!(said.starts_with("\\u{1b}]0;xyy") && said.len() < 2100, "{said}");
    }
}
