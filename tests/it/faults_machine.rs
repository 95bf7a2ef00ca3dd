//! A machine that is short of disk, of processor time and of truth about the time, while 200 requests a second are served.

use std::ffi::OsStr;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use ignite_tests::client::ask;
use ignite_tests::host::Host;
use ignite_tests::product::{binary, compile, repository};
use ignite_tests::steady::{Plan, Steady};

use crate::app::{Gate, SOON, artifact, serve, wait_until};
use crate::faults::{below, runs, signal};
use crate::faults_clients::resident_kib;

/// Mounts a small file system where the host unpacks, seen by the host alone, and becomes the host.
const SMALL_DISK: [&str; 5] =
    ["unshare", "-rm", "sh", "-c", "mount -t tmpfs -o size=512k none \"$IGNITE_WORK_DIR\" && exec \"$0\" \"$@\""];

#[test]
fn a_full_disk_at_the_start_is_told_and_nothing_is_left() {
    let dir = tempfile::tempdir().unwrap();
    let project = dir.path().join("large");
    fs::create_dir(&project).unwrap();
    fs::write(project.join("handler.py"), "def handler(payload, ctx):\n    return payload\n").unwrap();
    // Not compressible, so that it is not small on its way either.
    let noise: Vec<u8> =
        (0..1_u64 << 17).flat_map(|n| n.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29).to_le_bytes()).collect();
    fs::write(project.join("noise.bin"), noise).unwrap();
    let large = compile(&project, dir.path(), &[]).unwrap();
    let work = dir.path().join("work");
    fs::create_dir(&work).unwrap();
    let output = Command::new(SMALL_DISK[0])
        .args(&SMALL_DISK[1..])
        .arg(binary("ignite-host").unwrap())
        .arg("--artifact")
        .arg(&large)
        .envs([("PORT", "0"), ("IGNITE_LISTEN_HOST", "127.0.0.1")])
        .env("IGNITE_WORK_DIR", &work)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let words = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{words}");
    assert!(words.contains("could not open the artifact") && words.contains("No space left on device"), "{words}");
}

#[test]
fn a_disk_that_fills_up_while_serving_harms_nobody() {
    let admin = tempfile::tempdir().unwrap();
    let socket = format!("unix:{}", admin.path().join("admin.sock").display());
    let arguments = [OsStr::new("--artifact"), artifact().as_os_str()];
    let env = [("IGNITE_ADMIN", socket.as_str()), ("IGNITE_MAX_CONCURRENCY", "4")];
    let mut host = Host::start_by(&SMALL_DISK, &arguments, &env).unwrap();
    host.wait_ready(SOON).unwrap();
    let steady = Steady::start(&Plan::new(host.address()));
    // The host's own view of its disk.
    let filler = format!("/proc/{}/root{}/filler", host.pid(), host.work_dir().display());
    let mut file = fs::File::create(filler).unwrap();
    let full = loop {
        if let Err(error) = file.write_all(&[0; 4096]) {
            break error;
        }
    };
    assert_eq!(full.raw_os_error(), Some(28), "{full}");
    let gate = Gate::new();
    for _ in 0..3 {
        let mut lost = gate.enter(&host, "");
        signal("-KILL", lost.pid);
        lost.client.answer().unwrap().error(502, "worker_lost").unwrap();
    }
    let zygote = below(host.pid())[0];
    signal("-KILL", zygote);
    wait_until("the zygote is gone", SOON, || !runs(zygote));
    steady.wait_further(100, SOON).unwrap();
    steady.finish().check_unharmed().unwrap();
    assert_eq!(ask(host.address(), "GET", "/healthz", "", b"").unwrap().status, 200);
}

/// The library that sets a process's wall clock, compiled.
fn stepped_clock(dir: &Path) -> String {
    let library = dir.join("clock_step.so").display().to_string();
    let source = repository().join("tests/it/clock_step.c");
    let compiled = Command::new("cc").args(["-shared", "-fPIC", "-O1", "-o", &library]).arg(source).status().unwrap();
    assert!(compiled.success());
    library
}

