//! `ignite invoke`: the body goes to stdout, status and ids to stderr.

use std::io::Read as _;
use std::path::Path;
use std::time::{Duration, Instant};

use ureq::Agent;
use ureq::http::{HeaderName, HeaderValue, Method, Request, Response, Uri};

use crate::args::InvokeArgs;
use crate::exit::{CliError, Exit};
use crate::ui::{Ui, time};

/// Bytes passed on at a time, so that a streamed answer is seen as it comes.
const COPY_BYTES: usize = 64 * 1024;

pub(crate) fn run(args: &InvokeArgs, ui: &mut Ui) -> Result<Exit, CliError> {
    let request = request(args)?;
    let agent: Agent = Agent::config_builder()
        .http_status_as_error(false)
        .allow_non_standard_methods(true)
        // A redirect is an answer like any other.
        .max_redirects(0)
        .timeout_global(Some(Duration::from_secs(args.timeout_secs.max(1))))
        .build()
        .into();
    let started = Instant::now();
    let mut response = agent.run(request).map_err(|error| unreachable(args, &error))?;
    report(&response, started.elapsed(), ui);
    copy(&mut response, args, ui)?;
    Ok(exit(response.status().as_u16()))
}

fn request(args: &InvokeArgs) -> Result<Request<Vec<u8>>, CliError> {
    let invalid = |what: String| CliError::new(Exit::InvalidArgument, what);
    let uri: Uri = args.url.parse().map_err(|error: ureq::http::uri::InvalidUri| {
        invalid(format!("`{}` is not an address", args.url)).caused_by(&error).hint("write http://HOST:PORT/PATH")
    })?;
    let method: Method =
        args.method.parse().map_err(|_| invalid(format!("`{}` is not an HTTP method", args.method)))?;
    let (payload, content_type) = payload(args)?;
    let mut request = Request::new(payload);
    *request.uri_mut() = uri;
    *request.method_mut() = method;
    for header in &args.headers {
        let (name, value) = header
            .split_once(':')
            .ok_or_else(|| invalid(format!("`{header}` is not a header")).hint("write `-H 'NAME: VALUE'`"))?;
        let name: HeaderName =
            name.trim().parse().map_err(|_| invalid(format!("`{}` is not a header name", name.trim())))?;
        let value = HeaderValue::from_str(value.trim())
            .map_err(|_| invalid(format!("the value of header `{name}` has characters HTTP does not allow")))?;
        request.headers_mut().append(name, value);
    }
    if let Some(content_type) = content_type {
        request.headers_mut().entry("content-type").or_insert(HeaderValue::from_static(content_type));
    }
    Ok(request)
}

fn payload(args: &InvokeArgs) -> Result<(Vec<u8>, Option<&'static str>), CliError> {
    if let Some(json) = &args.payload {
        serde_json::from_str::<serde::de::IgnoredAny>(json).map_err(|error| {
            CliError::new(Exit::InvalidArgument, "the payload is not JSON")
                .caused_by(&error)
                .hint("quote it for the shell, as in -p '{\"name\": \"ada\"}'; --payload-file sends any bytes")
        })?;
        return Ok((json.clone().into_bytes(), Some("application/json")));
    }
    let Some(path) = &args.payload_file else { return Ok((Vec::new(), None)) };
    let bytes = if path == Path::new("-") {
        let mut bytes = Vec::new();
        std::io::stdin().lock().read_to_end(&mut bytes).map(|_| bytes)
    } else {
        std::fs::read(path)
    };
    let bytes = bytes.map_err(|error| {
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

fn report<T>(response: &Response<T>, elapsed: Duration, ui: &mut Ui) {
    let id = |name: &str| response.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or("-").to_owned();
    ui.say(&format!(
        "status {}  execution {}  function {}  first byte {}",
        response.status(),
        id("x-ignite-execution-id"),
        id("x-ignite-function-id"),
        time(elapsed),
    ));
}

fn copy(response: &mut Response<ureq::Body>, args: &InvokeArgs, ui: &mut Ui) -> Result<(), CliError> {
    let mut body = response.body_mut().as_reader();
    let mut buffer = vec![0; COPY_BYTES];
    loop {
        let count = body.read(&mut buffer).map_err(|error| {
            CliError::new(Exit::Unavailable, format!("the answer of {} was broken off", args.url)).caused_by(&error)
        })?;
        if count == 0 {
            return Ok(());
        }
        ui.bytes(&buffer[..count])?;
    }
}

/// A status the function itself chose is its author's to judge; those of the host have codes of their own.
fn exit(status: u16) -> Exit {
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

fn unreachable(args: &InvokeArgs, error: &ureq::Error) -> CliError {
    let (exit, hint) = match error {
        ureq::Error::Timeout(_) => (Exit::DeadlineExceeded, "raise --timeout-secs, or look at the function's logs"),
        ureq::Error::BadUri(_) => (Exit::InvalidArgument, "write http://HOST:PORT/PATH"),
        _ => (Exit::Unavailable, "`ignite run` or `ignite dev` serves a project; --url says where"),
    };
    CliError::new(exit, format!("could not call {}", args.url)).caused_by(error).hint(hint)
}
