//! A store with an app, a gateway that follows it, and a client.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ignite_core_model::{
    AppSettings, ArtifactKind, Compiled, Digest, FunctionId, HostLabel, InstanceDetail, InstanceId, InstanceSpec,
    InstanceState, Runtime, Secret, Target, TokenId, VersionNumber,
};
use ignite_gateway::{Gateway, GatewayConfig, GatewayLimits, Load, Scaler};
use ignite_identity::fake::FakeIssuer;
use ignite_store_meta::{Change, DesiredSet, Expected, Instance, Location, Meta, MetaOptions, Token};
use ignite_telemetry::Tracer;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// The key of the identity provider.
pub(crate) const ISSUER_SEED: [u8; 32] = [7; 32];

pub(crate) const TOKEN: &str = "ignite_secret";
pub(crate) const STRANGER: &str = "ignite_stranger";
pub(crate) const SCOPELESS: &str = "ignite_scopeless";
pub(crate) const PLATFORM_KEY: &str = "a key that control has been given, too";

/// Longest wait for what must come.
pub(crate) const SOON: Duration = Duration::from_secs(20);

#[derive(Default)]
pub(crate) struct Seen {
    pub(crate) woken: Mutex<Vec<(FunctionId, u32)>>,
    pub(crate) loads: Mutex<Vec<Load>>,
}

impl Scaler for Seen {
    fn wake(&self, app: &FunctionId, version: VersionNumber) {
        self.woken.lock().unwrap().push((app.clone(), version.get()));
    }

    fn load(&self, _: &FunctionId, _: VersionNumber, load: Load) {
        self.loads.lock().unwrap().push(load);
    }
}

pub(crate) struct Stage {
    pub(crate) meta: Meta,
    pub(crate) gateway: Gateway,
    pub(crate) seen: Arc<Seen>,
    pub(crate) app: FunctionId,
    _folder: TempDir,
}

/// An answer, read to its end.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn kind(&self) -> String {
        let json: serde_json::Value = serde_json::from_str(&self.body).unwrap_or_default();
        json["type"].as_str().unwrap_or_default().to_owned()
    }
}

async fn start(limits: GatewayLimits, meta: &Meta, seen: &Arc<Seen>) -> Gateway {
    let config = GatewayConfig {
        listen: SocketAddr::from(([127, 0, 0, 1], 0)),
        admin: Some(SocketAddr::from(([127, 0, 0, 1], 0))),
        base_domain: "ignite.localhost".to_owned(),
        name: "gateway".to_owned(),
        tracer: Tracer::off(),
        issuers: FakeIssuer::new(ISSUER_SEED).issuers(),
        platform_key: Some(Secret::new(PLATFORM_KEY.to_owned())),
        limits,
    };
    Gateway::start(config, meta.clone(), Arc::clone(seen) as Arc<dyn Scaler>).await.unwrap()
}

impl Stage {
    pub(crate) async fn new(settings: AppSettings) -> Self {
        Self::with_limits(settings, GatewayLimits::default()).await
    }

