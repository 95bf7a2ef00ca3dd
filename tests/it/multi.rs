//! Many apps in one host: chosen by hostname, changed while they are served, kept apart from each other.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use ignite_tests::client::{Answer, Client, ask};
use ignite_tests::host::Host;
use ignite_tests::product::{compile, repository};
use ignite_tests::steady::{Plan, Steady};
use tempfile::TempDir;

use crate::app::{SOON, wait_until};

/// Two artifacts of one component that differ in a limit: nine seconds, and two.
struct Artifacts {
    _dir: TempDir,
    slow: PathBuf,
    quick: PathBuf,
}

fn artifacts() -> &'static Artifacts {
    static MADE: OnceLock<Artifacts> = OnceLock::new();
    MADE.get_or_init(|| {
        let dir = tempfile::tempdir().unwrap();
        let project = dir.path().join("cases");
        fs::create_dir_all(project.join("src")).unwrap();
        let source = repository().join("tests/cases/apps/rust");
        for file in ["Cargo.toml", "src/lib.rs"] {
            fs::copy(source.join(file), project.join(file)).unwrap();
        }
        fs::write(project.join("ignite.toml"), "name = \"cases\"\ntimeout_secs = 9\n").unwrap();
        let compiled = compile(&project, dir.path(), &["--target", "wasm", "--format", "tar.gz"]).unwrap();
        let slow = dir.path().join("slow.tar.gz");
        fs::rename(compiled, &slow).unwrap();
        let mut archive = gzip("-dc", &slow);
        let limit = br#""timeout_secs":9"#;
        let at = archive.windows(limit.len()).position(|window| window == limit).unwrap();
        archive[at + limit.len() - 1] = b'2';
        let plain = dir.path().join("plain");
        fs::write(&plain, archive).unwrap();
        let quick = dir.path().join("quick.tar.gz");
        fs::write(&quick, gzip("-nc", &plain)).unwrap();
        Artifacts { _dir: dir, slow, quick }
    })
}

fn gzip(flag: &str, file: &Path) -> Vec<u8> {
    let output = Command::new("gzip").arg(flag).stdin(fs::File::open(file).unwrap()).stderr(Stdio::inherit()).output();
    let output = output.unwrap();
    assert!(output.status.success());
    output.stdout
}

/// A served folder of apps.
struct Many {
    dir: TempDir,
    host: Host,
}

impl Many {
    fn serve(labels: &[&str], env: &[(&str, &str)]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        for label in labels {
            put(dir.path(), label, &artifacts().slow);
        }
        let arguments = [OsStr::new("--multi"), dir.path().as_os_str()];
        let mut host = Host::start_by(&[], &arguments, env).unwrap();
        host.wait_ready(Duration::from_secs(60)).unwrap();
        Self { dir, host }
    }

    fn ask(&self, label: &str, path: &str, headers: &str, body: &[u8]) -> Answer {
        let mut client = Client::connect(self.host.address()).unwrap();
        request(&mut client, label, path, headers, body);
        client.answer().unwrap()
    }

    /// A load on one app.
    fn steady(&self, label: &str) -> Steady {
        let mut plan = Plan::new(self.host.address());
        plan.host = format!("{label}.example.test");
        Steady::start(&plan)
    }

    /// Whether the limit of the version that is served is the short one.
    fn is_quick(&self, label: &str) -> bool {
        let answer = self.ask(label, "/context?b=1", "", b"");
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.json()["deadline_is_near"] == true
    }
}

/// Puts `artifact` into the folder as who deploys does: under another name first.
fn put(dir: &Path, label: &str, artifact: &Path) {
    let copy = dir.join(format!(".{label}.new"));
    fs::copy(artifact, &copy).unwrap();
    fs::rename(copy, dir.join(format!("{label}.tar.gz"))).unwrap();
}

fn request(client: &mut Client, label: &str, path: &str, headers: &str, body: &[u8]) {
    let head = format!(
        "POST {path} HTTP/1.1\r\nhost: {label}.example.test\r\n{headers}content-length: {}\r\n\r\n",
        body.len()
    );
    client.send([head.as_bytes(), body].concat()).unwrap();
}

