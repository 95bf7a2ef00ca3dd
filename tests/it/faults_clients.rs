//! Callers that are slow, that vanish, and that are too many, while 200 requests a second are served.

use std::ffi::OsStr;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use ignite_tests::client::{Client, ask};
use ignite_tests::host::Host;
use ignite_tests::steady::{Plan, Steady};

use crate::app::{Gate, SOON, artifact, serve, wait_until};
use crate::faults::signal;

/// Slow callers at once.
const SLOW: usize = 1000;
/// Resident memory that one slow caller may cost the host, in KiB, all buffers included.
const SLOW_KIB_MAX: u64 = 64;

/// Resident memory of a process, in KiB.
pub(crate) fn resident_kib(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

#[test]
fn a_thousand_slow_callers_keep_nobody_waiting() {
    let host = serve(&[
        ("IGNITE_MAX_CONCURRENCY", "8"),
        // A third of them ask at once.
        ("IGNITE_QUEUE_MAX", "1000"),
        ("IGNITE_HEADER_TIMEOUT_MS", "3000"),
        ("IGNITE_BODY_IDLE_MS", "3000"),
        ("IGNITE_TIMEOUT_MS", "8000"),
    ]);
    let before = resident_kib(host.pid());
    let steady = Steady::start(&Plan::new(host.address()));
    // A third never ends its head, a third never ends its payload, a third never reads its answer.
    let openings: [&[u8]; 3] = [
        b"GET /seen HTTP/1.1\r\nhost: test\r\nx-slow: ",
        b"POST /echo HTTP/1.1\r\nhost: test\r\ncontent-length: 100000\r\n\r\nx",
        b"POST /large HTTP/1.1\r\nhost: test\r\ncontent-length: 6\r\n\r\n400000",
    ];
    let mut slow: Vec<TcpStream> = (0..SLOW).map(|_| TcpStream::connect(host.address()).unwrap()).collect();
    for (index, stream) in slow.iter_mut().enumerate() {
        stream.write_all(openings[index % 3]).unwrap();
    }
    wait_until("all of them are connected", SOON, || {
        host.metric("ignite_host_connections").unwrap() >= SLOW as f64 * 0.9
    });
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(2) {
        // The pace of the attack: a byte from each, all together, five times a second.
        for stream in slow.iter_mut().enumerate().filter(|(index, _)| index % 3 != 2).map(|(_, stream)| stream) {
            // Some may have been ended already.
            let _ = stream.write_all(b"x");
        }
        let probe = ask(host.address(), "GET", "/healthz", "", b"").unwrap();
        assert_eq!(probe.status, 200, "{}", probe.text());
        thread::sleep(Duration::from_millis(200));
    }
    let grown = resident_kib(host.pid()).saturating_sub(before);
    // Unread answers of 400 kB are whole in memory until they are sent, or their callers are given up.
    let answers = SLOW as u64 / 3 * 400_000 / 1024;
    assert!(grown < SLOW as u64 * SLOW_KIB_MAX + answers, "{grown} KiB for {SLOW} slow callers");
    // Those who only send are ended by the host, at the latest when an execution's time is up.
    for (_, stream) in slow.iter_mut().enumerate().filter(|(index, _)| index % 3 != 2) {
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let mut answer = Vec::new();
        // A reset is an end too.
        let end = stream.read_to_end(&mut answer);
        let timed_out = end.is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock);
        assert!(!timed_out, "{:?}", String::from_utf8_lossy(&answer));
        assert!(answer.is_empty() || answer.starts_with(b"HTTP/1.1 408 "), "{:?}", String::from_utf8_lossy(&answer));
    }
    drop(slow);
    steady.finish().check_unharmed().unwrap();
    wait_until("nothing of them is left", SOON, || {
        host.metric("ignite_host_connections").unwrap() < 0.5 && host.metric("ignite_host_slots_busy").unwrap() < 0.5
    });
}

