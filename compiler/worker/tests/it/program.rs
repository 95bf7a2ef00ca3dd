//! The program: it says what it waits for, drains, and when it is killed its jobs are taken over and nothing of it stays.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use ignite_core_model::{COMPILE_JOBS, JobId};
use ignite_store_meta::{Location, Meta, MetaOptions, NewJob};
use ignite_store_objects::{ObjectKey, Objects};
use tempfile::TempDir;

use crate::left;
use crate::real::{PYTHON, archive, cache, nothing_left};
use crate::stage::{End, WAIT_MAX, end_of, eventually, lines_of, objects, store_source, work};

/// A store for one or more builders.
struct Platform {
    folder: TempDir,
    meta: Meta,
    objects: Objects,
}

impl Platform {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let location = Location::Sqlite(folder.path().join("ignite.db"));
        let meta = Meta::open(&MetaOptions::new(location)).await.unwrap();
        let objects = objects(folder.path());
        Self { folder, meta, objects }
    }

    async fn submit(&self, number: u32, archive: &[u8], attempts_max: u32) -> JobId {
        store_source(&self.objects, archive).await;
        let now_ms = ignite_compiler_worker::system_clock()();
        let id = JobId::from_parts(now_ms, u128::from(number));
        let job = NewJob {
            id,
            kind: COMPILE_JOBS.into(),
            app: None,
            payload: serde_json::to_string(&work(archive)).unwrap(),
            attempts_max,
            due_ms: now_ms,
            ends_by_ms: now_ms + 3_600_000,
        };
        self.meta.insert_job(&job, now_ms).await.unwrap();
        id
    }

    async fn ended(&self, id: JobId) -> End {
        eventually("the job ends", async || end_of(&self.meta, id).await).await
    }
}

/// A builder that runs. Dropping it kills it.
struct Program {
    child: Child,
    admin: SocketAddr,
    lines: mpsc::Receiver<String>,
}

impl Program {
    fn start(folder: &Path, cache: &Path, more: &[&str]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_ignite-builder"))
            .args(["--admin", "127.0.0.1:0"])
            .arg("--cache")
            .arg(cache)
            .args(more)
            .env("IGNITE_BUILDER_LEASE_SECS", "3")
            .env("IGNITE_STORE", format!("sqlite:{}", folder.join("ignite.db").display()))
            .env("IGNITE_OBJECTS", format!("file:{}", folder.join("objects").display()))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let (sender, lines) = mpsc::channel();
        std::thread::spawn(move || stdout.lines().map_while(Result::ok).for_each(|line| drop(sender.send(line))));
        let mut program = Self { child, admin: SocketAddr::from(([127, 0, 0, 1], 0)), lines };
        let first = program.says("probes and metrics are served");
        program.admin = first["admin"].as_str().unwrap().parse().unwrap();
        program
    }

    /// The next log line with this message; each line before it is JSON as well.
    fn says(&self, message: &str) -> serde_json::Value {
        let until = Instant::now() + WAIT_MAX;
        loop {
            let line = self.lines.recv_timeout(until.saturating_duration_since(Instant::now()));
            let line = line.unwrap_or_else(|_| panic!("it never says `{message}`"));
            let line: serde_json::Value = serde_json::from_str(&line).unwrap();
            if line["message"] == message {
                return line;
            }
        }
    }

    fn asks(&self, path: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(self.admin).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
    }

    fn signal(&self, signal: rustix::process::Signal) {
        rustix::process::kill_process(rustix::process::Pid::from_child(&self.child), signal).unwrap();
    }

    /// Kills it, and gives the number it had.
    fn kill(mut self) -> u32 {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        self.child.id()
    }

