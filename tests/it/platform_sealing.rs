//! The key that seals secrets, given by the environment: it opens and seals, and nobody but the platform ever sees it.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use ignite_tests::platform::{STEP_MAX, Start};
use ignite_tests::product::repository;
use serde_json::json;

use crate::platform::handler;

/// Pause between two looks at the processes there are.
const LOOK_EVERY: Duration = Duration::from_millis(5);

const VARIABLE: &str = "IGNITE_SEALING_KEY";
const KEY: &str = "5ea1ed5ea1ed5ea1ed5ea1ed5ea1ed5ea1ed5ea1ed5ea1ed5ea1ed5ea1ed5ea1";
const OTHER: &str = "07be707be707be707be707be707be707be707be707be707be707be707be707be";

/// Looks at what it can of its surroundings for the key, whose first half it is told.
const SPY: &str = "
import os, glob
def handler(payload, ctx):
    key, found = payload.decode(), []
    found += [name for name, value in os.environ.items() if key in value]
    for path in glob.glob('/proc/[0-9]*/environ') + glob.glob('/proc/[0-9]*/cmdline'):
        try:
            if key.encode() in open(path, 'rb').read():
                found.append(path)
        except OSError:
            pass
    return {'found': found, 'secret': os.environ.get('DB')}
";

/// Processes of this machine, other than `own`, that have the key in environment or arguments; and the names of all that belong
/// to the platform.
fn look(own: u32, seen: &mut BTreeSet<String>) -> Vec<String> {
    let mut holders = Vec::new();
    let pids = fs::read_dir("/proc").unwrap().flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    for pid in pids.filter(|pid: &u32| *pid != own && *pid != std::process::id()) {
        if !descends(pid, own) {
            continue;
        }
        let read = |file: &str| fs::read(format!("/proc/{pid}/{file}")).unwrap_or_default();
        let arguments = String::from_utf8_lossy(&read("cmdline")).into_owned();
        let program = arguments.split('\0').next().unwrap_or_default();
        seen.insert(program.rsplit('/').next().unwrap_or_default().to_owned());
        // A process that was just forked has its parent's until it becomes another program.
        let is_copy = fs::read_link(format!("/proc/{pid}/exe")).ok() == fs::read_link(format!("/proc/{own}/exe")).ok();
        if !is_copy && (arguments.contains(KEY) || String::from_utf8_lossy(&read("environ")).contains(KEY)) {
            holders.push(arguments);
        }
    }
    holders
}

/// Whether a process has `ancestor` above it.
fn descends(mut pid: u32, ancestor: u32) -> bool {
    while pid > 1 {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        let parent = status.lines().find_map(|line| line.strip_prefix("PPid:")?.trim().parse().ok());
        match parent {
            Some(parent) if parent == ancestor => return true,
            Some(parent) => pid = parent,
            None => return false,
        }
    }
    false
}

fn start(data: &Path, value: &str, log: &str) -> Start {
    let mut start = Start::new(data);
    start.env.push((VARIABLE.to_owned(), value.to_owned()));
    start.env.push(("IGNITE_LOG".to_owned(), "trace".to_owned()));
    start.log = Some(data.join(log));
    start
}