#[test]
fn an_app_is_chosen_by_the_first_label_of_the_hostname() {
    let many = Many::serve(&["cases-acme", "other"], &[("IGNITE_ORGANIZATION_ID", "local")]);
    for (label, function) in [("cases-acme", "acme/cases"), ("CASES-Acme", "acme/cases"), ("other", "local/other")] {
        let answer = many.ask(label, "/echo", "", b"hello");
        assert_eq!((answer.status, answer.text().as_str()), (200, "hello"));
        assert_eq!(answer.header("x-ignite-function-id").as_deref(), Some(function));
    }
    for label in ["nobody", "example", "a_b", "cases-acme-2"] {
        let words = many.ask(label, "/echo", "", b"hello").error(404, "unknown_host").unwrap();
        assert_eq!(words, "no app is served under this hostname");
    }
    // The probes are the host's own, whatever name they are asked under.
    for host in ["cases-acme.example.test", "nobody", "127.0.0.1"] {
        let mut client = Client::connect(many.host.address()).unwrap();
        client.send(format!("GET /healthz HTTP/1.1\r\nhost: {host}\r\n\r\n")).unwrap();
        assert_eq!(client.answer().unwrap().status, 200);
    }
    assert_eq!(many.host.metric("ignite_host_apps").unwrap(), 2.0);
    assert_eq!(many.host.metric("ignite_host_errors_total{type=\"unknown_host\"}").unwrap(), 4.0);
    let line = "ignite_app_executions_total{function_id=\"acme/cases\",class=\"2xx\"}";
    assert_eq!(many.host.metric(line).unwrap(), 2.0);
    assert!(many.host.log_lines(|line| line["level"] == "warn").is_empty(), "names that are not there make no noise");
}

#[test]
fn log_lines_name_their_app() {
    let many = Many::serve(&["one", "two"], &[]);
    for label in ["one", "two"] {
        let answer = many.ask(label, "/log", "", b"");
        let (id, function) = (answer.header("x-ignite-execution-id").unwrap(), format!("local/{label}"));
        for message in ["a printed line", "an error line", "a record"] {
            let line =
                many.host.log_line(SOON, |line| line["execution_id"] == id.as_str() && line["message"] == message);
            assert_eq!(line.unwrap()["function_id"], function.as_str());
        }
    }
}

#[test]
fn what_changes_in_the_folder_is_served_and_drops_no_request() {
    let many = Many::serve(&["stays", "changes"], &[]);
    let (stays, changes) = (many.steady("stays"), many.steady("changes"));
    let quick = |label: &str, wanted: bool| {
        wait_until("the other version is served", SOON, || many.is_quick(label) == wanted);
    };
    quick("changes", false);
    for _ in 0..3 {
        put(many.dir.path(), "changes", &artifacts().quick);
        quick("changes", true);
        put(many.dir.path(), "changes", &artifacts().slow);
        quick("changes", false);
    }
    // One that is broken changes nothing, and is told.
    let broken = many.dir.path().join(".broken");
    fs::write(&broken, "no artifact").unwrap();
    fs::rename(&broken, many.dir.path().join("changes.tar.gz")).unwrap();
    let told = |line: &serde_json::Value| line["message"] == "an artifact is not served" && line["label"] == "changes";
    let line = many.host.log_line(SOON, told).unwrap();
    assert!(line["reason"].as_str().is_some_and(|reason| reason.contains("not an artifact")), "{line}");
    assert!(!many.is_quick("changes"));
    put(many.dir.path(), "changes", &artifacts().quick);
    quick("changes", true);

    // A new one, by a link; then it goes.
    let kept = many.dir.path().join(".kept");
    fs::copy(&artifacts().slow, &kept).unwrap();
    std::os::unix::fs::symlink(".kept", many.dir.path().join("linked.tar.gz")).unwrap();
    wait_until("the new one is served", SOON, || many.ask("linked", "/echo", "", b"x").status == 200);
    fs::remove_file(many.dir.path().join("linked.tar.gz")).unwrap();
    wait_until("it is gone", SOON, || many.ask("linked", "/echo", "", b"x").status == 404);

    stays.finish().check_unharmed().unwrap();
    changes.finish().check_unharmed().unwrap();
}

#[test]
fn an_unpacked_artifact_is_served_where_it_lies() {
    let many = Many::serve(&["packed"], &[]);
    let folder = many.dir.path().join("unpacked");
    fs::create_dir(many.dir.path().join(".unpacked")).unwrap();
    let mut unpack = Command::new("tar");
    unpack.arg("-xzf").arg(&artifacts().slow).arg("-C").arg(many.dir.path().join(".unpacked"));
    assert!(unpack.status().unwrap().success());
    fs::rename(many.dir.path().join(".unpacked"), &folder).unwrap();
    wait_until("it is served", SOON, || many.ask("unpacked", "/echo", "", b"x").status == 200);
    // What cannot be served is told once, and nothing else is touched.
    fs::write(many.dir.path().join("notes.txt"), "").unwrap();
    let told = |line: &serde_json::Value| line["entry"] == "notes.txt";
    many.host.log_line(SOON, told).unwrap();
    assert_eq!(many.ask("packed", "/echo", "", b"x").status, 200);
}

