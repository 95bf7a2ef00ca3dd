//! Who gets in.

use ignite_core_model::AppSettings;

use crate::instance::FakeInstance;
use crate::stage::{PLATFORM_KEY, SCOPELESS, STRANGER, Stage, TOKEN};

const HOST: &str = "host: hello-acme.ignite.localhost";

fn open() -> AppSettings {
    AppSettings { allow_unauthenticated: true, ..AppSettings::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_of_the_organisation_that_allows_calls_lets_in_and_stays_at_the_door() {
    let stage = Stage::new(AppSettings::default()).await;
    let mut instance = FakeInstance::start("hello").await;
    stage.instances(1, &[(instance.address, 4)]).await;
    let answer = stage.get("/a/b?c=d%20e").await;
    assert_eq!((answer.status, answer.body.as_str()), (200, "hello"));
    let asked = instance.asked.recv().await.unwrap();
    assert_eq!(asked.head.uri, "/a/b?c=d%20e");
    assert!(!asked.head.headers.contains_key("authorization"), "the token was passed on");
    let line = "GET / HTTP/1.1";
    let refused = [
        (vec![line, HOST], 401, "unauthenticated"),
        (vec![line, HOST, "authorization: Basic abc"], 401, "unauthenticated"),
        (vec![line, HOST, "authorization: Bearer nonsense"], 401, "invalid_token"),
        (vec![line, HOST, "authorization: Bearer "], 401, "unauthenticated"),
    ];
    for (lines, status, kind) in refused {
        let answer = stage.call(&lines, "").await;
        assert_eq!((answer.status, answer.kind().as_str()), (status, kind), "{lines:?}");
        assert!(answer.head.contains("www-authenticate: bearer"), "{}", answer.head);
    }
    for secret in [STRANGER, SCOPELESS] {
        let answer = stage.call(&[line, HOST, &format!("authorization: Bearer {secret}")], "").await;
        assert_eq!((answer.status, answer.kind().as_str()), (403, "forbidden"), "{secret}");
    }
    assert!(instance.asked.try_recv().is_err(), "a refused request reached the app");
}

#[tokio::test(flavor = "multi_thread")]
async fn hostnames_are_matched_whole() {
    let stage = Stage::new(open()).await;
    let instance = FakeInstance::start("hello").await;
    stage.instances(1, &[(instance.address, 4)]).await;
    for host in ["hello-acme.ignite.localhost", "HELLO-ACME.Ignite.Localhost:8080", "hello-acme.ignite.localhost."] {
        let answer = stage.call(&["GET / HTTP/1.1", &format!("host: {host}")], "").await;
        assert_eq!(answer.status, 200, "{host}");
    }
    for host in [
        "hello-acme.ignite.localhost.evil.com",
        "hello-acme.ignite.localhosts",
        "hello-acmeXignite.localhost",
        "other-acme.ignite.localhost",
        ".ignite.localhost",
        "ignite.localhost",
        "a.hello-acme.ignite.localhost",
        "127.0.0.1",
        "",
        "é.ignite.localhost",
    ] {
        let answer = stage.call(&["GET / HTTP/1.1", &format!("host: {host}")], "").await;
        assert!(matches!(answer.status, 400 | 404), "{host}: {answer:?}");
    }
    let twice = stage.call(&["GET / HTTP/1.1", HOST, "host: evil.example"], "").await;
    assert_eq!(twice.status, 400);
}

#[tokio::test(flavor = "multi_thread")]
async fn headers_of_the_platform_are_the_gateways_own() {
    let stage = Stage::new(open()).await;
    let mut instance = FakeInstance::start("hello").await;
    stage.instances(1, &[(instance.address, 4)]).await;
    let lines = [
        "GET / HTTP/1.1",
        HOST,
        "x-ignite-organization-id: evil",
        "X-Ignite-Execution-Id: 01ARZ3NDEKTSV4RRFFQ69G5FAV",
        "x-ignite-admin: yes",
        "connection: x-secret",
        "x-secret: 1",
        "authorization: Bearer theirs",
        "traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    ];
    stage.call(&lines, "").await;
    let headers = instance.asked.recv().await.unwrap().head.headers;
    assert_eq!(headers["x-ignite-organization-id"], "acme");
    assert_eq!(headers["x-ignite-function-id"], "acme/hello");
    assert_eq!(headers["x-ignite-version"], "1");
    assert_ne!(headers["x-ignite-execution-id"], "01ARZ3NDEKTSV4RRFFQ69G5FAV");
    assert_eq!(headers["authorization"], "Bearer theirs", "an app that everybody may call reads its own tokens");
    assert_eq!(headers["traceparent"], "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");
    assert!(!headers.contains_key("x-ignite-admin") && !headers.contains_key("x-secret"), "{headers:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn browsers_may_call_an_app_that_everybody_may_call() {
    let stage = Stage::new(open()).await;
    let mut instance = FakeInstance::start("hello").await;
    stage.instances(1, &[(instance.address, 4)]).await;
    let preflight = ["OPTIONS / HTTP/1.1", HOST, "origin: https://a.example", "access-control-request-method: PUT"];
    let answer = stage.call(&preflight, "").await;
    assert_eq!(answer.status, 204);
    assert!(answer.head.contains("access-control-allow-origin: *"), "{}", answer.head);
    assert!(instance.asked.try_recv().is_err());
    let answer = stage.call(&["GET / HTTP/1.1", HOST, "origin: https://a.example"], "").await;
    assert!(answer.head.contains("access-control-allow-origin: *"), "{}", answer.head);
    stage.route(1, &AppSettings::default(), 1).await;
    let answer = stage.call(&preflight, "").await;
    assert_eq!(answer.status, 401, "a browser has no business at an app that wants tokens");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_was_revoked_ends() {
    let stage = Stage::new(AppSettings::default()).await;
    let instance = FakeInstance::start("hello").await;
    stage.instances(1, &[(instance.address, 4)]).await;
    // Not known to the gateway yet, so nothing is remembered of it.
    let id = ignite_core_model::TokenId::from_parts(1, 1);
    stage.meta.revoke_token(&"acme".parse().unwrap(), id, 5).await.unwrap();
    let answer = stage.call(&["GET / HTTP/1.1", HOST, &format!("authorization: Bearer {TOKEN}")], "").await;
    assert_eq!(answer.kind(), "invalid_token");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_of_the_control_plane_is_let_in_and_keeps_its_execution() {
    const ID: &str = "01ARZ3NDEKTSV4RRFFQ69G5FAV";
    let stage = Stage::new(AppSettings::default()).await;
    let mut instance = FakeInstance::start("hello").await;
    stage.instances(1, &[(instance.address, 4)]).await;
    let (key, id) = (format!("x-ignite-platform-key: {PLATFORM_KEY}"), format!("x-ignite-execution-id: {ID}"));
    let lines = ["POST / HTTP/1.1", HOST, &key, &id, "authorization: Bearer the app's own"];
    let answer = stage.call(&lines, "payload").await;
    assert_eq!((answer.status, answer.body.as_str()), (200, "hello"));
    assert!(answer.head.contains(&format!("x-ignite-execution-id: {}", ID.to_lowercase())), "{}", answer.head);
    let headers = instance.asked.recv().await.unwrap().head.headers;
    assert_eq!(headers["x-ignite-execution-id"], ID);
    assert_eq!(headers["authorization"], "Bearer the app's own");
    assert!(!headers.contains_key("x-ignite-platform-key"), "the key was passed on");
    // Its own refusals tell the id, too: so control knows that it was recognised.
    let unknown = ["POST / HTTP/1.1", "host: nobody-acme.ignite.localhost", &key, &id];
    let answer = stage.call(&unknown, "").await;
    assert_eq!((answer.status, answer.kind().as_str()), (404, "unknown_host"));
    assert!(answer.head.contains(&ID.to_lowercase()) && answer.body.contains(ID), "{answer:?}");
    for wrong in ["x-ignite-platform-key: ", "x-ignite-platform-key: another key, which is as long as the right one"] {
        let answer = stage.call(&["POST / HTTP/1.1", HOST, wrong, &id], "").await;
        assert_eq!(answer.status, 401, "{wrong}");
        assert!(!answer.head.contains(&ID.to_lowercase()) && !answer.body.contains(ID), "{answer:?}");
    }
    assert!(instance.asked.try_recv().is_err(), "a refused request reached the app");
}
