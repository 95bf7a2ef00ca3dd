//! `ignite dev`: each save that compiles is served, none that does not, and no request is dropped for it.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use ignite_tests::cli::{Serving, command};
use ignite_tests::client::{Client, ask};
use tempfile::TempDir;

/// From a save to the new answer, on a machine that has much else to do.
const SWAP_MAX: Duration = Duration::from_secs(30);
/// From a signal to the end.
const ENDS_MAX: Duration = Duration::from_secs(15);
/// After which "nothing happened" is believed: several times what a burst is waited for.
const NOTHING: Duration = Duration::from_millis(400);
/// Connections that ask without a pause.
const CLIENTS: usize = 4;

/// A project that answers with its version, and `ignite dev` that serves it.
struct Dev {
    /// Kept for its end.
    _dir: TempDir,
    app: PathBuf,
    serving: Serving,
}

impl Dev {
    fn start() -> Self {
        Self::with(&answering("v0"))
    }

    fn with(code: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let app = dir.path().join("app");
        fs::create_dir(&app).unwrap();
        fs::write(app.join("handler.py"), code).unwrap();
        let serving = Serving::spawn(command(dir.path(), &["dev", "app", "--port", "0"]).unwrap()).unwrap();
        Self { _dir: dir, app, serving }
    }

    fn serving() -> Self {
        let mut dev = Self::start();
        dev.serving.wait_serving(SWAP_MAX).unwrap();
        dev.wait_live(0);
        dev
    }

    fn save(&self, code: &str) -> usize {
        let said = self.serving.said();
        fs::write(self.app.join("handler.py"), code).unwrap();
        said
    }

    /// Waits until a version is live, after the first `said` lines.
    fn wait_live(&self, said: usize) {
        self.serving.line(said, SWAP_MAX, is_live).unwrap();
    }

    fn answer(&self) -> String {
        let answer = ask(self.serving.address(), "GET", "/", "", b"").unwrap();
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.text()
    }

    /// How many versions went live within a moment, of those after the first `said` lines.
    fn live_within_a_moment(&self, said: usize) -> usize {
        thread::sleep(NOTHING);
        self.serving.count(said, is_live)
    }
}

fn is_live(line: &str) -> bool {
    line.starts_with("version ") && line.contains(" is live")
}

fn answering(version: &str) -> String {
    format!("def handler(payload, ctx):\n    return \"{version}\"\n")
}

#[test]
fn five_versions_follow_one_another_and_no_request_is_dropped() {
    let dev = Dev::serving();
    assert_eq!(dev.answer(), "v0");
    let (ended, asked) = (AtomicBool::new(false), AtomicUsize::new(0));
    let seen: BTreeSet<String> = thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS)
            .map(|_| {
                scope.spawn(|| {
                    let mut seen = BTreeSet::new();
                    let mut client = Client::connect(dev.serving.address()).unwrap();
                    while !ended.load(Ordering::Relaxed) {
                        client.request("GET", "/", "", b"").unwrap();
                        let answer = client.answer().unwrap();
                        assert_eq!(answer.status, 200, "{}", answer.text());
                        seen.insert(answer.text());
                        asked.fetch_add(1, Ordering::Relaxed);
                    }
                    seen
                })
            })
            .collect();
        // Whatever fails here must not leave the clients asking.
        let swaps = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            for version in 1..=5 {
                let said = dev.save(&answering(&format!("v{version}")));
                dev.wait_live(said);
                assert_eq!(dev.answer(), format!("v{version}"), "once it is said to be live, it answers");
                let before = asked.load(Ordering::Relaxed);
                let deadline = Instant::now() + SWAP_MAX;
                while asked.load(Ordering::Relaxed) < before + 2 * CLIENTS {
                    assert!(Instant::now() < deadline, "the clients are answered no more");
                    thread::sleep(Duration::from_millis(1));
                }
            }
        }));
        ended.store(true, Ordering::Relaxed);
        let seen = clients.into_iter().flat_map(|client| client.join().unwrap()).collect();
        if let Err(panic) = swaps {
            std::panic::resume_unwind(panic);
        }
        seen
    });
    let versions: BTreeSet<String> = (0..=5).map(|version| format!("v{version}")).collect();
    assert!(seen.is_subset(&versions), "{seen:?}");
    assert!(seen.contains("v5"), "{seen:?}");
}

