//! From a RESULT frame to a reply.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use ignite_core_abi::payload::{Failure, Reply as ReplyPayload};
use ignite_core_abi::{DecodeError, Headers};
use ignite_runtimes_executor::InvokeError;

use crate::reader::Payload;

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
    let reply = match ReplyPayload::decode(&payload) {
        Ok(reply) => reply,
        Err(DecodeError::OutOfRange(_)) => {
            return Err(NoReply::Bad("its status is not within 200 to 599".into()));
        }
        Err(error) => return Err(NoReply::Fault(error)),
    };
    let status = StatusCode::from_u16(reply.status).map_err(|error| NoReply::Bad(error.to_string()))?;
    let headers = headers(reply.headers)?;
    let begin = payload.len() - reply.body.len();
    Ok(Head { status, headers, body: payload.keep(begin) })
}

fn headers(block: Headers<'_>) -> Result<HeaderMap, NoReply> {
    let mut headers = HeaderMap::new();
    for entry in block {
        let (name, value) = entry.map_err(NoReply::Fault)?;
        let bad = |what: &str| NoReply::Bad(format!("the {what} of header `{}` is not valid", name.escape_debug()));
        let parsed_name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| bad("name"))?;
        let value = HeaderValue::from_bytes(value).map_err(|_| bad("value"))?;
        headers.try_append(parsed_name, value).map_err(|_| NoReply::Bad("it has too many headers".into()))?;
    }
    Ok(headers)
}

/// The error an ERROR frame tells.
pub(crate) fn handler_error(failure: Failure<'_>) -> InvokeError {
    InvokeError::Handler {
        kind: failure.kind.to_owned(),
        message: failure.message.to_owned(),
        trace: failure.trace.to_owned(),
    }
}
