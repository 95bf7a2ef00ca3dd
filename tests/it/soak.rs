//! Faults at random for as long as is wished, with every request reconciled.
//!
//! `IGNITE_SOAK_SECS` says how long each language is soaked, `IGNITE_SOAK_SEED` repeats a run. What is checked at the end:
//! each request of the background was answered once and by its own answer; an error came only to one that was under way
//! while a fault was made that costs such an error, and no more of them than the fault can cost; and the host has counted
//! exactly the answers that were received.

use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use ignite_tests::client::{Answer, Client};
use ignite_tests::dice::Dice;
use ignite_tests::host::Host;
use ignite_tests::product::{compile, repository};
use ignite_tests::steady::{CONNECTIONS, Plan, Steady};

use crate::app::{SOON, artifact};
use crate::faults::below;

/// How long each language is soaked where nothing else is said.
const SECS: u64 = 4;
/// A request of the background that is stuck in a stopped worker is answered after this long.
const LIMIT: Duration = Duration::from_millis(1500);
/// How much later than at its deadline a stuck worker may be known for one, on a machine that has much else to do.
const LATE: Duration = Duration::from_millis(500);
/// Executions at once.
const SLOTS: &str = "12";

/// Something that is done to the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    /// A process below the host is killed.
    Kill,
    /// A process below the host is stopped.
    Stop,
    /// A request to this path, and the status and type that answer it; no type is any type.
    Ask(&'static str, u16, &'static str),
    /// Callers that go away in the middle of a request.
    Vanish,
    /// Callers that send a byte and no more.
    Linger,
}

/// What a fault may cost the background.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cost {
    Nothing,
    /// One execution: those of a process with one each.
    One,
    /// All that are under way in the one process there is.
    All,
}

/// How a language is soaked.
struct Soak {
    name: &'static str,
    faults: &'static [Fault],
    /// What the end of a process costs.
    process: Cost,
}

/// What was done, from when to when, and what it may have cost.
#[derive(Debug)]
struct Done {
    #[expect(dead_code, reason = "shown where a check fails")]
    fault: Fault,
    begun: Instant,
    ended: Instant,
    cost: Cost,
}

