//! What takes long: followed to its end, over connections that break.

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};

use expect_test::expect;
use ignite_cli::Exit;
use serde_json::{Value, json};

use crate::stand_in::{Answer, Api, End};

fn rollout(status: &str, step: &str) -> Value {
    let ended = if status == "RUNNING" { "0" } else { "1716900002000" };
    json!({ "rollout": {
        "id": "01HYZX00000000000000ABCDEF", "kind": "publish", "version": 4, "status": format!("COMPILE_STATUS_{status}"),
        "step": step, "compileId": if step == "compile" { "C1" } else { "" }, "endedAtMs": ended,
        "failure": if status == "FAILED" { json!({ "step": "start", "reason": "exit status 1:\nno database" }) } else { Value::Null }
    } })
}

fn line(sequence: u64, text: &str) -> Value {
    json!({ "lines": [{ "sequence": sequence.to_string(), "text": text, "timestampMs": "1716900000000", "stream": "stdout" }] })
}

/// An API whose streams break once each.
fn api(end: &'static str) -> Api {
    Api::start(move |call, before| match (call.method.as_str(), before) {
        ("PublishDraft" | "RollbackApp", _) => Answer::Json(rollout("RUNNING", "compile")),
        ("Deploy", _) => {
            let mut answer = rollout("RUNNING", "compile");
            answer["appId"] = "acme/hello".into();
            answer["url"] = "http://hello-acme.ignite.localhost/".into();
            Answer::Json(answer)
        }
        ("StreamCompileLogs", 0) => Answer::Stream(vec![line(1, "resolving")], End::Broken),
        ("StreamCompileLogs", _) => Answer::Stream(
            vec![
                json!({ "lines": [{ "sequence": "2", "text": "packing\nall" }], "status": "COMPILE_STATUS_SUCCEEDED" }),
            ],
            End::Done,
        ),
        ("WatchRollout", 0) => {
            Answer::Stream(vec![rollout("RUNNING", "compile"), rollout("RUNNING", "start")], End::Done)
        }
        ("WatchRollout", 1) => Answer::Refused(503, "unavailable", "restarting"),
        ("WatchRollout", _) => Answer::Stream(vec![rollout(end, "")], End::Done),
        ("GetApp", _) => {
            Answer::Json(json!({ "app": { "id": "acme/hello", "url": "http://hello-acme.ignite.localhost/" } }))
        }
        (method, _) => panic!("nobody expected {method}"),
    })
}

