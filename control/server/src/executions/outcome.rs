//! What an answer says about its execution.

use bytes::Bytes;
use http::{HeaderMap, StatusCode, header};
use ignite_core_model::{ExecutionId, VERSION_HEADER, VersionNumber};
use ignite_store_meta::ExecutionStatus;
use serde::{Deserialize, Serialize};

/// Longest `content-type` that is kept, in bytes.
const CONTENT_TYPE_BYTES_MAX: usize = 256;

/// An answer, read to its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) content_type: String,
    pub(crate) version: Option<VersionNumber>,
    pub(crate) body: Bytes,
}

/// What is kept of an answer beside its body. Stored as JSON, so it may only grow.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct StoredAnswer {
    pub(crate) status: u16,
    pub(crate) content_type: String,
}

/// What an attempt has found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Found {
    /// It is over.
    End {
        status: ExecutionStatus,
        /// Why, if it did not succeed.
        reason: Option<String>,
        answer: Option<Answer>,
    },
    /// No handler has begun it: for whatever reason, it waits.
    NotBegun(String),
    /// It may have begun, and what carried it out is gone.
    Lost(String),
}

impl Found {
    pub(crate) fn failed(reason: impl Into<String>) -> Self {
        Self::End { status: ExecutionStatus::Failed, reason: Some(reason.into()), answer: None }
    }
}

/// The body of an answer that host or gateway gave in place of the handler, and of a handler's error.
#[derive(Deserialize)]
struct ErrorBody {
    error: String,
    #[serde(rename = "type")]
    kind: String,
    execution_id: String,
}

impl Answer {
    pub(crate) fn new(status: StatusCode, headers: &HeaderMap, body: Bytes) -> Self {
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        let content_type = text(header::CONTENT_TYPE.as_str()).unwrap_or_default();
        Self {
            status,
            content_type: if content_type.len() > CONTENT_TYPE_BYTES_MAX { "" } else { content_type }.to_owned(),
            version: text(VERSION_HEADER).and_then(|version| version.parse().ok()),
            body,
        }
    }

    pub(crate) fn stored(&self) -> StoredAnswer {
        StoredAnswer { status: self.status.as_u16(), content_type: self.content_type.clone() }
    }

    /// The error it is, if host or gateway say so of this very execution. A handler that passes on what another app answered
    /// is thereby not taken for the platform: that answer names another execution.
    fn error(&self, id: ExecutionId) -> Option<ErrorBody> {
        if !self.content_type.starts_with("application/json") || self.status.is_success() {
            return None;
        }
        let body: ErrorBody = serde_json::from_slice(&self.body).ok()?;
        (body.execution_id == id.to_string()).then_some(body)
    }
}

/// Whether the execution is over, and how; or whether it is to be tried again, and at whose cost.
///
/// What the handler itself answers is final, be it an error or not: it ran. Only what keeps it from running, and the loss of
/// what ran it, is the platform's.
pub(crate) fn judge(answer: Answer, id: ExecutionId) -> Found {
    let error = answer.error(id);
    let (status, kind) = (answer.status.as_u16(), error.as_ref().map_or("", |error| error.kind.as_str()));
    let reason = error.as_ref().map(|error| error.error.clone());
    let words = || reason.clone().unwrap_or_else(|| format!("the handler answered with status {status}"));
    match (status, kind) {
        // The gateway knows routes a moment later than they are written.
        (404, "unknown_host")
        | (429, "in_flight_limit" | "rate_limit" | "concurrency_limit")
        | (
            503,
            "no_instance" | "held_limit" | "unreachable" | "cannot_authenticate" | "queue_timeout" | "unavailable",
        ) => Found::NotBegun(words()),
        (400, "payload_broken")
        | (408, "payload_timeout")
        | (502, "instance_ended" | "worker_lost")
        | (503, "cancelled") => Found::Lost(words()),
        (504, "timeout" | "response_start_timeout") => {
            Found::End { status: ExecutionStatus::TimedOut, reason: Some(words()), answer: Some(answer) }
        }
        _ if status >= 500 || is_platform(kind) => {
            Found::End { status: ExecutionStatus::Failed, reason: Some(words()), answer: Some(answer) }
        }
        _ => Found::End { status: ExecutionStatus::Succeeded, reason: None, answer: Some(answer) },
    }
}

/// Refusals of gateway and host below status 500.
fn is_platform(kind: &str) -> bool {
    matches!(kind, "payload_too_large" | "headers_too_large" | "invalid_header" | "upgrade" | "no_host")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test")]
    use super::*;

    fn id() -> ExecutionId {
        ExecutionId::from_parts(1, 1)
    }

    fn check(status: u16, kind: &str, of: ExecutionId) -> String {
        let body = serde_json::json!({ "error": "why", "type": kind, "execution_id": of.to_string() }).to_string();
        let mut headers = HeaderMap::new();
        headers.insert("content-type", "application/json".parse().unwrap());
        let answer = Answer::new(StatusCode::from_u16(status).unwrap(), &headers, body.into());
        match judge(answer, id()) {
            Found::End { status, reason, .. } => format!("{} {}", status.as_str(), reason.unwrap_or_default()),
            Found::NotBegun(reason) => format!("not begun {reason}"),
            Found::Lost(reason) => format!("lost {reason}"),
        }
    }

    #[test]
    fn the_platforms_own_answers_are_told_from_the_handlers() {
        let table = [
            (503, "no_instance", "not begun why"),
            (503, "unavailable", "not begun why"),
            (429, "concurrency_limit", "not begun why"),
            (404, "unknown_host", "not begun why"),
            (502, "instance_ended", "lost why"),
            (502, "worker_lost", "lost why"),
            (502, "memory_limit", "failed why"),
            (504, "timeout", "timed_out why"),
            (413, "payload_too_large", "failed why"),
            (500, "ValueError", "failed why"),
            // A class of that name: the status says that the handler raised it.
            (500, "worker_lost", "failed why"),
            (404, "NotFound", "succeeded "),
        ];
        for (status, kind, expected) in table {
            assert_eq!(check(status, kind, id()), expected, "{status} {kind}");
        }
    }

    #[test]
    fn what_a_handler_passes_on_is_its_own() {
        let other = ExecutionId::from_parts(2, 2);
        assert_eq!(check(503, "no_instance", other), "failed the handler answered with status 503");
        assert_eq!(check(504, "timeout", other), "failed the handler answered with status 504");
        assert_eq!(check(429, "rate_limit", other), "succeeded ");
    }
}
