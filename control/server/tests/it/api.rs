//! The API over real sockets, as `curl` would use it.

use ignite_core_model::{Digest, InstanceState};
use serde_json::{Value, json};

use crate::stage::{Stage, base64};

fn draft(app: &str, bytes: &[u8]) -> Value {
    json!({ "appId": app, "code": { "compile": { "runtime": { "python": {} }, "sourceCode": base64(bytes) } } })
}

/// Every method of the public API, from its definition.
fn methods() -> Vec<String> {
    let pool = buffa_descriptor::DescriptorPool::decode(ignite_core_proto::DESCRIPTOR_SET).unwrap();
    let mut methods = Vec::new();
    for service in pool.services() {
        methods.extend(service.methods().iter().map(|method| format!("{}/{}", service.full_name(), method.name())));
    }
    assert!(methods.len() >= 40, "{methods:?}");
    methods
}

#[tokio::test(flavor = "multi_thread")]
async fn every_method_refuses_who_may_not_call_it() {
    let stage = Stage::new().await;
    for method in methods() {
        let name = method.rsplit('/').next().unwrap();
        for token in ["", "nonsense"] {
            let answer = stage.call(token, &method, json!({})).await;
            assert_eq!(
                (answer.status, answer.body["code"].as_str()),
                (401, Some("unauthenticated")),
                "{method} {token}"
            );
        }
        if name != "GetApp" {
            let answer = stage.call("reader", &method, json!({})).await;
            assert_eq!((answer.status, answer.body["code"].as_str()), (403, Some("permission_denied")), "{method}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_app_of_others_does_not_exist() {
    let stage = Stage::new().await;
    let streams = [
        "WatchRollout",
        "StreamCompileLogs",
        "GetAppCode",
        "Invoke",
        "WatchExecution",
        "StreamAppLogs",
        "StreamAppEvents",
        "WatchDeployment",
    ];
    for method in methods() {
        let name = method.rsplit('/').next().unwrap();
        let takes_app = !["CreateApp", "ListApps"].contains(&name)
            && (method.contains("ComputeService") || method.contains("DeploymentService"))
            && !streams.contains(&name);
        if !takes_app {
            continue;
        }
        let request =
            json!({ "appId": "acme/hello", "version": 1, "sizeBytes": "5", "sha256": Digest::of(b"x").to_string() });
        if name == "DeleteApp" {
            stage.call("stranger", &method, request).await;
            assert!(
                stage
                    .platform
                    .apps
                    .load(&stage.platform.app)
                    .await
                    .is_ok_and(|app| app.life == ignite_control_pipeline::Life::Alive)
            );
            continue;
        }
        let own = stage.code("all", &method, request.clone()).await;
        if own == "unimplemented" || name.contains("Execution") {
            continue;
        }
        assert_eq!(stage.code("stranger", &method, request).await, "not_found", "{method}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_app_goes_from_draft_to_route_over_the_api() {
    let stage = Stage::new().await;
    let made = stage
        .done("all", "CreateApp", json!({ "name": "shop", "config": { "resourceTier": "RESOURCE_TIER_SMALL" } }))
        .await;
    assert_eq!(made["appId"], "acme/shop");
    assert_eq!(made["appliedLimits"]["memoryMb"], 256);
    assert_eq!(made["url"], "http://shop-acme.ignite.localhost:8080/");
    assert_eq!(stage.code("all", "CreateApp", json!({ "name": "shop" })).await, "already_exists");
    assert_eq!(stage.code("all", "PublishDraft", json!({ "appId": "shop" })).await, "failed_precondition");
    // The stand-ins work on `hello`.
    let saved = stage.done("all", "SaveDraft", draft("hello", b"an archive")).await;
    assert_eq!(saved["draft"]["codeHash"], Digest::of(b"an archive").to_string());
    let published = stage.done("all", "PublishDraft", json!({ "appId": "acme:hello" })).await;
    assert_eq!(published["rollout"]["step"], "compile");
    stage.platform.build(Ok(())).await;
    stage.platform.converge(InstanceState::Healthy).await;
    let state = stage.done("all", "GetAppState", json!({ "appId": "hello" })).await;
    assert_eq!(state["deploymentState"], "DEPLOYMENT_STATE_READY");
    assert_eq!(state["rollout"]["status"], "COMPILE_STATUS_SUCCEEDED");
    let versions = stage.done("all", "ListAppVersions", json!({ "appId": "hello" })).await;
    assert_eq!(versions["versions"][0]["status"], "VERSION_STATUS_ACTIVE");
    let events = stage.done("all", "GetAppEvents", json!({ "appId": "hello" })).await;
    assert!(events["events"].as_array().unwrap().iter().any(|event| event["kind"] == "live"), "{events}");
    let listed = stage.done("all", "ListApps", json!({ "limit": 1 })).await;
    assert_eq!(listed["apps"][0]["name"], "hello");
    let listed = stage.done("all", "ListApps", json!({ "limit": 1, "cursor": listed["nextCursor"] })).await;
    assert_eq!(listed["apps"][0]["name"], "shop");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deployment_is_watched_with_the_lines_of_its_compile() {
    const WATCH: &str = "ignite.v1.DeploymentService/WatchDeployment";
    let stage = Stage::new().await;
    let deployed = stage.done("all", "ignite.v1.DeploymentService/Deploy", draft("hello", b"an archive")).await;
    let (rollout, compile) = (&deployed["rollout"]["id"], deployed["rollout"]["compileId"].as_str().unwrap());
    let watch = json!({ "appId": "hello", "rolloutId": rollout });
    let mut messages = stage.begin("all", WATCH, watch.clone()).await;
    assert_eq!(messages.next().await.unwrap()["rollout"]["step"], "compile");
    stage.platform.say(&format!("acme/hello/compile/{compile}"), &["one", "two"]).await;
    let texts = |message: &Value| -> Vec<String> {
        let lines = message["compileLines"].as_array().into_iter().flatten();
        lines.map(|line| line["text"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(texts(&messages.next().await.unwrap()), ["one", "two"]);
    stage.platform.build(Ok(())).await;
    stage.platform.converge(InstanceState::Healthy).await;
    let mut rest = Vec::new();
    while let Some(message) = messages.next().await {
        rest.push(message);
    }
    let last = &rest[rest.len() - 2];
    assert_eq!(last["rollout"]["status"], "COMPILE_STATUS_SUCCEEDED");
    assert_eq!(last["url"], "http://hello-acme.ignite.localhost:8080/");
    assert!(rest.iter().all(|message| texts(message).is_empty()), "a line was told twice: {rest:?}");
    // Who comes late gets all of it at once.
    let all = stage.stream("all", WATCH, watch.clone()).await;
    assert_eq!((all.len(), texts(&all[0])), (2, vec!["one".to_owned(), "two".to_owned()]));
    let refused = stage.stream("stranger", WATCH, json!({ "appId": "acme/hello", "rolloutId": rollout })).await;
    assert_eq!(refused[0]["error"]["code"], "not_found");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_field_at_fault_is_named() {
    let stage = Stage::new().await;
    let request =
        json!({ "name": "Bad Name", "config": { "limits": { "memoryMb": 1 }, "env": { "values": { "1": "x" } } } });
    let answer = stage.call("all", "CreateApp", request).await;
    let message = answer.body["message"].as_str().unwrap().to_owned();
    for field in ["`name`", "`config.limits.memory_mb`", "`config.env.1`"] {
        assert!(message.contains(field), "{message}");
    }
    assert_eq!(answer.body["code"], "invalid_argument");
}

#[tokio::test(flavor = "multi_thread")]
async fn values_of_variables_never_come_back() {
    let stage = Stage::new().await;
    let request = json!({ "appId": "hello", "config": { "env": { "values": { "TOKEN": "hunter2" } } } });
    let updated = stage.call("all", "UpdateAppConfig", request).await;
    assert!(updated.text.contains("TOKEN") && !updated.text.contains("hunter2"), "{}", updated.text);
    let read = stage.call("all", "GetApp", json!({ "appId": "hello" })).await;
    assert!(!read.text.contains("hunter2"), "{}", read.text);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_is_bound_to_its_bytes_and_used_once() {
    let stage = Stage::new().await;
    let bytes = b"a larger archive";
    let service = "ignite.v1.DeploymentService/CreateUpload";
    let request =
        json!({ "appId": "hello", "sizeBytes": bytes.len().to_string(), "sha256": Digest::of(bytes).to_string() });
    let upload = stage.done("all", service, request).await;
    let (key, url) = (upload["uploadKey"].as_str().unwrap(), upload["url"].as_str().unwrap());
    let path = url.split_once("/objects/").unwrap().1;
    let put = |path: String, body: &'static [u8]| {
        let head = format!(
            "PUT /objects/{path} HTTP/1.0\r\nhost: api\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
            body.len()
        );
        (head, body)
    };
    for (path, body, status) in [
        (path.replace("uploads/acme", "uploads/other"), b"a larger archive".as_slice(), 403),
        (path.replace("size=16", "size=17"), b"a larger archive", 403),
        (path.to_owned(), b"another archive!", 400),
        (path.to_owned(), b"a larger archive", 200),
    ] {
        let (head, body) = put(path, body);
        let answer = stage.send(&head, body).await;
        assert_eq!(answer.status, status, "{head} {}", answer.text);
    }
    let save = json!({ "appId": "hello", "code": { "compile": { "uploadKey": key } } });
    assert_eq!(stage.code("stranger", "SaveDraft", save.clone()).await, "not_found");
    stage.done("all", "SaveDraft", save.clone()).await;
    let again = stage.call("all", "SaveDraft", save).await;
    assert_ne!(again.status, 200, "an upload was used twice: {}", again.text);

    // Who has handed it in need not send it again; who only knows its digest is told nothing of it, and given nothing.
    let request =
        json!({ "appId": "hello", "sizeBytes": bytes.len().to_string(), "sha256": Digest::of(bytes).to_string() });
    let own = stage.done("all", service, request.clone()).await;
    assert!(own.get("url").is_none(), "{own}");
    stage.done("stranger", "CreateApp", json!({ "name": "hello" })).await;
    let theirs = stage.done("stranger", service, request).await;
    assert!(theirs["url"].as_str().is_some_and(|url| !url.is_empty()), "{theirs}");
    let save = json!({ "appId": "hello", "code": { "compile": { "uploadKey": theirs["uploadKey"] } } });
    assert_eq!(stage.code("stranger", "SaveDraft", save).await, "not_found");
    let draft = stage.done("stranger", "GetDraftInfo", json!({ "appId": "hello" })).await;
    assert_eq!(draft, json!({}));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_hands_on_no_more_than_it_has() {
    let stage = Stage::new().await;
    let service = "ignite.v1.TokenService/CreateToken";
    let made = stage.done("all", service, json!({ "scopes": ["GetApp"], "note": "ci" })).await;
    let secret = made["secret"].as_str().unwrap().to_owned();
    stage.done(&secret, "GetApp", json!({ "appId": "hello" })).await;
    assert_eq!(stage.code(&secret, service, json!({ "scopes": ["GetApp"] })).await, "permission_denied");
    assert_eq!(stage.code("all", service, json!({ "scopes": ["admin"] })).await, "permission_denied");
    assert_eq!(
        stage.code("all", service, json!({ "scopes": ["GetApp"], "organization": "other" })).await,
        "permission_denied"
    );
    assert_eq!(stage.code("all", service, json!({ "scopes": ["NoSuchMethod"] })).await, "invalid_argument");
    stage.done("admin", service, json!({ "scopes": ["*"], "organization": "fresh" })).await;
    let revoke = json!({ "id": made["token"]["id"] });
    assert_eq!(stage.code("stranger", "ignite.v1.TokenService/RevokeToken", revoke.clone()).await, "not_found");
    stage.done(&secret, "GetApp", json!({ "appId": "hello" })).await;
    stage.done("all", "ignite.v1.TokenService/RevokeToken", revoke).await;
    assert_eq!(stage.code(&secret, "GetApp", json!({ "appId": "hello" })).await, "unauthenticated");
}
