//! What happens when something breaks: workers that die, hosts that are ended, artifacts that are damaged, callers that
//! go away.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use ignite_tests::client::{Client, ask};
use ignite_tests::host::Host;
use ignite_tests::product::{binary, compile, repository};

use crate::app::{Gate, SOON, artifact, serve, wait_until};

/// What a host that ends at once may take to do so.
const AT_ONCE: Duration = Duration::from_secs(2);

pub(crate) fn signal(name: &str, pid: u32) {
    assert!(Command::new("kill").arg(name).arg(pid.to_string()).status().unwrap().success());
}

/// Whether a process runs; one that has ended and was not reaped does not.
pub(crate) fn runs(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // The state follows the name, which is in brackets and may contain some itself.
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with(['Z', 'X']))
}

/// All processes below `pid`.
pub(crate) fn below(pid: u32) -> Vec<u32> {
    let mut found = vec![];
    for task in fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten() {
        let children = fs::read_to_string(task.path().join("children")).unwrap_or_default();
        for child in children.split_ascii_whitespace().filter_map(|word| word.parse().ok()) {
            found.push(child);
            found.extend(below(child));
        }
    }
    found
}

#[test]
fn a_killed_worker_costs_its_own_execution_alone() {
    let host = serve(&[("IGNITE_MAX_CONCURRENCY", "2")]);
    let gate = Gate::new();
    let (mut lost, mut other) = (gate.enter(&host, ""), gate.enter(&host, ""));
    assert_ne!(lost.pid, other.pid);
    signal("-KILL", lost.pid);
    let answer = lost.client.answer().unwrap();
    let words = answer.error(502, "worker_lost").unwrap();
    assert!(words.contains("killed by signal 9 (SIGKILL)"), "{words}");
    assert_eq!(answer.header("x-ignite-execution-id"), Some(lost.id));
    lost.client.request("POST", "/pid", "", b"").unwrap();
    let next = lost.client.answer().unwrap();
    assert_eq!(next.status, 200, "{}", next.text());
    assert!(next.text() != lost.pid.to_string() && next.text() != other.pid.to_string());
    gate.open();
    assert_eq!(other.client.answer().unwrap().text(), other.pid.to_string());
}

#[test]
fn the_loss_of_the_process_that_forks_costs_nobody() {
    let host = serve(&[("IGNITE_MAX_CONCURRENCY", "2")]);
    let gate = Gate::new();
    let first = gate.enter(&host, "");
    let zygote = below(host.pid())[0];
    assert_ne!(zygote, first.pid, "workers are forked by another process");
    signal("-KILL", zygote);
    wait_until("it is gone", SOON, || !runs(zygote));
    // This one has to be forked by its successor.
    let second = gate.enter(&host, "");
    assert_ne!(second.pid, first.pid);
    gate.open();
    for mut at_gate in [first, second] {
        let answer = at_gate.client.answer().unwrap();
        assert_eq!((answer.status, answer.text()), (200, at_gate.pid.to_string()));
    }
}

#[test]
fn a_worker_that_allocates_for_ever_is_ended_at_the_limit() {
    let host = serve(&[("IGNITE_MEMORY_MB", "96")]);
    let before = ask(host.address(), "POST", "/pid", "", b"").unwrap().text();
    let words = ask(host.address(), "POST", "/allocate", "", b"").unwrap().error(502, "memory_limit").unwrap();
    assert!(words.starts_with("the memory limit of 96 MiB was reached"), "{words}");
    let after = ask(host.address(), "POST", "/pid", "", b"").unwrap();
    assert_eq!(after.status, 200, "{}", after.text());
    assert_ne!(after.text(), before);
}

#[test]
fn a_stopped_worker_is_replaced_at_the_deadline() {
    let host = serve(&[("IGNITE_TIMEOUT_MS", "600"), ("IGNITE_MAX_CONCURRENCY", "1")]);
    let gate = Gate::new();
    let begun = Instant::now();
    let mut stopped = gate.enter(&host, "");
    signal("-STOP", stopped.pid);
    stopped.client.answer().unwrap().error(504, "timeout").unwrap();
    assert!(begun.elapsed() >= Duration::from_millis(600));
    wait_until("the stopped worker is gone", SOON, || !runs(stopped.pid));
    let next = ask(host.address(), "POST", "/pid", "x-ignite-timeout-ms: 600\r\n", b"").unwrap();
    assert_eq!(next.status, 200, "{}", next.text());
    assert_ne!(next.text(), stopped.pid.to_string());
}