    /// Asks it to end; it does, well, and in time.
    fn ends(mut self) -> String {
        self.signal(rustix::process::Signal::TERM);
        let until = Instant::now() + WAIT_MAX;
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            assert!(Instant::now() < until, "it does not end");
            std::thread::sleep(Duration::from_millis(5));
        };
        assert!(status.success(), "{status}");
        self.lines.try_iter().collect()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_builder_says_what_it_waits_for_and_drains() {
    if !left::slow() {
        return;
    }
    // The folder of the records is not there yet; Postgres would not be up.
    let folder = tempfile::tempdir().unwrap();
    let refused = Command::new(env!("CARGO_BIN_EXE_ignite-builder"))
        .args(["--store", "sqlite:/nowhere/at/all.db", "--admin", "127.0.0.1:0", "--cache"])
        .arg(folder.path().join("cache"))
        .args(["--objects", &format!("file:{}", folder.path().display())])
        .output()
        .unwrap();
    assert_eq!(refused.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("could not open the records"));

    // An address at which nobody answers: it waits, says so, and still ends when it is asked to.
    let waits = {
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let mut child = Command::new(env!("CARGO_BIN_EXE_ignite-builder"))
            .args(["--admin", "127.0.0.1:0", "--cache"])
            .arg(folder.path().join("cache"))
            .args(["--objects", &format!("file:{}", folder.path().display())])
            .env("IGNITE_STORE", format!("postgres://user:hunter2@{free}/none"))
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let (sender, lines) = mpsc::channel();
        std::thread::spawn(move || stdout.lines().map_while(Result::ok).for_each(|line| drop(sender.send(line))));
        let mut program = Program { child, admin: free, lines };
        program.admin = program.says("probes and metrics are served")["admin"].as_str().unwrap().parse().unwrap();
        program
    };
    let said = waits.says("the builder waits");
    assert!(!said.to_string().contains("hunter2"), "{said}");
    let (code, words) = waits.asks("/readyz");
    assert_eq!(code, 503);
    assert!(words.contains("waits for the records") && !words.contains("hunter2"), "{words}");
    assert_eq!(waits.asks("/livez").0, 200);
    waits.ends();

    let platform = Platform::new().await;
    let program = Program::start(platform.folder.path(), &cache("program"), &[]);
    program.says("jobs are taken");
    assert_eq!(program.asks("/readyz"), (200, "ready\n".to_owned()));
    let job = platform.submit(1, &archive(&[("handler.py", PYTHON.as_bytes())]), 3).await;
    let End::Succeeded(compiled) = platform.ended(job).await else {
        panic!("{:?}", lines_of(&platform.meta, job).await)
    };
    assert!(platform.objects.has(&ObjectKey::artifact(&compiled.artifact)).await.unwrap());
    let (_, figures) = program.asks("/metrics");
    assert!(figures.contains("ignite_builder_compiles_total{outcome=\"succeeded\"} 1"), "{figures}");
    assert_eq!(program.asks("/else").0, 404);
    let told = program.ends();
    assert!(told.contains("the builder has ended"), "{told}");
    nothing_left(&cache("program"));
}

#[test]
fn a_builder_without_a_sandbox_does_not_start() {
    if !left::slow() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let start = |more: &str| {
        // In a user namespace that allows no further one.
        let script = "echo 0 > /proc/sys/user/max_user_namespaces && exec timeout -s TERM 3 \"$0\" \"$@\"";
        let mut command = Command::new("unshare");
        command.args(["--user", "--map-root-user", "sh", "-c", script, env!("CARGO_BIN_EXE_ignite-builder")]);
        command
            .args(["--admin", "127.0.0.1:0", "--store"])
            .arg(format!("sqlite:{}/ignite.db", folder.path().display()));
        command.arg("--objects").arg(format!("file:{}/objects", folder.path().display()));
        command.arg("--cache").arg(folder.path().join("cache")).args(more.split_whitespace()).output().unwrap()
    };
    let refused = start("");
    let said = String::from_utf8_lossy(&refused.stderr);
    assert_eq!(refused.status.code(), Some(1), "{said}");
    assert!(said.contains("lacks namespaces") && said.contains("--allow-unsandboxed"), "{said}");
    let allowed = start("--allow-unsandboxed");
    let said = String::from_utf8_lossy(&allowed.stdout);
    assert!(said.contains("allowed by --allow-unsandboxed") && said.contains("jobs are taken"), "{said}");
}

/// What is killed: short compiles of Python with and without work to do, and a longer one of Go.
fn sources() -> Vec<Vec<u8>> {
    let go = "package main\n\nimport \"ignite\"\n\nfunc handler(payload []byte, ctx *ignite.Context) ([]byte, error) {\n\treturn payload, nil\n}\n\nfunc main() { ignite.Start(handler) }\n";
    let many = format!("{PYTHON}x = [{}]\n", "f(1, a=2),".repeat(40_000));
    vec![
        archive(&[("handler.py", PYTHON.as_bytes())]),
        archive(&[("main.go", go.as_bytes())]),
        archive(&[("handler.py", many.as_bytes())]),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_builder_that_is_killed_leaves_nothing_and_its_jobs_are_taken_over() {
    if !left::slow() {
        return;
    }
    let place: PathBuf = cache("killed");
    let platform = Platform::new().await;
    let sources = sources();
    // What Go compiles of its own library is made once.
    let program = Program::start(platform.folder.path(), &place, &[]);
    let warm = platform.submit(0, &sources[1], 3).await;
    assert!(matches!(platform.ended(warm).await, End::Succeeded(_)));
    program.ends();

    // Under its old name a builder takes up at once what it had, long before its lease lapses.
    let long = ["--name", "b", "--lease-secs", "600"];
    let many = format!("{PYTHON}x = [{}]\n", "f(1, a=2),".repeat(700_000));
    let job = platform.submit(100, &archive(&[("handler.py", many.as_bytes())]), 3).await;
    let program = Program::start(platform.folder.path(), &place, &long);
    program.says("a compile begins");
    program.kill();
    let program = Program::start(platform.folder.path(), &place, &long);
    program.says("jobs that this builder had before it was killed are taken up again");
    program.says("a compile begins");
    assert!(platform.meta.cancel_job(job, ignite_compiler_worker::system_clock()()).await.unwrap());
    assert_eq!(platform.ended(job).await, End::Cancelled);
    program.ends();

    let mut jobs = Vec::new();
    let mut state: u32 = std::process::id();
    for round in 0..12_u32 {
        let program = Program::start(platform.folder.path(), &place, &["--jobs", "2"]);
        // Other sources each time, so that nothing is taken from the cache.
        let source = &sources[round as usize % sources.len()];
        jobs.push(platform.submit(round + 1, source, 20).await);
        program.says("a compile begins");
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let until = Instant::now() + Duration::from_millis(u64::from(state >> 23));
        while Instant::now() < until {
            std::thread::yield_now();
        }
        let pid = program.kill();
        let began = Instant::now();
        eventually("its processes are gone", async || left::processes(&place).is_empty().then_some(())).await;
        assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
        // The next one removes the rest as it starts, before it takes jobs.
        let next = Program::start(platform.folder.path(), &place, &["--jobs", "1"]);
        eventually("its groups are gone", async || left::groups(pid).is_empty().then_some(())).await;
        next.says("jobs are taken");
        next.kill();
    }
    let last = Program::start(platform.folder.path(), &place, &["--jobs", "2"]);
    for job in jobs {
        let end = platform.ended(job).await;
        assert!(matches!(end, End::Succeeded(_)), "{end:?}: {:?}", lines_of(&platform.meta, job).await);
        for (at, (number, _)) in lines_of(&platform.meta, job).await.iter().enumerate() {
            assert_eq!(*number, at as u64 + 1, "numbers have no gap and no repeat");
        }
    }
    last.ends();
    nothing_left(&place);
}
