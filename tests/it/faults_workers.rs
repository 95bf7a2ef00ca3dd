//! Workers that die, hang or break the protocol while 200 requests a second are served: each costs its own executions alone.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use ignite_tests::client::{Client, ask};
use ignite_tests::host::Host;
use ignite_tests::product::repository;
use ignite_tests::steady::{Plan, Steady};
use tempfile::TempDir;

use crate::app::{Gate, SOON, serve, wait_until};
use crate::faults::{runs, signal};

/// Requests of the background that must be served between two faults.
const BETWEEN: u64 = 20;
/// How often each fault is made.
const TIMES: usize = 3;

/// An unpacked artifact whose program is the worker of `runtimes/process/tests` that misbehaves on command.
fn crooked(dir: &Path) {
    let program = repository().join("runtimes/process/tests/fake_worker.py");
    // A copy keeps the permission to run it.
    fs::copy(program, dir.join("worker")).unwrap();
    let manifest = serde_json::json!({
        "format": 1, "runtime": "go", "target": "native", "kind": "binary", "entrypoint": "worker", "abi": 1,
        "toolchain": {}, "source": format!("sha256:{}", "0".repeat(64)), "files": [],
    });
    fs::write(dir.join("ignite-artifact.json"), manifest.to_string()).unwrap();
}

/// Serves it; each worker takes `concurrency` executions.
pub(crate) fn serve_crooked(concurrency: &str, env: &[(&str, &str)]) -> (TempDir, Host) {
    let dir = tempfile::tempdir().unwrap();
    crooked(dir.path());
    let own = [("IGNITE_ENV_FAKE_CONCURRENCY", concurrency), ("IGNITE_MAX_CONCURRENCY", "16")];
    let host = Host::serve(dir.path(), &[&own[..], env].concat()).unwrap();
    (dir, host)
}

/// Starts the load and lets it settle: all workers it needs are there.
fn load(host: &Host) -> Steady {
    let steady = Steady::start(&Plan::new(host.address()));
    steady.wait_further(100, SOON).unwrap();
    steady
}

#[test]
fn a_killed_worker_costs_exactly_its_own_execution() {
    let host = serve(&[("IGNITE_MAX_CONCURRENCY", "8")]);
    let (gate, steady) = (Gate::new(), load(&host));
    for _ in 0..TIMES {
        let mut lost = gate.enter(&host, "");
        signal("-KILL", lost.pid);
        let answer = lost.client.answer().unwrap();
        let words = answer.error(502, "worker_lost").unwrap();
        assert!(words.ends_with("killed by signal 9 (SIGKILL)"), "{words}");
        assert_eq!(answer.header("x-ignite-execution-id"), Some(lost.id));
        steady.wait_further(BETWEEN, SOON).unwrap();
    }
    steady.finish().check_unharmed().unwrap();
    assert_eq!(host.metric("ignite_host_executions_total{class=\"5xx\"}").unwrap(), TIMES as f64);
}

#[test]
fn a_stopped_worker_costs_exactly_its_own_execution() {
    let host = serve(&[("IGNITE_MAX_CONCURRENCY", "8")]);
    let (gate, steady) = (Gate::new(), load(&host));
    for _ in 0..TIMES {
        let mut stopped = gate.enter(&host, "x-ignite-timeout-ms: 1000\r\n");
        signal("-STOP", stopped.pid);
        stopped.client.answer().unwrap().error(504, "timeout").unwrap();
        wait_until("the stopped worker is gone", SOON, || !runs(stopped.pid));
    }
    steady.finish().check_unharmed().unwrap();
}