fn soak(artifact: &Path, soak: &Soak) {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let seed = number("IGNITE_SOAK_SEED")
        .unwrap_or_else(|| SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as u64);
    let time = Duration::from_secs(number("IGNITE_SOAK_SECS").unwrap_or(SECS));
    // Shown only when the test fails.
    #[expect(clippy::print_stdout, reason = "how to repeat a run that failed")]
    {
        println!("IGNITE_SOAK_SEED={seed} IGNITE_SOAK_SECS={}", time.as_secs());
    }
    let mut dice = Dice::new(seed);
    let host = Host::serve(artifact, &[("IGNITE_MAX_CONCURRENCY", SLOTS), ("IGNITE_MEMORY_MB", "384")]).unwrap();
    let mut plan = Plan::new(host.address());
    plan.headers = format!("x-ignite-timeout-ms: {}\r\n", LIMIT.as_millis());
    let steady = Steady::start(&plan);
    steady.wait_further(100, SOON).unwrap();

    let (begun, mut done, mut own, mut lingering) = (Instant::now(), vec![], Answers::default(), vec![]);
    while begun.elapsed() < time {
        let fault = soak.faults[dice.roll(soak.faults.len())];
        let started = Instant::now();
        let cost = make(fault, &host, soak, &mut dice, &mut own, &mut lingering);
        done.push(Done { fault, begun: started, ended: Instant::now(), cost });
        thread::sleep(Duration::from_millis(dice.roll(60) as u64));
        // Were processes killed faster than any of them can serve, the host would rightly take it for a crash loop.
        // So many that one of them was sent after the fault, whenever the answers to earlier ones were read: a process that was
        // stopped while it starts, which no request can tell from one that loads for long, holds up all to the start limit.
        let further = if cost == Cost::Nothing { 1 } else { CONNECTIONS + 1 };
        for _ in 0..further {
            steady.wait_served(3 * SOON).unwrap_or_else(|error| panic!("{error:#}\nafter {done:#?}"));
        }
    }
    // What was under way when the last fault was made has its answer.
    steady.wait_further(3 * CONNECTIONS as u64, SOON).unwrap();
    drop(lingering);
    let account = steady.finish();
    let near = |done: &&Done, sent: Instant, ended: Instant| {
        done.cost != Cost::Nothing && sent <= done.ended + LIMIT + LATE && ended >= done.begun
    };
    account
        .check(|status, kind, request| {
            let kinds = [
                (502, "worker_lost"),
                (502, "memory_limit"),
                (504, "timeout"),
                (503, "queue_timeout"),
                (503, "unavailable"),
            ];
            kinds.contains(&(status, kind)) && done.iter().any(|done| near(&done, request.sent, request.ended))
        })
        .unwrap_or_else(|error| panic!("{error:#}\nafter {done:#?}"));
    let most: usize = done
        .iter()
        .map(|done| match done.cost {
            Cost::Nothing => 0,
            Cost::One => 1,
            Cost::All => CONNECTIONS,
        })
        .sum();
    // Those that never began cost nothing but time.
    let cost = account.requests.iter().filter(
        |request| matches!(&request.outcome, ignite_tests::steady::Outcome::Refused { status, .. } if *status != 503),
    );
    let cost = cost.count();
    assert!(cost <= most, "{cost} of at most {most}: {}\nafter {done:#?}", account.summary());
    for request in &account.requests {
        own.count(match &request.outcome {
            ignite_tests::steady::Outcome::Refused { status, .. } => *status,
            _ => 200,
        });
    }
    for (class, received) in [("2xx", own.good), ("5xx", own.bad)] {
        let counted = host.metric(&format!("ignite_host_executions_total{{class=\"{class}\"}}")).unwrap();
        assert_eq!(counted as u64, received, "{class} of {}: {}", soak.name, account.summary());
    }
    host.wait_metric("ignite_host_slots_busy", 0.0, SOON).unwrap();
    host.wait_metric("ignite_host_queue_length", 0.0, SOON).unwrap();
    #[expect(clippy::print_stdout, reason = "the counts, for whoever asks with --nocapture")]
    {
        let (faults, requests) = (done.len(), account.requests.len());
        println!("{}: {faults} faults, {requests} requests, each answered once: {}", soak.name, account.summary());
    }
}

/// Answers that were received: of class 2xx, and of 5xx. Callers that vanish are answered 4xx, or not at all.
#[derive(Default)]
struct Answers {
    good: u64,
    bad: u64,
}

impl Answers {
    fn count(&mut self, status: u16) {
        match status / 100 {
            2 => self.good += 1,
            _ => self.bad += 1,
        }
    }

    fn received(&mut self, answer: &Answer) {
        self.count(answer.status);
    }
}

