//! The API over real sockets, and a client of it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use ignite_control_server::api::{self, ApiServer, PublicUrl};
use ignite_control_server::executions::{ExecutionLimits, Executions, GatewayClient};
use ignite_core_model::{InstanceState, OrganizationId, Secret, TokenId};
use ignite_identity::fake::FakeIssuer;
use ignite_store_meta::Token;
use ignite_store_meta::seal::{Keyring, SealingKey};
use ignite_store_objects::{Location, Objects, UrlSigner};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::gateway::{SOON, client};
use crate::platform::Platform;

/// A port that nothing listens on: it is in no range that systems give out.
const NOWHERE: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 1);

/// The key of the identity provider.
pub(crate) const ISSUER_SEED: [u8; 32] = [7; 32];

pub(crate) struct Stage {
    pub(crate) platform: Platform,
    pub(crate) server: ApiServer,
    pub(crate) objects: Objects,
    pub(crate) executions: Executions,
    runner: Option<(CancellationToken, JoinHandle<()>)>,
    folder: TempDir,
}

pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Value,
    pub(crate) text: String,
}

impl Stage {
    pub(crate) async fn new() -> Self {
        Self::with(client(NOWHERE), ExecutionLimits::default()).await
    }

    pub(crate) async fn with(gateway: GatewayClient, limits: ExecutionLimits) -> Self {
        let stage = Self::over(Platform::new().await, tempfile::tempdir().unwrap(), gateway, limits).await;
        stage.token("all", "acme", &["*"]).await;
        stage.token("stranger", "other", &["*"]).await;
        stage.token("reader", "acme", &["GetApp"]).await;
        stage.token("admin", "acme", &["*", "admin"]).await;
        stage
    }

    async fn over(platform: Platform, folder: TempDir, gateway: GatewayClient, limits: ExecutionLimits) -> Self {
        let (listener, address) = ApiServer::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await.unwrap();
        let signer = UrlSigner::new(Secret::new([7; 32]), &format!("http://{address}/objects"));
        let objects =
            Objects::open(&Location::Folder { root: folder.path().to_owned(), signer: signer.clone() }).unwrap();
        let url = PublicUrl { scheme: "http".to_owned(), base_domain: "ignite.localhost".to_owned(), port: Some(8080) };
        let executions = Executions::new(platform.apps.clone(), objects.clone(), gateway, limits);
        let parts = api::Platform {
            others: Arc::new(Vec::new),
            apps: platform.apps.clone(),
            objects: objects.clone(),
            executions: executions.clone(),
            url,
            signer: Some(signer),
            issuers: FakeIssuer::new(ISSUER_SEED).issuers(),
            keys: Keyring::new(SealingKey::generate().unwrap(), Vec::new()),
        };
        let server = ApiServer::start(listener, address, parts);
        Self { platform, server, objects, executions, runner: None, folder }
    }

    /// A version of `hello` goes live.
    pub(crate) async fn live(&self) {
        self.platform.publish("one").await;
        self.platform.build(Ok(())).await;
        self.platform.converge(InstanceState::Healthy).await;
    }

    /// Accepted executions are carried out from now on.
    pub(crate) fn run(&mut self) {
        self.run_as("control");
    }

    pub(crate) fn run_as(&mut self, owner: &str) {
        let stop = CancellationToken::new();
        let task = tokio::spawn(self.executions.clone().run(owner.to_owned(), stop.clone()));
        self.runner = Some((stop, task));
    }

    /// The runner is told to end, and does.
    pub(crate) async fn stop(&mut self) {
        let (stop, task) = self.runner.take().unwrap();
        stop.cancel();
        tokio::time::timeout(SOON, task).await.expect("the runner ends").unwrap();
    }

    /// The control plane is killed, and another takes its place on the same store.
    pub(crate) async fn killed(mut self, gateway: GatewayClient, limits: ExecutionLimits) -> Self {
        if let Some((_, task)) = self.runner.take() {
            task.abort();
            let _ = task.await;
        }
        self.platform.restart().await;
        Self::over(self.platform, self.folder, gateway, limits).await
    }

    async fn token(&self, secret: &str, organization: &str, scopes: &[&str]) {
        let meta = self.platform.apps.meta();
        let organization: OrganizationId = organization.parse().unwrap();
        meta.create_organization(&organization, 1).await.unwrap();
        let token = Token {
            id: TokenId::from_parts(1, u128::from(secret.len() as u64) + u128::from(secret.as_bytes()[0])),
            organization,
            hash: Token::hash_of(secret),
            scopes: scopes.iter().map(|scope| (*scope).to_owned()).collect(),
            note: String::new(),
            created_ms: 1,
            expires_ms: None,
            revoked_ms: None,
        };
        meta.create_token(&token).await.unwrap();
    }

    pub(crate) async fn call(&self, token: &str, method: &str, request: Value) -> Answer {
        let body = request.to_string();
        self.send(&head(token, method, "application/json", body.len()), body.as_bytes()).await
    }

