//! What callers are told: the host's own words, and those of an error that the handler raised. Never an address, a path, a
//! traceback, or what was printed on the way down, unless the app exposes its errors.

use std::fs;

use ignite_tests::client::{Answer, Client, ask};
use ignite_tests::host::Host;
use ignite_tests::product::compile;

use crate::app::{Gate, SOON, serve, wait_until};
use crate::faults_workers::serve_crooked;

/// What the app lets slip in tracebacks, on stderr and while it loads.
const SECRET: &str = "s3cret";

/// Checks an answer, every byte of it.
fn check(host: &Host, answer: &Answer, status: u16, kind: &str, words: &str) {
    let said = answer.error(status, kind).unwrap();
    assert_eq!(said, words);
    let members: Vec<String> = answer.json().as_object().unwrap().keys().cloned().collect();
    assert_eq!(members, ["error", "execution_id", "type"]);
    let whole = format!("{:?} {}", answer.headers, answer.text());
    let port = host.address().rsplit_once(':').unwrap().1;
    let work_dir = host.work_dir().display().to_string();
    for slip in [SECRET, "127.0.0.1", port, &work_dir, "/tmp", "Traceback", "handler.py", "line ", ".rs:"] {
        assert!(!whole.contains(slip), "`{slip}` in {whole}");
    }
}

#[test]
fn errors_of_the_function_are_told_without_its_insides() {
    let host =
        serve(&[("IGNITE_MAX_CONCURRENCY", "4"), ("IGNITE_MEMORY_MB", "128"), ("IGNITE_RESPONSE_BYTES_MAX", "1000")]);
    let post =
        |path: &str, headers: &str, body: &str| ask(host.address(), "POST", path, headers, body.as_bytes()).unwrap();
    check(&host, &post("/raise", "", ""), 500, "ValueError", "no such colour: mauve");
    check(&host, &post("/sys_exit", "", ""), 500, "SystemExit", "the handler called sys.exit(3)");
    let lost = "the worker ended before it answered: exited with code 3";
    check(&host, &post("/os_exit", "", ""), 502, "worker_lost", lost);
    let memory = "the memory limit of 128 MiB was reached; choose a larger tier or set memory_mb";
    check(&host, &post("/allocate", "", ""), 502, "memory_limit", memory);
    let long = "the response body exceeds the limit of 1000 bytes; stream it, or raise IGNITE_RESPONSE_BYTES_MAX";
    check(&host, &post("/large", "", "1001"), 502, "response_too_large", long);
    let late = "the execution exceeded its time limit of 200 ms";
    check(&host, &post("/spin", "x-ignite-timeout-ms: 200\r\n", ""), 504, "timeout", late);
    // The author finds all of it in the log.
    host.log_line(SOON, |line| {
        line["stream"] == "host" && line["message"].as_str().is_some_and(|text| text.contains(SECRET))
    })
    .unwrap();
}

#[test]
fn errors_of_requests_are_told_without_the_hosts_insides() {
    let host = serve(&[("IGNITE_PAYLOAD_BYTES_MAX", "1000"), ("IGNITE_BODY_IDLE_MS", "200")]);
    let post = |headers: &str, body: &[u8]| ask(host.address(), "POST", "/echo", headers, body).unwrap();
    let header = "the header `x-ignite-timeout-ms` is not valid: expected a whole number of milliseconds";
    check(&host, &post("x-ignite-timeout-ms: soon\r\n", b""), 400, "invalid_header", header);
    check(&host, &post("", &[b'x'; 1001]), 413, "payload_too_large", "the payload exceeds the limit of 1000 bytes");
    let headers = format!("x-long: {}\r\n", "v".repeat(33 * 1024));
    check(
        &host,
        &post(&headers, b""),
        431,
        "headers_too_large",
        "the request's headers exceed the limit of 32768 bytes",
    );

    let mut client = Client::connect(host.address()).unwrap();
    client.request("POST", "/echo", "content-length: 10\r\n", b"").unwrap();
    let idle = "no further part of the payload came within 200 ms";
    check(&host, &client.answer().unwrap(), 408, "payload_timeout", idle);

    let mut client = Client::connect(host.address()).unwrap();
    client.request("POST", "/echo", "transfer-encoding: chunked\r\n", b"").unwrap();
    client.send("no size\r\n").unwrap();
    let answer = client.answer().unwrap();
    let words = answer.error(400, "payload_broken").unwrap();
    check(&host, &answer, 400, "payload_broken", &words);
    assert!(words.starts_with("the payload could not be read: "), "{words}");
}