    pub(crate) async fn with_limits(settings: AppSettings, limits: GatewayLimits) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let meta = Meta::open(&MetaOptions::new(Location::Sqlite(folder.path().join("ignite.db")))).await.unwrap();
        let app: FunctionId = "acme/hello".parse().unwrap();
        for organization in ["acme", "other"] {
            meta.create_organization(&organization.parse().unwrap(), 1).await.unwrap();
        }
        for (number, secret, organization, scopes) in [
            (1, TOKEN, "acme", vec!["Invoke"]),
            (2, STRANGER, "other", vec!["*"]),
            (3, SCOPELESS, "acme", vec!["GetApp"]),
        ] {
            let token = Token {
                id: TokenId::from_parts(1, number),
                organization: organization.parse().unwrap(),
                hash: Token::hash_of(secret),
                scopes: scopes.into_iter().map(str::to_owned).collect(),
                note: String::new(),
                created_ms: 1,
                expires_ms: None,
                revoked_ms: None,
            };
            meta.create_token(&token).await.unwrap();
        }
        let state = Change { state: "{}".to_owned(), ..Change::default() };
        meta.commit(&app, &Expected::New(HostLabel::of(&app)), &state, 1).await.unwrap();
        let seen = Arc::new(Seen::default());
        let gateway = start(limits, &meta, &seen).await;
        let stage = Self { meta, gateway, seen, app, _folder: folder };
        stage.route(1, &settings, 1).await;
        stage
    }

    /// Starts another gateway, which is asked from now on.
    pub(crate) async fn restart(&mut self) {
        self.gateway = start(GatewayLimits::default(), &self.meta, &self.seen).await;
    }

    async fn write(&self, change: Change) {
        let revision = self.meta.load_app(&self.app).await.unwrap().revision;
        let change = Change { state: "{}".to_owned(), ..change };
        self.meta.commit(&self.app, &Expected::Revision(revision), &change, 2).await.unwrap();
    }

    /// Leads the app's hostname to a version.
    pub(crate) async fn route(&self, number: u32, settings: &AppSettings, instances: u32) {
        let version = VersionNumber::new(number).unwrap();
        let compiled = Compiled {
            artifact: Digest::of(b"an artifact"),
            artifact_bytes: 11,
            runtime: Runtime::Python,
            target: Target::Native,
            artifact_kind: ArtifactKind::Bundle,
        };
        let spec = InstanceSpec { app: self.app.clone(), version, start: 1, compiled, settings: settings.clone() };
        let spec = serde_json::to_string(&spec).unwrap();
        self.write(Change {
            routes_set: vec![(HostLabel::of(&self.app), version)],
            desired_set: vec![DesiredSet { version, instances, spec }],
            ..Change::default()
        })
        .await;
        self.settle().await;
    }

    /// Reports healthy instances of a version.
    pub(crate) async fn instances(&self, number: u32, addresses: &[(SocketAddr, u32)]) {
        let mut instances = Vec::new();
        for (address, places) in addresses {
            instances.push(self.healthy(number, *address, *places).await);
        }
        self.report(&instances).await;
    }

    /// Reports instances as they are.
    pub(crate) async fn report(&self, instances: &[Instance]) {
        self.meta.report_instances("agent", instances, &[]).await.unwrap();
        self.settle().await;
    }

    /// A healthy instance of a version, which nobody was told of.
    pub(crate) async fn healthy(&self, number: u32, address: SocketAddr, places: u32) -> Instance {
        let version = VersionNumber::new(number).unwrap();
        let rows = self.meta.list_desired(&self.app).await.unwrap();
        let generation = rows.iter().find(|row| row.version == version).unwrap().generation;
        let detail = InstanceDetail { max_concurrency: places, ..InstanceDetail::default() };
        Instance {
            id: InstanceId::from_parts(1, u128::from(address.port())),
            agent: "agent".to_owned(),
            app: self.app.clone(),
            version,
            generation,
            state: InstanceState::Healthy.to_string(),
            address: Some(address.to_string()),
            detail: serde_json::to_string(&detail).unwrap(),
            updated_ms: 3,
        }
    }

    /// Waits until the gateway has acknowledged all there is.
    pub(crate) async fn settle(&self) {
        let last = self.meta.last_change().await.unwrap();
        tokio::time::timeout(SOON, async {
            loop {
                let watchers = self.meta.list_watchers(0).await.unwrap();
                if watchers.iter().any(|watcher| watcher.name == "gateway" && watcher.sequence >= last) {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        })
        .await
        .expect("the gateway acknowledges");
    }

    /// Waits until something holds.
    pub(crate) async fn eventually(&self, holds: impl AsyncFn() -> bool) {
        let waited = tokio::time::timeout(SOON, async {
            while !holds().await {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        });
        waited.await.expect("it holds in the end");
    }

    pub(crate) async fn call(&self, lines: &[&str], body: &str) -> Answer {
        call(self.gateway.address(), lines, body).await
    }

    /// A call with the app's own token.
    pub(crate) async fn get(&self, path: &str) -> Answer {
        let line = format!("GET {path} HTTP/1.1");
        self.call(&[&line, "host: hello-acme.ignite.localhost", &format!("authorization: Bearer {TOKEN}")], "").await
    }
}

/// One request on a connection of its own.
pub(crate) async fn call(address: SocketAddr, lines: &[&str], body: &str) -> Answer {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let mut request = lines.join("\r\n");
    request.push_str("\r\nconnection: close\r\n");
    if !body.is_empty() {
        request.push_str(&format!("content-length: {}\r\n", body.len()));
    }
    request.push_str("\r\n");
    request.push_str(body);
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    tokio::time::timeout(SOON, stream.read_to_string(&mut answer)).await.expect("an answer comes").unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or_default();
    Answer { status, head: head.to_lowercase(), body: body.to_owned() }
}