#[test]
fn a_version_that_fails_leaves_the_one_before_serving() {
    let dev = Dev::serving();
    for (code, place) in [
        ("def handler(payload, ctx):\n    return (\n", "File \"handler.py\", line 2"),
        ("import gone_for_ever\n\ndef handler(payload, ctx):\n    return 1\n", "gone_for_ever"),
        ("LIMIT = 1\nLIMIT / 0\n\ndef handler(payload, ctx):\n    return 1\n", "ZeroDivisionError"),
        ("def handle(payload, ctx):\n    return 1\n", "handler.py:1"),
    ] {
        let said = dev.save(code);
        dev.serving.line(said, SWAP_MAX, |line| line.contains("the version before is still served")).unwrap();
        assert!(dev.serving.count(said, |line| line.contains(place)) > 0, "{place} is named");
        assert_eq!(dev.serving.count(said, is_live), 0);
        assert_eq!(dev.answer(), "v0");
    }
    let said = dev.save(&answering("fixed"));
    dev.wait_live(said);
    assert_eq!(dev.answer(), "fixed");
}

#[test]
fn a_first_version_that_fails_is_waited_out() {
    for broken in ["def handler(payload, ctx):\n    return (\n", "1 / 0\n\ndef handler(payload, ctx):\n    return 1\n"]
    {
        let mut dev = Dev::with(broken);
        dev.serving.line(0, SWAP_MAX, |line| line == "waiting for a change").unwrap();
        dev.save(&answering("fixed"));
        dev.serving.wait_serving(SWAP_MAX).unwrap();
        assert_eq!(dev.answer(), "fixed");
    }
}

#[test]
fn outputs_of_tools_never_wake_it() {
    let dev = Dev::serving();
    // What was saved before is over once the folder is quiet.
    dev.live_within_a_moment(0);
    let said = dev.serving.said();
    for folder in ["target", ".ignite", "__pycache__", ".git", ".venv", "node_modules"] {
        fs::create_dir(dev.app.join(folder)).unwrap();
        fs::write(dev.app.join(folder).join("handler.py"), answering("wrong")).unwrap();
    }
    dev.live_within_a_moment(said);
    assert_eq!(dev.serving.said(), said, "nothing is compiled, nothing is said");
    let source = dev.app.join("greeting.py");
    fs::write(source, "WORD = 'v1'\n").unwrap();
    dev.wait_live(said);
}

#[test]
fn a_burst_of_saves_is_compiled_once() {
    let dev = Dev::serving();
    let said = dev.serving.said();
    for save in 1..=20 {
        dev.save(&answering(&format!("v{save}")));
        fs::write(dev.app.join(format!("module{save}.py")), "X = 1\n").unwrap();
    }
    dev.wait_live(said);
    assert_eq!(dev.live_within_a_moment(said), 1);
    assert_eq!(dev.answer(), "v20");
    let said = dev.save(&answering("v20"));
    assert_eq!(dev.live_within_a_moment(said), 0, "the same bytes are the same version");
}

#[test]
fn files_are_replaced_as_editors_do_and_folders_come_and_go() {
    let dev = Dev::serving();
    let said = dev.serving.said();
    fs::write(dev.app.join("handler.py~"), answering("renamed")).unwrap();
    fs::rename(dev.app.join("handler.py~"), dev.app.join("handler.py")).unwrap();
    dev.wait_live(said);
    assert_eq!(dev.answer(), "renamed");

    let package = dev.app.join("words");
    for word in ["one", "two"] {
        let said = dev.serving.said();
        if package.exists() {
            fs::remove_dir_all(&package).unwrap();
        }
        fs::create_dir(&package).unwrap();
        write_package(&package, word);
        dev.save("from words.list import WORD\n\ndef handler(payload, ctx):\n    return WORD\n");
        dev.wait_live(said);
        wait_answer(&dev, word);
        let said = dev.serving.said();
        write_package(&package, &format!("{word} again"));
        dev.wait_live(said);
        wait_answer(&dev, &format!("{word} again"));
    }
}

fn write_package(package: &Path, word: &str) {
    fs::write(package.join("__init__.py"), "").unwrap();
    fs::write(package.join("list.py"), format!("WORD = \"{word}\"\n")).unwrap();
}

