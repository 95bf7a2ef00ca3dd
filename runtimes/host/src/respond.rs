//! From a reply or an error to an HTTP response.

use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderValue};
use http::{Response, StatusCode};
use ignite_core_model::{ExecutionId, FunctionId, OrganizationId};
use ignite_runtimes_executor::{Reply, ReplyBody};
use serde::Serialize;
use tokio::time::Instant;

use crate::body::ResponseBody;
use crate::errors::HostError;
use crate::request::{EXECUTION_ID, FUNCTION_ID, ORGANIZATION_ID, is_hop_by_hop, remove_hop_by_hop};
use crate::serving::Request;

/// The three ids, echoed on every answer.
pub(crate) struct Ids {
    pub(crate) execution: ExecutionId,
    pub(crate) function: FunctionId,
    pub(crate) organization: OrganizationId,
}

/// Headers that the host adds to every answer.
const STAMPED: usize = 3;

impl Ids {
    fn stamp(&self, headers: &mut HeaderMap) {
        let value = |text: &str| HeaderValue::from_str(text).expect("ids are letters, digits, `-` and `/`");
        headers.reserve(STAMPED);
        headers.insert(EXECUTION_ID, value(self.execution.to_text(&mut [0; ExecutionId::TEXT_BYTES])));
        headers.insert(FUNCTION_ID, value(self.function.as_str()));
        headers.insert(ORGANIZATION_ID, value(self.organization.as_str()));
    }
}

/// The function's own answer.
pub(crate) fn reply(reply: Reply, ids: &Ids, request: Request, deadline: Instant) -> Response<ResponseBody> {
    let idle = request.serving.limits.stream_idle_timeout;
    let bodiless =
        matches!(reply.status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED | StatusCode::RESET_CONTENT);
    let body = match reply.body {
        _ if bodiless => ResponseBody::full(Bytes::new()),
        ReplyBody::Full(bytes) => ResponseBody::full(bytes),
        ReplyBody::Stream(parts) => ResponseBody::stream(parts, idle, deadline, request),
    };
    let mut response = Response::new(body);
    *response.status_mut() = reply.status;
    *response.headers_mut() = reply.headers;
    // Length and framing are the host's to say: the function cannot know how its answer is sent.
    if response.headers().keys().any(|name| name == header::CONTENT_LENGTH || is_hop_by_hop(name)) {
        response.headers_mut().remove(header::CONTENT_LENGTH);
        remove_hop_by_hop(response.headers_mut());
    }
    ids.stamp(response.headers_mut());
    response
}

#[derive(Serialize)]
struct ErrorBody<'a> {
    error: String,
    r#type: &'a str,
    execution_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    traceback: Option<&'a str>,
}

/// The host's own answer.
pub(crate) fn error(error: &HostError, ids: &Ids, expose_errors: bool) -> Response<ResponseBody> {
    let body = ErrorBody {
        error: if expose_errors { error.in_full() } else { error.to_string() },
        r#type: error.kind(),
        execution_id: ids.execution.to_string(),
        traceback: error.traceback().filter(|_| expose_errors),
    };
    let mut response = json(error.status(), &body);
    if let Some(seconds) = error.retry_after_secs() {
        response.headers_mut().insert(header::RETRY_AFTER, seconds.into());
    }
    ids.stamp(response.headers_mut());
    response
}

/// A JSON answer without ids.
pub(crate) fn json(status: StatusCode, body: &impl Serialize) -> Response<ResponseBody> {
    // Neither type above can fail to serialise; an empty body would still be an honest answer.
    let bytes = serde_json::to_vec(body).unwrap_or_default();
    let mut response = Response::new(ResponseBody::full(bytes.into()));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
