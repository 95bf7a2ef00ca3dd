//! Four clocks, each exact, and a slot that is free when the work has stopped and not before.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use ignite_tests::client::{Client, ask};
use ignite_tests::host::Host;
use ignite_tests::product::{compile, repository};
use tempfile::TempDir;

use crate::app::{SOON, wait_until};

/// How late an answer at a limit may be, over what the machine itself is late. The bound is three times the aim.
const LATE_MS_MAX: f64 = 15.0;
/// Part of each core that others use while it is measured.
const LOAD: f64 = 0.8;
/// One turn of that load.
const TURN: Duration = Duration::from_millis(10);

/// Handlers that a cancel does not stop.
const STUBBORN: [&str; 6] =
    ["spins", "sleeps_in_c", "hashes_in_c", "catches_everything", "forks_twice", "leaves_its_group"];

fn artifact() -> &'static Path {
    static ARTIFACT: OnceLock<(TempDir, PathBuf)> = OnceLock::new();
    let (_, path) = ARTIFACT.get_or_init(|| {
        let dir = tempfile::tempdir().unwrap();
        let path = compile(&repository().join("tests/cases/apps/clocks"), dir.path(), &[]).unwrap();
        (dir, path)
    });
    path
}

/// A host and the lock its executions take.
struct Clocks {
    host: Host,
    dir: TempDir,
}

impl Clocks {
    fn serve(env: &[(&str, &str)]) -> Self {
        let env: Vec<_> = env.iter().copied().chain([("IGNITE_MAX_CONCURRENCY", "1")]).collect();
        Self { host: Host::serve(artifact(), &env).unwrap(), dir: tempfile::tempdir().unwrap() }
    }

    fn lock(&self) -> String {
        self.dir.path().join("lock").display().to_string()
    }

    /// Sends a request; its answer is still to be read.
    fn send(&self, way: &str, headers: &str) -> Client {
        let mut client = Client::connect(self.host.address()).unwrap();
        client.request("POST", &format!("/{way}"), headers, self.lock().as_bytes()).unwrap();
        client
    }

    fn expired(&self, clock: &str) -> f64 {
        self.host.metric(&format!("ignite_host_clock_expired_total{{clock=\"{clock}\"}}")).unwrap()
    }

    fn never_two_at_once(&self) {
        let overlaps = std::fs::read_to_string(self.lock() + ".overlap").unwrap_or_default();
        assert!(overlaps.is_empty(), "ran beside another: {overlaps}");
    }
}

#[test]
fn a_slot_is_free_when_the_work_has_stopped_whatever_it_does() {
    let clocks = Clocks::serve(&[("IGNITE_TIMEOUT_MS", "150"), ("IGNITE_QUEUE_TIMEOUT_MS", "20000")]);
    for way in STUBBORN {
        let mut stuck = clocks.send(way, "");
        // They wait for the slot while it is held by work that nobody waits for any more.
        let mut next: Vec<Client> = (0..3).map(|_| clocks.send("answers", "x-ignite-timeout-ms: 150\r\n")).collect();
        let answer = stuck.answer().unwrap();
        answer.error(504, "timeout").unwrap();
        drop(answer);
        for client in &mut next {
            let answer = client.answer().unwrap();
            assert!(answer.status == 200 || answer.status == 503, "{way}: {}", answer.text());
        }
        let answer = clocks.send("answers", "").answer().unwrap();
        if answer.status != 200 {
            answer.error(503, "queue_timeout").unwrap();
        }
        clocks.host.wait_metric("ignite_host_slots_busy", 0.0, SOON).unwrap();
        assert_eq!(clocks.send("answers", "").answer().unwrap().text(), "in time", "after {way}");
        clocks.never_two_at_once();
    }
    let killed = clocks.host.metric("ignite_host_worker_ends_overdue_total").unwrap();
    assert_eq!(killed as usize, STUBBORN.len(), "each was killed");
    assert_eq!(clocks.expired("total") as usize, STUBBORN.len());
}

#[test]
fn what_a_worker_leaves_behind_ends_with_it() {
    let clocks = Clocks::serve(&[]);
    for _ in 0..3 {
        clocks.send("dies_and_leaves_a_child", "").answer().unwrap().error(502, "worker_lost").unwrap();
        assert_eq!(clocks.send("answers", "").answer().unwrap().text(), "in time");
    }
    clocks.never_two_at_once();
}

