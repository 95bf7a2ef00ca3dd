//! One request, from the caller to an instance and back.

use std::sync::Arc;
use std::task::Context;
use std::time::SystemTime;

use http::{Request, Response, header};
use http_body::Body as _;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use ignite_core_model::{ExecutionId, HostLabel, TraceContext};
use ignite_telemetry::{Kind, Span};
use tokio::time::Instant;

use crate::app::{App, InFlight};
use crate::body::{AnswerBody, Body, Drives, InstanceBody, RequestBody, RequestState};
use crate::clock::now_ms;
use crate::config::GatewayLimits;
use crate::endpoint::{Busy, SendError};
use crate::metrics::Source;
use crate::serve::Shared;
use crate::{GatewayError, auth, headers};

/// Longest head of a request that may share a connection, in bytes: no part of it is longer than a frame can tell.
const SHORT_HEAD_BYTES_MAX: usize = 60 * 1024;

/// Answers a request.
pub(crate) async fn answer(request: Request<Incoming>, shared: Arc<Shared>) -> Response<Body> {
    let (begun, began) = (Instant::now(), SystemTime::now());
    let entered = shared.config.tracer.enter(headers::trace(request.headers()));
    let platform = auth::platform_execution(request.headers(), shared.config.platform_key.as_ref());
    let execution = platform.unwrap_or_else(new_execution);
    // Both are cheap to copy: they are counted references, or known words.
    let (method, uri) = (request.method().clone(), request.uri().clone());
    shared.metrics.in_flight.inc();
    let label = headers::label(&request, &shared.config.base_domain);
    let found = label.and_then(|label| Ok((shared.table.find(&label).ok_or_else(|| shared.no_app())?, label)));
    let led = match &found {
        Ok((app, label)) => {
            let call = Call { execution, trace: entered.context, let_in: platform.is_some() };
            lead(request, app, label, call, &shared).await
        }
        Err(error) => Err(error.clone()),
    };
    let (mut answer, source, kind) = match led {
        Ok(answer) => (answer, Source::App, ""),
        Err(error) => (error.answer(execution), Source::Gateway, error.kind().1),
    };
    if platform.is_some() {
        headers::set_execution(answer.headers_mut(), execution);
    }
    shared.metrics.in_flight.dec();
    shared.metrics.answered(answer.status(), source);
    shared.metrics.duration.observe(begun.elapsed().as_secs_f64());
    let app = found.as_ref().map_or("", |(app, _)| app.id.as_str());
    let span = || Span {
        context: entered.context,
        parent: entered.parent,
        name: "request",
        kind: Kind::Server,
        begun: began,
        took: begun.elapsed(),
        failed: answer.status().is_server_error(),
        attributes: vec![
            ("ignite.function_id", app.to_owned()),
            ("ignite.execution_id", execution.to_string()),
            ("http.request.method", method.to_string()),
            ("http.response.status_code", answer.status().as_u16().to_string()),
            ("error.type", kind.to_owned()),
        ],
    };
    shared.config.tracer.export(span, &entered);
    tracing::info!(
        target: "access",
        app,
        %execution,
        trace = %entered.context.trace,
        %method,
        path = uri.path(),
        status = answer.status().as_u16(),
        source = source.word(),
        error = kind,
        us = u64::try_from(begun.elapsed().as_micros()).unwrap_or(u64::MAX),
    );
    answer
}

/// What a request is to the platform.
#[derive(Clone, Copy)]
struct Call {
    execution: ExecutionId,
    trace: TraceContext,
    /// The control plane has let its caller in.
    let_in: bool,
}

async fn lead(
    mut request: Request<Incoming>,
    app: &Arc<App>,
    label: &HostLabel,
    call: Call,
    shared: &Shared,
) -> Result<Response<Body>, GatewayError> {
    let limits = &shared.config.limits;
    let head_bytes = headers::head_bytes(&request);
    if head_bytes > limits.header_bytes_max {
        return Err(GatewayError::HeadersTooLarge(limits.header_bytes_max));
    }
    if let Some(answer) = headers::preflight(&request, app) {
        return Ok(answer);
    }
    let wants_token = !app.settings.allow_unauthenticated && !call.let_in;
    if wants_token {
        shared.tokens.check(request.headers(), app).await?;
    }
    if request.body().size_hint().lower() > limits.body_bytes_max {
        return Err(GatewayError::PayloadTooLarge(limits.body_bytes_max));
    }
    let in_flight = app.traffic.enter(limits)?;
    let origin = request.headers().get(header::ORIGIN).cloned();
    // Who waits for leave to send the payload is given it by the instance.
    let may_gather = head_bytes <= SHORT_HEAD_BYTES_MAX && !request.headers().contains_key(header::EXPECT);
    headers::inward(&mut request, call.trace, wants_token)?;
    let state = Arc::new(RequestState::default());
    let mut request = request.map(|body| RequestBody::new(body, limits.body_bytes_max, Arc::clone(&state)));
    if may_gather && request.body_mut().gather().await.is_err() {
        return Err(broken_off(&state, limits));
    }
    let (answer, busy, app) = deliver(request, app, label, (call.execution, &state), shared).await?;
    let mut answer = answer.map(|body| AnswerBody::new(body, Held { busy, _in_flight: in_flight }).boxed_unsync());
    headers::outward(&mut answer, &app, origin.as_ref());
    Ok(answer)
}

/// What an answer holds until its last byte.
struct Held {
    busy: Busy,
    _in_flight: InFlight,
}

impl Drives for Held {
    fn drive(&mut self, cx: &mut Context<'_>) {
        self.busy.drive(cx);
    }

    fn finish(&mut self) {
        self.busy.finish();
    }
}

/// Finds an instance that takes the request. One that was not delivered is tried at another, of the version that is live then.
async fn deliver(
    mut request: Request<RequestBody>,
    app: &Arc<App>,
    label: &HostLabel,
    (execution, state): (ExecutionId, &RequestState),
    shared: &Shared,
) -> Result<(Response<InstanceBody>, Busy, Arc<App>), GatewayError> {
    let limits = &shared.config.limits;
    let deadline = Instant::now() + limits.hold_max;
    let mut app = Arc::clone(app);
    for attempt in 0..limits.attempts_max {
        if attempt > 0 {
            shared.metrics.retries.inc();
        }
        let waited = Instant::now();
        let place = loop {
            let place =
                if app.is_superseded() { None } else { app.place(limits, deadline, shared.scaler.as_ref()).await? };
            match place {
                Some(place) => break place,
                None => app = shared.table.find(label).ok_or(GatewayError::UnknownHost)?,
            }
        };
        shared.metrics.held.observe(waited.elapsed().as_secs_f64());
        headers::set_version(request.headers_mut(), &app);
        match place.endpoint.send(request, (execution, &app), limits.connect_timeout).await {
            Ok((answer, connection)) => return Ok((answer, Busy::new(place, connection), app)),
            Err(SendError::NotSent(back)) => request = *back,
            Err(SendError::Lost) => return Err(GatewayError::Unreachable),
            Err(SendError::BrokenOff) => return Err(broken_off(state, limits)),
        }
    }
    Err(GatewayError::Unreachable)
}

fn broken_off(state: &RequestState, limits: &GatewayLimits) -> GatewayError {
    if state.too_large() { GatewayError::PayloadTooLarge(limits.body_bytes_max) } else { GatewayError::BrokenOff }
}

fn new_execution() -> ExecutionId {
    ExecutionId::from_parts(now_ms(), rand::random::<u128>() >> 48)
}
