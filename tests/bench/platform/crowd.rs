//! Many apps that nobody calls.

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use ignite_tests::platform::Platform;
use serde_json::json;

use super::{milliseconds, publish};
use crate::kit::Kit;
use crate::tree;

/// Apps that are published and idle.
const IDLE_APPS: usize = 1_000;

/// Apps in the list.
const LISTED_APPS: usize = 10_000;

/// Apps that are made at once.
const AT_ONCE: usize = 4;

/// Apps on a page of the list.
const PAGE: usize = 100;

/// Time for what the last publish started to go away.
const SETTLE: Duration = Duration::from_secs(3);

/// Memory of a platform with idle apps over an empty one, and the time of a page of a long list.
pub(super) fn measure(data: &Path, kit: &Kit, quick: bool) -> Result<String> {
    let (idle, listed) = if quick { (10, 50) } else { (IDLE_APPS, LISTED_APPS) };
    let platform = Platform::start(data)?;
    // What is made once, with the first app, is no cost of the others.
    make(&platform, kit, 0..1)?;
    settle(&platform, 0)?;
    let before = tree::memory_bytes(platform.pid());
    crate::say(&format!("platform: publishing {idle} apps"));
    make(&platform, kit, 1..idle)?;
    settle(&platform, idle - 1)?;
    let after = tree::memory_bytes(platform.pid());
    crate::say(&format!("platform: a list of {listed} apps"));
    for number in idle..listed {
        platform.call("CreateApp", &json!({ "name": format!("app-{number}") }))?;
    }
    let (mut pages, mut cursor) = (Vec::new(), String::new());
    loop {
        let begun = Instant::now();
        let page = platform.call("ListApps", &json!({ "limit": PAGE, "cursor": cursor }))?;
        pages.push(begun.elapsed());
        cursor = page["nextCursor"].as_str().unwrap_or_default().to_owned();
        if cursor.is_empty() {
            break;
        }
    }
    pages.sort();
    Ok(format!(
        "{idle} apps published and idle: {:.1} MB over a platform with one (aim: 200 MB). \
         A page of {PAGE} of {listed} apps: {} at the median, {} at most (aim: 50 ms).\n",
        after.saturating_sub(before) as f64 / 1e6,
        milliseconds(pages[pages.len() / 2]),
        milliseconds(*pages.last().context("a list has a page")?)
    ))
}

/// Makes and publishes apps, several at once.
fn make(platform: &Platform, kit: &Kit, numbers: std::ops::Range<usize>) -> Result<()> {
    let next = AtomicUsize::new(numbers.start);
    thread::scope(|scope| {
        let workers: Vec<_> = (0..AT_ONCE)
            .map(|_| {
                scope.spawn(|| {
                    loop {
                        let number = next.fetch_add(1, Ordering::Relaxed);
                        if number >= numbers.end {
                            return anyhow::Ok(());
                        }
                        let app = format!("app-{number}");
                        let config = json!({ "scaling": { "idleSecs": 1 } });
                        platform.call("CreateApp", &json!({ "name": app, "config": config }))?;
                        platform.save(&app, &kit.app("python"))?;
                        publish(platform, &app)?;
                    }
                })
            })
            .collect();
        workers.into_iter().try_for_each(|worker| worker.join().expect("no maker of apps panics"))
    })
}

/// Waits until the last app has no instance.
fn settle(platform: &Platform, last: usize) -> Result<()> {
    platform.wait_state(&format!("app-{last}"), |state| state["deploymentState"] == "DEPLOYMENT_STATE_IDLE")?;
    thread::sleep(SETTLE);
    Ok(())
}
