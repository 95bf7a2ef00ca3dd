//! Hosts that are up before they know their app.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::thread;
use std::time::Duration;

use ignite_tests::client::{Client, ask};
use ignite_tests::host::Host;
use ignite_tests::product::{binary, compile, repository};
use serde_json::{Value, json};

use crate::app::{SOON, artifact, wait_until};
use crate::behaviour::{TARGETS, cases};
use crate::faults::{below, signal};

/// What a host that is of no use any more may take to end.
const END_MAX: Duration = Duration::from_secs(10);

fn order(artifact: &Path) -> Value {
    json!({ "artifact": artifact })
}

fn give(host: &Host, order: &Value) -> (u16, Value) {
    host.specialize(&order.to_string()).unwrap()
}

fn refused(host: &Host, order: &Value, status: u16, kind: &str) -> String {
    let (found, answer) = give(host, order);
    assert_eq!((found, &answer["type"]), (status, &json!(kind)), "{answer}");
    answer["error"].as_str().unwrap().to_owned()
}

fn health(host: &Host) -> (u16, String) {
    let mut client = Client::connect(host.address()).unwrap();
    client.request("GET", "/healthz", "", b"").unwrap();
    let answer = client.answer().unwrap();
    (answer.status, answer.json()["status"].as_str().unwrap().to_owned())
}

/// A Python app of one file.
fn python(dir: &Path, name: &str, files: &[(&str, &str)]) -> PathBuf {
    let project = dir.join(name);
    fs::create_dir(&project).unwrap();
    for (file, source) in files {
        fs::write(project.join(file), source).unwrap();
    }
    compile(&project, dir, &[]).unwrap()
}

/// All that an app shows where it is served from the start it shows on a host that was warm, too.
fn check(target: &str, runtime: &str) {
    let (_, app, flags) = TARGETS.into_iter().find(|(name, ..)| *name == target).unwrap();
    let out = tempfile::tempdir().unwrap();
    let artifact = compile(&repository().join("tests/cases/apps").join(app), out.path(), flags).unwrap();
    let mut order = order(&artifact);
    order["function_id"] = json!("acme/cases");
    order["env"] = json!({ "CASE_GREETING": "bonjour" });
    order["limits"] = json!({ "timeout_ms": 2000 });
    let mut failures = vec![];
    for case in cases().iter().filter(|case| !case.unsupported.contains_key(target)) {
        let host = Host::warm(runtime, &[]).unwrap();
        let (status, answer) = give(&host, &order);
        assert_eq!(status, 200, "{answer}");
        assert_eq!((&answer["status"], &answer["warm"]), (&json!("ready"), &json!(true)), "{answer}");
        failures.extend(case.check(&host).err().map(|error| format!("{error:#}")));
    }
    assert!(failures.is_empty(), "{} cases fail on warm {target}:\n- {}", failures.len(), failures.join("\n- "));
}

#[test]
fn python_behaves_as_ever() {
    check("python", "python");
}

#[test]
fn go_behaves_as_ever() {
    check("go", "go");
}

#[test]
fn deno_behaves_as_ever() {
    check("deno", "deno");
}

#[test]
fn rust_behaves_as_ever() {
    check("rust", "rust");
}

#[test]
fn components_behave_as_ever() {
    check("wasm", "wasm");
}

#[test]
fn a_host_is_warm_until_it_is_specialised_and_that_once() {
    for runtime in ["python", "go", "rust", "deno", "wasm"] {
        let host = Host::warm(runtime, &[]).unwrap();
        assert_eq!(health(&host), (503, "warm".to_owned()), "{runtime}");
        let early = ask(host.address(), "POST", "/", "", b"").unwrap();
        let words = early.error(503, "unavailable").unwrap();
        assert!(words.contains("no app yet"), "{words}");
        if runtime == "python" {
            let (status, answer) = give(&host, &order(artifact()));
            assert_eq!(status, 200, "{answer}");
            assert_eq!(health(&host), (200, "ready".to_owned()));
            assert_eq!(ask(host.address(), "POST", "/echo", "", b"x").unwrap().text(), "x");
            refused(&host, &order(artifact()), 409, "already_specialized");
            assert_eq!(ask(host.address(), "POST", "/echo", "", b"y").unwrap().text(), "y");
        }
    }
}