#[test]
fn a_handler_that_ends_its_process_costs_exactly_its_own_execution() {
    let host = serve(&[("IGNITE_MAX_CONCURRENCY", "8")]);
    let steady = load(&host);
    for _ in 0..TIMES {
        // `sys.exit` is an exception like others; the process lives on.
        let answer = ask(host.address(), "POST", "/sys_exit", "", b"").unwrap();
        answer.error(500, "SystemExit").unwrap();
        let answer = ask(host.address(), "POST", "/os_exit", "", b"").unwrap();
        let words = answer.error(502, "worker_lost").unwrap();
        assert_eq!(words, "the worker ended before it answered: exited with code 3");
        steady.wait_further(BETWEEN, SOON).unwrap();
    }
    steady.finish().check_unharmed().unwrap();
    let ends = host.metric("ignite_host_worker_ends_exit_total").unwrap();
    assert_eq!(ends, TIMES as f64, "only `os._exit` ends a process");
}

/// What breaks the protocol, and what its own caller is told.
const BREACHES: [(&str, u16, &str); 7] = [
    ("/malformed", 502, "bad_reply"),
    ("/truncated", 502, "bad_reply"),
    ("/unknown-id", 502, "bad_reply"),
    ("/host-frame", 502, "bad_reply"),
    ("/chunk-first", 502, "bad_reply"),
    ("/close", 502, "bad_reply"),
    ("/exit?code=5", 502, "worker_lost"),
];

#[test]
fn a_worker_of_one_execution_that_breaks_the_protocol_costs_that_one_alone() {
    let (_dir, host) = serve_crooked("1", &[]);
    let steady = load(&host);
    for (path, status, kind) in BREACHES {
        let answer = ask(host.address(), "POST", path, "", b"").unwrap();
        answer.error(status, kind).unwrap_or_else(|error| panic!("{path}: {error:#}"));
        steady.wait_further(BETWEEN, SOON).unwrap();
    }
    steady.finish().check_unharmed().unwrap();
    assert_eq!(host.metric("ignite_host_executions_total{class=\"5xx\"}").unwrap(), BREACHES.len() as f64);
}

#[test]
fn a_worker_of_many_executions_that_breaks_the_protocol_costs_those_it_had_alone() {
    let (_dir, host) = serve_crooked("1000", &[]);
    let steady = load(&host);
    let mut faults = vec![];
    for (path, status, kind) in BREACHES {
        let begun = Instant::now();
        let answer = ask(host.address(), "POST", path, "", b"").unwrap();
        answer.error(status, kind).unwrap_or_else(|error| panic!("{path}: {error:#}"));
        faults.push((begun, Instant::now(), kind));
        steady.wait_further(BETWEEN, SOON).unwrap();
    }
    let account = steady.finish();
    account
        .check(|status, kind, request| {
            // It was on the worker when that broke, and is told the same as the one that broke it.
            status == 502
                && faults
                    .iter()
                    .any(|(begun, ended, of)| kind == *of && request.sent <= *ended && request.ended >= *begun)
        })
        .unwrap();
    let ends: f64 = ["protocol", "exit"]
        .map(|label| host.metric(&format!("ignite_host_worker_ends_{label}_total")).unwrap())
        .iter()
        .sum();
    assert_eq!(ends, BREACHES.len() as f64, "each was replaced once");
}

#[test]
fn the_second_of_two_answers_reaches_nobody() {
    for concurrency in ["1", "1000"] {
        let (_dir, host) = serve_crooked(concurrency, &[]);
        let steady = load(&host);
        let mut client = Client::connect(host.address()).unwrap();
        for _ in 0..20 {
            client.request("POST", "/twice", "", b"").unwrap();
            assert_eq!(client.answer().unwrap().text(), "1");
            assert!(client.quiet().unwrap());
        }
        steady.finish().check_unharmed().unwrap();
        wait_until("each second answer is counted", SOON, || {
            host.metric("ignite_host_late_results_total").unwrap() as u32 == 20
        });
        assert_eq!(host.metric("ignite_host_worker_ends_protocol_total").unwrap(), 0.0);
    }
}

