//! A stand-in for the gateway and the app behind it, or for an instance: it answers as it is told, and tells what it was asked.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt as _;
use http::{Request, Response, StatusCode};
use http_body::Frame;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use ignite_control_server::executions::{GatewayClient, GatewayClientOptions};
use ignite_core_model::Secret;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

pub(crate) const KEY: &str = "a key that the gateway has been given, too";

/// Longest wait for what must come.
pub(crate) const SOON: Duration = Duration::from_secs(20);

/// What the stand-in does with a call.
#[derive(Clone)]
pub(crate) enum Plan {
    /// The handler answers.
    Answer(u16, Vec<u8>),
    /// Host or gateway answers in its place, with this type.
    Platform(u16, &'static str),
    /// The connection closes without an answer.
    Break,
    /// Sends these parts, and then nothing until the caller is gone.
    Hang(Vec<&'static str>),
    /// Sends a part and breaks off.
    BreakOff,
    /// As a gateway does that does not know the key.
    Stranger,
}

/// What it was asked.
#[derive(Debug)]
pub(crate) struct Asked {
    pub(crate) head: http::request::Parts,
    pub(crate) body: Bytes,
    /// Cancelled when the caller is gone, or has its answer.
    pub(crate) over: CancellationToken,
}

impl Asked {
    pub(crate) fn execution(&self) -> String {
        self.head.headers["x-ignite-execution-id"].to_str().unwrap().to_owned()
    }
}

type Body = UnsyncBoxBody<Bytes, std::io::Error>;

pub(crate) struct FakeGateway {
    pub(crate) address: SocketAddr,
    pub(crate) asked: mpsc::UnboundedReceiver<Asked>,
    plans: Arc<Mutex<Vec<Plan>>>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for FakeGateway {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl FakeGateway {
    /// Carries the plans out one after another; the last one again and again.
    pub(crate) async fn start(plans: Vec<Plan>) -> Self {
        Self::start_at(SocketAddr::from(([127, 0, 0, 1], 0)), plans).await
    }

    pub(crate) async fn start_at(address: SocketAddr, plans: Vec<Plan>) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (tell, asked) = mpsc::unbounded_channel();
        let plans = Arc::new(Mutex::new(plans));
        let shared = Arc::clone(&plans);
        let task = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (tell, plans) = (tell.clone(), Arc::clone(&shared));
                tokio::spawn(async move {
                    let service = service_fn(move |request| {
                        let plan = {
                            let mut plans = plans.lock().unwrap();
                            if plans.len() > 1 { plans.remove(0) } else { plans[0].clone() }
                        };
                        answer(request, plan, tell.clone())
                    });
                    let _ = hyper::server::conn::http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), service)
                        .await;
                });
            }
        });
        Self { address, asked, plans, task }
    }

    pub(crate) fn plan(&self, plans: Vec<Plan>) {
        *self.plans.lock().unwrap() = plans;
    }

    pub(crate) fn client(&self) -> GatewayClient {
        client(self.address)
    }

    pub(crate) async fn next(&mut self) -> Asked {
        tokio::time::timeout(SOON, self.asked.recv()).await.expect("the gateway is called").unwrap()
    }
}

pub(crate) fn client(address: SocketAddr) -> GatewayClient {
    GatewayClient::new(GatewayClientOptions {
        address: address.to_string(),
        base_domain: "ignite.localhost".to_owned(),
        key: Secret::new(KEY.to_owned()),
    })
}

async fn answer(
    request: Request<Incoming>,
    plan: Plan,
    tell: mpsc::UnboundedSender<Asked>,
) -> Result<Response<Body>, std::io::Error> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    let over = CancellationToken::new();
    let guard = over.clone().drop_guard();
    let id = head.headers["x-ignite-execution-id"].to_str().unwrap().to_owned();
    let _ = tell.send(Asked { head, body, over });
    let own = if matches!(plan, Plan::Stranger) { "01ARZ3NDEKTSV4RRFFQ69G5FAV".to_owned() } else { id.clone() };
    let (status, kind, parts, end) = match plan {
        Plan::Answer(status, body) => (status, "text/plain", vec![Bytes::from(body)], End::Whole),
        Plan::Stranger => (401, "application/json", vec![Bytes::from_static(b"{}")], End::Whole),
        Plan::Platform(status, kind) => {
            let body = serde_json::json!({ "error": format!("it was {kind}"), "type": kind, "execution_id": id });
            (status, "application/json", vec![Bytes::from(body.to_string())], End::Whole)
        }
        Plan::Break => return Err(std::io::Error::other("broken")),
        Plan::Hang(parts) if parts.is_empty() => {
            let _guard = guard;
            return std::future::pending().await;
        }
        Plan::Hang(parts) => (200, "text/plain", parts.into_iter().map(Bytes::from).collect(), End::Never),
        Plan::BreakOff => (200, "text/plain", vec![Bytes::from_static(b"half")], End::Broken),
    };
    let rest = match end {
        End::Whole => futures_util::stream::empty().boxed(),
        End::Broken => futures_util::stream::once(async {
            // What was sent goes out first: it does when there is nothing to add.
            tokio::task::yield_now().await;
            Err(std::io::Error::other("broken"))
        })
        .boxed(),
        End::Never => futures_util::stream::pending().boxed(),
    };
    let parts = futures_util::stream::iter(parts.into_iter().map(|part| Ok(Frame::data(part)))).chain(rest);
    let parts = parts.map(move |part| {
        let _kept_until_the_body_goes = &guard;
        part
    });
    let body: Body = StreamBody::new(parts).boxed_unsync();
    let mut answer = Response::new(body);
    *answer.status_mut() = StatusCode::from_u16(status).unwrap();
    let headers = answer.headers_mut();
    headers.insert("content-type", kind.parse().unwrap());
    headers.insert("x-ignite-execution-id", own.parse().unwrap());
    headers.insert("x-ignite-version", "1".parse().unwrap());
    Ok(answer)
}

enum End {
    Whole,
    Broken,
    Never,
}