#[test]
fn the_app_gets_its_ids_limits_and_environment_and_the_callers_decide_where_they_say() {
    let dir = tempfile::tempdir().unwrap();
    let source = "
import os
def handler(payload, ctx):
    return {'ids': [ctx.function_id, ctx.organization_id], 'ms': ctx.remaining() * 1000,
            'env': {name: os.environ.get(name) for name in ('A', 'B', 'C')}}
";
    let artifact = python(dir.path(), "app", &[("handler.py", source)]);
    let host = Host::warm("python", &[("IGNITE_ENV_A", "host"), ("IGNITE_ENV_B", "host")]).unwrap();
    let mut order = order(&artifact);
    order["function_id"] = json!("acme/paint");
    order["env"] = json!({ "B": "order", "C": "order" });
    order["limits"] = json!({ "timeout_ms": 700, "payload_bytes_max": 3 });
    assert_eq!(give(&host, &order).0, 200);
    let answer = ask(host.address(), "POST", "/", "", b"").unwrap();
    let seen = answer.json();
    assert_eq!(seen["ids"], json!(["acme/paint", "acme"]));
    assert_eq!(seen["env"], json!({ "A": "host", "B": "order", "C": "order" }));
    assert!(seen["ms"].as_f64().unwrap() <= 700.0, "{seen}");
    assert_eq!(answer.header("x-ignite-function-id").as_deref(), Some("acme/paint"));
    ask(host.address(), "POST", "/", "", b"long").unwrap().error(413, "payload_too_large").unwrap();
    let page = host.admin("/metrics").unwrap();
    assert!(!page.contains("order") && host.log_lines(|line| line.to_string().contains("\"order\"")).is_empty());
}

#[test]
fn what_goes_wrong_before_code_runs_leaves_the_host_warm() {
    let dir = tempfile::tempdir().unwrap();
    let host = Host::warm("python", &[]).unwrap();
    let damaged = dir.path().join("damaged.tar.zst");
    let mut bytes = fs::read(artifact()).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&damaged, bytes).unwrap();
    let pinned = format!("{}#sha256={}", artifact().display(), "0".repeat(64));
    for (order, status, kind, says) in [
        (json!("no order"), 400, "invalid_order", "order"),
        (json!({}), 400, "invalid_order", "artifact"),
        (json!({ "artifact": artifact(), "extra": 1 }), 400, "invalid_order", "extra"),
        (json!({ "artifact": "relative.tar.zst" }), 400, "invalid_order", "absolute"),
        (json!({ "artifact": "http://127.0.0.1:1/a" }), 400, "invalid_order", "sha256"),
        (json!({ "artifact": artifact(), "function_id": "No Name" }), 400, "invalid_order", ""),
        (json!({ "artifact": artifact(), "limits": { "colour": 1 } }), 400, "invalid_order", "timeout_ms"),
        (json!({ "artifact": artifact(), "limits": { "timeout_ms": 0 } }), 400, "invalid_order", "IGNITE_TIMEOUT_MS"),
        (json!({ "artifact": artifact(), "env": { "A=B": "" } }), 400, "invalid_order", "A=B"),
        (json!({ "artifact": artifact(), "env": { "A": "\0" } }), 400, "invalid_order", "zero byte"),
        (json!({ "artifact": "/nowhere/a.tar.zst" }), 422, "artifact", "/nowhere/a.tar.zst"),
        (json!({ "artifact": damaged }), 422, "artifact", "damaged.tar.zst"),
        (json!({ "artifact": pinned }), 422, "artifact", "digest"),
    ] {
        let words = refused(&host, &order, status, kind);
        assert!(words.contains(says), "{order}: {words}");
        assert_eq!(health(&host), (503, "warm".to_owned()), "{order}");
    }
    assert_eq!(give(&host, &order(artifact())).0, 200, "and then it is specialised all the same");

    let go = Host::warm("go", &[]).unwrap();
    let words = refused(&go, &order(artifact()), 422, "other_runtime");
    assert!(words.contains("warm for go") && words.contains("python"), "{words}");
    assert_eq!(health(&go).1, "warm");
}

#[test]
fn a_host_whose_app_does_not_load_says_why_and_ends() {
    let dir = tempfile::tempdir().unwrap();
    let artifact =
        python(dir.path(), "app", &[("handler.py", "def handler(payload, ctx): pass\nraise OSError('no paint')")]);
    let mut host = Host::warm("python", &[]).unwrap();
    let words = refused(&host, &order(&artifact), 502, "not_loaded");
    assert!(words.contains("no paint"), "{words}");
    assert_eq!(host.wait(END_MAX).unwrap().code(), Some(1));
}

