//! `ignite-bench platform`: the whole platform on this machine, `ignite serve`, as its users meet it.

mod cold;
mod crowd;
mod gateway;

use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};
use ignite_tests::platform::Platform;
use ignite_tests::product::repository;
use serde_json::{Value, json};

use crate::kit::Kit;
use crate::report::{circumstances, page};

/// An app of the bench in one runtime.
struct Runtime {
    /// In tables.
    name: &'static str,
    /// Its app, and the folder of its source among the bench's.
    app: &'static str,
    folder: &'static str,
    /// As the API names it.
    runtime: fn() -> Value,
    /// Time from zero to an answer that is aimed at.
    aim: Duration,
}

const RUNTIMES: [Runtime; 5] = [
    Runtime {
        name: "Wasm",
        app: "wasm",
        folder: "rust",
        runtime: || json!({ "rust": { "target": "RUST_COMPILATION_TARGET_WASM" } }),
        aim: Duration::from_millis(10),
    },
    Runtime {
        name: "Rust",
        app: "rust",
        folder: "rust",
        runtime: || json!({ "rust": { "target": "RUST_COMPILATION_TARGET_NATIVE" } }),
        aim: Duration::from_millis(20),
    },
    Runtime { name: "Go", app: "go", folder: "go", runtime: || json!({ "go": {} }), aim: Duration::from_millis(20) },
    Runtime {
        name: "Python",
        app: "python",
        folder: "python",
        runtime: || json!({ "python": {} }),
        aim: Duration::from_millis(40),
    },
    Runtime {
        name: "Deno",
        app: "deno",
        folder: "deno",
        runtime: || json!({ "deno": {} }),
        aim: Duration::from_millis(60),
    },
];

/// Publishes of one app whose time is measured.
const PUBLISHES: usize = 10;

/// Measures the platform; `--quick` measures little of everything, `cold` and `gateway` measure that part alone. Either writes
/// nothing.
///
/// # Errors
/// When it does not do what it should, however fast.
pub(crate) fn command(arguments: &[String]) -> Result<()> {
    let (mut quick, mut part) = (false, None);
    for word in arguments {
        match word.as_str() {
            "--quick" => quick = true,
            "cold" | "gateway" if part.is_none() => part = Some(word.as_str()),
            _ => bail!("usage: bench platform [cold | gateway] [--quick]"),
        }
    }
    let work = tempfile::tempdir()?;
    let kit = Kit::new(work.path())?;
    let platform = Platform::start(&work.path().join("platform"))?;
    for runtime in &RUNTIMES {
        crate::say(&format!("platform: publishing {}", runtime.name));
        let config = json!({ "maxConcurrency": 64, "scaling": { "maxReplicas": 1, "idleSecs": 1 } });
        platform.call("CreateApp", &json!({ "name": runtime.app, "config": config }))?;
        platform.save_for(runtime.app, &source(&kit, runtime), &(runtime.runtime)())?;
        publish(&platform, runtime.app)?;
    }
    let mut text = format!("## The platform\n\nWritten by `cargo xtask bench platform`: {}.\n\n", circumstances());
    if part != Some("gateway") {
        let _ = writeln!(text, "{}", cold::measure(&platform, if quick { 2 } else { cold::ROUNDS })?);
    }
    if part != Some("cold") {
        let _ = writeln!(text, "{}", gateway::measure(&platform, &kit, quick)?);
    }
    if part.is_some() {
        crate::print(&text);
        return Ok(());
    }
    let _ = writeln!(text, "{}", publishes(&platform)?);
    drop(platform);
    let _ = writeln!(text, "{}", crowd::measure(&work.path().join("crowd"), &kit, quick)?);
    if !quick {
        page::replace(&repository().join("docs/reference/numbers.md"), "platform", &text)?;
    }
    crate::print(&text);
    Ok(())
}

fn source(kit: &Kit, runtime: &Runtime) -> PathBuf {
    kit.app(runtime.folder)
}

/// Publishes the draft of an app and waits until it is live.
fn publish(platform: &Platform, app: &str) -> Result<()> {
    platform.call("PublishDraft", &json!({ "appId": app }))?;
    let ended = platform.rollout(app)?;
    ensure!(ended["status"] == "COMPILE_STATUS_SUCCEEDED", "{app} was not published: {ended}");
    Ok(())
}

/// From `PublishDraft` of an unchanged Python hello until it is live.
fn publishes(platform: &Platform) -> Result<String> {
    crate::say("platform: publishes");
    let mut took = Vec::with_capacity(PUBLISHES);
    for _ in 0..PUBLISHES {
        let begun = Instant::now();
        publish(platform, "python")?;
        took.push(begun.elapsed());
    }
    took.sort();
    Ok(format!(
        "Publishing an unchanged Python hello, from `PublishDraft` to live (aim: 1 s): {} at the median of {PUBLISHES}, {} at most.\n",
        milliseconds(took[PUBLISHES / 2]),
        milliseconds(took[PUBLISHES - 1])
    ))
}

fn milliseconds(time: Duration) -> String {
    format!("{:.1} ms", time.as_secs_f64() * 1e3)
}