#[test]
fn a_caller_who_goes_away_frees_the_slot() {
    let host = serve(&[("IGNITE_MAX_CONCURRENCY", "1")]);
    let gate = Gate::new();
    for _ in 0..3 {
        let gone = gate.enter(&host, "");
        assert_eq!(host.metric("ignite_host_slots_busy").unwrap(), 1.0);
        drop(gone.client);
        host.wait_metric("ignite_host_slots_busy", 0.0, SOON).unwrap();
        let next = ask(host.address(), "POST", "/echo", "", b"next").unwrap();
        assert_eq!((next.status, next.text().as_str()), (200, "next"));
    }
    // Who waits in the queue leaves it as well.
    let mut running = gate.enter(&host, "");
    let mut waiting = Client::connect(host.address()).unwrap();
    waiting.request("POST", "/echo", "", b"never").unwrap();
    host.wait_metric("ignite_host_queue_length", 1.0, SOON).unwrap();
    drop(waiting);
    host.wait_metric("ignite_host_queue_length", 0.0, SOON).unwrap();
    gate.open();
    assert_eq!(running.client.answer().unwrap().status, 200);
}

#[test]
fn no_print_forges_an_answer() {
    let host = serve(&[("IGNITE_MAX_CONCURRENCY", "1")]);
    let mut client = Client::connect(host.address()).unwrap();
    for _ in 0..3 {
        client.request("POST", "/forge", "", b"").unwrap();
        let answer = client.answer().unwrap();
        assert_eq!((answer.status, answer.text().as_str()), (200, "genuine"));
    }
    for stream in ["stdout", "stderr"] {
        let line = |line: &serde_json::Value| line["stream"] == stream && line["message"] == "the end of the forgery";
        host.log_line(SOON, line).unwrap();
    }
    assert!(host.log_lines(serde_json::Value::is_string).is_empty(), "each line of the log is JSON");
}

#[test]
fn a_burst_of_lines_blocks_nobody_and_loses_none() {
    let host = serve(&[]);
    let answer = ask(host.address(), "POST", "/burst", "", b"1000").unwrap();
    assert_eq!(answer.text(), "printed");
    host.log_line(SOON, |line| line["message"] == "line 999").unwrap();
    let printed = host.log_lines(|line| line["message"].as_str().is_some_and(|text| text.starts_with("line ")));
    let texts: Vec<_> = printed.iter().map(|line| line["message"].as_str().unwrap().to_owned()).collect();
    assert_eq!(texts, (0..1000).map(|index| format!("line {index}")).collect::<Vec<_>>());
    assert_eq!(host.metric("ignite_host_log_lines_dropped").unwrap(), 0.0);
}

#[test]
fn lines_beyond_the_rate_are_dropped_and_counted() {
    let host = serve(&[("IGNITE_LOG_LINES_PER_SECOND", "100")]);
    let answer = ask(host.address(), "POST", "/burst", "", b"5000").unwrap();
    assert_eq!(answer.text(), "printed");
    let mut written = 0;
    wait_until("each line is written or counted as dropped", SOON, || {
        let dropped = host.metric("ignite_host_log_lines_dropped").unwrap() as usize;
        written = host.log_lines(|line| line["stream"] == "stdout").len();
        dropped > 0 && dropped + written == 5000
    });
    assert!((100..=1000).contains(&written), "{written}");
}

#[test]
fn code_that_does_not_load_is_told_by_probe_and_answers() {
    let dir = tempfile::tempdir().unwrap();
    let project = dir.path().join("unloadable");
    fs::create_dir(&project).unwrap();
    let code = "raise RuntimeError('out of paint')\n\n\ndef handler(payload, ctx):\n    return payload\n";
    fs::write(project.join("handler.py"), code).unwrap();
    let unloadable = compile(&project, dir.path(), &[]).unwrap();
    let mut host = Host::start(&unloadable, &[]).unwrap();
    let mut healthz = None;
    wait_until("the probe says that it failed", SOON, || {
        let answer = ask(host.address(), "GET", "/healthz", "", b"").unwrap();
        let failed = answer.json()["status"] == "failed";
        healthz = Some(answer);
        failed
    });
    let healthz = healthz.unwrap();
    assert_eq!(healthz.status, 503);
    let reason = healthz.json()["reason"].as_str().unwrap().to_owned();
    assert_eq!(reason, "RuntimeError: handler.py:1: out of paint");
    assert_eq!(ask(host.address(), "GET", "/livez", "", b"").unwrap().status, 200);
    let begun = Instant::now();
    let answer = ask(host.address(), "POST", "/", "", b"").unwrap();
    let words = answer.error(503, "unavailable").unwrap();
    assert!(words.contains("does not load") && !words.contains("out of paint"), "{words}");
    assert!(begun.elapsed() < SOON);
    assert_eq!(answer.header("retry-after").as_deref(), Some("1"));
    let line = host.log_line(SOON, |line| line["message"].as_str().is_some_and(|text| text.contains("handler.py")));
    line.expect("the traceback is in the log");
    assert_eq!(host.terminate(SOON).unwrap().code(), Some(0));
}

