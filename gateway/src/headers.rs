//! Headers on their way in and out.

use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::uri::PathAndQuery;
use http::{Method, Request, Response, StatusCode, Uri};
use ignite_core_model::{
    EXECUTION_ID_HEADER, ExecutionId, HostLabel, PLATFORM_HEADER_PREFIX, TRACEPARENT_HEADER, TraceContext,
    VERSION_HEADER,
};

use crate::GatewayError;
use crate::app::App;
use crate::body::{Body, whole};

/// How long a browser may keep the answer of a preflight, in seconds.
const PREFLIGHT_SECS: &str = "600";

/// Headers that are for one connection only (RFC 9110 §7.6.1).
const HOP_BY_HOP: [HeaderName; 7] = [
    header::CONNECTION,
    HeaderName::from_static("keep-alive"),
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    header::TE,
    header::TRAILER,
    header::UPGRADE,
];

/// The label of the app that a request is for.
pub(crate) fn label<B>(request: &Request<B>, base_domain: &str) -> Result<HostLabel, GatewayError> {
    let host = match request.uri().authority() {
        Some(authority) => authority.host(),
        None => {
            let mut hosts = request.headers().get_all(header::HOST).iter();
            let (Some(host), None) = (hosts.next(), hosts.next()) else { return Err(GatewayError::NoHost) };
            let host = host.to_str().map_err(|_| GatewayError::NoHost)?;
            host.rsplit_once(':').map_or(host, |(name, _)| name)
        }
    };
    let host = host.strip_suffix('.').unwrap_or(host);
    let cut = host.len().checked_sub(base_domain.len() + 1).ok_or(GatewayError::UnknownHost)?;
    let (first, rest) = (host.get(..cut), host.get(cut..));
    match (first, rest.and_then(|rest| rest.strip_prefix('.'))) {
        (Some(first), Some(domain)) if domain.eq_ignore_ascii_case(base_domain) => {
            first.parse().map_err(|_| GatewayError::UnknownHost)
        }
        _ => Err(GatewayError::UnknownHost),
    }
}

/// The size of a head, as a limit counts it.
pub(crate) fn head_bytes<B>(request: &Request<B>) -> usize {
    let line =
        request.method().as_str().len() + request.uri().path_and_query().map_or(1, |path| path.as_str().len()) + 12;
    line + request.headers().iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum::<usize>()
}

/// Most messages have none of them, so they are looked for before they are removed one by one.
fn remove_hop_by_hop(headers: &mut HeaderMap) {
    if !headers.keys().any(|name| HOP_BY_HOP.contains(name)) {
        return;
    }
    let named: Vec<HeaderName> = headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    for name in named.iter().chain(&HOP_BY_HOP) {
        headers.remove(name);
    }
}

/// Makes a caller's request one for an instance.
pub(crate) fn inward<B>(
    request: &mut Request<B>,
    trace: TraceContext,
    authenticated: bool,
) -> Result<(), GatewayError> {
    if request.headers().contains_key(header::UPGRADE) || request.method() == Method::CONNECT {
        return Err(GatewayError::Upgrade);
    }
    let host = request
        .headers()
        .get(header::HOST)
        .cloned()
        .or_else(|| request.uri().authority().and_then(|authority| HeaderValue::from_str(authority.as_str()).ok()));
    if request.uri().authority().is_some() {
        let path = request.uri().path_and_query().cloned().unwrap_or_else(|| PathAndQuery::from_static("/"));
        *request.uri_mut() = Uri::from(path);
    }
    *request.version_mut() = http::Version::HTTP_11;
    let headers = request.headers_mut();
    remove_hop_by_hop(headers);
    let own: Vec<HeaderName> =
        headers.keys().filter(|name| name.as_str().starts_with(PLATFORM_HEADER_PREFIX)).cloned().collect();
    for name in own {
        headers.remove(name);
    }
    if authenticated {
        // The token is the platform's, not the app's.
        headers.remove(header::AUTHORIZATION);
    }
    if let Some(host) = host {
        headers.insert(header::HOST, host);
    }
    if let Ok(trace) = HeaderValue::try_from(trace.to_string()) {
        headers.insert(TRACEPARENT_HEADER, trace);
    }
    Ok(())
}

/// What a caller says of the trace; what is not valid, or said twice, is not said (W3C Trace Context §3.2).
pub(crate) fn trace(headers: &HeaderMap) -> Option<TraceContext> {
    let mut said = headers.get_all(TRACEPARENT_HEADER).iter();
    let (first, None) = (said.next()?, said.next()) else { return None };
    first.to_str().ok()?.parse().ok()
}

/// Tells an instance that is asked over HTTP which execution it is, and whose.
pub(crate) fn set_ids(headers: &mut HeaderMap, execution: ExecutionId, app: &App) {
    set_execution(headers, execution);
    headers.insert("x-ignite-function-id", app.ids.function.clone());
    headers.insert("x-ignite-organization-id", app.ids.organization.clone());
}

/// Tells an instance, or the control plane, which execution it is.
pub(crate) fn set_execution(headers: &mut HeaderMap, execution: ExecutionId) {
    if let Ok(execution) = HeaderValue::from_str(execution.to_text(&mut [0; ExecutionId::TEXT_BYTES])) {
        headers.insert(EXECUTION_ID_HEADER, execution);
    }
}

/// Tells an instance, or a caller, which version it is.
pub(crate) fn set_version(headers: &mut HeaderMap, app: &App) {
    headers.insert(VERSION_HEADER, app.ids.version.clone());
}

/// Makes an instance's answer one for the caller.
pub(crate) fn outward<B>(answer: &mut Response<B>, app: &App, origin: Option<&HeaderValue>) {
    let headers = answer.headers_mut();
    remove_hop_by_hop(headers);
    set_version(headers, app);
    if app.settings.allow_unauthenticated
        && origin.is_some()
        && !headers.contains_key(header::ACCESS_CONTROL_ALLOW_ORIGIN)
    {
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
        headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static("*"));
    }
}

/// The answer of a browser's preflight, for an app that everybody may call (Fetch standard, CORS protocol). An app that answers
/// `OPTIONS` itself gets those without `Access-Control-Request-Method`.
pub(crate) fn preflight<B>(request: &Request<B>, app: &App) -> Option<Response<Body>> {
    let asks = request.method() == Method::OPTIONS
        && request.headers().contains_key(header::ORIGIN)
        && request.headers().contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
    if !asks || !app.settings.allow_unauthenticated {
        return None;
    }
    let mut answer = Response::new(whole(String::new()));
    *answer.status_mut() = StatusCode::NO_CONTENT;
    let headers = answer.headers_mut();
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    headers.insert(
        header::ACCESS_CONTROL_ALLOW_METHODS,
        HeaderValue::from_static("GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"),
    );
    let asked = request.headers().get(header::ACCESS_CONTROL_REQUEST_HEADERS).cloned();
    headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, asked.unwrap_or_else(|| HeaderValue::from_static("*")));
    headers.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static(PREFLIGHT_SECS));
    Some(answer)
}