#[test]
fn errors_of_capacity_are_told_without_the_hosts_insides() {
    let host = serve(&[("IGNITE_MAX_CONCURRENCY", "1"), ("IGNITE_QUEUE_MAX", "1"), ("IGNITE_QUEUE_TIMEOUT_MS", "300")]);
    let gate = Gate::new();
    let mut running = gate.enter(&host, "");
    let mut waiting = Client::connect(host.address()).unwrap();
    waiting.request("POST", "/pid", "", b"").unwrap();
    host.wait_metric("ignite_host_queue_length", 1.0, SOON).unwrap();
    let full = ask(host.address(), "POST", "/pid", "", b"").unwrap();
    let words = "1 executions run and 1 wait, which is the limit of this instance";
    check(&host, &full, 429, "concurrency_limit", words);
    let late = waiting.answer().unwrap();
    let words = late.error(503, "queue_timeout").unwrap();
    check(&host, &late, 503, "queue_timeout", &words);
    assert!(words.starts_with("no execution ended within 3"), "{words}");
    gate.open();
    assert_eq!(running.client.answer().unwrap().status, 200);
}

#[test]
fn errors_of_a_crooked_worker_are_told_without_its_insides() {
    let (_dir, host) = serve_crooked("1", &[]);
    let post = |path: &str| ask(host.address(), "POST", path, "", b"").unwrap();
    let broke = |what: &str| {
        format!("the function's answer cannot be sent: the worker broke the protocol and was replaced: {what}")
    };
    check(&host, &post("/unknown-id"), 502, "bad_reply", &broke("an answer to an execution it was never given"));
    check(&host, &post("/close"), 502, "bad_reply", &broke("it closed its socket without exiting"));
    for path in ["/malformed", "/truncated", "/host-frame", "/chunk-first", "/status?n=99", "/header?name=%20"] {
        // One that is served in between, so that this is no crash loop.
        assert_eq!(post("/echo").status, 200);
        let answer = post(path);
        let words = answer.error(502, "bad_reply").unwrap();
        check(&host, &answer, 502, "bad_reply", &words);
        assert!(words.starts_with("the function's answer cannot be sent: "), "{path}: {words}");
    }
    let signal = "the worker ended before it answered: killed by signal 11 (SIGSEGV)";
    check(&host, &post("/signal?number=11"), 502, "worker_lost", signal);
}

/// An app that fails as it loads, with these variables.
fn unloadable(env: &[(&str, &str)]) -> Host {
    let dir = tempfile::tempdir().unwrap();
    let project = dir.path().join("unloadable");
    fs::create_dir(&project).unwrap();
    let code =
        format!("raise RuntimeError('{SECRET} not accepted')\n\n\ndef handler(payload, ctx):\n    return payload\n");
    fs::write(project.join("handler.py"), code).unwrap();
    let host = Host::start(&compile(&project, dir.path(), &[]).unwrap(), env).unwrap();
    wait_until("it has failed", SOON, || {
        ask(host.address(), "GET", "/healthz", "", b"").unwrap().json()["status"] == "failed"
    });
    host
}

#[test]
fn code_that_does_not_load_tells_callers_no_reason() {
    let host = unloadable(&[]);
    let answer = ask(host.address(), "POST", "/", "", b"").unwrap();
    let words =
        "the function cannot be served now: its code does not load, or keeps ending; `/healthz` and the log say why";
    check(&host, &answer, 503, "unavailable", words);
    host.log_line(SOON, |line| line["message"].as_str().is_some_and(|text| text.contains(SECRET))).unwrap();
}

#[test]
fn an_app_that_exposes_its_errors_tells_all() {
    let expose = [("IGNITE_EXPOSE_ERRORS", "true")];
    let answer = ask(unloadable(&expose).address(), "POST", "/", "", b"").unwrap();
    assert!(answer.error(503, "unavailable").unwrap().contains("s3cret not accepted"));
    let answer = ask(serve(&expose).address(), "POST", "/os_exit", "", b"").unwrap();
    let words = answer.error(502, "worker_lost").unwrap();
    assert!(words.ends_with("exited with code 3; last on stderr: password is s3cret"), "{words}");
}