#[test]
fn each_clock_has_its_limit_its_count_and_its_error() {
    let clocks = Clocks::serve(&[
        ("IGNITE_TIMEOUT_MS", "2000"),
        ("IGNITE_QUEUE_TIMEOUT_MS", "200"),
        ("IGNITE_RESPONSE_START_MS", "600"),
        ("IGNITE_STREAM_IDLE_MS", "300"),
    ]);
    // Queue: the slot is held for longer than one waits for it.
    let mut holder = clocks.send("sleeps_in_c", "");
    clocks.host.wait_metric("ignite_host_slots_busy", 1.0, SOON).unwrap();
    let words = clocks.send("answers", "").answer().unwrap().error(503, "queue_timeout").unwrap();
    // It says how long it was, which on a busy machine is some milliseconds more.
    let waited = words.split_once("within ").and_then(|(_, rest)| rest.split_once(" ms")?.0.parse().ok());
    assert!(waited.is_some_and(|waited: u64| (200..400).contains(&waited)), "{words}");
    // Response start: shorter than the total.
    let words = holder.answer().unwrap().error(504, "response_start_timeout").unwrap();
    assert_eq!(words, "the answer did not begin within 600 ms");
    // A caller's deadline shortens that, too, and is told as the total.
    clocks.host.wait_metric("ignite_host_slots_busy", 0.0, SOON).unwrap();
    let words = clocks.send("spins", "x-ignite-timeout-ms: 100\r\n").answer().unwrap().error(504, "timeout").unwrap();
    assert_eq!(words, "the execution exceeded its time limit of 100 ms");
    // Idle: the stream pauses. Its head is sent, so it breaks off.
    clocks.host.wait_metric("ignite_host_slots_busy", 0.0, SOON).unwrap();
    let mut client = clocks.send("streams", "");
    let begun = Instant::now();
    client.answer().unwrap_err();
    assert!(begun.elapsed() < Duration::from_millis(1900), "before the total: {:?}", begun.elapsed());
    let told = |text: &str| {
        let text = text.to_owned();
        clocks
            .host
            .log_line(SOON, move |line| line["message"].as_str().is_some_and(|said| said.contains(&text)))
            .unwrap()
    };
    told("no further part of the answer came within 300 ms");
    // Total: a stream that never pauses and never ends.
    clocks.host.wait_metric("ignite_host_slots_busy", 0.0, SOON).unwrap();
    let begun = Instant::now();
    clocks.send("streams_on", "").answer().unwrap_err();
    assert!(begun.elapsed() >= Duration::from_millis(1900), "{:?}", begun.elapsed());
    told("its time limit was reached");
    for (clock, count) in [("queue", 1.0), ("response_start", 1.0), ("idle", 1.0), ("total", 2.0)] {
        assert_eq!(clocks.expired(clock), count, "{clock}");
    }
    clocks.host.wait_metric("ignite_host_slots_busy", 0.0, SOON).unwrap();
    clocks.never_two_at_once();
}

#[test]
fn whoever_comes_first_wins_and_nobody_is_answered_twice() {
    let clocks = Clocks::serve(&[("IGNITE_TIMEOUT_MS", "30000")]);
    // The answer comes at about the moment the time is up, or the caller goes; each is answered once or not at all.
    for round in 0..60 {
        let limit = 1 + round % 6;
        let mut client = clocks.send("answers", &format!("x-ignite-timeout-ms: {limit}\r\n"));
        if round % 3 == 0 {
            continue;
        }
        let answer = client.answer().unwrap();
        assert!(matches!(answer.status, 200 | 503 | 504 | 408), "{}", answer.text());
        client.request("GET", "/livez", "", b"").unwrap();
        let next = client.answer().unwrap();
        assert_eq!(next.json()["status"], "live", "the next answer on the connection is that of the next request");
    }
    clocks.host.wait_metric("ignite_host_slots_busy", 0.0, SOON).unwrap();
    assert_eq!(clocks.send("answers", "").answer().unwrap().text(), "in time");
    clocks.never_two_at_once();
}

/// Keeps every core busy for its part of the time.
struct Load {
    stop: &'static AtomicBool,
    threads: Vec<thread::JoinHandle<()>>,
}

impl Load {
    fn start() -> Self {
        let stop: &'static AtomicBool = Box::leak(Box::new(AtomicBool::new(false)));
        let cores = thread::available_parallelism().map_or(1, usize::from);
        let burn = move || {
            while !stop.load(Ordering::Relaxed) {
                let turn = Instant::now();
                while turn.elapsed() < TURN.mul_f64(LOAD) {
                    std::hint::spin_loop();
                }
                thread::sleep(TURN.mul_f64(1.0 - LOAD));
            }
        };
        Self { stop, threads: (0..cores).map(|_| thread::spawn(burn)).collect() }
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

/// How late this process is woken by its own clock, in milliseconds: what the machine adds to every answer.
fn own_lateness(limit: Duration) -> f64 {
    let until = Instant::now() + limit;
    thread::sleep(limit);
    until.elapsed().as_secs_f64() * 1000.0
}

fn p99(figures: &mut [f64]) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[(figures.len() * 99).div_ceil(100) - 1]
}

#[test]
#[expect(clippy::print_stdout, reason = "the figures, for whoever asks with --nocapture")]
fn an_answer_at_the_limit_is_exact_under_load() {
    const LIMIT: Duration = Duration::from_millis(80);
    const ROUNDS: usize = 12;
    let clocks = Clocks::serve(&[("IGNITE_TIMEOUT_MS", "80"), ("IGNITE_QUEUE_TIMEOUT_MS", "20000")]);
    let _load = Load::start();
    let (mut late, mut own) = (vec![], vec![]);
    for way in STUBBORN {
        for _ in 0..ROUNDS {
            let control = thread::spawn(|| own_lateness(LIMIT));
            let mut client = Client::connect(clocks.host.address()).unwrap();
            let begun = Instant::now();
            client.request("POST", &format!("/{way}"), "", clocks.lock().as_bytes()).unwrap();
            let answer = client.answer().unwrap();
            let took = begun.elapsed();
            answer.error(504, "timeout").unwrap();
            late.push((took.as_secs_f64() - LIMIT.as_secs_f64()) * 1000.0);
            own.push(control.join().unwrap());
            clocks.host.wait_metric("ignite_host_slots_busy", 0.0, SOON).unwrap();
            // The next worker has to be there: a start is not what is measured.
            wait_until("a worker", SOON, || {
                ask(clocks.host.address(), "GET", "/healthz", "", b"").unwrap().status == 200
            });
        }
    }
    assert!(late.iter().all(|late| *late > -1.0), "none is early: {late:?}");
    let (p99_late, p99_own) = (p99(&mut late), p99(&mut own));
    println!("answers are late by {p99_late:.2} ms (p99), this process by {p99_own:.2} ms");
    assert!(p99_late <= LATE_MS_MAX + p99_own, "p99 {p99_late:.2} ms, of which the machine's {p99_own:.2} ms");
    clocks.never_two_at_once();
}
