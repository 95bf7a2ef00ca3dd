//! Peers that run components.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};

use super::{Contender, Prepared, peer};
use crate::kit::{BUILD_MAX, Kit, first_line, run, run_within};
use crate::server::Place;

const WASMTIME: &str = "48.0.8";
/// What `wasmtime serve` and `wasmtime compile` need, and the parts that make them fast.
const FEATURES: &str = "run,serve,compile,cranelift,pooling-allocator,parallel-compilation,wasi-http,component-model,\
                        component-model-async,clap/default,clap/wrap_help";

pub(super) fn contenders() -> Vec<Contender> {
    vec![peer(
        "wasmtime serve",
        "the component of `Wasm (wasi:http)`, compiled ahead of time, a fresh instance per request, `-S cli`",
        wasmtime,
    )]
}

/// The component of `tests/bench/apps/wasi-http`, which `cargo xtask bench` builds: the target needs a Rust of its own.
///
/// # Errors
/// When it has not been built.
pub(super) fn component(kit: &Kit) -> Result<PathBuf> {
    let given = std::env::var_os("IGNITE_BENCH_COMPONENT").filter(|value| !value.is_empty()).map(PathBuf::from);
    let path = given.unwrap_or_else(|| kit.cache.join("component/wasm32-wasip2/release/bench_wasi_http.wasm"));
    path.metadata().context("the component is not built; `cargo xtask bench` builds it")?;
    Ok(path)
}

fn wasmtime(kit: &Kit) -> Result<Prepared> {
    let program = install(kit)?;
    let component = component(kit)?;
    let compiled = kit.work.join("peer.cwasm");
    run(Command::new(&program).arg("compile").arg(&component).arg("-o").arg(&compiled))
        .context("the component could not be compiled ahead of time")?;
    let files = vec![program.clone(), compiled.clone()];
    let command = Box::new(move |place: &Place| {
        let mut command = Command::new(&program);
        command
            .args(["serve", "-S", "cli", "--allow-precompiled", "--addr"])
            .arg(format!("127.0.0.1:{}", place.port))
            .arg(&compiled);
        command
    });
    Ok(Prepared { version: format!("wasmtime {WASMTIME}"), command, files, artifact: None })
}

/// Builds it from its sources where that was not done before: minutes, once.
fn install(kit: &Kit) -> Result<PathBuf> {
    let root = kit.cache.join("wasmtime");
    let program = root.join("bin/wasmtime");
    let is_it = |program: &Path| first_line(program, &["--version"]).is_ok_and(|line| line.contains(WASMTIME));
    if !is_it(&program) {
        crate::say("building wasmtime from its sources: many minutes, once");
        let mut command = Command::new("nice");
        command.args(["cargo", "install", "wasmtime-cli", "--locked", "--no-default-features", "--features", FEATURES]);
        command.arg("--version").arg(format!("={WASMTIME}")).arg("--root").arg(&root);
        command.env("CARGO_TARGET_DIR", root.join("target"));
        run_within(&mut command, BUILD_MAX)?;
    }
    Ok(program)
}
