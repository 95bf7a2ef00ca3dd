//! From a RESULT frame to a reply.

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use ignite_core_abi::DecodeError;
use ignite_core_abi::payload::{Failure, Reply as ReplyPayload};
use ignite_framing::{HeadersError, Payload, header_map};
use ignite_runtimes_executor::InvokeError;

/// An answer's status and headers, and (the first part of) its body.
pub(crate) struct Head {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

/// Why a RESULT is not an answer.
pub(crate) enum NoReply {
    /// The payload is malformed: the worker's fault, and it goes.
    Fault(DecodeError),
    /// HTTP cannot carry it: the function's fault, and the worker stays.
    Bad(String),
}

/// Reads a RESULT payload.
pub(crate) fn read(payload: Payload<'_>) -> Result<Head, NoReply> {
    // Kept as one, of which the headers' values and the body are parts.
    let payload = payload.keep(0);
    let reply = match ReplyPayload::decode(&payload) {
        Ok(reply) => reply,
        Err(DecodeError::OutOfRange(_)) => {
            return Err(NoReply::Bad("its status is not within 200 to 599".into()));
        }
        Err(error) => return Err(NoReply::Fault(error)),
    };
    let status = StatusCode::from_u16(reply.status).map_err(|error| NoReply::Bad(error.to_string()))?;
    let headers = header_map(reply.headers, &payload).map_err(|error| match error {
        HeadersError::Malformed(error) => NoReply::Fault(error),
        error => NoReply::Bad(error.to_string()),
    })?;
    Ok(Head { status, headers, body: payload.slice_ref(reply.body) })
}

/// The error an ERROR frame tells.
pub(crate) fn handler_error(failure: Failure<'_>) -> InvokeError {
    InvokeError::Handler {
        kind: failure.kind.to_owned(),
        message: failure.message.to_owned(),
        trace: failure.trace.to_owned(),
    }
}
