//! What two organisations have on one platform.

use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ignite_tests::platform::{Platform, STEP_MAX};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;

use super::ask::Pair;
use crate::platform::handler;

/// Pause between two looks at what is awaited.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// What the first organisation has.
pub(crate) struct Estate {
    pub(crate) platform: Platform,
    _data: TempDir,
    /// The source of `vault`, as it was uploaded.
    pub(crate) source: Vec<u8>,
    /// Ids of what belongs to `vault`, by the name of the field they go into.
    pub(crate) known: Value,
    /// An execution that runs until it is cancelled.
    pub(crate) held: String,
    /// An upload that is not used yet: its key, and where it is put.
    pub(crate) upload: (String, String),
}

/// The other organisation: its token, and the app it has.
pub(crate) struct Stranger {
    pub(crate) token: String,
    pub(crate) folder: TempDir,
}

pub(crate) fn sha256(bytes: &[u8]) -> String {
    let digits: String = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{digits}")
}

pub(crate) fn packed(folder: &TempDir, body: &str) -> Vec<u8> {
    handler(folder.path(), body);
    Command::new("tar").arg("-cz").arg("-C").arg(folder.path()).arg(".").output().unwrap().stdout
}

pub(crate) fn inline(source: &[u8]) -> Value {
    json!({ "compile": { "sourceCode": STANDARD.encode(source) } })
}

/// Looks until something is so.
pub(crate) fn until<T>(what: &str, look: impl Fn() -> Option<T>) -> T {
    let deadline = Instant::now() + STEP_MAX;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "{what}");
        thread::sleep(LOOK_EVERY);
    }
}

/// A value that is text.
pub(crate) fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("no text but {value}")).to_owned()
}

impl Estate {
    pub(crate) fn new() -> Self {
        let data = tempfile::tempdir().unwrap();
        let platform = Platform::start(data.path()).unwrap();
        let value = json!({ "name": "db", "valueSecret": { "value": "hunter2" } });
        platform.call_as(&platform.token, "SecretService", "CreateSecret", &value).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let body = "import os, time\ndef handler(payload, ctx):\n    print('vault was asked for ' + payload.decode())\n    \
                    if payload == b'hold':\n        time.sleep(3000)\n    return os.environ.get('DB', 'here')\n";
        let source = packed(&folder, body);
        for (app, idle_secs, env) in
            [("vault", 3600, json!({ "DB": "secret://db" })), ("holds", 3600, json!({})), ("asleep", 1, json!({}))]
        {
            let limits = json!({ "timeoutSecs": 3600 });
            let config = json!({ "scaling": { "idleSecs": idle_secs }, "limits": limits, "env": { "values": env } });
            platform.call("CreateApp", &json!({ "name": app, "config": config })).unwrap();
            let ended = platform.publish(app, folder.path()).unwrap();
            assert_eq!(ended["status"], "COMPILE_STATUS_SUCCEEDED", "{app}: {ended}");
        }
        platform.call("SaveDraft", &json!({ "appId": "vault", "code": inline(&source) })).unwrap();
        let compile = text(&platform.call("CompileDraft", &json!({ "appId": "vault" })).unwrap()["compileId"]);
        assert_eq!(platform.ask("vault", b"one").unwrap().text(), "hunter2");
        let rollout = text(&platform.call("GetAppState", &json!({ "appId": "vault" })).unwrap()["rollout"]["id"]);
        let instances = platform.call("ListAppInstances", &json!({ "appId": "vault" })).unwrap();
        let instance = text(&instances["instances"][0]["id"]);
        let accept = |app: &str, body: &str| {
            let request = json!({ "appId": app, "body": STANDARD.encode(body) });
            text(&platform.call("InvokeAsync", &request).unwrap()["executionId"])
        };
        let (execution, held) = (accept("vault", "two"), accept("holds", "hold"));
        let is = |id: &str, status: &str| {
            let read = platform.call("GetExecution", &json!({ "executionId": id })).unwrap();
            (read["execution"]["status"] == status).then_some(())
        };
        until("the execution succeeds", || is(&execution, "EXECUTION_STATUS_SUCCEEDED"));
        until("the execution runs", || is(&held, "EXECUTION_STATUS_RUNNING"));
        until("it sleeps", || {
            let state = platform.call("GetAppState", &json!({ "appId": "asleep" })).unwrap();
            (state["deploymentState"] == "DEPLOYMENT_STATE_IDLE").then_some(())
        });
        let secret = b"nobody else has these bytes".as_slice();
        let wanted = json!({ "appId": "vault", "sizeBytes": secret.len().to_string(), "sha256": sha256(secret) });
        let made = platform.call_as(&platform.token, "DeploymentService", "CreateUpload", &wanted).unwrap();
        let upload = (text(&made["uploadKey"]), text(&made["url"]));
        let known = json!({
            "version": 1, "rollout_id": rollout, "compile_id": compile, "execution_id": execution, "instance_id": instance,
            "size_bytes": "5", "sha256": sha256(&source), "code": inline(&source), "body": STANDARD.encode("knock"),
        });
        Self { platform, _data: data, source, known, held, upload }
    }

