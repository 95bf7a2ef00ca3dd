//! One request, from the caller to an instance and back.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use http::{Request, Response, header};
use http_body::Body as _;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use ignite_core_model::ExecutionId;
use tokio::time::Instant;

use crate::app::{App, InFlight};
use crate::body::{AnswerBody, Body, RequestBody, RequestState};
use crate::endpoint::{Busy, SendError};
use crate::serve::Shared;
use crate::{GatewayError, headers};

/// Answers a request.
pub(crate) async fn answer(request: Request<Incoming>, shared: Arc<Shared>) -> Response<Body> {
    let begun = Instant::now();
    let execution = new_execution();
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    shared.metrics.in_flight.inc();
    let label = headers::label(&request, &shared.config.base_domain);
    let app = label.and_then(|label| shared.table.find(&label).ok_or(GatewayError::UnknownHost));
    let id = app.as_ref().map_or_else(|_| String::new(), |app| app.id.to_string());
    let led = match app {
        Ok(app) => lead(request, &app, execution, &shared).await,
        Err(error) => Err(error),
    };
    let (answer, source, kind) = match led {
        Ok(answer) => (answer, "app", ""),
        Err(error) => (error.answer(execution), "gateway", error.kind().1),
    };
    shared.metrics.in_flight.dec();
    shared.metrics.answered(answer.status(), source);
    shared.metrics.duration.observe(begun.elapsed().as_secs_f64());
    tracing::info!(
        target: "access",
        app = id,
        %execution,
        %method,
        path,
        status = answer.status().as_u16(),
        source,
        error = kind,
        us = u64::try_from(begun.elapsed().as_micros()).unwrap_or(u64::MAX),
    );
    answer
}

async fn lead(
    mut request: Request<Incoming>,
    app: &Arc<App>,
    execution: ExecutionId,
    shared: &Shared,
) -> Result<Response<Body>, GatewayError> {
    let limits = &shared.config.limits;
    if headers::head_bytes(&request) > limits.header_bytes_max {
        return Err(GatewayError::HeadersTooLarge(limits.header_bytes_max));
    }
    if let Some(answer) = headers::preflight(&request, app) {
        return Ok(answer);
    }
    if !app.settings.allow_unauthenticated {
        shared.tokens.check(request.headers(), app).await?;
    }
    if request.body().size_hint().lower() > limits.body_bytes_max {
        return Err(GatewayError::PayloadTooLarge(limits.body_bytes_max));
    }
    let in_flight = app.traffic.enter(limits)?;
    let origin = request.headers().get(header::ORIGIN).cloned();
    headers::inward(&mut request, app, execution, !app.settings.allow_unauthenticated)?;
    let state = Arc::new(RequestState::default());
    let request = request.map(|body| RequestBody::new(body, limits.body_bytes_max, Arc::clone(&state)));
    let (answer, busy) = deliver(request, app, &state, shared).await?;
    let mut answer =
        answer.map(|body| AnswerBody::new(body, Held { _busy: busy, _in_flight: in_flight }).boxed_unsync());
    headers::outward(&mut answer, app, origin.as_ref());
    Ok(answer)
}

/// What an answer holds until its last byte.
struct Held {
    _busy: Busy,
    _in_flight: InFlight,
}

/// Finds an instance that takes the request. One that was not delivered is tried at another.
async fn deliver(
    mut request: Request<RequestBody>,
    app: &Arc<App>,
    state: &RequestState,
    shared: &Shared,
) -> Result<(Response<Incoming>, Busy), GatewayError> {
    let limits = &shared.config.limits;
    for attempt in 0..limits.attempts_max {
        if attempt > 0 {
            shared.metrics.retries.inc();
        }
        let waited = Instant::now();
        let place = app.place(limits, shared.scaler.as_ref()).await?;
        shared.metrics.held.observe(waited.elapsed().as_secs_f64());
        match place.endpoint.send(request, limits.connect_timeout).await {
            Ok((answer, connection)) => return Ok((answer, Busy::new(place, connection))),
            Err(SendError::NotSent(back)) => request = *back,
            Err(SendError::Lost) => return Err(GatewayError::Unreachable),
            Err(SendError::BrokenOff) if state.too_large() => {
                return Err(GatewayError::PayloadTooLarge(limits.body_bytes_max));
            }
            Err(SendError::BrokenOff) => return Err(GatewayError::BrokenOff),
        }
    }
    Err(GatewayError::Unreachable)
}

fn new_execution() -> ExecutionId {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let now_ms = u64::try_from(since.as_millis()).unwrap_or(u64::MAX);
    ExecutionId::from_parts(now_ms, rand::random::<u128>() >> 48)
}