#[test]
fn callers_who_vanish_half_way_leave_nothing_behind() {
    let host = serve(&[("IGNITE_MAX_CONCURRENCY", "8")]);
    let steady = Steady::start(&Plan::new(host.address()));
    let answered = |class: &str| host.metric(&format!("ignite_host_executions_total{{class=\"{class}\"}}")).unwrap();
    for _ in 0..5 {
        // In the middle of an upload: of its head, of its announced payload, of a chunk.
        for beginning in [
            "POST /echo HTT",
            "POST /echo HTTP/1.1\r\nhost: test\r\ncontent-length: 1000\r\n\r\nhalf",
            "POST /echo HTTP/1.1\r\nhost: test\r\ntransfer-encoding: chunked\r\n\r\n10\r\nhalf",
        ] {
            let mut client = Client::connect(host.address()).unwrap();
            client.send(beginning).unwrap();
        }
        // In the middle of a download, of which there would be no end.
        let mut client = Client::connect(host.address()).unwrap();
        client.request("POST", "/stream", "", b"").unwrap();
        assert_eq!(client.head().unwrap().status, 200);
        client.exactly(50_000).unwrap();
        drop(client);
        // Of one that is whole and larger than what the sockets take, of which nothing is read.
        let mut client = Client::connect(host.address()).unwrap();
        client.request("POST", "/large", "", b"15000000").unwrap();
        assert_eq!(client.head().unwrap().status, 200);
    }
    steady.wait_further(100, SOON).unwrap();
    let account = steady.finish();
    account.check_unharmed().unwrap();
    wait_until("nothing of them is left", SOON, || {
        host.metric("ignite_host_connections").unwrap() < 0.5 && host.metric("ignite_host_slots_busy").unwrap() < 0.5
    });
    // The ten downloads had begun well.
    assert_eq!(answered("2xx"), account.requests.len() as f64 + 10.0);
    assert_eq!(answered("5xx"), 0.0);
}

/// Descriptors of a host that has few.
const DESCRIPTORS: &str = "ulimit -n 160; exec \"$0\" \"$@\"";

#[test]
fn a_host_with_few_descriptors_keeps_some_for_its_workers() {
    let env = [("IGNITE_MAX_CONCURRENCY", "4")];
    let arguments = [OsStr::new("--artifact"), artifact().as_os_str()];
    let mut host = Host::start_by(&["sh", "-c", DESCRIPTORS], &arguments, &env).unwrap();
    host.wait_ready(SOON).unwrap();
    let mut plan = Plan::new(host.address());
    plan.connections = 4;
    let steady = Steady::start(&plan);
    steady.wait_further(50, SOON).unwrap();

    // More callers than the host could ever have descriptors for; each has asked.
    let mut waiting: Vec<Client> = (0..400).map(|_| Client::connect(host.address()).unwrap()).collect();
    for (index, client) in waiting.iter_mut().enumerate() {
        client.request("POST", "/echo", "", index.to_string().as_bytes()).unwrap();
    }
    host.log_line(SOON, |line| line["message"] == "fewer connections are taken than the limit allows").unwrap();
    let mut connections = 0.0;
    wait_until("as many are taken as there may be", SOON, || {
        let now = host.metric("ignite_host_connections").unwrap();
        std::mem::replace(&mut connections, now) > 20.0 && now - connections < 0.5
    });
    // There is still what a new worker needs.
    let pid: u32 = {
        let workers = crate::faults::below(host.pid());
        *workers.last().unwrap()
    };
    signal("-KILL", pid);
    steady.wait_further(100, SOON).unwrap();
    // Each of those who wait has its turn when one before it has gone.
    let mut lost = 0;
    for (index, mut client) in waiting.into_iter().enumerate() {
        let answer = client.answer().unwrap();
        if answer.status == 502 {
            answer.error(502, "worker_lost").unwrap();
            lost += 1;
        } else {
            assert_eq!(answer.text(), index.to_string());
        }
    }
    // One execution, of the background or of these, may have been in the worker that was killed.
    let account = steady.finish();
    account.check(|status, kind, _| (status, kind) == (502, "worker_lost")).unwrap();
    assert!(account.requests.len() - account.own() + lost <= 1, "{lost} of those who waited; {}", account.summary());
    let refused = host.log_lines(|line| line["message"] == "could not accept a connection");
    assert!(refused.is_empty(), "{refused:?}");
}

#[test]
fn many_callers_at_once_are_answered_each_by_its_own() {
    let host = serve(&[("IGNITE_MAX_CONCURRENCY", "4"), ("IGNITE_QUEUE_MAX", "10000")]);
    let gate = Gate::new();
    let held: Vec<_> = (0..4).map(|_| gate.enter(&host, "")).collect();
    let mut plan = Plan::new(host.address());
    (plan.connections, plan.per_second) = (100, 1_000_000);
    let steady = Steady::start(&plan);
    // All wait in line; then they are let in at once.
    host.wait_metric("ignite_host_queue_length", 100.0, SOON).unwrap();
    gate.open();
    steady.wait_further(2000, SOON).unwrap();
    steady.finish().check_unharmed().unwrap();
    for mut at_gate in held {
        assert_eq!(at_gate.client.answer().unwrap().text(), at_gate.pid.to_string());
    }
}
