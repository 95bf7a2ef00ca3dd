//! Checks of what a handler is to be asked.

use connectrpc::ConnectError;
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use ignite_core_model::PLATFORM_HEADER_PREFIX;
use ignite_core_proto::{Checker, v1};

use super::errors;
use crate::executions::Call;

/// Longest method, path, query and headers together, in bytes: what gateway and host take, less what is added on the way.
const HEAD_BYTES_MAX: usize = 30 * 1024;

/// Most headers.
const HEADERS_MAX: usize = 80;

/// Headers that belong to a connection, or that follow from the request.
const NOT_SENT: [&str; 10] = [
    "connection",
    "content-length",
    "expect",
    "host",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// The call that a request describes.
pub(crate) fn check(
    http: Option<&v1::HttpContext>,
    body_bytes: usize,
    body_bytes_max: usize,
) -> Result<Call, ConnectError> {
    let default = v1::HttpContext::default();
    let http = http.unwrap_or(&default);
    let mut checker = Checker::default();
    if body_bytes > body_bytes_max {
        checker.fault("body", format_args!("has {body_bytes} bytes: there may be {body_bytes_max}"));
    }
    let head_bytes = http.method.len()
        + http.path.len()
        + http.query.len()
        + http.headers.iter().map(|header| header.name.len() + header.value.len() + 4).sum::<usize>();
    if head_bytes > HEAD_BYTES_MAX {
        checker.fault("http", format_args!("has {head_bytes} bytes: there may be {HEAD_BYTES_MAX}"));
    }
    let method = method(&mut checker, &http.method);
    let target = target(&mut checker, &http.path, &http.query);
    let headers = headers(&mut checker, &http.headers);
    let call = method.zip(target).map(|(method, target)| Call { method, target, headers });
    checker.finish(call).map_err(|faults| errors::fields(&faults))
}

fn method(checker: &mut Checker, text: &str) -> Option<Method> {
    match text {
        "" => Some(Method::POST),
        "CONNECT" => {
            checker.fault("http.method", "is CONNECT, which no app takes");
            None
        }
        text => text.parse().map_err(|_| checker.fault("http.method", "is no method of HTTP")).ok(),
    }
}

fn target(checker: &mut Checker, path: &str, query: &str) -> Option<PathAndQuery> {
    let path = if path.is_empty() { "/" } else { path };
    if !path.starts_with('/') || path.contains(['?', '#']) {
        checker
            .fault("http.path", "must begin with `/` and have neither `?` nor `#`: the query has a field of its own");
        return None;
    }
    let text = if query.is_empty() { path.to_owned() } else { format!("{path}?{query}") };
    match text.parse::<PathAndQuery>() {
        Ok(target) if target.as_str() == text => Some(target),
        _ => {
            let field = if path.parse::<PathAndQuery>().is_ok() { "http.query" } else { "http.path" };
            checker.fault(field, "has characters that must be written as `%` and two digits");
            None
        }
    }
}

fn headers(checker: &mut Checker, all: &[v1::Header]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    if all.len() > HEADERS_MAX {
        checker.fault("http.headers", format_args!("has {} entries: there may be {HEADERS_MAX}", all.len()));
        return headers;
    }
    for (number, header) in all.iter().enumerate() {
        let field = format!("http.headers[{number}]");
        let (name, value) = (HeaderName::try_from(&header.name), HeaderValue::from_bytes(header.value.as_bytes()));
        match (name, value) {
            (Ok(name), _) if NOT_SENT.contains(&name.as_str()) => {
                checker.fault(&field, format_args!("is `{name}`, which the platform sets itself"));
            }
            (Ok(name), _) if name.as_str().starts_with(PLATFORM_HEADER_PREFIX) => {
                checker.fault(&field, format_args!("is `{name}`: those are the platform's"));
            }
            (Ok(name), Ok(value)) => {
                headers.append(name, value);
            }
            (Ok(name), Err(_)) => checker.fault(&field, format_args!("gives `{name}` a value it cannot have")),
            (Err(_), _) => checker.fault(&field, "has no valid name"),
        }
    }
    headers
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test")]
    use super::*;

    fn context(method: &str, path: &str, query: &str, headers: &[(&str, &str)]) -> v1::HttpContext {
        let header = |(name, value): &(&str, &str)| v1::Header {
            name: (*name).to_owned(),
            value: (*value).to_owned(),
            ..Default::default()
        };
        v1::HttpContext {
            method: method.to_owned(),
            path: path.to_owned(),
            query: query.to_owned(),
            headers: headers.iter().map(header).collect(),
            ..Default::default()
        }
    }

    #[test]
    fn what_is_absent_is_a_post_to_the_root() {
        let call = check(None, 0, 0).ok().unwrap();
        assert_eq!((call.method, call.target.as_str()), (Method::POST, "/"));
        let call = check(Some(&context("GET", "/a%20b", "c=d&e", &[("X-A", "1"), ("x-a", "2")])), 5, 5).ok().unwrap();
        assert_eq!((call.method, call.target.as_str()), (Method::GET, "/a%20b?c=d&e"));
        assert_eq!(call.headers.get_all("x-a").iter().count(), 2);
    }

    #[test]
    fn every_field_at_fault_is_named() {
        let many: Vec<(&str, &str)> = (0..=HEADERS_MAX).map(|_| ("a", "b")).collect();
        let long = "a".repeat(HEAD_BYTES_MAX + 1);
        let faults = [
            (context("G T", "", "", &[]), "`http.method`"),
            (context("CONNECT", "", "", &[]), "`http.method`"),
            (context("", "a", "", &[]), "`http.path`"),
            (context("", "/a?b", "", &[]), "`http.path`"),
            (context("", "/a b", "", &[]), "`http.path`"),
            (context("", "/", "a b", &[]), "`http.query`"),
            (context("", "/", "a#b", &[]), "`http.query`"),
            (context("", "", "", &[("host", "evil")]), "`http.headers[0]`"),
            (context("", "", "", &[("a", "b"), ("X-Ignite-Platform-Key", "x")]), "`http.headers[1]`"),
            (context("", "", "", &[("a", "b\r\nc: d")]), "`http.headers[0]`"),
            (context("", "", "", &[("a b", "c")]), "`http.headers[0]`"),
            (context("", "", "", &many), "`http.headers`"),
            (context("", "", &long, &[]), "`http`"),
        ];
        for (context, field) in faults {
            let error = check(Some(&context), 0, 0).err().map(|error| error.to_string()).unwrap_or_default();
            assert!(error.contains(field), "{field}: {error}");
        }
        let error = check(None, 7, 6).err().unwrap().to_string();
        assert!(error.contains("`body` has 7 bytes"), "{error}");
    }
}