    pub(crate) fn id(&self, field: &str) -> Pair {
        Pair::of(self.known[field].as_str().unwrap())
    }

    /// All that the first organisation can see of itself.
    fn seen(&self) -> Vec<Value> {
        let mut seen = Vec::new();
        let mut look = |service: &str, method: &str, request: Value| {
            seen.push(self.platform.call_as(&self.platform.token, service, method, &request).unwrap());
        };
        look("ComputeService", "ListApps", json!({}));
        look("SecretService", "ListSecrets", json!({}));
        look("TokenService", "ListTokens", json!({}));
        for app in ["vault", "holds", "asleep"] {
            for method in [
                "GetApp",
                "GetAppState",
                "GetDraftInfo",
                "ListAppVersions",
                "GetAppVersion",
                "ListExecutions",
                "GetExecutionStats",
                "GetAppLogs",
                "GetAppEvents",
                "ListAppInstances",
            ] {
                look("ComputeService", method, json!({ "appId": app, "version": 1 }));
            }
        }
        for id in [&text(&self.known["execution_id"]), &self.held] {
            look("ComputeService", "GetExecution", json!({ "executionId": id }));
        }
        seen
    }

    /// As [`Estate::seen`], when nothing goes on any more.
    pub(crate) fn settled(&self) -> Vec<Value> {
        until("it comes to rest", || {
            let first = self.seen();
            thread::sleep(LOOK_EVERY * 10);
            (first == self.seen()).then_some(first)
        })
    }

    pub(crate) fn stranger(&self) -> Stranger {
        let wanted = json!({ "scopes": ["*"], "organization": "other" });
        let made = self.platform.call_as(&self.platform.token, "TokenService", "CreateToken", &wanted).unwrap();
        let stranger = Stranger { token: text(&made["secret"]), folder: tempfile::tempdir().unwrap() };
        stranger.done(self, "CreateApp", json!({ "name": "mine" }));
        let body = "def handler(payload, ctx):\n    print('mine was asked')\n    return 'mine'\n";
        let source = packed(&stranger.folder, body);
        stranger.done(self, "SaveDraft", json!({ "appId": "mine", "code": inline(&source) }));
        stranger.done(self, "PublishDraft", json!({ "appId": "mine" }));
        stranger.ended(self);
        stranger
    }
}

impl Stranger {
    pub(crate) fn done(&self, estate: &Estate, method: &str, request: Value) -> Value {
        estate.platform.call_as(&self.token, "ComputeService", method, &request).unwrap()
    }

    /// The last rollout of its app, when it has ended.
    pub(crate) fn ended(&self, estate: &Estate) -> Value {
        until("the rollout ends", || {
            let state = self.done(estate, "GetAppState", json!({ "appId": "mine" }));
            state["rollout"]["endedAtMs"].is_string().then(|| state["rollout"].clone())
        })
    }
}
