//! What people and programs read.

use expect_test::expect;
use serde_json::json;

use crate::stand_in::{Answer, Api};

fn app(name: &str, active: u32) -> serde_json::Value {
    json!({
        "id": format!("acme/{name}"), "name": name, "organizationName": "acme", "activeVersion": active,
        "runtime": { "rust": { "target": "RUST_COMPILATION_TARGET_WASM" } },
        "limits": { "memoryMb": 512, "cpuMillicores": 500, "timeoutSecs": 30 },
        "resourceTier": "RESOURCE_TIER_MEDIUM", "scaling": { "maxReplicas": 10, "idleSecs": 60 },
        "deploymentState": if active > 0 { "DEPLOYMENT_STATE_READY" } else { "DEPLOYMENT_STATE_CREATED" },
        "env": { "TOKEN": "" }, "description": "greets \u{1b}]0;people\u{7}",
        "url": format!("http://{name}-acme.ignite.localhost/"), "createdAtMs": "1716900000000"
    })
}

fn api() -> Api {
    Api::start(|call, before| match call.method.as_str() {
        "ListApps" if before == 0 => Answer::Json(json!({ "apps": [app("hello", 3)], "nextCursor": "hello" })),
        "ListApps" if before == 1 => Answer::Json(json!({ "apps": [app("shop", 0)] })),
        "ListApps" => Answer::Json(json!({ "apps": [app("hello", 3), app("shop", 0)] })),
        "GetApp" => Answer::Json(json!({ "app": app("hello", 3) })),
        "ListAppVersions" => Answer::Json(json!({ "versions": [
            { "version": 2, "status": "VERSION_STATUS_FAILED", "createdAtMs": "1716900000000", "runtime": { "python": {} },
              "failure": { "step": "start", "reason": "exit status 1\nmore" }, "codeHash": format!("sha256:{}", "a".repeat(64)) },
            { "version": 1, "status": "VERSION_STATUS_ACTIVE", "createdAtMs": "1716900000000", "artifactBytes": "48213",
              "artifactDigest": format!("sha256:{}", "b".repeat(64)), "codeKind": "CODE_KIND_SDK" },
        ] })),
        "ListAppInstances" => Answer::Json(json!({ "instances": [
            { "id": "01HYZX00000000000000ABCDEF", "version": 1, "state": "INSTANCE_STATE_HEALTHY", "startedAtMs": "1716900000000" },
            { "id": "01HYZX00000000000000ABCDEG", "version": 1, "state": "INSTANCE_STATE_UNHEALTHY", "restarts": 2,
              "reason": "exit status 1" },
        ] })),
        "GetAppState" => Answer::Json(json!({
            "deploymentState": "DEPLOYMENT_STATE_READY", "activeVersion": 1, "wantedInstances": 2, "healthyInstances": 1,
            "url": "http://hello-acme.ignite.localhost/",
            "rollout": { "id": "01HYZX00000000000000ABCDEF", "kind": "publish", "version": 2, "status": "COMPILE_STATUS_FAILED",
                         "beganAtMs": "1716900000000", "failure": { "step": "start", "reason": "it was\nnot healthy" } }
        })),
        "GetAppLogs" => Answer::Json(json!({ "lines": [
            { "sequence": "2", "timestampMs": "1716900000200", "stream": "stderr", "text": "second", "instanceId": "01HYZX00000000000000ABCDEG" },
            { "sequence": "1", "timestampMs": "1716900000100", "stream": "stdout", "text": "first", "instanceId": "01HYZX00000000000000ABCDEF" },
        ] })),
        "ListTokens" => Answer::Json(json!({ "tokens": [
            { "id": "01HYZX00000000000000ABCDEF", "scopes": ["GetApp", "ListApps"], "createdAtMs": "1716900000000", "note": "ci" },
        ] })),
        "ListSecrets" => Answer::Json(
            json!({ "secrets": [{ "name": "hub", "type": "registry_secret", "updatedAtMs": "1716900000000" }] }),
        ),
        "GetExecution" => Answer::Json(json!({ "execution": {
            "id": "01HYZX00000000000000ABCDEF", "appId": "acme/hello", "version": 3, "status": "EXECUTION_STATUS_SUCCEEDED",
            "responseStatus": 200, "responseBody": "eyJvayI6dHJ1ZX0=", "attempts": 1, "createdAtMs": "1716900000000",
            "startedAtMs": "1716900000010", "endedAtMs": "1716900000048"
        } })),
        method => panic!("nobody expected {method}"),
    })
}