#[test]
fn the_key_of_the_environment_seals_and_is_seen_by_nobody() {
    let (data, source) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut first = start(data.path(), KEY, "log-1");
    let platform = first.start().unwrap();
    first.token = Some(platform.token.clone());
    let (own, stop) = (platform.pid(), Arc::new(AtomicBool::new(false)));
    let watch = thread::spawn({
        let stop = Arc::clone(&stop);
        move || {
            let (mut seen, mut holders) = (BTreeSet::new(), Vec::new());
            while !stop.load(Ordering::Relaxed) {
                holders.extend(look(own, &mut seen));
                thread::sleep(LOOK_EVERY);
            }
            (seen, holders)
        }
    });
    let secret = json!({ "name": "db", "valueSecret": { "value": "hunter2" } });
    platform.call_as(&platform.token, "SecretService", "CreateSecret", &secret).unwrap();
    let config = json!({ "env": { "values": { "DB": "secret://db" } } });
    platform.call("CreateApp", &json!({ "name": "spy", "config": config })).unwrap();
    handler(source.path(), SPY);
    let ended = platform.publish("spy", source.path()).unwrap();
    assert_eq!(ended["status"], "COMPILE_STATUS_SUCCEEDED", "{ended}");
    // A compiler, too, that runs for long enough to be seen; so of a source that no cache has.
    let main = fs::read_to_string(repository().join("examples/hello-go/main.go")).unwrap();
    let go = tempfile::tempdir().unwrap();
    fs::write(go.path().join("main.go"), format!("{main}\n// {}\n", go.path().display())).unwrap();
    platform.call("CreateApp", &json!({ "name": "go" })).unwrap();
    let ended = platform.publish("go", go.path()).unwrap();
    assert_eq!(ended["status"], "COMPILE_STATUS_SUCCEEDED", "{ended}");
    let spied = platform.ask("spy", &KEY.as_bytes()[..32]).unwrap().json();
    // Its own process has no secret but the one it was given.
    assert_eq!(spied, json!({ "found": [], "secret": "hunter2" }));
    stop.store(true, Ordering::Relaxed);
    let (seen, holders) = watch.join().unwrap();
    assert_eq!(holders, Vec::<String>::new());
    assert!(seen.contains("ignite-host") && seen.contains("go"), "the look saw too little: {seen:?}");
    assert!(!data.path().join("data/sealing-key").exists(), "a key that was given is not written down");

    // Sealed with the former key, opened beside a new one; and not without it.
    drop(platform);
    let mut second = start(data.path(), &format!("{OTHER},{KEY}"), "log-2");
    second.token.clone_from(&first.token);
    let platform = second.start().unwrap();
    let ended = platform.publish("spy", source.path()).unwrap();
    assert_eq!(ended["status"], "COMPILE_STATUS_SUCCEEDED", "{ended}");
    drop(platform);
    let logged = |start: &Start| fs::read_to_string(start.log.as_ref().unwrap()).unwrap();
    let mut third = start(data.path(), OTHER, "log-3");
    third.token.clone_from(&first.token);
    let platform = third.start().unwrap();
    let ended = platform.publish("spy", source.path()).unwrap();
    let reason = ended["failure"]["reason"].as_str().unwrap_or_default();
    assert!(reason.contains("`db` cannot be opened"), "{ended}");
    platform.stop().unwrap();

    for text in [logged(&first), logged(&second), logged(&third)] {
        assert!(text.lines().count() > 10, "there is a log to look through");
        assert!(!text.contains(&KEY[..32]) && !text.contains(&OTHER[..32]), "the key is in the log");
    }
    let mut stored = vec![data.path().join("data")];
    while let Some(path) = stored.pop() {
        if path.is_dir() {
            stored.extend(fs::read_dir(&path).unwrap().flatten().map(|entry| entry.path()));
        } else if path.is_file() {
            let bytes = fs::read(&path).unwrap_or_default();
            let has = bytes.windows(32).any(|part| part == &KEY.as_bytes()[..32]);
            assert!(!has, "the key is in {}", path.display());
        }
    }
}

#[test]
fn a_platform_whose_key_is_none_does_not_start_and_says_what_to_do() {
    for value in ["", "hunter2", &KEY[1..]] {
        let data = tempfile::tempdir().unwrap();
        let begun = Instant::now();
        let said = start(data.path(), value, "log").start().err().unwrap().to_string();
        assert!(begun.elapsed() < STEP_MAX);
        assert!(said.contains(VARIABLE) && said.contains("openssl rand -hex 32"), "{said}");
        assert!(!said.contains("hunter2") && !said.contains(&KEY[1..33]), "{said}");
        assert!(!data.path().join("data/sealing-key").exists());
    }
}
