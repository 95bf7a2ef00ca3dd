//! What a handler is called with, from flags; and what a test answered.

use std::io::Read as _;
use std::path::Path;

use ignite_core_proto::v1;

use crate::args::platform::PayloadArgs;
use crate::client::words::NOTHING;
use crate::exit::{CliError, Exit};
use crate::show;
use crate::ui::Ui;

/// Largest payload that is read, in bytes; the platform's own bound is lower.
const PAYLOAD_BYTES_MAX: u64 = 64 << 20;

/// The bytes to send, and what they are, where they are anything.
pub(super) fn read(args: &PayloadArgs) -> Result<(Vec<u8>, Option<&'static str>), CliError> {
    if let Some(json) = &args.payload {
        serde_json::from_str::<serde::de::IgnoredAny>(json).map_err(|error| {
            CliError::new(Exit::InvalidArgument, "the payload is not JSON")
                .caused_by(&error)
                .hint("quote it for the shell, as in -p '{\"name\": \"ada\"}'; --payload-file sends any bytes")
        })?;
        return Ok((json.clone().into_bytes(), Some("application/json")));
    }
    let Some(path) = &args.payload_file else { return Ok((Vec::new(), None)) };
    let bytes = bytes(path).map_err(|error| {
        CliError::new(Exit::InvalidArgument, format!("could not read the payload from `{}`", path.display()))
            .caused_by(&error)
    })?;
    let content_type = if serde_json::from_slice::<serde::de::IgnoredAny>(&bytes).is_ok() {
        "application/json"
    } else {
        "application/octet-stream"
    };
    Ok((bytes, Some(content_type)))
}

fn bytes(path: &Path) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    if path == Path::new("-") {
        std::io::stdin().lock().take(PAYLOAD_BYTES_MAX + 1).read_to_end(&mut bytes)?;
    } else {
        std::fs::File::open(path)?.take(PAYLOAD_BYTES_MAX + 1).read_to_end(&mut bytes)?;
    }
    if bytes.len() as u64 > PAYLOAD_BYTES_MAX {
        return Err(std::io::Error::other(format!("it has more than {PAYLOAD_BYTES_MAX} bytes")));
    }
    Ok(bytes)
}

/// The headers that were typed, as names and values.
pub(super) fn headers(args: &PayloadArgs) -> Result<Vec<(String, String)>, CliError> {
    let split = |header: &String| {
        let (name, value) = header.split_once(':').ok_or_else(|| {
            CliError::new(Exit::InvalidArgument, format!("`{header}` is not a header")).hint("write `-H 'NAME: VALUE'`")
        })?;
        Ok((name.trim().to_owned(), value.trim().to_owned()))
    };
    args.headers.iter().map(split).collect()
}

/// The call as the API takes it: what the handler sees of it, and its body.
pub(super) fn call(args: &PayloadArgs, path: &str) -> Result<(v1::HttpContext, Vec<u8>), CliError> {
    let (body, content_type) = read(args)?;
    let mut headers = headers(args)?;
    if let Some(content_type) = content_type
        && !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("content-type"))
    {
        headers.push(("content-type".to_owned(), content_type.to_owned()));
    }
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    let slash = if path.starts_with('/') { "" } else { "/" };
    let http = v1::HttpContext {
        method: args.method.clone(),
        path: format!("{slash}{path}"),
        query: query.to_owned(),
        headers: headers.into_iter().map(|(name, value)| v1::Header { name, value, ..Default::default() }).collect(),
        ..Default::default()
    };
    Ok((http, body))
}

/// What a test is called with.
pub(super) fn test_call(args: &PayloadArgs) -> Result<v1::TestCall, CliError> {
    let (http, body) = call(args, "/")?;
    Ok(v1::TestCall { http: buffa::MessageField::some(http), body, ..Default::default() })
}

/// Prints what a test answered: the body as the result, all else beside it.
pub(super) fn show_test(result: &v1::TestResult, ui: &mut Ui) -> Result<Exit, CliError> {
    for line in &result.logs {
        ui.say(&show::line(line));
    }
    let id = if result.execution_id.is_empty() { NOTHING } else { &result.execution_id };
    ui.say(&format!("status {}  execution {id}", result.status));
    if ui.is_for_people() {
        ui.bytes(&result.body)?;
    } else {
        ui.result(result, |_, _| String::new())?;
    }
    Ok(exit(u16::try_from(result.status).unwrap_or_default()))
}

/// A status the function itself chose is its author's to judge; those of the host have codes of their own.
pub(super) fn exit(status: u16) -> Exit {
    match status {
        0..=399 => Exit::Done,
        401 => Exit::Unauthenticated,
        403 => Exit::PermissionDenied,
        404 => Exit::NotFound,
        429 => Exit::ResourceExhausted,
        502 | 503 => Exit::Unavailable,
        504 => Exit::DeadlineExceeded,
        _ => Exit::Failed,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test")]
    use super::*;

    #[test]
    fn a_call_says_what_it_carries() {
        let args = PayloadArgs {
            payload: Some("{\"a\": 1}".to_owned()),
            method: "PUT".to_owned(),
            headers: vec!["X-One: 1".to_owned()],
            ..PayloadArgs::default()
        };
        let (http, body) = call(&args, "x/y?a=b&c").unwrap();
        assert_eq!((http.method.as_str(), http.path.as_str(), http.query.as_str()), ("PUT", "/x/y", "a=b&c"));
        let headers: Vec<String> =
            http.headers.iter().map(|header| format!("{}={}", header.name, header.value)).collect();
        assert_eq!(headers, ["X-One=1", "content-type=application/json"]);
        assert_eq!(body, b"{\"a\": 1}");
        let bad = PayloadArgs { payload: Some("{a}".to_owned()), ..PayloadArgs::default() };
        assert_eq!(read(&bad).unwrap_err().exit, Exit::InvalidArgument);
        let bad = PayloadArgs { headers: vec!["nothing".to_owned()], ..PayloadArgs::default() };
        assert_eq!(headers_exit(&bad), Exit::InvalidArgument);
    }

    fn headers_exit(args: &PayloadArgs) -> Exit {
        headers(args).unwrap_err().exit
    }
}
