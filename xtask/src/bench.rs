//! `cargo xtask bench`: builds and runs the measurements of `tests/bench`, which write docs/reference/numbers.md.

use std::process::Command;
use std::time::Duration;

use anyhow::{Result, bail};

use crate::log::say;
use crate::process::run;
use crate::toolchains::{self, Tools};
use crate::workspace::Workspace;

const BUILD_MAX: Duration = Duration::from_secs(45 * 60);
/// The engine of one peer is built from its sources, once.
const BENCH_MAX: Duration = Duration::from_secs(120 * 60);
const USAGE: &str =
    "usage: cargo xtask bench [compile | platform [--quick] | host|deadlines [--quick] [--only NAME,…] [--out FOLDER]]";

/// `bench [compile | platform … | deadlines … | host …]`; without a word all.
pub(crate) fn command(workspace: &Workspace, arguments: &[String]) -> Result<bool> {
    let runs: Vec<Vec<String>> = match arguments.first().map(String::as_str) {
        None => vec![vec!["compile".into()], vec!["platform".into()], vec!["deadlines".into()], vec!["host".into()]],
        Some("compile" | "platform" | "deadlines" | "host") => vec![arguments.to_vec()],
        Some(_) => bail!(USAGE),
    };
    let tools = toolchains::install(workspace)?;
    workspace.claim_target()?;
    say("building");
    let mut build = workspace.cargo();
    build.args(["build", "--workspace", "--bins", "--profile", "dist", "--locked"]);
    run(build, BUILD_MAX)?;
    for arguments in runs {
        let mut bench = bench(workspace, &tools);
        if arguments[0] == "host" {
            // A component for any host, built as its author would.
            let out = workspace.target.join("bench-component");
            toolchains::wasm_build(workspace, &workspace.root.join("tests/bench/apps/wasi-http"), &out)?;
            bench.env("IGNITE_BENCH_COMPONENT", out.join("wasm32-wasip2/release/bench_wasi_http.wasm"));
        }
        say("measuring: leave the machine alone meanwhile");
        bench.args(arguments);
        run(bench, BENCH_MAX)?;
    }
    Ok(true)
}

/// The bench, with the tools that this repository pins.
fn bench(workspace: &Workspace, tools: &Tools) -> Command {
    let mut bench = workspace.command(workspace.dist().join("ignite-bench"));
    bench.env("IGNITE_PYTHON", &tools.python).env("IGNITE_DENO", &tools.deno).env("IGNITE_GO", &tools.go);
    bench
}
