//! Every error the gateway itself answers with: status, type and words.

use std::time::Duration;

use http::{HeaderValue, Response, StatusCode, header};
use ignite_core_model::ExecutionId;

use crate::body::{Body, whole};

/// An answer that is not the app's. It never names an instance or its address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GatewayError {
    /// No app has this hostname.
    #[error("no app is served under this hostname")]
    UnknownHost,
    /// The routes were not read yet, so nobody knows whether there is one.
    #[error("the gateway has not read its routes yet: try again")]
    Starting,
    /// The request names no host, or more than one.
    #[error("the request names no host: send one `Host` header")]
    NoHost,
    /// There is no token.
    #[error("this app takes calls with a token only: send `Authorization: Bearer …`")]
    Unauthenticated,
    /// The token is not known, has expired or was revoked.
    #[error("the token is not valid: it is unknown, has expired or was revoked")]
    InvalidToken,
    /// The token is of another organisation, or does not allow calls.
    #[error("the token does not allow calls of this app")]
    Forbidden,
    /// The token could not be checked.
    #[error("the token could not be checked now: try again")]
    CannotAuthenticate,
    /// The headers are too long.
    #[error("the request's headers exceed the limit of {0} bytes")]
    HeadersTooLarge(usize),
    /// The body is too long.
    #[error("the payload exceeds the limit of {0} bytes")]
    PayloadTooLarge(u64),
    /// A header has a value it cannot have.
    #[error("the header `{0}` is not valid: {1}")]
    InvalidHeader(&'static str, &'static str),
    /// The app's own bound of requests in flight.
    #[error("{0} requests of this app are in flight, which is its limit")]
    InFlightLimit(u32),
    /// The app's own bound of requests in a second.
    #[error("this app is called more than {0} times a second, which is its limit")]
    RateLimit(u32),
    /// Too many wait for an instance.
    #[error("{0} requests of this app wait for an instance, which is the limit")]
    HeldLimit(u32),
    /// No instance had a place in time.
    #[error("no instance of this app could take the request within {} s", .0.as_secs())]
    HeldTooLong(Duration),
    /// Instances were there and none could be reached.
    #[error("no instance of this app could be reached")]
    Unreachable,
    /// The instance broke off before it answered.
    #[error("the instance ended before it answered")]
    BrokenOff,
    /// Upgrades are for containers.
    #[error("compiled apps take no upgrade of the connection")]
    Upgrade,
}

impl GatewayError {
    /// Status and `type`.
    #[must_use]
    pub fn kind(&self) -> (StatusCode, &'static str) {
        match self {
            Self::UnknownHost => (StatusCode::NOT_FOUND, "unknown_host"),
            Self::Starting => (StatusCode::SERVICE_UNAVAILABLE, "starting"),
            Self::NoHost => (StatusCode::BAD_REQUEST, "no_host"),
            Self::Unauthenticated => (StatusCode::UNAUTHORIZED, "unauthenticated"),
            Self::InvalidToken => (StatusCode::UNAUTHORIZED, "invalid_token"),
            Self::Forbidden => (StatusCode::FORBIDDEN, "forbidden"),
            Self::CannotAuthenticate => (StatusCode::SERVICE_UNAVAILABLE, "cannot_authenticate"),
            Self::HeadersTooLarge(_) => (StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, "headers_too_large"),
            Self::PayloadTooLarge(_) => (StatusCode::PAYLOAD_TOO_LARGE, "payload_too_large"),
            Self::InvalidHeader(..) => (StatusCode::BAD_REQUEST, "invalid_header"),
            Self::InFlightLimit(_) => (StatusCode::TOO_MANY_REQUESTS, "in_flight_limit"),
            Self::RateLimit(_) => (StatusCode::TOO_MANY_REQUESTS, "rate_limit"),
            Self::HeldLimit(_) => (StatusCode::SERVICE_UNAVAILABLE, "held_limit"),
            Self::HeldTooLong(_) => (StatusCode::SERVICE_UNAVAILABLE, "no_instance"),
            Self::Unreachable => (StatusCode::SERVICE_UNAVAILABLE, "unreachable"),
            Self::BrokenOff => (StatusCode::BAD_GATEWAY, "instance_ended"),
            Self::Upgrade => (StatusCode::NOT_IMPLEMENTED, "upgrade"),
        }
    }

    /// The whole answer.
    pub(crate) fn answer(&self, execution: ExecutionId) -> Response<Body> {
        let (status, kind) = self.kind();
        let body = serde_json::json!({
            "error": self.to_string(),
            "type": kind,
            "execution_id": execution.to_string(),
        });
        let mut answer = Response::new(whole(body.to_string()));
        *answer.status_mut() = status;
        let headers = answer.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE) {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        answer
    }
}