#[test]
fn a_warm_host_whose_worker_ends_is_of_no_use_and_ends() {
    let mut host = Host::warm("python", &[]).unwrap();
    let [worker] = below(host.pid())[..] else { panic!("one worker") };
    signal("-KILL", worker);
    assert_eq!(host.wait(END_MAX).unwrap().code(), Some(1));
}

#[test]
fn a_warm_host_ends_well_when_it_is_asked_to_and_takes_what_is_up_with_it() {
    for runtime in ["python", "deno", "wasm"] {
        let mut host = Host::warm(runtime, &[]).unwrap();
        let workers = below(host.pid());
        assert!(host.terminate(SOON).unwrap().success(), "{runtime}");
        wait_until("the workers are gone", SOON, || !workers.iter().any(|pid| crate::faults::runs(*pid)));
    }
}

#[test]
fn an_app_that_a_warm_worker_cannot_be_is_started_anew() {
    let dir = tempfile::tempdir().unwrap();
    let own = "import json\ndef handler(payload, ctx):\n    return json.mine";
    let artifact = python(dir.path(), "app", &[("handler.py", own), ("json.py", "mine = 'my own'")]);
    let host = Host::warm("python", &[]).unwrap();
    let (status, answer) = give(&host, &order(&artifact));
    assert_eq!((status, &answer["warm"]), (200, &json!(false)), "{answer}");
    assert!(answer["cold_because"].as_str().unwrap().contains("json.py"), "{answer}");
    assert_eq!(ask(host.address(), "POST", "/", "", b"").unwrap().text(), "my own");
}

#[test]
fn a_host_with_an_app_is_not_specialised() {
    let host = crate::app::serve(&[]);
    refused(&host, &order(artifact()), 409, "not_warm");
    let page = host.admin("/specialize").unwrap();
    assert!(page.starts_with("HTTP/1.1 405"), "{page}");
}

#[test]
fn an_order_may_not_be_too_long() {
    let host = Host::warm("go", &[]).unwrap();
    let (status, answer) = give(&host, &json!({ "artifact": "a".repeat(2 * 1024 * 1024) }));
    assert_eq!(status, 413, "{answer}");
    assert_eq!(health(&host).1, "warm");
}

/// A host that waits for a byte on its stdin, with its output.
fn told_to_wait(work_dir: &Path) -> (Child, ChildStdin, ChildStdout) {
    let mut host = Command::new(binary("ignite-host").unwrap())
        .args(["--warm", "python", "--start-with-stdin", "--stop-with-stdin", "--work-dir"])
        .arg(work_dir)
        .arg("--admin")
        .arg(format!("unix:{}", work_dir.join("admin.sock").display()))
        .envs([("PORT", "0"), ("IGNITE_LISTEN_HOST", "127.0.0.1")])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let (stdin, stdout) = (host.stdin.take().unwrap(), host.stdout.take().unwrap());
    (host, stdin, stdout)
}

#[test]
fn nothing_is_started_before_a_byte_on_stdin() {
    let work_dir = tempfile::tempdir().unwrap();
    let (mut host, mut stdin, stdout) = told_to_wait(work_dir.path());
    thread::sleep(Duration::from_millis(200));
    let threads = fs::read_dir(format!("/proc/{}/task", host.id())).unwrap().count();
    assert_eq!((threads, fs::read_dir(work_dir.path()).unwrap().count()), (1, 0));
    stdin.write_all(b"\n").unwrap();
    let mut lines = BufReader::new(stdout).lines();
    assert!(lines.any(|line| line.unwrap().contains("\"warm\"")));
    // The rest of stdin is what it was: its end is a request to stop.
    drop(stdin);
    wait_until("it has drained", END_MAX, || host.try_wait().unwrap().is_some_and(|status| status.success()));
}

#[test]
fn a_host_that_nobody_will_tell_to_start_ends() {
    let work_dir = tempfile::tempdir().unwrap();
    let (mut host, stdin, mut stdout) = told_to_wait(work_dir.path());
    drop(stdin);
    wait_until("it has ended", END_MAX, || host.try_wait().unwrap().is_some_and(|status| status.success()));
    let mut said = String::new();
    stdout.read_to_string(&mut said).unwrap();
    assert_eq!(said, "");
}