#[test]
fn a_step_of_the_wall_clock_moves_no_deadline() {
    let dir = tempfile::tempdir().unwrap();
    let library = stepped_clock(dir.path());
    let file = dir.path().join("seconds");
    let step = |seconds: i64| {
        // In place: the library has mapped the file.
        let mut file = fs::OpenOptions::new().write(true).create(true).truncate(false).open(&file).unwrap();
        file.write_all(&seconds.to_ne_bytes()).unwrap();
    };
    step(0);
    let path = file.display().to_string();
    let host = serve(&[
        ("LD_PRELOAD", library.as_str()),
        ("CLOCK_STEP_FILE", path.as_str()),
        // The workers' clock steps as well.
        ("IGNITE_ENV_LD_PRELOAD", library.as_str()),
        ("IGNITE_ENV_CLOCK_STEP_FILE", path.as_str()),
        ("IGNITE_MAX_CONCURRENCY", "8"),
    ]);
    let year = |line: &serde_json::Value| line["time"].as_str().unwrap()[..4].parse::<i32>().unwrap();
    let now = year(&host.log_lines(|line| line["message"] == "listening")[0]);
    let steady = Steady::start(&Plan::new(host.address()));
    let gate = Gate::new();
    const YEAR: i64 = 366 * 24 * 60 * 60;
    for (seconds, years) in [(3 * YEAR, 3), (-3 * YEAR, -3), (1, 0), (-1, 0)] {
        let mut across = gate.enter(&host, "x-ignite-timeout-ms: 800\r\n");
        let begun = Instant::now();
        step(seconds);
        // It began before the step and ends at its own time all the same.
        across.client.answer().unwrap().error(504, "timeout").unwrap();
        let took = begun.elapsed();
        assert!(took > Duration::from_millis(500) && took < Duration::from_millis(800) + SOON / 10, "{took:?}");
        let left = ask(host.address(), "POST", "/remaining", "x-ignite-timeout-ms: 5000\r\n", b"").unwrap();
        let left = left.json()["ms"].as_f64().unwrap();
        assert!((1.0..=5000.0).contains(&left), "{left}");
        // The step was real: the log tells the new time.
        let answered =
            host.log_line(SOON, |line| line["execution_id"] == across.id.as_str() && line["stream"] == "host");
        assert!((year(&answered.unwrap()) - now - years).abs() <= 1);
    }
    steady.wait_further(50, SOON).unwrap();
    steady.finish().check_unharmed().unwrap();
}

#[test]
fn an_artifact_that_changes_on_disk_changes_nothing_that_is_served() {
    let changes: [fn(&Path); 3] = [
        |path| fs::write(path, "not an artifact any more").unwrap(),
        |path| {
            let other = path.with_extension("other");
            fs::write(&other, b"").unwrap();
            fs::rename(other, path).unwrap();
        },
        |path| fs::remove_file(path).unwrap(),
    ];
    for change in changes {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("app.tar.zst");
        fs::copy(artifact(), &path).unwrap();
        let host = Host::serve(&path, &[("IGNITE_MAX_CONCURRENCY", "4")]).unwrap();
        let (steady, gate) = (Steady::start(&Plan::new(host.address())), Gate::new());
        steady.wait_further(50, SOON).unwrap();
        change(&path);
        // Processes are made anew from what was unpacked: the first below the host is the one that forks the others.
        let zygote = below(host.pid())[0];
        let mut lost = gate.enter(&host, "");
        signal("-KILL", zygote);
        signal("-KILL", lost.pid);
        lost.client.answer().unwrap().error(502, "worker_lost").unwrap();
        steady.wait_further(50, SOON).unwrap();
        steady.finish().check_unharmed().unwrap();
    }
}

/// How much is printed at once, in bytes.
const FLOOD_BYTES: u64 = 100 * 1024 * 1024;
/// What the host may need for it, in KiB: lines that wait to be written, within their bounds.
const FLOOD_KIB_MAX: u64 = 64 * 1024;