#[test]
fn a_publish_is_followed_over_breaks() {
    let api = api("SUCCEEDED");
    expect![[r#"
        app      acme/hello
        version  v4
        url      http://hello-acme.ignite.localhost/
        --- exit 0
        compiling
          | resolving
          | packing
          | all
        starting v4
        v4 is live
    "#]]
    .assert_eq(&api.ignite(&["draft", "publish", "hello"]).all());
    assert_eq!(
        api.calls_of("StreamCompileLogs")[1],
        json!({ "appId": "hello", "compileId": "C1", "fromSequence": "2" })
    );
}

#[test]
fn a_publish_that_fails_ends_with_its_reason() {
    let api = api("FAILED");
    let said = api.ignite(&["draft", "publish", "hello", "-q"]);
    expect![[r#"
        --- exit 1
        error: could not publish `hello`
          cause: start: exit status 1:
                 no database
        hint: `ignite app logs hello` shows what it printed; what was live before still is
    "#]]
    .assert_eq(&said.all());
}

#[test]
fn a_deploy_takes_a_folder_to_a_hostname() {
    let api = api("SUCCEEDED");
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("handler.py"), "def handler(payload, ctx):\n    return b''\n").unwrap();
    let manifest = "name = \"hello\"\norg = \"acme\"\nruntime = \"python\"\ntier = \"small\"\n[env]\nA = \"1\"\n[scaling]\nreserved = 1\n";
    std::fs::write(dir.path().join("ignite.toml"), manifest).unwrap();
    let said = api.ignite(&["deploy", dir.path().to_str().unwrap(), "--tier", "large", "--allow-unauthenticated"]);
    assert_eq!(said.exit, Exit::Done, "{}", said.err);
    assert!(said.out.contains("v4") && said.out.contains("http://hello-acme.ignite.localhost/"), "{}", said.out);
    let request = &api.calls_of("Deploy")[0];
    assert_eq!(request["appId"], "acme/hello");
    let config = json!({
        "resourceTier": "RESOURCE_TIER_LARGE", "allowUnauthenticated": true, "scaling": { "reserved": 1 },
        "env": { "values": { "A": "1" } }
    });
    assert_eq!(request["config"], config);
    assert!(request["code"]["compile"]["sourceCode"].is_string(), "{request}");
    let json = api.ignite(&["-o", "json", "app", "deploy", "acme:hello", "--code", dir.path().to_str().unwrap()]);
    let value: Value = serde_json::from_str(&json.out).unwrap();
    assert_eq!(value["rollout"]["status"], "COMPILE_STATUS_SUCCEEDED");
}

#[test]
fn a_rollback_that_is_not_waited_for_says_how_to_come_back() {
    let api = api("SUCCEEDED");
    expect![[r#"
        01HYZX00000000000000ABCDEF
        --- exit 0
        it goes on without you; `ignite app state hello --follow` comes back to it
    "#]]
    .assert_eq(&api.ignite(&["version", "rollback", "hello", "v2", "--detach"]).all());
}

#[test]
fn logs_go_on_where_they_broke_until_the_app_is_gone() {
    let api = Api::start(|call, before| match (call.method.as_str(), before) {
        ("StreamAppLogs", 0) => Answer::Stream(vec![line(7, "one"), line(8, "two")], End::Broken),
        ("StreamAppLogs", _) => Answer::Stream(vec![line(9, "three")], End::Done),
        (method, _) => panic!("nobody expected {method}"),
    });
    let said = api.ignite(&["app", "logs", "-f", "hello", "-o", "json"]);
    assert_eq!(said.exit, Exit::Done, "{}", said.err);
    let texts: Vec<Value> =
        said.out.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["text"].clone()).collect();
    assert_eq!(texts, ["one", "two", "three"]);
    assert_eq!(api.calls_of("StreamAppLogs")[1]["fromSequence"], "9");
}

#[test]
fn an_answer_is_passed_on_as_it_comes() {
    let head = json!({ "head": { "status": 201, "executionId": "E1", "version": 2 } });
    let answer = move |end: Value| {
        let head = head.clone();
        Api::start(move |_, _| {
            let chunks = ["aGVs", "bG8="].map(|chunk| json!({ "chunk": chunk }));
            Answer::Stream([head.clone()].into_iter().chain(chunks).chain([end.clone()]).collect(), End::Done)
        })
    };
    let api = answer(json!({ "trailer": { "durationUs": "5" } }));
    let said = api.ignite(&["invoke", "acme:hello", "-p", "{\"name\": \"ada\"}", "--path", "/x?y=1"]);
    assert_eq!((said.exit, said.out.as_str()), (Exit::Done, "hello"), "{}", said.err);
    assert!(said.err.starts_with("status 201  execution E1  version v2"), "{}", said.err);
    let request = &api.calls_of("Invoke")[0];
    assert_eq!((&request["appId"], &request["http"]["query"]), (&json!("acme/hello"), &json!("y=1")));
    let api = answer(json!({ "trailer": { "error": "the instance died" } }));
    let said = api.ignite(&["invoke", "hello"]);
    assert_eq!((said.exit, said.out.as_str()), (Exit::Unavailable, "hello"));
    assert!(said.err.contains("the instance died"), "{}", said.err);
}

#[test]
fn an_execution_is_left_and_come_back_to() {
    let execution = |status: &str| json!({ "execution": { "id": "E1", "status": status, "responseStatus": 200, "responseBody": "aGk=" } });
    let api = Api::start(move |call, before| match (call.method.as_str(), before) {
        ("InvokeAsync", _) => Answer::Json(json!({ "executionId": "E1" })),
        ("WatchExecution", 0) => Answer::Stream(vec![execution("EXECUTION_STATUS_RUNNING")], End::Broken),
        ("WatchExecution", _) => Answer::Stream(vec![execution("EXECUTION_STATUS_SUCCEEDED")], End::Done),
        (method, _) => panic!("nobody expected {method}"),
    });
    assert_eq!(api.ignite(&["invoke", "hello", "--async"]).out, "E1\n");
    let said = api.ignite(&["invoke", "hello", "--async", "--follow"]);
    assert_eq!((said.exit, said.out.as_str()), (Exit::Done, "hi"), "{}", said.err);
}

/// As people press it: the signal goes to the process.
#[test]
fn ctrl_c_detaches_and_says_how_to_come_back() {
    let api = Api::start(|call, _| match call.method.as_str() {
        "PublishDraft" => Answer::Json(rollout("RUNNING", "start")),
        "WatchRollout" => Answer::Stream(vec![rollout("RUNNING", "start")], End::Open),
        method => panic!("nobody expected {method}"),
    });
    let mut child = Command::new(env!("CARGO_BIN_EXE_ignite"))
        .args(["draft", "publish", "acme:hello"])
        .env("IGNITE_API_ENDPOINT", &api.address)
        .env("IGNITE_TOKEN", "hunter2")
        .env("IGNITE_CONFIG_DIR", api.home.path())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok);
    assert_eq!(lines.next().unwrap(), "starting v4");
    let pressed = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(pressed.success());
    assert_eq!(
        lines.next().unwrap(),
        "it goes on without you; `ignite app state acme/hello --follow` comes back to it"
    );
    assert_eq!(child.wait().unwrap().code(), Some(130));
}