#[test]
fn lists_are_tables() {
    let api = api();
    expect![[r#"
        APP         STATE    ACTIVE  RUNTIME    TIER    URL
        acme/hello  ready    v3      rust wasm  medium  http://hello-acme.ignite.localhost/
        acme/shop   created  -       rust wasm  medium  http://shop-acme.ignite.localhost/
        --- exit 0
    "#]]
    .assert_eq(&api.ignite(&["app", "list"]).all());
    expect![[r#"
        APP         STATE    ACTIVE  RUNTIME    TIER    MEMORY   CPU   INSTANCES  ACCESS  CREATED               URL
        acme/hello  ready    v3      rust wasm  medium  512 MiB  500m  0..10      token   2024-05-28 12:40:00Z  http://hello-acme.ignite.localhost/
        acme/shop   created  -       rust wasm  medium  512 MiB  500m  0..10      token   2024-05-28 12:40:00Z  http://shop-acme.ignite.localhost/
        --- exit 0
    "#]]
    .assert_eq(&api.ignite(&["app", "list", "-o", "wide"]).all());
    expect![[r#"
        VERSION  STATUS  RUNTIME  CREATED               SOURCE
        v2       failed  python   2024-05-28 12:40:00Z  sha256:aaaaaaaaaaaa
        v1       active  -        2024-05-28 12:40:00Z  -
        --- exit 0
    "#]]
    .assert_eq(&api.ignite(&["version", "list", "acme:hello"]).all());
    expect![[r#"
        INSTANCE                    VERSION  STATE      RESTARTS  STARTED               REASON
        01HYZX00000000000000ABCDEF  v1       healthy    -         2024-05-28 12:40:00Z  -
        01HYZX00000000000000ABCDEG  v1       unhealthy  2         -                     exit status 1
        --- exit 0
    "#]]
    .assert_eq(&api.ignite(&["app", "instances", "acme/hello"]).all());
    expect![[r#"
        TOKEN                       SCOPES           CREATED               EXPIRES  REVOKED  NOTE
        01HYZX00000000000000ABCDEF  GetApp,ListApps  2024-05-28 12:40:00Z  never    -        ci
        --- exit 0
    "#]]
    .assert_eq(&api.ignite(&["token", "list"]).all());
    expect![[r#"
        SECRET  TYPE      UPDATED
        hub     registry  2024-05-28 12:40:00Z
        --- exit 0
    "#]]
    .assert_eq(&api.ignite(&["secret", "list"]).all());
    assert_eq!(api.calls_of("ListApps")[1]["cursor"], "hello");
    assert!(api.calls().iter().all(|call| call.authorization.as_deref() == Some("Bearer hunter2")));
}

#[test]
fn one_thing_is_a_list_of_its_words() {
    let api = api();
    expect![[r#"
        app        acme/hello
        url        http://hello-acme.ignite.localhost/
        state      ready
        active     v3
        runtime    rust wasm
        tier       medium (512 MiB, 500m)
        instances  0 to 10
        access     token
        variables  TOKEN
        about      greets \u{1b}]0;people\u{7}
        --- exit 0
    "#]]
    .assert_eq(&api.ignite(&["app", "get", "hello"]).all());
    expect![[r#"
        state      ready
        active     v1
        instances  1 of 2 healthy
        url        http://hello-acme.ignite.localhost/
        last       publish v2: failed, 2024-05-28 12:40:00Z
        because    start: it was
                   not healthy
        --- exit 0
    "#]]
    .assert_eq(&api.ignite(&["app", "state", "hello"]).all());
    expect![[r#"
        execution  01HYZX00000000000000ABCDEF
        app        acme/hello
        version    v3
        status     succeeded
        answer     200
        attempts   1
        created    2024-05-28 12:40:00Z
        took       38 ms
        body       {"ok":true}
        --- exit 0
    "#]]
    .assert_eq(&api.ignite(&["exec", "get", "01HYZX00000000000000ABCDEF"]).all());
    expect![[r#"
        2024-05-28T12:40:00.100Z ABCDEF stdout first
        2024-05-28T12:40:00.200Z ABCDEG stderr second
        --- exit 0
    "#]]
    .assert_eq(&api.ignite(&["app", "logs", "hello"]).all());
    assert_eq!(api.ignite(&["execution", "logs", "E1"]).out.lines().count(), 2);
    assert_eq!(api.calls_of("GetAppLogs")[1], json!({ "appId": "acme/hello", "executionId": "E1" }));
}

#[test]
fn programs_get_the_shape_of_the_api() {
    let api = api();
    let said = api.ignite(&["app", "get", "hello", "-o", "json"]);
    let value: serde_json::Value = serde_json::from_str(&said.out).unwrap();
    assert_eq!(value["activeVersion"], 3);
    assert_eq!(value["resourceTier"], "RESOURCE_TIER_MEDIUM");
    // Scripts of before read these.
    assert_eq!(value["active_version"], 3);
    assert_eq!(value["public_urls"], json!(["http://hello-acme.ignite.localhost/"]));
    let said = api.ignite(&["app", "list", "-o", "json"]);
    let value: serde_json::Value = serde_json::from_str(&said.out).unwrap();
    assert_eq!(value["apps"].as_array().unwrap().len(), 2);
    let said = api.ignite(&["app", "logs", "hello", "-o", "json"]);
    let lines: Vec<serde_json::Value> = said.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!([&lines[0]["text"], &lines[1]["text"]], ["first", "second"]);
    let said = api.ignite(&["secret", "list", "-o", "yaml"]);
    assert!(said.out.contains("- name: hub"), "{}", said.out);
}

#[test]
fn a_list_stops_where_it_was_told_to() {
    let api = api();
    let said = api.ignite(&["app", "list", "--limit", "1"]);
    assert_eq!((said.out.lines().count(), said.err.as_str()), (2, "there are more: --limit shows them\n"));
    assert_eq!(api.calls_of("ListApps"), [json!({ "limit": 1 })]);
}