#[test]
fn sigterm_answers_all_that_is_in_flight() {
    let mut host = serve(&[("IGNITE_MAX_CONCURRENCY", "2")]);
    let gate = Gate::new();
    let mut running = [gate.enter(&host, ""), gate.enter(&host, "")];
    let mut queued = Client::connect(host.address()).unwrap();
    queued.request("POST", "/echo", "", b"queued").unwrap();
    host.wait_metric("ignite_host_queue_length", 1.0, SOON).unwrap();
    let mut idle = Client::connect(host.address()).unwrap();
    idle.request("GET", "/livez", "", b"").unwrap();
    assert_eq!(idle.answer().unwrap().status, 200);
    // It has asked half of its question: that much the host must have seen to count it.
    let mut half = Client::connect(host.address()).unwrap();
    half.request("GET", "/livez", "", b"").unwrap();
    assert_eq!(half.answer().unwrap().status, 200);
    half.send("GET /healthz HTTP/1.1\r\nhost: ").unwrap();
    let pids = below(host.pid());

    host.signal("-TERM").unwrap();
    host.log_line(SOON, |line| line["message"] == "draining").unwrap();
    assert!(idle.ends(SOON).unwrap(), "idle connections are closed");
    wait_until("new connections are refused", SOON, || Client::connect(host.address()).is_err());
    let readyz = host.admin("/readyz").unwrap();
    assert!(readyz.starts_with("HTTP/1.1 503 ") && readyz.contains(r#""status":"draining""#), "{readyz}");
    // Either it was closed as one that is idle, or it hears that this host is ending.
    if half.send("test\r\n\r\n").is_ok()
        && let Ok(answer) = half.answer()
    {
        assert_eq!((answer.status, &answer.json()["status"]), (503, &"draining".into()));
    }
    gate.open();
    for at_gate in &mut running {
        let answer = at_gate.client.answer().unwrap();
        assert_eq!((answer.status, answer.text()), (200, at_gate.pid.to_string()));
    }
    assert_eq!(queued.answer().unwrap().text(), "queued");
    assert_eq!(host.wait(SOON).unwrap().code(), Some(0));
    assert!(pids.len() >= 3 && !pids.into_iter().any(runs), "no worker is left");
}

#[test]
fn a_silent_connection_does_not_delay_the_end() {
    let mut host = serve(&[]);
    host.wait_metric("ignite_host_connections", 0.0, SOON).unwrap();
    let mut silent = Client::connect(host.address()).unwrap();
    let mut beginning = Client::connect(host.address()).unwrap();
    beginning.send("P").unwrap();
    host.wait_metric("ignite_host_connections", 2.0, SOON).unwrap();
    host.signal("-TERM").unwrap();
    assert_eq!(host.wait(AT_ONCE).unwrap().code(), Some(0));
    assert!(silent.ends(SOON).unwrap() && beginning.ends(SOON).unwrap());
}

#[test]
fn the_second_sigterm_ends_at_once() {
    let mut host = serve(&[]);
    let gate = Gate::new();
    let mut lost = gate.enter(&host, "");
    let pids = below(host.pid());
    host.signal("-TERM").unwrap();
    host.log_line(SOON, |line| line["message"] == "draining").unwrap();
    host.signal("-TERM").unwrap();
    assert_eq!(host.wait(AT_ONCE).unwrap().code(), Some(143));
    assert!(lost.client.answer().is_err(), "the caller sees the connection end");
    wait_until("no worker is left", SOON, || !pids.iter().copied().any(runs));
}

#[test]
fn draining_ends_at_its_limit() {
    let mut host = serve(&[("IGNITE_DRAIN_MS", "400")]);
    let gate = Gate::new();
    let mut lost = gate.enter(&host, "");
    let begun = Instant::now();
    let status = host.terminate(SOON).unwrap();
    assert!(begun.elapsed() >= Duration::from_millis(400));
    assert_eq!(status.code(), Some(143));
    assert!(!runs(lost.pid));
    // It is told, unless the host was gone before it could be; it never takes this for an answer of the function.
    if let Ok(answer) = lost.client.answer() {
        assert!([502, 503].contains(&answer.status) && answer.json()["execution_id"] == lost.id.as_str(), "{answer:?}");
    }
}

#[test]
fn a_killed_host_leaves_no_worker() {
    let mut host = serve(&[("IGNITE_MAX_CONCURRENCY", "3")]);
    let gate = Gate::new();
    let running = [gate.enter(&host, ""), gate.enter(&host, "")];
    let pids = below(host.pid());
    assert!(running.iter().all(|at_gate| pids.contains(&at_gate.pid)) && pids.len() >= 3, "{pids:?}");
    host.signal("-KILL").unwrap();
    host.wait(SOON).unwrap();
    wait_until("idle and busy workers end by themselves", SOON, || !pids.iter().copied().any(runs));
}

/// Starts a host that must refuse `artifact`, and gives its words.
fn refusal(artifact: &Path) -> String {
    let mut host = Command::new(binary("ignite-host").unwrap())
        .arg("--artifact")
        .arg(artifact)
        .envs([("PORT", "0"), ("IGNITE_LISTEN_HOST", "127.0.0.1")])
        .env("IGNITE_WORK_DIR", artifact.parent().unwrap())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut status = None;
    let begun = Instant::now();
    while status.is_none() && begun.elapsed() < SOON {
        status = host.try_wait().unwrap();
        thread::sleep(Duration::from_millis(1));
    }
    let _ = host.kill();
    let words = String::from_utf8(host.wait_with_output().unwrap().stderr).unwrap();
    assert_eq!(status.and_then(|status| status.code()), Some(1), "{}: {words}", artifact.display());
    let begins =
        format!("error: could not start the host\n  cause: could not open the artifact {}\n", artifact.display());
    assert!(words.starts_with(&begins), "{words}");
    words
}

/// Runs gzip over `bytes`.
fn gzip(flag: &str, bytes: &[u8], dir: &Path) -> Vec<u8> {
    let file = dir.join("gzip-input");
    fs::write(&file, bytes).unwrap();
    let output = Command::new("gzip").arg(flag).stdin(fs::File::open(file).unwrap()).output().unwrap();
    assert!(output.status.success());
    output.stdout
}

/// The archive within the app's artifact, not compressed.
fn archive(dir: &Path) -> Vec<u8> {
    let out = dir.join("app.tar.gz");
    let project = repository().join("tests/cases/apps/faults");
    let compiled = Command::new(binary("ignite").unwrap())
        .args(["compile", "--format", "tar.gz", "--out"])
        .args([&out, &project])
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert!(compiled.status.success(), "{}", String::from_utf8_lossy(&compiled.stderr));
    gzip("-dc", &fs::read(out).unwrap(), dir)
}

/// Compresses an archive into an artifact beside it.
fn packed(archive: &[u8], dir: &Path) -> PathBuf {
    let path = dir.join("changed.tar.gz");
    fs::write(&path, gzip("-nc", archive, dir)).unwrap();
    path
}

/// Where `text` begins in `bytes`.
fn position(bytes: &[u8], text: &str) -> usize {
    bytes.windows(text.len()).position(|window| window == text.as_bytes()).unwrap()
}

#[test]
fn one_flipped_bit_and_the_artifact_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let whole = fs::read(artifact()).unwrap();
    // The first byte of all, the last, and some between them.
    for (index, bit) in
        [(0, 3), (whole.len() / 3, 0), (whole.len() / 2, 5), (whole.len() - 40, 7), (whole.len() - 1, 1)]
    {
        let mut flipped = whole.clone();
        flipped[index] ^= 1 << bit;
        let path = dir.path().join("flipped.tar.zst");
        fs::write(&path, flipped).unwrap();
        let words = refusal(&path);
        let says = ["damaged", "not an artifact", "truncated", "is refused"].iter().any(|part| words.contains(part));
        assert!(says, "bit {bit} of byte {index} of {}: {words}", whole.len());
    }
}

#[test]
fn code_that_is_not_what_the_manifest_says_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let mut archive = archive(dir.path());
    let line = position(&archive, "no such colour");
    archive[line] ^= 1;
    let words = refusal(&packed(&archive, dir.path()));
    assert!(words.contains("is not what its manifest says"), "{words}");
}

#[test]
fn an_artifact_of_a_newer_format_is_told_from_a_damaged_one() {
    let dir = tempfile::tempdir().unwrap();
    let mut archive = archive(dir.path());
    let number = position(&archive, r#""format":1"#) + r#""format":"#.len();
    archive[number] = b'2';
    let words = refusal(&packed(&archive, dir.path()));
    assert!(words.contains("format 2") && words.contains("newer"), "{words}");
    archive[number] = b'1';
    let host = Host::serve(&packed(&archive, dir.path()), &[]).unwrap();
    assert_eq!(ask(host.address(), "POST", "/echo", "", b"as before").unwrap().text(), "as before");
}

#[test]
fn what_is_no_artifact_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    for (content, words) in [(&b""[..], "not an artifact"), (b"#!/bin/sh\nexit 0\n", "not an artifact")] {
        let path = dir.path().join("nothing.tar.zst");
        fs::write(&path, content).unwrap();
        let said = refusal(&path);
        assert!(said.contains(words), "{said}");
    }
    let said = refusal(&dir.path().join("missing.tar.zst"));
    assert!(said.contains("No such file"), "{said}");
}