/// A save of several files may be seen as two bursts; the last one counts.
fn wait_answer(dev: &Dev, wanted: &str) {
    let deadline = Instant::now() + SWAP_MAX;
    while dev.answer() != wanted {
        assert!(Instant::now() < deadline, "{:?} instead of {wanted:?}", dev.answer());
        thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_change_of_the_apps_environment_is_taken() {
    let dev = Dev::serving();
    let said = dev.save("import os\n\ndef handler(payload, ctx):\n    return os.environ.get(\"GREETING\", \"none\")\n");
    dev.wait_live(said);
    assert_eq!(dev.answer(), "none");
    for greeting in ["hello", "bonjour"] {
        let said = dev.serving.said();
        fs::write(dev.app.join("ignite.toml"), format!("[env]\nGREETING = \"{greeting}\"\n")).unwrap();
        dev.wait_live(said);
        assert_eq!(dev.answer(), greeting);
    }
    let said = dev.serving.said();
    fs::write(dev.app.join("ignite.toml"), "[env\n").unwrap();
    dev.serving.line(said, SWAP_MAX, |line| line.contains("ignite.toml:1")).unwrap();
    assert_eq!(dev.answer(), "bonjour");
}

#[test]
fn an_interrupt_ends_it_and_all_its_processes() {
    let mut dev = Dev::serving();
    for version in 1..=2 {
        let said = dev.save(&answering(&format!("v{version}")));
        dev.wait_live(said);
    }
    let pid = dev.serving.pid();
    let below = descendants(pid);
    assert!(!below.is_empty(), "the handler runs in a process of its own");
    assert_eq!(dev.serving.interrupt(ENDS_MAX).unwrap().code(), Some(0));
    let deadline = Instant::now() + ENDS_MAX;
    while below.iter().any(|pid| runs(*pid)) {
        assert!(Instant::now() < deadline, "of {below:?} some run on");
        thread::sleep(Duration::from_millis(5));
    }
    let folder: Vec<_> = fs::read_dir(&dev.app).unwrap().flatten().map(|entry| entry.file_name()).collect();
    assert_eq!(folder, ["handler.py"], "nothing is left in the author's folder");
}

#[test]
fn an_interrupt_ends_it_while_a_handler_loads_for_ever() {
    let mut dev = Dev::serving();
    let mark = dev.app.join("loading");
    let said = dev.save(&format!(
        "import time\nopen({:?}, \"w\").close()\ntime.sleep(3600)\n\ndef handler(payload, ctx):\n    return 1\n",
        dev.app.parent().unwrap().join("loading")
    ));
    let mark = mark.parent().unwrap().parent().unwrap().join("loading");
    let deadline = Instant::now() + SWAP_MAX;
    while !mark.exists() {
        assert!(Instant::now() < deadline, "the new version is not loaded");
        thread::sleep(Duration::from_millis(5));
    }
    assert_eq!(dev.answer(), "v0", "meanwhile, the old one answers");
    assert_eq!(dev.serving.count(said, is_live), 0);
    assert_eq!(dev.serving.interrupt(ENDS_MAX).unwrap().code(), Some(0));
}

/// The processes that `pid` started, and theirs, from `/proc`.
fn descendants(pid: u32) -> Vec<u32> {
    let parents: Vec<(u32, u32)> = fs::read_dir("/proc")
        .unwrap()
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter_map(|pid: u32| Some((pid, parent(pid)?)))
        .collect();
    let mut found = Vec::new();
    let mut open = vec![pid];
    while let Some(above) = open.pop() {
        let below = parents.iter().filter(|(_, parent)| *parent == above).map(|(pid, _)| *pid);
        let below: Vec<u32> = below.collect();
        found.extend(&below);
        open.extend(below);
    }
    found
}

/// State and parent stand after the name, which is in parentheses and may hold any character.
fn stat(pid: u32) -> Option<Vec<String>> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    Some(stat.rsplit_once(')')?.1.split_whitespace().map(str::to_owned).collect())
}

fn parent(pid: u32) -> Option<u32> {
    stat(pid)?.get(1)?.parse().ok()
}

fn runs(pid: u32) -> bool {
    stat(pid).is_some_and(|stat| stat[0] != "Z")
}
