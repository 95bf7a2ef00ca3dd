//! The whole platform in one process: an author's way from a folder to a hostname and back, over the API.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use ignite_tests::client::ask;
use ignite_tests::platform::{Platform, STEP_MAX, Start};
use ignite_tests::product::{binary, repository};
use serde_json::{Value, json};

/// A Python app.
pub(crate) fn handler(folder: &Path, body: &str) {
    fs::create_dir_all(folder).unwrap();
    fs::write(folder.join("handler.py"), body).unwrap();
}

/// Status and body of a call.
fn asked(platform: &Platform, app: &str, body: &[u8]) -> (u16, String) {
    let answer = platform.ask(app, body).unwrap();
    (answer.status, answer.text())
}

fn ok(body: &str) -> (u16, String) {
    (200, body.to_owned())
}

fn assert_failed(rollout: &Value, step: &str, reason: &str) {
    let (status, failure) = (&rollout["status"], &rollout["failure"]);
    assert_eq!((status.as_str(), failure["step"].as_str()), (Some("COMPILE_STATUS_FAILED"), Some(step)), "{rollout}");
    assert!(failure["reason"].as_str().unwrap().contains(reason), "{rollout}");
}

#[test]
fn an_author_deploys_changes_breaks_and_rolls_back() {
    let (data, source) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let platform = Platform::start(data.path()).unwrap();
    let config = json!({ "scaling": { "idleSecs": 1 } });
    platform.call("CreateApp", &json!({ "name": "hello", "config": config })).unwrap();

    handler(source.path(), "def handler(payload, ctx):\n    return 'one ' + ctx['function_id']\n");
    let first = platform.publish("hello", source.path()).unwrap();
    assert_eq!(first["status"], "COMPILE_STATUS_SUCCEEDED", "{first}");
    assert_eq!(asked(&platform, "hello", b""), ok("one local/hello"));

    handler(source.path(), "def handler(payload, ctx):\n    return 'two ' + payload.decode()\n");
    platform.publish("hello", source.path()).unwrap();
    assert_eq!(asked(&platform, "hello", b"now"), ok("two now"));

    // Neither a compile that fails nor a start that fails changes what is live.
    handler(source.path(), "def handlr(payload, ctx):\n    return b''\n");
    assert_failed(&platform.publish("hello", source.path()).unwrap(), "compile", "handler");
    handler(source.path(), "raise RuntimeError('no database')\ndef handler(payload, ctx):\n    return b''\n");
    assert_failed(&platform.publish("hello", source.path()).unwrap(), "start", "no database");
    assert_eq!(asked(&platform, "hello", b"still"), ok("two still"));

    platform.roll_back("hello", 1).unwrap();
    assert_eq!(asked(&platform, "hello", b""), ok("one local/hello"));

    // To zero and back.
    platform.wait_state("hello", |state| state["deploymentState"] == "DEPLOYMENT_STATE_IDLE").unwrap();
    assert_eq!(asked(&platform, "hello", b""), ok("one local/hello"));
    let events = platform.call("GetAppEvents", &json!({ "appId": "hello" })).unwrap();
    assert!(events["events"].as_array().unwrap().len() > 10, "{events}");
    platform.stop().unwrap();
}

