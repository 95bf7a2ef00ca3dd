//! Publishes and rollbacks while requests come in.

use std::time::{Duration, Instant};

use ignite_tests::platform::Platform;
use ignite_tests::steady::{Plan, Steady};
use serde_json::json;

use crate::app::SOON;
use crate::platform::handler;

/// Publishes, and as many rollbacks.
const ROUNDS: u32 = 20;

/// When a version was live: from some time in the first pair, until some time in the second.
#[derive(Debug)]
struct Live {
    version: u32,
    begins: (Instant, Instant),
    ends: (Instant, Instant),
}

#[test]
fn no_request_fails_while_versions_come_and_go() {
    let (data, source) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let platform = Platform::start(data.path()).unwrap();
    platform.call("CreateApp", &json!({ "name": "busy", "config": { "scaling": { "reserved": 1 } } })).unwrap();
    let write =
        |number: u32| handler(source.path(), &format!("# {number}\ndef handler(payload, ctx):\n    return payload\n"));
    write(1);
    let first = (Instant::now(), Instant::now());
    platform.publish("busy", source.path()).unwrap();
    let mut plan = Plan::new(&platform.gateway);
    plan.host = platform.host("busy");
    plan.headers = format!("authorization: Bearer {}\r\n", platform.token);
    plan.through_gateway = true;
    let steady = Steady::start(&plan);
    steady.wait_further(100, SOON).unwrap();

    let mut switches = vec![(1, first)];
    let mut newest = 1;
    for _ in 0..ROUNDS {
        newest += 1;
        write(newest);
        let begun = Instant::now();
        let ended = platform.publish("busy", source.path()).unwrap();
        assert_eq!(
            (&ended["status"], &ended["version"]),
            (&json!("COMPILE_STATUS_SUCCEEDED"), &json!(newest)),
            "{ended}"
        );
        switches.push((newest, (begun, Instant::now())));
        steady.wait_further(20, SOON).unwrap();
        let begun = Instant::now();
        let ended = platform.roll_back("busy", newest - 1).unwrap();
        assert_eq!(ended["status"], "COMPILE_STATUS_SUCCEEDED", "{ended}");
        switches.push((newest - 1, (begun, Instant::now())));
        steady.wait_further(20, SOON).unwrap();
    }
    let account = steady.finish();
    account.check_unharmed().unwrap();

    let end = Instant::now() + Duration::from_secs(1);
    let lives: Vec<Live> = switches
        .iter()
        .enumerate()
        .map(|(at, (version, begins))| {
            let ends = switches.get(at + 1).map_or((end, end), |(_, next)| *next);
            Live { version: *version, begins: *begins, ends }
        })
        .collect();
    for request in &account.requests {
        let version = request.version.unwrap();
        let was_live = lives
            .iter()
            .any(|live| live.version == version && live.begins.0 <= request.ended && request.sent <= live.ends.1);
        assert!(was_live, "version {version} answered when it was not live: {request:?}");
    }
    let versions: std::collections::BTreeSet<_> =
        account.requests.iter().filter_map(|request| request.version).collect();
    assert_eq!(versions.len(), newest as usize, "each version answered while it was live");
}
