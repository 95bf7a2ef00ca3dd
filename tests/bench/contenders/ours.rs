//! This product in every target.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;
use ignite_tests::product::binary;

use super::{Contender, Prepared, Standing, wasm};
use crate::generator::{Answers, Dialect};
use crate::kit::Kit;
use crate::server::Place;

/// Executions at once: more than the connections of any run, and for Python, whose workers are processes, fewer.
const CONCURRENCY: &str = "256";
const CONCURRENCY_PYTHON: &str = "64";
/// Executions that may wait, so that none is refused.
const QUEUE: &str = "1024";

/// A target of the compiler and what is special about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Target {
    Python,
    Go,
    Deno,
    Rust,
    Wasm,
    WasiHttp,
}

impl Target {
    /// As contenders are called.
    pub(crate) const ALL: [(&'static str, Self); 6] = [
        ("Python", Self::Python),
        ("Go", Self::Go),
        ("Deno", Self::Deno),
        ("Rust", Self::Rust),
        ("Wasm", Self::Wasm),
        ("Wasm (wasi:http)", Self::WasiHttp),
    ];

    /// The target of a contender.
    pub(crate) fn of(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|(known, _)| *known == name).map(|(_, target)| target)
    }
}

pub(super) fn contenders() -> Vec<Contender> {
    let ours = |name, peer, how, prepare| Contender {
        name,
        how,
        place: Standing::Ours(peer),
        dialect: Dialect::Http,
        answers: Answers::Greeting,
        prepare,
    };
    vec![
        ours("Rust", "echo", "native worker process", |kit| prepare(kit, Target::Rust)),
        ours("Wasm", "wasmtime serve", "component, a fresh instance per request", |kit| prepare(kit, Target::Wasm)),
        ours("Wasm (wasi:http)", "wasmtime serve", "the same component as `wasmtime serve`", |kit| {
            prepare(kit, Target::WasiHttp)
        }),
        ours("Go", "net/http", "worker process", |kit| prepare(kit, Target::Go)),
        ours("Python", "granian", "forked worker processes, one execution each", |kit| prepare(kit, Target::Python)),
        ours("Deno", "deno serve", "worker process", |kit| prepare(kit, Target::Deno)),
    ]
}

fn prepare(kit: &Kit, target: Target) -> Result<Prepared> {
    let mut files = vec![binary("ignite-host")?];
    let (concurrency, artifact) = match target {
        Target::Python => {
            files.extend(kit.python_files()?);
            (CONCURRENCY_PYTHON, kit.compile("python", &kit.app("python"), &[])?)
        }
        Target::Go => (CONCURRENCY, kit.compile("go", &kit.app("go"), &[])?),
        Target::Deno => {
            files.push(kit.deno()?);
            (CONCURRENCY, kit.compile("deno", &kit.app("deno"), &[])?)
        }
        Target::Rust => (CONCURRENCY, kit.compile("rust", &kit.app("rust"), &["--target", "native"])?),
        Target::Wasm => (CONCURRENCY, kit.compile("wasm", &kit.app("rust"), &["--target", "wasm"])?),
        Target::WasiHttp => (CONCURRENCY, kit.compile("wasi-http", &wasm::component(kit)?, &[])?),
    };
    files.push(artifact.clone());
    // What earlier starts left for later ones.
    files.extend(["aot", "apps", "python-worker", "deno"].map(|kept| kit.kept(kept)));
    serve(artifact, files, Some(concurrency))
}

/// The Python app that imports pydantic, with the host's own defaults.
///
/// # Errors
/// When it cannot be compiled.
pub(crate) fn pydantic(kit: &Kit) -> Result<Prepared> {
    let artifact = kit.compile("python-pydantic", &kit.app("python-pydantic"), &[])?;
    serve(artifact, Vec::new(), None)
}

/// The app of a target whose executions run into their limits, with the settings of the loads.
///
/// # Errors
/// When it cannot be compiled.
pub(crate) fn deadlines(kit: &Kit, target: Target) -> Result<Prepared> {
    let compile = |name: &str, app: &str, flags: &[&str]| kit.compile(name, &kit.app(app), flags);
    let (concurrency, artifact) = match target {
        Target::Python => (CONCURRENCY_PYTHON, compile("deadlines-python", "deadlines-python", &[])?),
        Target::Go => (CONCURRENCY, compile("deadlines-go", "deadlines-go", &[])?),
        Target::Deno => (CONCURRENCY, compile("deadlines-deno", "deadlines-deno", &[])?),
        Target::Rust => (CONCURRENCY, compile("deadlines-rust", "deadlines-rust", &["--target", "native"])?),
        Target::Wasm | Target::WasiHttp => {
            (CONCURRENCY, compile("deadlines-wasm", "deadlines-rust", &["--target", "wasm"])?)
        }
    };
    serve(artifact, Vec::new(), Some(concurrency))
}

/// Serves an artifact; without a `concurrency` everything is as it comes.
fn serve(artifact: PathBuf, files: Vec<PathBuf>, concurrency: Option<&'static str>) -> Result<Prepared> {
    let host = binary("ignite-host")?;
    let served = artifact.clone();
    let command = Box::new(move |place: &Place| {
        let mut command = host_command(&host, place);
        command.arg("--artifact").arg(&served);
        if let Some(concurrency) = concurrency {
            command.env("IGNITE_MAX_CONCURRENCY", concurrency).env("IGNITE_QUEUE_MAX", QUEUE);
        }
        command
    });
    Ok(Prepared { version: format!("ignite {}", env!("CARGO_PKG_VERSION")), command, files, artifact: Some(artifact) })
}

/// The host on loopback, its files in the place.
pub(crate) fn host_command(host: &Path, place: &Place) -> Command {
    let mut command = Command::new(host);
    command.env("IGNITE_LISTEN_HOST", "127.0.0.1").env("IGNITE_WORK_DIR", &place.work);
    command
}