#[test]
fn a_handler_that_crashes_is_served_again_and_told_of() {
    let (data, source) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let platform = Platform::start(data.path()).unwrap();
    platform.call("CreateApp", &json!({ "name": "crash" })).unwrap();
    // One second after it was imported, the process ends whatever it does.
    let body = "import os, threading\n\
                def handler(payload, ctx):\n    \
                if payload == b'crash':\n        threading.Timer(1, lambda: os._exit(3)).start()\n    \
                return 'here'\n";
    handler(source.path(), body);
    platform.publish("crash", source.path()).unwrap();
    assert_eq!(asked(&platform, "crash", b"crash"), ok("here"));
    let deadline = Instant::now() + STEP_MAX;
    loop {
        let logs = platform.call("GetAppLogs", &json!({ "appId": "crash" })).unwrap();
        if logs.to_string().contains("exit code 3") || logs.to_string().contains("code 3") {
            break;
        }
        assert!(Instant::now() < deadline, "the crash is not told: {logs}");
        thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(asked(&platform, "crash", b""), ok("here"));
}

#[test]
fn what_is_deleted_is_gone() {
    let (data, source) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let platform = Platform::start(data.path()).unwrap();
    platform.call("CreateApp", &json!({ "name": "gone" })).unwrap();
    handler(source.path(), "def handler(payload, ctx):\n    return 'here'\n");
    platform.publish("gone", source.path()).unwrap();
    assert_eq!(asked(&platform, "gone", b""), ok("here"));
    platform.call("DeleteApp", &json!({ "appId": "gone" })).unwrap();
    let deadline = Instant::now() + STEP_MAX;
    while asked(&platform, "gone", b"").0 != 404 {
        assert!(Instant::now() < deadline, "the route is still there");
        thread::sleep(Duration::from_millis(20));
    }
    // Its name is free again when its instances have drained.
    while let Ok(app) = platform.call("GetApp", &json!({ "appId": "gone" })) {
        assert!(Instant::now() < deadline, "the app is still there: {app}");
        thread::sleep(Duration::from_millis(20));
    }
    platform.call("CreateApp", &json!({ "name": "gone" })).unwrap();
}

#[test]
fn a_change_of_environment_is_a_new_version() {
    let (data, source) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let platform = Platform::start(data.path()).unwrap();
    let env = |value: &str| json!({ "env": { "values": { "GREETING": value } } });
    platform.call("CreateApp", &json!({ "name": "env", "config": env("hello") })).unwrap();
    handler(source.path(), "import os\ndef handler(payload, ctx):\n    return os.environ['GREETING']\n");
    platform.publish("env", source.path()).unwrap();
    assert_eq!(asked(&platform, "env", b""), ok("hello"));
    platform.call("UpdateAppConfig", &json!({ "appId": "env", "config": env("good day") })).unwrap();
    assert_eq!(asked(&platform, "env", b""), ok("hello"), "what runs is not touched");
    platform.publish("env", source.path()).unwrap();
    assert_eq!(asked(&platform, "env", b""), ok("good day"));
    platform.roll_back("env", 1).unwrap();
    assert_eq!(asked(&platform, "env", b""), ok("hello"));
}

#[test]
fn a_platform_that_was_killed_goes_on() {
    let (data, source) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut start = Start::new(data.path());
    let platform = start.start().unwrap();
    start.token = Some(platform.token.clone());
    platform.call("CreateApp", &json!({ "name": "kept", "config": { "allowUnauthenticated": true } })).unwrap();
    handler(source.path(), "def handler(payload, ctx):\n    print('a line')\n    return 'kept'\n");
    platform.publish("kept", source.path()).unwrap();
    assert_eq!(asked(&platform, "kept", b""), ok("kept"));
    let has_line = |platform: &Platform| {
        let logs = platform.call("GetAppLogs", &json!({ "appId": "kept" })).unwrap();
        logs["lines"].as_array().is_some_and(|lines| lines.iter().any(|line| line["text"] == "a line"))
    };
    let deadline = Instant::now() + STEP_MAX;
    while !has_line(&platform) {
        assert!(Instant::now() < deadline, "the line is not kept");
        thread::sleep(Duration::from_millis(20));
    }
    // `kill -9`, with a publish under way.
    platform.call("PublishDraft", &json!({ "appId": "kept" })).unwrap();
    drop(platform);
    let platform = start.start().unwrap();
    let ended = platform.rollout("kept").unwrap();
    let told = (&ended["status"], &ended["version"]);
    assert_eq!(told, (&json!("COMPILE_STATUS_SUCCEEDED"), &json!(2)), "{ended}");
    assert_eq!(asked(&platform, "kept", b""), ok("kept"));
    assert!(has_line(&platform));
}

#[test]
fn one_folder_has_one_platform() {
    let data = tempfile::tempdir().unwrap();
    let start = Start::new(data.path());
    let platform = start.start().unwrap();
    let deadline = Instant::now() + STEP_MAX;
    loop {
        let ready = ask(&platform.api, "GET", "/readyz", "", b"").unwrap();
        if ready.status == 200 {
            break;
        }
        assert!(ready.text().contains("waits for") && Instant::now() < deadline, "{}", ready.text());
        thread::sleep(Duration::from_millis(20));
    }
    let refused = start.start().err().unwrap().to_string();
    assert!(refused.contains("another `ignite serve`"), "{refused}");
    platform.stop().unwrap();
}

#[test]
fn a_backup_that_was_taken_while_serving_is_another_platform() {
    let (data, source) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let platform = Platform::start(data.path()).unwrap();
    platform.call("CreateApp", &json!({ "name": "saved" })).unwrap();
    handler(source.path(), "def handler(payload, ctx):\n    return 'saved'\n");
    platform.publish("saved", source.path()).unwrap();
    let backup = data.path().join("backup");
    let admin = |verb: &str, arguments: &[&Path]| {
        let output = Command::new(binary("ignite").unwrap())
            .args(["-o", "json", "admin", verb, "--data"])
            .args(&arguments[..1])
            .arg(if verb == "backup" { "--out" } else { "--from" })
            .args(&arguments[1..])
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        (output.status.code(), serde_json::from_slice::<Value>(&output.stdout).unwrap_or_default(), said)
    };
    let (code, done, said) = admin("backup", &[&data.path().join("data"), &backup]);
    assert!(code == Some(0) && done["rows"].as_u64() > Some(5) && done["objects"].as_u64() >= Some(2), "{done} {said}");
    // A folder in use is not restored into, and what is there stays.
    let (code, _, said) = admin("restore", &[&data.path().join("data"), &backup]);
    assert!(code == Some(9) && said.contains("another `ignite serve`"), "{code:?} {said}");

    let other = tempfile::tempdir().unwrap();
    let mut start = Start::new(other.path());
    start.token = Some(platform.token.clone());
    drop(platform);
    let (code, restored, said) = admin("restore", &[&start.data, &backup]);
    assert!(code == Some(0) && restored["objects"] == done["objects"], "{restored} {said}");
    let (code, _, said) = admin("restore", &[&start.data, &backup]);
    assert!(code == Some(9) && said.contains("empty"), "a second time finds records there: {code:?} {said}");
    let platform = start.start().unwrap();
    assert_eq!(asked(&platform, "saved", b""), ok("saved"));
    assert_eq!(platform.call("ListAppVersions", &json!({ "appId": "saved" })).unwrap()["versions"][0]["version"], 1);
}

#[test]
fn every_language_is_served() {
    let data = tempfile::tempdir().unwrap();
    let platform = Platform::start(data.path()).unwrap();
    let examples = [("python", "hello-python"), ("go", "hello-go"), ("deno", "hello-deno"), ("rust", "hello-rust")];
    for (app, example) in examples {
        platform.call("CreateApp", &json!({ "name": app })).unwrap();
        let ended = platform.publish(app, &repository().join("examples").join(example)).unwrap();
        assert_eq!(ended["status"], "COMPILE_STATUS_SUCCEEDED", "{app}: {ended}");
        let (status, text) = asked(&platform, app, br#"{"name": "Ada"}"#);
        assert!(status == 200 && text.contains("Ada"), "{app}: {status} {text}");
    }
}
