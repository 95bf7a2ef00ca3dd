//! From an HTTP request to an invocation, within the limits.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::{Bytes, BytesMut};
use http::header::{self, HeaderMap, HeaderName};
use http::request::Parts;
use http_body_util::{BodyExt as _, Either, Full};
use hyper::body::{Body as _, Incoming};
use ignite_core_model::{ExecutionId, FunctionId, Limits, OrganizationId};
use ignite_runtimes_executor::{BodySender, RequestBody, body_channel};
use ignite_waiting::{Elapsed, KeptTimer};
use tokio::time::{Instant, timeout};

use crate::errors::HostError;
use crate::respond::Ids;

/// The body of a request: over HTTP as it is sent, or one that came with its head.
pub(crate) type Inward = Either<Incoming, Full<Bytes>>;

/// The execution's id.
pub(crate) const EXECUTION_ID: HeaderName = HeaderName::from_static("x-ignite-execution-id");
/// The app's id.
pub(crate) const FUNCTION_ID: HeaderName = HeaderName::from_static("x-ignite-function-id");
/// The organisation's id.
pub(crate) const ORGANIZATION_ID: HeaderName = HeaderName::from_static("x-ignite-organization-id");
/// Milliseconds the caller will wait; may only shorten the app's limit.
pub(crate) const TIMEOUT_MS: HeaderName = HeaderName::from_static("x-ignite-timeout-ms");

/// Headers of the platform, for the host alone.
const PLATFORM: [HeaderName; 4] = [EXECUTION_ID, FUNCTION_ID, ORGANIZATION_ID, TIMEOUT_MS];

/// Headers that speak of the connection and not of the message (RFC 9110 §7.6.1), never passed on in either direction.
pub(crate) const HOP_BY_HOP: [HeaderName; 8] = [
    header::CONNECTION,
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    HeaderName::from_static("keep-alive"),
];

/// Parts of a request body under way to a function that reads while the caller writes.
const STREAM_PARTS_MAX: usize = 4;
/// Room made for a body at once; a longer announced length is believed only as its bytes come.
const BODY_RESERVE_BYTES_MAX: usize = 64 * 1024;

/// Longest time a refused body is read on.
const DISCARD_MAX: Duration = Duration::from_secs(5);
/// Longest pause in a refused body.
const DISCARD_IDLE_MAX: Duration = Duration::from_millis(500);

/// Which execution a request is, and whose, as far as it says: a gateway does.
pub(crate) struct Named {
    /// A new one where it does not say.
    pub(crate) execution: ExecutionId,
    function: Option<FunctionId>,
    organization: Option<OrganizationId>,
}

impl Named {
    pub(crate) fn new(execution: &str, function: &str, organization: &str) -> Self {
        let execution = execution.parse().unwrap_or_else(|_| {
            let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            ExecutionId::from_parts(since.as_millis() as u64, rand::random())
        });
        Self { execution, function: function.parse().ok(), organization: organization.parse().ok() }
    }

    pub(crate) fn of(headers: &HeaderMap) -> Self {
        let text = |name| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
        Self::new(text(EXECUTION_ID), text(FUNCTION_ID), text(ORGANIZATION_ID))
    }

    /// With what is configured where it does not say whose it is.
    pub(crate) fn ids(self, own: (&FunctionId, &OrganizationId)) -> Ids {
        Ids {
            execution: self.execution,
            function: self.function.unwrap_or_else(|| own.0.clone()),
            organization: self.organization.unwrap_or_else(|| own.1.clone()),
        }
    }
}

/// How long this execution may take.
pub(crate) fn time_limit(headers: &HeaderMap, limits: &Limits) -> Result<Duration, HostError> {
    let Some(value) = headers.get(TIMEOUT_MS) else { return Ok(limits.execution_timeout) };
    let asked = value.to_str().ok().and_then(|text| text.trim().parse::<u64>().ok());
    match asked {
        Some(ms) => Ok(limits.execution_timeout.min(Duration::from_millis(ms))),
        None => Err(HostError::InvalidHeader {
            name: "x-ignite-timeout-ms",
            reason: "expected a whole number of milliseconds",
        }),
    }
}

/// Checks what can be told from the head alone.
pub(crate) fn check_head(parts: &Parts, body: &Inward, limits: &Limits) -> Result<(), HostError> {
    // As on the wire in HTTP/1.1: name, `: `, value, CR LF.
    let headers: usize = parts.headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum();
    let line = parts.uri.path_and_query().map_or(1, |path| path.as_str().len());
    if headers + line > limits.header_bytes_max {
        return Err(HostError::HeadersTooLarge { header_bytes_max: limits.header_bytes_max });
    }
    if body.size_hint().lower() > limits.payload_bytes_max as u64 {
        return Err(HostError::PayloadTooLarge { payload_bytes_max: limits.payload_bytes_max });
    }
    Ok(())
}

