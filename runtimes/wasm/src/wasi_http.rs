//! Runs one execution of a component that exports `wasi:http/incoming-handler`.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use bytes::Bytes;
use http::header::HOST;
use http::uri::{Authority, PathAndQuery};
use http::{HeaderName, HeaderValue, Uri};
use http_body_util::Full;
use hyper::body::{Body, Frame};
use ignite_runtimes_executor::{BodyStream, Invocation, InvokeError, RequestBody};
use wasmtime::Store;
use wasmtime_wasi_http::WasiHttpView;
use wasmtime_wasi_http::p2::bindings::ProxyPre;
use wasmtime_wasi_http::p2::bindings::http::types::{ErrorCode, Scheme};

use crate::contract::final_status;
use crate::execution::{Ended, Head, Parts, Torn, TornUnlessReturned};
use crate::failure::{Bounds, Stage, explain};
use crate::state::State;

/// Calls the handler with `invocation`; the head of its answer goes to the store's slot. The store is gone when this
/// returns.
pub(crate) async fn run(
    proxy: &ProxyPre<State>,
    mut store: Store<State>,
    invocation: Invocation,
    bounds: Bounds,
) -> Ended {
    let refused = Refusal::default();
    let torn = Arc::new(Torn::default());
    let result = {
        let returned = TornUnlessReturned::new(Arc::clone(&torn));
        let result = call(proxy, &mut store, invocation, &refused, torn).await;
        if result.is_ok() {
            returned.returned();
        }
        result
    };
    match result {
        Err(error) => Ended::Failed(explain(error, Stage::Begin, store.data(), bounds)),
        Ok(()) => match refused.take() {
            Some(error) => Ended::Failed(error),
            None => Ended::Streamed,
        },
    }
}

async fn call(
    proxy: &ProxyPre<State>,
    store: &mut Store<State>,
    invocation: Invocation,
    refused: &Refusal,
    torn: Arc<Torn>,
) -> wasmtime::Result<()> {
    let head = store.data_mut().head.take();
    let request = request(invocation)?;
    let request = store.data_mut().http().new_incoming_request(Scheme::Http, request)?;
    let refusal = refused.clone();
    let answer =
        store.data_mut().http().new_response_outparam_from_callback(move |answer| match answer_head(answer, torn) {
            Ok(answer) => {
                if let Some(head) = head {
                    let _ = head.send(answer);
                }
            }
            Err(error) => refusal.set(error),
        })?;
    let instance = proxy.instantiate_async(&mut *store).await?;
    instance.wasi_http_incoming_handler().call_handle(store, request, answer).await
}

/// Why the answer was not accepted, told once the guest has ended. Without one, and without a head, it gave none.
#[derive(Clone, Default)]
struct Refusal(Arc<Mutex<Option<InvokeError>>>);

impl Refusal {
    fn set(&self, error: InvokeError) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
    }

    fn take(&self) -> Option<InvokeError> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

fn answer_head(
    answer: Result<hyper::Response<wasmtime_wasi_http::p2::body::HyperOutgoingBody>, ErrorCode>,
    torn: Arc<Torn>,
) -> Result<Head, InvokeError> {
    match answer {
        Ok(response) => {
            let (parts, body) = response.into_parts();
            let status = final_status(parts.status.as_u16())?;
            Ok(Head { status, headers: parts.headers, parts: Parts::Http(body, torn) })
        }
        Err(code) => Err(InvokeError::Handler {
            kind: "wasi:http error-code".into(),
            message: code.to_string(),
            trace: String::new(),
        }),
    }
}

/// The request as a `wasi:http` guest sees it: with the ids that other guests find in their context as headers.
fn request(invocation: Invocation) -> wasmtime::Result<hyper::Request<RequestParts>> {
    let Invocation { execution_id, function_id, organization_id, method, path, query, mut headers, body, .. } =
        invocation;
    let ids = [
        ("x-ignite-execution-id", execution_id.to_string()),
        ("x-ignite-function-id", function_id.to_string()),
        ("x-ignite-organization-id", organization_id.to_string()),
    ];
    for (name, id) in ids {
        headers.insert(HeaderName::from_static(name), HeaderValue::try_from(id)?);
    }
    let authority = headers
        .get(HOST)
        .and_then(|host| Authority::try_from(host.as_bytes()).ok())
        .unwrap_or_else(|| Authority::from_static("localhost"));
    let path_and_query =
        PathAndQuery::from_maybe_shared(if query.is_empty() { path } else { format!("{path}?{query}") })?;
    let uri = Uri::builder().scheme("http").authority(authority).path_and_query(path_and_query).build()?;
    let body = match body {
        RequestBody::Full(bytes) => RequestParts::Full(Full::new(bytes)),
        RequestBody::Stream(stream) => RequestParts::Stream(stream),
    };
    let mut request = hyper::Request::new(body);
    *request.method_mut() = method;
    *request.uri_mut() = uri;
    *request.headers_mut() = headers;
    Ok(request)
}

/// A request body as the library reads it.
enum RequestParts {
    Full(Full<Bytes>),
    Stream(BodyStream),
}

impl Body for RequestParts {
    type Data = Bytes;
    type Error = wasmtime_wasi_http::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        match &mut *self {
            Self::Full(body) => Pin::new(body).poll_frame(cx).map_err(|never| match never {}),
            Self::Stream(stream) => futures_util::Stream::poll_next(Pin::new(stream), cx).map(|part| {
                part.map(|part| part.map(Frame::data).map_err(|_| wasmtime_wasi_http::Error::ConnectionTerminated))
            }),
        }
    }
}
