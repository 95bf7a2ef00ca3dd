//! `ignite invoke`: the body goes to stdout, status and ids to stderr.

use std::io::Read as _;
use std::time::{Duration, Instant};

use ignite_core_proto::v1;

use ureq::Agent;
use ureq::http::{HeaderName, HeaderValue, Method, Request, Response, Uri};

use super::{execution, payload};
use crate::args::InvokeArgs;
use crate::client::Client;
use crate::client::words::{NOTHING, plain};
use crate::connection::{Connection, new_id};
use crate::exit::{CliError, Exit};
use crate::settings::Settings;
use crate::ui::{Ui, time};

/// Where `ignite run` and `ignite dev` serve.
const LOCAL: &str = "http://127.0.0.1:8080/";

/// Bytes passed on at a time, so that a streamed answer is seen as it comes.
const COPY_BYTES: usize = 64 * 1024;

pub(crate) fn run(args: &InvokeArgs, settings: &Settings, ui: &mut Ui) -> Result<Exit, CliError> {
    let Some(app) = &args.app else { return call_url(args, args.url.as_deref().unwrap_or(LOCAL), ui) };
    let connection = Connection::load(settings)?;
    let (app, client) = (connection.app(app)?, connection.client()?);
    let (http, body) = payload::call(&args.payload, &args.path)?;
    let http = buffa::MessageField::some(http);
    if args.later {
        let request =
            v1::InvokeAsyncRequest { app_id: app.clone(), http, body, idempotency_id: new_id(), ..Default::default() };
        return call_later(args, &client, &request, ui);
    }
    call_app(args, &client, &v1::InvokeRequest { app_id: app, http, body, ..Default::default() }, ui)
}

/// Calls an app through the API and passes its answer on as it comes.
fn call_app(args: &InvokeArgs, client: &Client, request: &v1::InvokeRequest, ui: &mut Ui) -> Result<Exit, CliError> {
    use v1::__buffa::oneof::invoke_response::Frame;
    let what = format!("could not call `{}`", request.app_id);
    let started = Instant::now();
    let longest = Duration::from_secs(args.timeout_secs.max(1));
    let mut messages = client.stream_for(request, longest).map_err(|error| error.told(&what))?;
    let mut status = None;
    while let Some(message) = messages.next().map_err(|error| error.told(&what))? {
        match message.frame {
            Some(Frame::Head(head)) => {
                status = Some(u16::try_from(head.status).unwrap_or_default());
                ui.say(&format!(
                    "status {}  execution {}  version v{}  first byte {}",
                    head.status,
                    if head.execution_id.is_empty() { NOTHING } else { &head.execution_id },
                    head.version,
                    time(started.elapsed()),
                ));
            }
            Some(Frame::Chunk(chunk)) => ui.bytes(&chunk)?,
            Some(Frame::Trailer(trailer)) if !trailer.error.is_empty() => {
                return Err(CliError::new(
                    Exit::Unavailable,
                    format!("the answer of `{}` was broken off", request.app_id),
                )
                .because(plain(&trailer.error))
                .hint(format!("`ignite app logs {}` shows what it printed", request.app_id)));
            }
            Some(Frame::Trailer(_)) | None => {}
        }
    }
    status.map(payload::exit).ok_or_else(|| CliError::new(Exit::Unavailable, what).because("there was no answer"))
}

/// Leaves a call with the platform, and waits for its end where that is wanted.
fn call_later(
    args: &InvokeArgs,
    client: &Client,
    request: &v1::InvokeAsyncRequest,
    ui: &mut Ui,
) -> Result<Exit, CliError> {
    let accepted = client.call(request).map_err(|error| error.told(format!("could not call `{}`", request.app_id)))?;
    let id = &accepted.execution_id;
    if !args.follow {
        ui.result(&accepted, |accepted, _| accepted.execution_id.clone())?;
        ui.say(&format!("`ignite execution watch {id}` follows it"));
        return Ok(Exit::Done);
    }
    let Some(ended) = execution::watch(id, client, ui)? else { return Ok(Exit::Interrupted) };
    ui.say(&format!("status {}  execution {id}  version v{}", ended.response_status, ended.version));
    if !ended.error.is_empty() {
        ui.say(&plain(&ended.error));
    }
    if ui.is_for_people() {
        ui.bytes(&ended.response_body)?;
    } else {
        ui.result(&ended, |_, _| String::new())?;
    }
    Ok(execution::end(&ended))
}

/// Calls whatever answers at a URL.
fn call_url(args: &InvokeArgs, url: &str, ui: &mut Ui) -> Result<Exit, CliError> {
    let request = request(args, url)?;
    let agent: Agent = Agent::config_builder()
        .http_status_as_error(false)
        .allow_non_standard_methods(true)
        // A redirect is an answer like any other.
        .max_redirects(0)
        .timeout_global(Some(Duration::from_secs(args.timeout_secs.max(1))))
        .build()
        .into();
    let started = Instant::now();
    let mut response = agent.run(request).map_err(|error| unreachable(url, &error))?;
    report(&response, started.elapsed(), ui);
    copy(&mut response, url, ui)?;
    Ok(payload::exit(response.status().as_u16()))
}

fn request(args: &InvokeArgs, url: &str) -> Result<Request<Vec<u8>>, CliError> {
    let invalid = |what: String| CliError::new(Exit::InvalidArgument, what);
    let uri: Uri = url.parse().map_err(|error: ureq::http::uri::InvalidUri| {
        invalid(format!("`{url}` is not an address")).caused_by(&error).hint("write http://HOST:PORT/PATH")
    })?;
    let args = &args.payload;
    let method: Method =
        args.method.parse().map_err(|_| invalid(format!("`{}` is not an HTTP method", args.method)))?;
    let (body, content_type) = payload::read(args)?;
    let mut request = Request::new(body);
    *request.uri_mut() = uri;
    *request.method_mut() = method;
    for (name, value) in payload::headers(args)? {
        let name: HeaderName = name.parse().map_err(|_| invalid(format!("`{name}` is not a header name")))?;
        let value = HeaderValue::from_str(&value)
            .map_err(|_| invalid(format!("the value of header `{name}` has characters HTTP does not allow")))?;
        request.headers_mut().append(name, value);
    }
    if let Some(content_type) = content_type {
        request.headers_mut().entry("content-type").or_insert(HeaderValue::from_static(content_type));
    }
    Ok(request)
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

fn copy(response: &mut Response<ureq::Body>, url: &str, ui: &mut Ui) -> Result<(), CliError> {
    let mut body = response.body_mut().as_reader();
    let mut buffer = vec![0; COPY_BYTES];
    loop {
        let count = body.read(&mut buffer).map_err(|error| {
            CliError::new(Exit::Unavailable, format!("the answer of {url} was broken off")).caused_by(&error)
        })?;
        if count == 0 {
            return Ok(());
        }
        ui.bytes(&buffer[..count])?;
    }
}

fn unreachable(url: &str, error: &ureq::Error) -> CliError {
    let (exit, hint) = match error {
        ureq::Error::Timeout(_) => (Exit::DeadlineExceeded, "raise --timeout-secs, or look at the function's logs"),
        ureq::Error::BadUri(_) => (Exit::InvalidArgument, "write http://HOST:PORT/PATH"),
        _ => (Exit::Unavailable, "`ignite run` or `ignite dev` serves a project; --url says where"),
    };
    CliError::new(exit, format!("could not call {url}")).caused_by(error).hint(hint)
}
