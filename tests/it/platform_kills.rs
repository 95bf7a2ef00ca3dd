//! `kill -9` of the platform and of its hosts at random times, again and again: what was acknowledged is there afterwards.
//!
//! `IGNITE_KILLS_SECS` says for how long, `IGNITE_KILLS_SEED` repeats a run.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use ignite_tests::dice::Dice;
use ignite_tests::platform::{Platform, STEP_MAX, Start};
use serde_json::{Value, json};

use crate::platform::handler;

/// How long it goes on where nothing else is said.
const SECS: u64 = 12;
/// Apps that are worked on in turn.
const APPS: [&str; 2] = ["first", "second"];
/// Longest time between an acknowledged publish and the kill, in milliseconds: long enough for a publish to have ended.
const KILL_MS_MAX: usize = 900;

/// What was acknowledged of an app.
#[derive(Default)]
struct Told {
    /// The artifact of each version.
    versions: BTreeMap<u64, String>,
    /// What the live version answers.
    answer: Option<String>,
    /// Log lines by their sequence number.
    lines: BTreeMap<String, String>,
}

/// Processes of this folder's platform: it and its hosts name the folder.
fn processes(data: &Path) -> Vec<u32> {
    let folder = data.to_string_lossy().into_owned();
    let names = |pid: u32| {
        ["cmdline", "environ"].iter().any(|file| {
            fs::read(format!("/proc/{pid}/{file}")).is_ok_and(|bytes| String::from_utf8_lossy(&bytes).contains(&folder))
        })
    };
    let pids = fs::read_dir("/proc").unwrap().flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter(|pid| *pid != std::process::id() && names(*pid)).collect()
}

/// The newest that there are of something, at most `limit`: more than one run brings forth.
fn list(platform: &Platform, method: &str, app: &str, field: &str, limit: u32) -> Vec<Value> {
    let answer = platform.call(method, &json!({ "appId": app, "limit": limit })).unwrap();
    answer[field].as_array().cloned().unwrap_or_default()
}

/// Checks that nothing that was told before is gone or different, and notes what is told now.
fn reconcile(platform: &Platform, app: &str, told: &mut Told) {
    let versions: BTreeMap<u64, String> = list(platform, "ListAppVersions", app, "versions", 500)
        .iter()
        .map(|version| (version["version"].as_u64().unwrap(), version["artifactDigest"].to_string()))
        .collect();
    for (number, artifact) in &told.versions {
        assert_eq!(versions.get(number), Some(artifact), "version {number} of {app}");
    }
    told.versions = versions;
    let lines: BTreeMap<String, String> = list(platform, "GetAppLogs", app, "lines", 10_000)
        .iter()
        .map(|line| (line["sequence"].to_string(), line["text"].to_string()))
        .collect();
    for (sequence, text) in &told.lines {
        assert_eq!(lines.get(sequence), Some(text), "line {sequence} of {app}");
    }
    told.lines = lines;
    if let Some(answer) = &told.answer {
        let deadline = Instant::now() + STEP_MAX;
        loop {
            match platform.ask(app, b"") {
                Ok(found) if found.status == 200 => {
                    assert_eq!(&found.text(), answer, "{app}");
                    break;
                }
                // An instance was killed; another is started.
                found => assert!(Instant::now() < deadline, "{app} is not served: {found:?}"),
            }
            thread::sleep(Duration::from_millis(50));
        }
    }
}

#[test]
fn what_was_acknowledged_outlives_any_kill() {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let seed = number("IGNITE_KILLS_SEED")
        .unwrap_or_else(|| SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as u64);
    let time = Duration::from_secs(number("IGNITE_KILLS_SECS").unwrap_or(SECS));
    // Shown only when the test fails.
    #[expect(clippy::print_stdout, reason = "how to repeat a run that failed")]
    {
        println!("IGNITE_KILLS_SEED={seed} IGNITE_KILLS_SECS={}", time.as_secs());
    }
    let mut dice = Dice::new(seed);
    let (data, source) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut start = Start::new(data.path());
    let mut platform = start.start().unwrap();
    start.token = Some(platform.token.clone());
    let mut told: BTreeMap<&str, Told> = BTreeMap::new();
    for app in APPS {
        platform.call("CreateApp", &json!({ "name": app })).unwrap();
        told.insert(app, Told::default());
    }
    let (begun, mut number, mut kills) = (Instant::now(), 0, 0);
    while begun.elapsed() < time {
        number += 1;
        let app = APPS[dice.roll(APPS.len())];
        let body = format!("print('loaded {number}')\ndef handler(payload, ctx):\n    return 'answer {number}'\n");
        handler(source.path(), &body);
        platform.save(app, source.path()).unwrap();
        let saved = platform.call("GetDraftInfo", &json!({ "appId": app })).unwrap()["draft"]["codeHash"].clone();
        let rollout = platform.call("PublishDraft", &json!({ "appId": app })).unwrap()["rollout"].clone();
        thread::sleep(Duration::from_millis(dice.roll(KILL_MS_MAX) as u64));
        if dice.roll(3) < 2 {
            kills += 1;
            drop(platform);
            platform = start.start().unwrap();
        } else {
            let own = platform.pid();
            let hosts: Vec<u32> = processes(data.path()).into_iter().filter(|pid| *pid != own).collect();
            if !hosts.is_empty() {
                kills += 1;
                let host = hosts[dice.roll(hosts.len())];
                // It may have ended by itself meanwhile.
                let _ = Command::new("kill").args(["-KILL", &host.to_string()]).status();
            }
        }
        let ended = platform.rollout(app).unwrap();
        assert_eq!(ended["id"], rollout["id"], "the acknowledged rollout is the one that ended");
        let draft = platform.call("GetDraftInfo", &json!({ "appId": app })).unwrap();
        assert_eq!(draft["draft"]["codeHash"], saved, "the draft is as it was saved");
        let told = told.get_mut(app).unwrap();
        if ended["status"] == "COMPILE_STATUS_SUCCEEDED" {
            told.answer = Some(format!("answer {number}"));
        } else {
            // A host that was killed while it started may have cost the start, with a reason.
            assert!(ended["failure"]["reason"].as_str().is_some_and(|reason| !reason.is_empty()), "{ended}");
        }
        reconcile(&platform, app, told);
    }
    for (app, told) in &mut told {
        reconcile(&platform, app, told);
    }
    assert!(kills > 0, "nothing was killed in {number} rounds");
    platform.stop().unwrap();
    let deadline = Instant::now() + STEP_MAX;
    while !processes(data.path()).is_empty() {
        assert!(Instant::now() < deadline, "processes are left: {:?}", processes(data.path()));
        thread::sleep(Duration::from_millis(20));
    }
}