fn make(
    fault: Fault,
    host: &Host,
    soak: &Soak,
    dice: &mut Dice,
    own: &mut Answers,
    lingering: &mut Vec<Client>,
) -> Cost {
    match fault {
        Fault::Kill | Fault::Stop => {
            let pids = below(host.pid());
            if pids.is_empty() {
                return Cost::Nothing;
            }
            let pid = pids[dice.roll(pids.len())];
            // One below the host itself may be the process that forks the others: stopped, it would hold up all new workers
            // until the start limit.
            let forks = soak.process == Cost::One && parent(pid) == Some(host.pid());
            let stop = fault == Fault::Stop && !forks;
            signal_if_there(if stop { "-STOP" } else { "-KILL" }, pid);
            soak.process
        }
        Fault::Ask(path, status, kind) => {
            let mut client = Client::connect(host.address()).unwrap();
            client.request("POST", path, "x-ignite-timeout-ms: 300\r\n", b"").unwrap();
            let answer = client.answer().unwrap();
            own.received(&answer);
            // It may have had its worker killed by the fault before, or have waited for one.
            let kind = if kind.is_empty() {
                answer.json()["type"].as_str().unwrap_or_default().to_owned()
            } else {
                kind.to_owned()
            };
            let as_asked = answer.error(status, &kind);
            let otherwise = [
                (502, "worker_lost"),
                (504, "timeout"),
                (503, "queue_timeout"),
                (503, "unavailable"),
                (502, "memory_limit"),
            ];
            let otherwise = otherwise.iter().any(|(status, kind)| answer.error(*status, kind).is_ok());
            assert!(as_asked.is_ok() || otherwise, "{path}: {as_asked:?}");
            assert!(client.quiet().unwrap(), "nothing follows an answer");
            // An error of the handler, or a process of its own, costs nobody; else the process goes for it.
            match (status, path) {
                (500, _) => Cost::Nothing,
                // Instances of one app have one budget of memory: what asks for some while another has all of it meets
                // the limit as well.
                (_, "/allocate") => Cost::All,
                _ if soak.process == Cost::One => Cost::Nothing,
                _ => soak.process,
            }
        }
        Fault::Vanish => {
            for beginning in ["POST /echo HTT", "POST /echo HTTP/1.1\r\nhost: test\r\ncontent-length: 9\r\n\r\nhalf"] {
                Client::connect(host.address()).unwrap().send(beginning).unwrap();
            }
            Cost::Nothing
        }
        Fault::Linger => {
            let mut client = Client::connect(host.address()).unwrap();
            client.send("P").unwrap();
            lingering.push(client);
            Cost::Nothing
        }
    }
}

/// The parent of a process; none of one that has ended.
fn parent(pid: u32) -> Option<u32> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    status.lines().find_map(|line| line.strip_prefix("PPid:"))?.trim().parse().ok()
}

/// Sends a signal to a process that may have ended by itself since it was seen.
fn signal_if_there(name: &str, pid: u32) {
    let kill = Command::new("kill").arg(name).arg(pid.to_string()).stderr(Stdio::null()).status().unwrap();
    assert!(kill.success() || !Path::new(&format!("/proc/{pid}")).exists(), "{name} {pid} was refused");
}

#[test]
fn python_under_random_faults() {
    let faults = &[
        Fault::Kill,
        Fault::Stop,
        Fault::Ask("/raise", 500, "ValueError"),
        Fault::Ask("/sys_exit", 500, "SystemExit"),
        Fault::Ask("/os_exit", 502, "worker_lost"),
        Fault::Ask("/spin", 504, "timeout"),
        Fault::Ask("/allocate", 502, "memory_limit"),
        Fault::Vanish,
        Fault::Linger,
    ];
    soak(artifact(), &Soak { name: "Python", faults, process: Cost::One });
}

fn rust(target: &str) -> (tempfile::TempDir, std::path::PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let artifact = compile(&repository().join("tests/cases/apps/rust"), dir.path(), &["--target", target]).unwrap();
    (dir, artifact)
}

#[test]
fn rust_under_random_faults() {
    let faults = &[
        Fault::Kill,
        Fault::Stop,
        Fault::Ask("/raise", 500, ""),
        Fault::Ask("/panic", 500, ""),
        Fault::Ask("/exit", 502, "worker_lost"),
        Fault::Ask("/spin", 504, "timeout"),
        Fault::Vanish,
        Fault::Linger,
    ];
    let (_dir, artifact) = rust("native");
    soak(&artifact, &Soak { name: "Rust", faults, process: Cost::All });
}

#[test]
fn wasm_under_random_faults() {
    let faults = &[
        Fault::Ask("/raise", 500, ""),
        Fault::Ask("/panic", 500, ""),
        Fault::Ask("/exit", 502, "worker_lost"),
        Fault::Ask("/spin", 504, "timeout"),
        Fault::Ask("/allocate", 502, "memory_limit"),
        Fault::Vanish,
        Fault::Linger,
    ];
    let (_dir, artifact) = rust("wasm");
    soak(&artifact, &Soak { name: "Wasm", faults, process: Cost::Nothing });
}
