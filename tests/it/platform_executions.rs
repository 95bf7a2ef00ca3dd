//! Calls that nobody waits for, and code that is only tried, on a whole platform.

use std::thread;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ignite_tests::platform::{Platform, STEP_MAX, Start};
use serde_json::{Value, json};

use crate::platform::handler;

/// Executions that are under way when the platform is killed.
const EXECUTIONS: usize = 12;

fn execution(platform: &Platform, id: &str) -> Value {
    platform.call("GetExecution", &json!({ "executionId": id })).unwrap()["execution"].clone()
}

/// An execution once it has ended.
fn ended(platform: &Platform, id: &str) -> Value {
    let deadline = Instant::now() + STEP_MAX;
    loop {
        let execution = execution(platform, id);
        if execution["endedAtMs"].is_string() {
            return execution;
        }
        assert!(Instant::now() < deadline, "{execution}");
        thread::sleep(Duration::from_millis(20));
    }
}

fn text(base64: &Value) -> String {
    String::from_utf8(STANDARD.decode(base64.as_str().unwrap_or_default()).unwrap()).unwrap()
}

#[test]
fn what_was_accepted_runs_though_the_platform_is_killed() {
    let (data, source) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut start = Start::new(data.path());
    let platform = start.start().unwrap();
    start.token = Some(platform.token.clone());
    platform.call("CreateApp", &json!({ "name": "slow" })).unwrap();
    let body = "import time\ndef handler(payload, ctx):\n    time.sleep(0.4)\n    if payload == b'boom':\n        raise ValueError('boom')\n    return b'did ' + payload + b' ' + ctx['execution_id'].encode()\n";
    handler(source.path(), body);
    platform.publish("slow", source.path()).unwrap();
    let accept = |payload: String| {
        let request = json!({ "appId": "slow", "body": STANDARD.encode(payload) });
        platform.call("InvokeAsync", &request).unwrap()["executionId"].as_str().unwrap().to_owned()
    };
    let boom = accept("boom".to_owned());
    let failed = ended(&platform, &boom);
    assert_eq!(
        (&failed["status"], &failed["attempts"], &failed["error"]),
        (&"EXECUTION_STATUS_FAILED".into(), &1.into(), &"boom".into()),
        "{failed}"
    );
    let ids: Vec<String> = (0..EXECUTIONS).map(|number| accept(number.to_string())).collect();
    // Some have begun and none can have ended all.
    let deadline = Instant::now() + STEP_MAX;
    while !ids.iter().any(|id| execution(&platform, id)["status"] == "EXECUTION_STATUS_RUNNING") {
        assert!(Instant::now() < deadline, "nothing runs");
    }
    drop(platform);
    let platform = start.start().unwrap();
    for (number, id) in ids.iter().enumerate() {
        let execution = ended(&platform, id);
        assert_eq!(execution["status"], "EXECUTION_STATUS_SUCCEEDED", "{execution}");
        assert_eq!(text(&execution["responseBody"]), format!("did {number} {id}"));
    }
    let again: u64 = ids.iter().map(|id| execution(&platform, id)["attempts"].as_u64().unwrap() - 1).sum();
    assert!(again > 0, "the kill cost no attempt, so nothing was shown");
    let stats = platform.call("GetExecutionStats", &json!({ "appId": "slow" })).unwrap();
    let expected = json!([
        { "status": "EXECUTION_STATUS_FAILED", "count": "1" },
        { "status": "EXECUTION_STATUS_SUCCEEDED", "count": EXECUTIONS.to_string() }
    ]);
    assert_eq!(stats["counts"], expected);
    platform.stop().unwrap();
}

#[test]
fn a_draft_is_tried_while_another_version_is_live() {
    let (data, source) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let platform = Platform::start(data.path()).unwrap();
    platform.call("CreateApp", &json!({ "name": "hello" })).unwrap();
    handler(source.path(), "def handler(payload, ctx):\n    return 'one'\n");
    platform.publish("hello", source.path()).unwrap();
    handler(
        source.path(),
        "print('loaded two')\ndef handler(payload, ctx):\n    print('called two')\n    return 'two ' + payload.decode()\n",
    );
    platform.save("hello", source.path()).unwrap();
    platform.call("CompileDraft", &json!({ "appId": "hello" })).unwrap();
    let deadline = Instant::now() + STEP_MAX;
    loop {
        let draft = &platform.call("GetDraftInfo", &json!({ "appId": "hello" })).unwrap()["draft"];
        if draft["compileStatus"] == "COMPILE_STATUS_SUCCEEDED" {
            break;
        }
        assert!(Instant::now() < deadline, "{draft}");
        thread::sleep(Duration::from_millis(20));
    }
    let call = json!({ "body": STANDARD.encode("now") });
    let tried = platform.call("TestDraft", &json!({ "appId": "hello", "call": call })).unwrap();
    let result = &tried["result"];
    assert_eq!((&result["status"], text(&result["body"])), (&200.into(), "two now".to_owned()), "{tried}");
    let lines: Vec<&str> = result["logs"].as_array().unwrap().iter().filter_map(|line| line["text"].as_str()).collect();
    assert!(lines.contains(&"loaded two") && lines.contains(&"called two"), "{lines:?}");
    assert_eq!(platform.ask("hello", b"").unwrap().text(), "one");
    let tried = platform.call("TestAppVersion", &json!({ "appId": "hello", "version": 1 })).unwrap();
    assert_eq!(text(&tried["result"]["body"]), "one", "{tried}");
    // Code that does not load says why, and what is live goes on.
    handler(source.path(), "raise RuntimeError('no database')\ndef handler(payload, ctx):\n    return b''\n");
    platform.save("hello", source.path()).unwrap();
    let refused = platform.call("TestDraft", &json!({ "appId": "hello" })).unwrap_err().to_string();
    assert!(refused.contains("not compiled"), "{refused}");
    assert_eq!(platform.ask("hello", b"").unwrap().text(), "one");
    platform.stop().unwrap();
}
