//! The second listener: metrics and readiness for operators, never on the public port.

use std::convert::Infallible;
use std::future::poll_fn;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::{Method, Request, Response, StatusCode, header};
use http_body_util::BodyExt as _;
use hyper::body::{Frame, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use ignite_core_model::HostAddress;
use serde_json::json;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener};
use tokio::task::JoinHandle;

use crate::body::ResponseBody;
use crate::host::Shared;
use crate::request::{self, Inward};
use crate::respond;
use crate::specialize::{ORDER_BYTES_MAX, specialize};

/// Admin connections at once; further ones are closed.
pub(crate) const CONNECTIONS_MAX: u32 = 16;
/// Longest time an admin client may take to send its request.
const HEADER_MAX: Duration = Duration::from_secs(5);

/// Longest time it may take to send an order.
const ORDER_MAX: Duration = Duration::from_secs(5);

/// Pause after an accept that failed.
const ACCEPT_PAUSE: Duration = Duration::from_millis(20);

/// Opens the listener, if one is wanted, and tells where it is.
pub(crate) async fn listen(shared: &Arc<Shared>, work_dir: &Path) -> io::Result<Option<(JoinHandle<()>, String)>> {
    match &shared.config.admin {
        None => Ok(None),
        Some(HostAddress::Tcp(address)) => {
            let listener = TcpListener::bind(address).await?;
            let at = listener.local_addr()?.to_string();
            let task = accept(shared, move |cx| listener.poll_accept(cx).map_ok(|(stream, _)| stream));
            Ok(Some((task, at)))
        }
        Some(HostAddress::Unix(path)) => {
            // A relative path means the host's own folder.
            let path = work_dir.join(path);
            let listener = UnixListener::bind(&path)?;
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600))?;
            let at = format!("unix:{}", path.display());
            let task = accept(shared, move |cx| listener.poll_accept(cx).map_ok(|(stream, _)| stream));
            Ok(Some((task, at)))
        }
    }
}

/// Takes connections of either kind of listener until the task is ended.
fn accept<S>(
    shared: &Arc<Shared>,
    mut next: impl FnMut(&mut Context<'_>) -> Poll<io::Result<S>> + Send + 'static,
) -> JoinHandle<()>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let shared = Arc::clone(shared);
    tokio::spawn(async move {
        loop {
            match poll_fn(&mut next).await {
                Ok(stream) => connection(stream, &shared),
                Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
            }
        }
    })
}

fn connection<S>(stream: S, shared: &Arc<Shared>)
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let Ok(place) = Arc::clone(&shared.admin_places).try_acquire_owned() else { return };
    let shared = Arc::clone(shared);
    tokio::spawn(async move {
        let service = service_fn(|request| {
            let shared = Arc::clone(&shared);
            async move { Ok::<_, Infallible>(page(request, shared).await) }
        });
        // A client that goes away needs no answer.
        let _ = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEADER_MAX)
            .serve_connection(TokioIo::new(stream), service)
            .await;
        drop(place);
    });
}

async fn page(request: Request<Incoming>, shared: Arc<Shared>) -> Response<ResponseBody> {
    match request.uri().path() {
        "/metrics" => metrics(&shared),
        "/readyz" => shared.healthz(),
        "/livez" => respond::json(StatusCode::OK, &json!({ "status": "live" })),
        "/version" => respond::json(
            StatusCode::OK,
            &json!({ "version": env!("CARGO_PKG_VERSION"), "abi": ignite_core_abi::ABI_VERSION }),
        ),
        "/specialize" => match order(request, &shared).await {
            Ok(order) => specialize(shared, order).await,
            Err((status, error)) => respond::json(status, &json!({ "error": error, "type": "invalid_order" })),
        },
        path => respond::json(
            StatusCode::NOT_FOUND,
            &json!({
                "error": format!("there is no {path}; there are /metrics, /readyz, /livez, /version and /specialize"),
                "type": "not_found",
            }),
        ),
    }
}

/// The body of a call that gives a warm host its app.
async fn order(request: Request<Incoming>, shared: &Shared) -> Result<Vec<u8>, (StatusCode, String)> {
    if !matches!(shared.config.admin, Some(HostAddress::Unix(_))) {
        let why = "hosts are specialised on a Unix socket only, which no other user can open";
        return Err((StatusCode::FORBIDDEN, why.to_owned()));
    }
    if request.method() != Method::POST {
        return Err((StatusCode::METHOD_NOT_ALLOWED, "specialise with POST".to_owned()));
    }
    let mut body = request.into_body();
    let mut order = Vec::new();
    let reading = async {
        while let Some(frame) = body.frame().await {
            match frame.map(Frame::into_data) {
                Ok(Ok(data)) if order.len() + data.len() <= ORDER_BYTES_MAX => order.extend_from_slice(&data),
                Ok(Ok(_)) => {
                    let why = format!("the order is longer than {ORDER_BYTES_MAX} bytes");
                    return Err((StatusCode::PAYLOAD_TOO_LARGE, why));
                }
                // Trailers say nothing here.
                Ok(Err(_)) => {}
                Err(error) => return Err((StatusCode::BAD_REQUEST, format!("the order could not be read: {error}"))),
            }
        }
        Ok(())
    };
    let late = (StatusCode::REQUEST_TIMEOUT, "the order did not come in time".to_owned());
    match tokio::time::timeout(ORDER_MAX, reading).await.unwrap_or(Err(late)) {
        Ok(()) => Ok(order),
        Err(refusal) => {
            // Whoever still sends would not see the refusal.
            tokio::spawn(request::discard(Inward::Left(body)));
            Err(refusal)
        }
    }
}

fn metrics(shared: &Shared) -> Response<ResponseBody> {
    let serving = shared.serving.load();
    let mut figures = vec![
        ("slots_busy", "Executions that run or are not known to have stopped", serving.admission.in_flight() as f64),
        ("slots", "Executions that may run at once", f64::from(serving.limits.max_concurrency)),
        ("queue_length", "Executions that wait for a slot", f64::from(serving.admission.waiting())),
        ("requests_in_hand", "Requests that are not answered whole", serving.requests() as f64),
        ("log_lines_dropped", "Log lines dropped because they were too many", shared.logs.dropped() as f64),
    ];
    figures.extend(serving.executor.gauges());
    let mut page = String::new();
    if let Some(multi) = &shared.multi {
        figures.extend(multi.gauges());
        page = multi.figures();
    }
    page.push_str(&shared.metrics.page(&figures));
    let mut response = Response::new(ResponseBody::full(page.into()));
    response.headers_mut().insert(
        header::CONTENT_TYPE,
        header::HeaderValue::from_static("application/openmetrics-text; version=1.0.0; charset=utf-8"),
    );
    response
}