    pub(crate) async fn send(&self, head: &str, body: &[u8]) -> Answer {
        let mut stream = self.open(head, body).await;
        let mut answer = Vec::new();
        tokio::time::timeout(SOON, stream.read_to_end(&mut answer)).await.unwrap().unwrap();
        let answer = String::from_utf8_lossy(&answer).into_owned();
        let (head, text) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or_default();
        Answer { status, body: serde_json::from_str(text).unwrap_or_default(), text: text.to_owned() }
    }

    pub(crate) async fn open(&self, head: &str, body: &[u8]) -> TcpStream {
        let mut stream = TcpStream::connect(self.server.address()).await.unwrap();
        stream.write_all(head.as_bytes()).await.unwrap();
        stream.write_all(body).await.unwrap();
        stream
    }

    pub(crate) async fn done(&self, token: &str, method: &str, request: Value) -> Value {
        let answer = self.call(token, method, request).await;
        assert_eq!(answer.status, 200, "{method}: {}", answer.text);
        answer.body
    }

    pub(crate) async fn code(&self, token: &str, method: &str, request: Value) -> String {
        let answer = self.call(token, method, request).await;
        answer.body["code"].as_str().unwrap_or("ok").to_owned()
    }

    /// Begins a method that streams.
    pub(crate) async fn begin(&self, token: &str, method: &str, request: Value) -> Messages {
        let body = request.to_string();
        let mut message = vec![0];
        message.extend(u32::try_from(body.len()).unwrap().to_be_bytes());
        message.extend(body.as_bytes());
        let head = head(token, method, "application/connect+json", message.len());
        Messages { stream: self.open(&head, &message).await, bytes: Vec::new(), headed: false }
    }

    /// All messages of a method that streams; the last is what it ended with.
    pub(crate) async fn stream(&self, token: &str, method: &str, request: Value) -> Vec<Value> {
        let mut messages = self.begin(token, method, request).await;
        let mut all = Vec::new();
        while let Some(message) = messages.next().await {
            all.push(message);
        }
        all
    }

    /// An execution when it has ended.
    pub(crate) async fn ended(&self, id: &str) -> Value {
        let mut states = self.stream("all", "WatchExecution", json!({ "executionId": id })).await;
        assert_eq!(states.pop(), Some(json!({})), "the watch ends well");
        states.pop().unwrap()["execution"].clone()
    }

    /// Accepts a call of `hello`.
    pub(crate) async fn accept(&self, body: &[u8]) -> String {
        let request = json!({ "appId": "hello", "body": base64(body) });
        self.done("all", "InvokeAsync", request).await["executionId"].as_str().unwrap().to_owned()
    }
}

fn head(token: &str, method: &str, content_type: &str, length: usize) -> String {
    let path = if method.contains('/') { method.to_owned() } else { format!("ignite.v1.ComputeService/{method}") };
    let authorization = if token.is_empty() { String::new() } else { format!("authorization: Bearer {token}\r\n") };
    format!(
        "POST /{path} HTTP/1.0\r\nhost: api\r\ncontent-type: {content_type}\r\n{authorization}content-length: {length}\r\nconnection: close\r\n\r\n"
    )
}

/// Messages of a stream, as they come.
pub(crate) struct Messages {
    stream: TcpStream,
    bytes: Vec<u8>,
    headed: bool,
}

impl Messages {
    /// The next message, or what the stream ended with; `None` after that.
    pub(crate) async fn next(&mut self) -> Option<Value> {
        loop {
            if !self.headed
                && let Some(at) = self.bytes.windows(4).position(|bytes| bytes == b"\r\n\r\n")
            {
                self.bytes.drain(..at + 4);
                self.headed = true;
            }
            if self.headed && self.bytes.len() >= 5 {
                let length = u32::from_be_bytes(self.bytes[1..5].try_into().unwrap()) as usize;
                if self.bytes.len() >= 5 + length {
                    let message = serde_json::from_slice(&self.bytes[5..5 + length]).unwrap();
                    self.bytes.drain(..5 + length);
                    return Some(message);
                }
            }
            let mut more = [0; 16 << 10];
            let read = tokio::time::timeout(SOON, self.stream.read(&mut more)).await.expect("a message comes").unwrap();
            if read == 0 {
                assert!(self.bytes.is_empty(), "{}", String::from_utf8_lossy(&self.bytes));
                return None;
            }
            self.bytes.extend_from_slice(&more[..read]);
        }
    }
}

/// Waits until something is so.
pub(crate) async fn until<F: Future<Output = bool>>(what: &str, is_so: impl Fn() -> F) {
    let waited = tokio::time::timeout(SOON, async {
        while !is_so().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    assert!(waited.await.is_ok(), "{what}");
}

const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

pub(crate) fn base64(bytes: &[u8]) -> String {
    let mut text = String::new();
    for three in bytes.chunks(3) {
        let number = three.iter().fold(0u32, |number, byte| number << 8 | u32::from(*byte)) << (8 * (3 - three.len()));
        for place in 0..4 {
            let digit = DIGITS[(number >> (18 - 6 * place)) as usize & 63];
            text.push(if place <= three.len() { char::from(digit) } else { '=' });
        }
    }
    text
}
