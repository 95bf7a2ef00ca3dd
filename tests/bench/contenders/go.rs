//! Peers in Go.

use std::path::PathBuf;
use std::process::Command;

use anyhow::Result;

use super::{Contender, Prepared, peer};
use crate::kit::{Kit, first_line, run};
use crate::server::Place;

const FUNCTIONS_FRAMEWORK: &str = "v1.9.2";

pub(super) fn contenders() -> Vec<Contender> {
    vec![peer("net/http", "Go's own server", net_http), peer("ff-go", "functions-framework", functions_framework)]
}

fn net_http(kit: &Kit) -> Result<Prepared> {
    let (program, go) = build(kit, "go-net-http", include_str!("../peers/go-http/main.go"), None)?;
    prepared(go, program)
}

fn functions_framework(kit: &Kit) -> Result<Prepared> {
    let module = format!("github.com/GoogleCloudPlatform/functions-framework-go@{FUNCTIONS_FRAMEWORK}");
    let source = include_str!("../peers/go-functions/main.go");
    let (program, go) = build(kit, "functions-framework-go", source, Some(&module))?;
    prepared(format!("functions-framework {FUNCTIONS_FRAMEWORK}, {go}"), program)
}

fn prepared(version: String, program: PathBuf) -> Result<Prepared> {
    let files = vec![program.clone()];
    let command = Box::new(move |_: &Place| {
        let mut command = Command::new(&program);
        command.env("FUNCTION_TARGET", "handler");
        command
    });
    Ok(Prepared { version, command, files, artifact: None })
}

/// Builds a program of one source; and the version of Go.
fn build(kit: &Kit, name: &str, source: &str, module: Option<&str>) -> Result<(PathBuf, String)> {
    let go = kit.go()?;
    let line = first_line(&go, &["version"])?;
    let version = line.split_whitespace().nth(2).unwrap_or("go").to_owned();
    let stamp = format!("{version} {module:?}\n{source}");
    let folder = kit.once(name, &stamp, |folder| {
        std::fs::write(folder.join("main.go"), source)?;
        let go = || {
            let mut command = Command::new(&go);
            command.current_dir(folder).env("GOFLAGS", "-mod=mod").env("CGO_ENABLED", "0");
            command
        };
        run(go().args(["mod", "init", "bench"]))?;
        if let Some(module) = module {
            run(go().args(["get", module]))?;
        }
        run(go().args(["build", "-trimpath", "-ldflags=-s -w", "-o", "server", "."]))
    })?;
    Ok((folder.join("server"), version))
}