#[test]
fn a_worker_that_never_reads_is_replaced_at_the_deadline() {
    // Alone on its worker nobody else feels it.
    let (_dir, host) = serve_crooked("1", &[]);
    let steady = load(&host);
    for _ in 0..TIMES {
        let answer = ask(host.address(), "POST", "/never-read", "x-ignite-timeout-ms: 300\r\n", b"").unwrap();
        answer.error(504, "timeout").unwrap();
    }
    steady.finish().check_unharmed().unwrap();

    // Who was sent to the same worker before it was known hears the truth by their own deadline.
    let (_dir, host) = serve_crooked("1000", &[]);
    let mut plan = Plan::new(host.address());
    plan.headers = "x-ignite-timeout-ms: 1000\r\n".into();
    let steady = Steady::start(&plan);
    steady.wait_further(100, SOON).unwrap();
    let begun = Instant::now();
    let answer = ask(host.address(), "POST", "/never-read", "x-ignite-timeout-ms: 300\r\n", b"").unwrap();
    answer.error(504, "timeout").unwrap();
    let doubted = Instant::now();
    steady.wait_further(200, SOON).unwrap();
    let account = steady.finish();
    account
        .check(|status, kind, request| {
            // A moment for the head on its way: the host saw it before it doubted the worker.
            let in_between = request.sent <= doubted && request.ended >= begun;
            in_between && matches!((status, kind), (504, "timeout") | (502, "worker_lost"))
        })
        .unwrap();
    let refused = account.requests.len() - account.own();
    assert!(refused <= plan.connections, "each connection has one request under way: {}", account.summary());
}

#[test]
fn prints_that_look_like_frames_forge_nothing() {
    let host = serve(&[("IGNITE_MAX_CONCURRENCY", "8")]);
    let steady = load(&host);
    for _ in 0..TIMES {
        let answer = ask(host.address(), "POST", "/forge", "", b"").unwrap();
        assert_eq!((answer.status, answer.text().as_str()), (200, "genuine"));
        steady.wait_further(BETWEEN, SOON).unwrap();
    }
    steady.finish().check_unharmed().unwrap();
    assert_eq!(host.metric("ignite_host_late_results_total").unwrap(), 0.0);
}

#[test]
fn a_worker_at_the_memory_limit_costs_its_own_execution() {
    let host = serve(&[("IGNITE_MAX_CONCURRENCY", "4"), ("IGNITE_MEMORY_MB", "256")]);
    let steady = load(&host);
    for _ in 0..TIMES {
        let answer = ask(host.address(), "POST", "/allocate", "", b"").unwrap();
        let words = answer.error(502, "memory_limit").unwrap();
        assert!(words.starts_with("the memory limit of 256 MiB was reached"), "{words}");
        steady.wait_further(BETWEEN, SOON).unwrap();
    }
    steady.finish().check_unharmed().unwrap();
}

#[test]
fn a_storm_of_deadlines_costs_only_those_who_asked_for_it() {
    const STORM: usize = 100;
    let host = serve(&[("IGNITE_MAX_CONCURRENCY", "8"), ("IGNITE_QUEUE_MAX", "1000")]);
    let steady = load(&host);
    let begun = Instant::now();
    let mut storm: Vec<Client> = (0..STORM).map(|_| Client::connect(host.address()).unwrap()).collect();
    for client in &mut storm {
        client.request("POST", "/spin", "x-ignite-timeout-ms: 50\r\n", b"").unwrap();
    }
    let mut ran = 0;
    for client in &mut storm {
        let answer = client.answer().unwrap();
        // Those that got a slot ran too long; the others never began.
        match answer.status {
            504 => drop(answer.error(504, "timeout").unwrap()),
            _ => drop(answer.error(503, "queue_timeout").unwrap()),
        }
        ran += usize::from(answer.status == 504);
        assert!(client.quiet().unwrap());
    }
    assert!((1..=STORM).contains(&ran), "{ran}");
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    host.wait_metric("ignite_host_queue_length", 0.0, SOON).unwrap();
    steady.wait_further(100, SOON).unwrap();
    steady.finish().check_unharmed().unwrap();
    host.wait_metric("ignite_host_slots_busy", 0.0, SOON).unwrap();
}