/// Whether a header speaks of the connection.
pub(crate) fn is_hop_by_hop(name: &HeaderName) -> bool {
    HOP_BY_HOP.contains(name)
}

/// Removes what a function is not to see: headers of the connection, and those of the platform, which have been read.
/// Most requests have none of them, so they are looked for before they are removed one by one.
pub(crate) fn remove_not_passed_on(headers: &mut HeaderMap) {
    if headers.keys().any(|name| is_hop_by_hop(name) || PLATFORM.contains(name)) {
        remove_hop_by_hop(headers);
        for name in &PLATFORM {
            headers.remove(name);
        }
    }
}

/// Removes what speaks of the connection, the headers that `connection` names included.
pub(crate) fn remove_hop_by_hop(headers: &mut HeaderMap) {
    if let Some(connection) = headers.remove(header::CONNECTION) {
        for name in connection.to_str().unwrap_or_default().split(',') {
            headers.remove(name.trim());
        }
    }
    for name in &HOP_BY_HOP {
        headers.remove(name);
    }
}

/// Reads on without keeping anything, for a bounded time. Closing a connection while its caller still sends would make the
/// caller's system throw away the refusal that has arrived meanwhile.
pub(crate) async fn discard(mut body: Inward) {
    let reading = async { while let Ok(Some(Ok(_))) = timeout(DISCARD_IDLE_MAX, body.frame()).await {} };
    let _ = timeout(DISCARD_MAX, reading).await;
}

/// Reads the body whole, by `deadline`.
pub(crate) async fn read_body(
    body: &mut Inward,
    limits: &Limits,
    deadline: Instant,
    timer: &KeptTimer,
) -> Result<Bytes, HostError> {
    if body.is_end_stream() {
        return Ok(Bytes::new());
    }
    let announced = body.size_hint().lower() as usize;
    let mut first: Option<Bytes> = None;
    let mut whole = BytesMut::new();
    while let Some(part) = next_part(body, limits, deadline, timer).await? {
        let have = first.as_ref().map_or(whole.len(), Bytes::len);
        if have + part.len() > limits.payload_bytes_max {
            return Err(HostError::PayloadTooLarge { payload_bytes_max: limits.payload_bytes_max });
        }
        // Most payloads come in one part, which is passed on without a copy and without asking for another.
        if have == 0 && body.is_end_stream() {
            return Ok(part);
        }
        match first.take() {
            None if whole.is_empty() => first = Some(part),
            None => whole.extend_from_slice(&part),
            Some(before) => {
                whole.reserve(announced.min(BODY_RESERVE_BYTES_MAX).max(before.len() + part.len()));
                whole.extend_from_slice(&before);
                whole.extend_from_slice(&part);
            }
        }
    }
    Ok(first.unwrap_or_else(|| whole.freeze()))
}

/// The next data of a body; trailers are passed over.
async fn next_part(
    body: &mut Inward,
    limits: &Limits,
    deadline: Instant,
    timer: &KeptTimer,
) -> Result<Option<Bytes>, HostError> {
    loop {
        let now = Instant::now();
        let until = deadline.min(now + limits.body_idle_timeout);
        match timer.within(until, body.frame()).await {
            Err(Elapsed) => {
                return Err(HostError::PayloadTimeout {
                    body_idle_ms: until.saturating_duration_since(now).as_millis(),
                });
            }
            Ok(None) => return Ok(None),
            Ok(Some(Err(error))) => return Err(HostError::PayloadBroken(error.to_string())),
            Ok(Some(Ok(frame))) => {
                if let Ok(data) = frame.into_data() {
                    return Ok(Some(data));
                }
            }
        }
    }
}

/// A body that is passed on as it comes. The returned future moves it and must be awaited beside the execution.
pub(crate) fn stream_body(
    body: Inward,
    limits: &Limits,
    deadline: Instant,
) -> (RequestBody, impl Future<Output = ()> + Send + use<>) {
    let (sender, stream) = body_channel(STREAM_PARTS_MAX);
    (RequestBody::Stream(stream), pass_on(body, sender, limits.clone(), deadline))
}

async fn pass_on(mut body: Inward, sender: BodySender, limits: Limits, deadline: Instant) {
    let timer = KeptTimer::default();
    let mut passed = 0;
    loop {
        match next_part(&mut body, &limits, deadline, &timer).await {
            Ok(None) => return sender.finish(),
            Ok(Some(part)) => {
                passed += part.len();
                if passed > limits.payload_bytes_max {
                    let error = HostError::PayloadTooLarge { payload_bytes_max: limits.payload_bytes_max };
                    sender.break_off(error.to_string());
                    return discard(body).await;
                }
                if sender.send(part).await.is_err() {
                    return;
                }
            }
            Err(error) => return sender.break_off(error.to_string()),
        }
    }
}
