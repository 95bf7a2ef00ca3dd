//! `cargo xtask demo`: every example deployed to a platform of this machine, called by its hostname, published again and
//! rolled back, in one table.

mod platform;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::examples::{Call, Example};
use crate::http::{Connection, Request, Response};
use crate::log::{human, human_bytes, say};
use crate::process::run;
use crate::table;
use crate::toolchains;
use crate::workspace::Workspace;

use platform::Platform;

/// With nothing cached: the WebAssembly engine alone takes more than ten minutes on two cores.
const BUILD_MAX: Duration = Duration::from_secs(45 * 60);
/// Calls whose median is the warm latency.
const WARM_CALLS: usize = 200;
/// Calls of an app without an instance, whose median is shown.
const WAKES: usize = 3;
/// Longest excerpt of an answer in the table.
const ANSWER_CHARS_MAX: usize = 48;

/// `demo [EXAMPLE…]`: all examples, or those whose name begins with one of the words.
pub(crate) fn command(workspace: &Workspace, words: &[String]) -> Result<bool> {
    let mut examples = Example::load_all(workspace)?;
    if !words.is_empty() {
        examples.retain(|example| words.iter().any(|word| example.name.starts_with(word.as_str())));
    }
    if examples.is_empty() {
        bail!("no example begins with {}", words.join(" or "));
    }
    toolchains::install(workspace)?;
    build(workspace)?;

    let platform = Platform::start(workspace, &workspace.target.join("demo"))?;
    let mut rows = Vec::new();
    let mut faults = Vec::new();
    for example in &examples {
        for target in &example.targets {
            let what = format!("{} ({target})", example.name);
            say(&what);
            match show(&platform, workspace, example, target) {
                Ok(row) => rows.push(row),
                Err(error) => {
                    say(&format!("{what}: {error:#}"));
                    faults.push(format!("{what}: {error:#}"));
                }
            }
        }
    }
    platform.stop()?;
    let header = [
        "example",
        "language",
        "target",
        "artifact",
        "deploy",
        "publish",
        "rollback",
        "from zero",
        "warm p50",
        "answer",
    ];
    println!("\n{}", table::render(&header, &rows, &[3, 4, 5, 6, 7, 8]));
    faults.iter().for_each(|fault| println!("failed: {fault}"));
    Ok(faults.is_empty())
}

fn build(workspace: &Workspace) -> Result<()> {
    say(
        "building ignite and ignite-host (the first time takes a quarter of an hour, most of it the WebAssembly engine)",
    );
    workspace.claim_target()?;
    let mut command = workspace.cargo();
    // Of the whole workspace, so that dependencies are built as `cargo xtask test` builds them, and once.
    command.args(["build", "--workspace", "--bin", "ignite", "--bin", "ignite-host", "--release", "--locked"]);
    run(command, BUILD_MAX)
}

/// Deploys one example, calls it by its hostname, publishes it again, goes back, and makes its row.
fn show(platform: &Platform, workspace: &Workspace, example: &Example, target: &str) -> Result<Vec<String>> {
    let app = format!("{}-{target}", example.name);
    let source = match &example.component {
        Some(component) => build_component(workspace, example, component)?,
        None => example.folder.clone(),
    };
    let source = source.to_string_lossy().into_owned();
    let mut deploy = vec!["deploy", "--app", &app, "--code", &source, "--idle-secs", "1"];
    if example.component.is_none() && target == "wasm" {
        deploy.extend(["--target", target]);
    }
    let deployed = timed(|| platform.run(&deploy))?;

    let mut connection = Connection::open(platform.gateway)?.for_host(format!("{app}-local.ignite.localhost"));
    let bearer = ("authorization".to_owned(), format!("Bearer {}", platform.token));
    let mut answer = None;
    for call in &example.calls {
        let answered = send(&mut connection, call, &bearer)?;
        if let Some(fault) = call.fault(&answered) {
            bail!("{} {}: {fault}", call.method, call.path);
        }
        answer.get_or_insert(answered);
    }
    let first = example.calls.first().context("it has no calls")?;
    let checked = |connection: &mut Connection| {
        let answered = send(connection, first, &bearer)?;
        first.fault(&answered).map_or(Ok(()), |fault| bail!("{} {}: {fault}", first.method, first.path))
    };
    let warm = median((0..WARM_CALLS).map(|_| timed(|| checked(&mut connection))))?;
    let published = timed(|| platform.run(&["draft", "publish", &app]))?;
    checked(&mut connection)?;
    let rolled_back = timed(|| platform.run(&["version", "rollback", &app, "1"]))?;
    checked(&mut connection)?;
    let woken = median((0..WAKES).map(|_| {
        platform.wait_idle(&app)?;
        timed(|| checked(&mut connection))
    }))?;

    let version = platform.ask(&["version", "get", &app, "1"])?;
    let bytes = find_number(&version, "artifactBytes").context("the version does not tell its size")?;
    Ok(vec![
        example.name.clone(),
        example.language.clone(),
        target.into(),
        human_bytes(bytes),
        human(deployed),
        human(published),
        human(rolled_back),
        human(woken),
        human(warm),
        excerpt(&answer.context("nothing was answered")?),
    ])
}

/// A number of an answer in the API's JSON, where 64 bits are text.
fn find_number(answer: &Value, name: &str) -> Option<u64> {
    match answer {
        Value::Object(fields) => match fields.get(name) {
            Some(Value::String(text)) => text.parse().ok(),
            Some(number) => number.as_u64(),
            None => fields.values().find_map(|field| find_number(field, name)),
        },
        _ => None,
    }
}

/// As an author who knows nothing of Ignite builds a component, with the Rust that has the target.
fn build_component(workspace: &Workspace, example: &Example, component: &str) -> Result<PathBuf> {
    let folder = workspace.target.join("components");
    toolchains::wasm_build(workspace, &example.folder, &folder)?;
    Ok(folder.join(component))
}

fn send(connection: &mut Connection, call: &Call, bearer: &(String, String)) -> Result<Response> {
    let Call { method, path, headers, body, .. } = call;
    let headers: Vec<(String, String)> = headers.iter().chain([bearer]).cloned().collect();
    connection.send(&Request { method, path, headers: &headers, body })
}

fn timed<T>(work: impl FnOnce() -> Result<T>) -> Result<Duration> {
    let started = Instant::now();
    work()?;
    Ok(started.elapsed())
}

fn median(times: impl Iterator<Item = Result<Duration>>) -> Result<Duration> {
    let mut times: Vec<Duration> = times.collect::<Result<_>>()?;
    times.sort_unstable();
    times.get(times.len() / 2).copied().context("nothing was timed")
}

fn excerpt(answer: &Response) -> String {
    let text = match std::str::from_utf8(&answer.body) {
        Ok(text) => text.replace(['\n', '\r'], " "),
        Err(_) => {
            format!("{} of {}", human_bytes(answer.body.len() as u64), answer.header("content-type").unwrap_or("bytes"))
        }
    };
    let cut: String = text.chars().take(ANSWER_CHARS_MAX).collect();
    let dots = if cut.len() < text.len() { "…" } else { "" };
    format!("{} {cut}{dots}", answer.status)
}
