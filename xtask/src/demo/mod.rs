//! `cargo xtask demo`: every example compiled by `ignite`, served by `ignite-host`, called, in one table.

mod serve;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::examples::{Call, Example};
use crate::http::{Connection, Request, Response};
use crate::log::{human, human_bytes, say};
use crate::process::{run, stream};
use crate::table;
use crate::toolchains;
use crate::workspace::Workspace;

use serve::Host;

/// With nothing cached: the WebAssembly engine alone takes more than ten minutes on two cores.
const BUILD_MAX: Duration = Duration::from_secs(45 * 60);
/// One example, with nothing cached.
const COMPILE_MAX: Duration = Duration::from_secs(10 * 60);
/// Calls whose median is the warm latency.
const WARM_CALLS: usize = 200;
/// Starts whose median is the cold start.
const COLD_STARTS: usize = 5;
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

    let scratch = workspace.target.join("demo");
    std::fs::create_dir_all(&scratch)?;
    let mut rows = Vec::new();
    let mut faults = Vec::new();
    for example in &examples {
        for target in &example.targets {
            let what = format!("{} ({target})", example.name);
            say(&what);
            match show(workspace, example, target, &scratch) {
                Ok(row) => rows.push(row),
                Err(error) => {
                    say(&format!("{what}: {error:#}"));
                    faults.push(format!("{what}: {error:#}"));
                }
            }
        }
    }
    let header = ["example", "language", "target", "artifact", "compile", "cold start", "warm p50", "answer"];
    println!("\n{}", table::render(&header, &rows, &[3, 4, 5, 6]));
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

/// Compiles, serves and calls one example, and makes its row.
fn show(workspace: &Workspace, example: &Example, target: &str, scratch: &Path) -> Result<Vec<String>> {
    let artifact = scratch.join(format!("{}-{target}.tar.zst", example.name));
    let started = Instant::now();
    compile(workspace, example, target, &artifact)?;
    let compiled = started.elapsed();

    let log = scratch.join(format!("{}-{target}.log", example.name));
    let host = Host::start(workspace, &artifact, &log)?;
    let mut connection = Connection::open(host.address)?;
    let mut answer = None;
    for call in &example.calls {
        let answered = send(&mut connection, call).with_context(|| log_end(&log))?;
        if let Some(fault) = call.fault(&answered) {
            bail!("{} {}: {fault}", call.method, call.path);
        }
        answer.get_or_insert(answered);
    }
    let first = example.calls.first().context("it has no calls")?;
    let warm = median((0..WARM_CALLS).map(|_| timed(|| send(&mut connection, first))))?;
    host.stop()?;
    let cold = median((0..COLD_STARTS).map(|_| {
        let host = Host::start(workspace, &artifact, &log)?;
        let mut connection = Connection::open(host.address)?;
        send(&mut connection, first)?;
        let elapsed = host.started.elapsed();
        host.stop()?;
        Ok(elapsed)
    }))?;

    Ok(vec![
        example.name.clone(),
        example.language.clone(),
        target.into(),
        human_bytes(artifact.metadata()?.len()),
        human(compiled),
        human(cold),
        human(warm),
        excerpt(&answer.context("nothing was answered")?),
    ])
}

/// Compiles one example to `artifact`; one that is a component is built by its own toolchain first.
pub(crate) fn compile(workspace: &Workspace, example: &Example, target: &str, artifact: &Path) -> Result<()> {
    let source = match &example.component {
        Some(component) => build_component(workspace, example, component)?,
        None => example.folder.clone(),
    };
    let mut command = workspace.command(workspace.release().join("ignite"));
    command.arg("compile").arg(source).arg("--out").arg(artifact);
    if example.component.is_none() {
        command.args(["--target", target]);
    }
    let status = stream(command, COMPILE_MAX, &mut |line| eprintln!("    {line}"))?;
    if !status.success() {
        bail!("ignite compile failed ({status})");
    }
    Ok(())
}

/// As an author who knows nothing of Ignite builds a component, with the Rust that has the target.
fn build_component(workspace: &Workspace, example: &Example, component: &str) -> Result<PathBuf> {
    let folder = workspace.target.join("components");
    toolchains::wasm_build(workspace, &example.folder, &folder)?;
    Ok(folder.join(component))
}

fn send(connection: &mut Connection, call: &Call) -> Result<Response> {
    let Call { method, path, headers, body, .. } = call;
    connection.send(&Request { method, path, headers, body })
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

/// The last lines the host wrote, for errors.
fn log_end(log: &Path) -> String {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    format!("the host said:\n{}", lines[lines.len().saturating_sub(10)..].join("\n"))
}