#[test]
fn apps_that_nobody_asks_for_are_let_go_of() {
    let labels: Vec<String> = (0..20).map(|index| format!("app-{index}")).collect();
    let labels: Vec<&str> = labels.iter().map(String::as_str).collect();
    let many = Many::serve(&labels, &[("IGNITE_MULTI_LOADED_MAX", "4")]);
    assert_eq!(many.host.metric("ignite_host_apps_loaded").unwrap(), 0.0, "nothing is loaded before it is asked for");
    let busy = many.steady("app-0");
    for round in 0..3 {
        for label in &labels {
            let body = format!("{label} {round}");
            let answer = many.ask(label, "/echo", "", body.as_bytes());
            assert_eq!((answer.status, answer.text()), (200, body));
        }
    }
    assert!(many.host.metric("ignite_host_apps_loaded").unwrap() <= 4.0);
    assert!(many.host.metric("ignite_host_apps_unloads").unwrap() >= 3.0 * 20.0 - 3.0 - 4.0);
    busy.finish().check_unharmed().unwrap();
}

#[test]
fn what_one_app_does_is_invisible_to_others() {
    let many = Many::serve(&["calm", "wild"], &[("IGNITE_MEMORY_MB", "64"), ("IGNITE_MAX_CONCURRENCY", "8")]);
    let calm = many.steady("calm");
    calm.wait_further(50, SOON).unwrap();
    for _ in 0..3 {
        let wild = |path: &str, headers: &str| many.ask("wild", path, headers, b"");
        wild("/panic", "").error(500, "panic").unwrap();
        let words = wild("/exit", "").error(502, "worker_lost").unwrap();
        assert!(words.ends_with("exit code 1"), "{words}");
        wild("/allocate", "").error(502, "memory_limit").unwrap();
        wild("/spin", "x-ignite-timeout-ms: 200\r\n").error(504, "timeout").unwrap();
    }
    // More loops than it may run at once, and more callers than may wait.
    let mut crowd: Vec<Client> = (0..8).map(|_| Client::connect(many.host.address()).unwrap()).collect();
    for client in &mut crowd {
        request(client, "wild", "/spin", "x-ignite-timeout-ms: 1000\r\n", b"");
    }
    wait_until("all its slots are busy", SOON, || {
        many.host.metric("ignite_app_running{function_id=\"local/wild\"}").unwrap() >= 8.0
    });
    many.ask("wild", "/echo", "x-ignite-timeout-ms: 100\r\n", b"").error(503, "queue_timeout").unwrap();
    let begun = Instant::now();
    for mut client in crowd {
        client.answer().unwrap().error(504, "timeout").unwrap();
    }
    let account = calm.finish();
    account.check_unharmed().unwrap();
    // While eight loops of the other app took turns on all processors, each of these had its turn too.
    let slowest = account.requests.iter().filter(|request| request.ended >= begun).map(|r| r.ended - r.sent).max();
    assert!(slowest.is_none_or(|slowest| slowest < Duration::from_secs(2)), "{slowest:?}");
}

#[test]
fn all_places_taken_apps_take_turns() {
    let env = [("IGNITE_MULTI_CONCURRENCY", "2"), ("IGNITE_MAX_CONCURRENCY", "16")];
    let many = Many::serve(&["calm", "wild"], &env);
    // Warm, so that only places are waited for.
    assert_eq!(many.ask("calm", "/echo", "", b"x").status, 200);
    let mut crowd: Vec<Client> = (0..16).map(|_| Client::connect(many.host.address()).unwrap()).collect();
    for client in &mut crowd {
        request(client, "wild", "/sleep?ms=300", "", b"");
    }
    wait_until("both places are taken", SOON, || many.host.metric("ignite_host_places_busy").unwrap() >= 2.0);
    let begun = Instant::now();
    let answer = many.ask("calm", "/echo", "", b"my turn");
    assert_eq!((answer.status, answer.text().as_str()), (200, "my turn"));
    // Behind the whole line it would have been eight times 300 ms.
    assert!(begun.elapsed() < Duration::from_millis(1500), "{:?}", begun.elapsed());
    for mut client in crowd {
        assert_eq!(client.answer().unwrap().text(), "300");
    }
}

#[test]
fn a_drain_answers_all_that_is_in_flight() {
    let mut many = Many::serve(&["one", "two"], &[]);
    let mut clients: Vec<Client> = (0..4).map(|_| Client::connect(many.host.address()).unwrap()).collect();
    for (index, client) in clients.iter_mut().enumerate() {
        request(client, if index % 2 == 0 { "one" } else { "two" }, "/sleep?ms=500", "", b"");
    }
    wait_until("all of them run", SOON, || many.host.metric("ignite_host_places_busy").unwrap() >= 4.0);
    let ended = many.host.terminate(SOON).unwrap();
    for mut client in clients {
        assert_eq!(client.answer().unwrap().text(), "500");
    }
    assert_eq!(ended.code(), Some(0));
}

#[test]
fn a_folder_that_is_none_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let host = ignite_tests::product::binary("ignite-host").unwrap();
    let output = Command::new(host).arg("--multi").arg(dir.path().join("nothing")).env("PORT", "0").output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("is no folder of artifacts"));
    // A host that has no app at all is up, and says that it has none.
    let many = Many::serve(&[], &[]);
    assert_eq!(ask(many.host.address(), "POST", "/", "", b"").unwrap().status, 404);
}