#[test]
fn a_hundred_megabytes_of_prints_hold_up_nobody() {
    let host = serve(&[("IGNITE_MAX_CONCURRENCY", "8")]);
    let steady = Steady::start(&Plan::new(host.address()));
    steady.wait_further(50, SOON).unwrap();
    let before = resident_kib(host.pid());
    let answer = ask(host.address(), "POST", "/flood", "", FLOOD_BYTES.to_string().as_bytes()).unwrap();
    assert_eq!((answer.status, answer.text().as_str()), (200, "printed"));
    let grown = resident_kib(host.pid()).saturating_sub(before);
    assert!(grown < FLOOD_KIB_MAX, "{grown} KiB");
    // Half of it was lines of 1 KiB; the rest was one, cut at its limit, and told to have been.
    let half = FLOOD_BYTES / 2;
    let lines = half / 1024 + 1;
    let mut written = 0;
    wait_until("each line is written or counted as dropped", SOON, || {
        written = host.log_lines(|line| line["stream"] == "stdout").len() as u64;
        written + host.metric("ignite_host_log_lines_dropped").unwrap() as u64 == lines
    });
    steady.wait_further(50, SOON).unwrap();
    steady.finish().check_unharmed().unwrap();
}

/// A busy loop in a process of its own, ended with this value.
struct Burner(Child);

impl Burner {
    fn start() -> Self {
        Self(Command::new("sh").args(["-c", "while :; do :; done"]).stdin(Stdio::null()).spawn().unwrap())
    }
}

impl Drop for Burner {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A server that answers one byte with one byte: what this machine, as busy as it is, does at best.
fn bare() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream: TcpStream = stream.unwrap();
            let mut byte = [0];
            let _ = stream.read_exact(&mut byte).and_then(|()| stream.write_all(&byte));
        }
    });
    address
}

/// Longest time a probe may take.
const PROBE_MAX: Duration = Duration::from_millis(100);
/// Probes that are timed.
const PROBES: usize = 100;

/// The bound is 100 ms, plus what the machine itself takes: how long a bare server needs that is asked in
/// the same moments. With all processors taken by others the host too has to wait for its turn, on any system; it must not
/// wait for anything else. One probe in twenty may be later: a single missed turn of a shared machine says nothing.
#[test]
fn probes_are_answered_while_all_processors_are_busy() {
    let cores = thread::available_parallelism().unwrap().get();
    let host = serve(&[("IGNITE_MAX_CONCURRENCY", "8"), ("IGNITE_TIMEOUT_MS", "60000")]);
    let steady = Steady::start(&Plan::new(host.address()));
    steady.wait_further(50, SOON).unwrap();
    let bare = bare();
    let burners: Vec<Burner> = (0..cores * 2).map(|_| Burner::start()).collect();
    // Four of the function's own slots burn too.
    let spinning: Vec<_> = (0..4)
        .map(|_| {
            let mut client = ignite_tests::client::Client::connect(host.address()).unwrap();
            client.request("POST", "/spin", "", b"").unwrap();
            client
        })
        .collect();
    let (mut probes, mut at_best) = (vec![], vec![]);
    for _ in 0..PROBES {
        let begun = Instant::now();
        let mut stream = TcpStream::connect(&bare).unwrap();
        stream.write_all(b"x").unwrap();
        stream.read_exact(&mut [0]).unwrap();
        at_best.push(begun.elapsed());
        let begun = Instant::now();
        let answer = ask(host.address(), "GET", "/healthz", "", b"").unwrap();
        probes.push(begun.elapsed());
        assert_eq!(answer.status, 200, "{}", answer.text());
    }
    drop(burners);
    drop(spinning);
    steady.finish().check_unharmed().unwrap();
    probes.sort();
    at_best.sort();
    let nineteen_of_twenty = PROBES * 19 / 20;
    let bound = PROBE_MAX + at_best[nineteen_of_twenty];
    assert!(
        probes[nineteen_of_twenty] <= bound,
        "{:?} of {bound:?}; bare {at_best:?}, probes {probes:?}",
        probes[nineteen_of_twenty]
    );
}
