//! Peers that run JavaScript.

use std::process::Command;

use anyhow::{Context as _, Result};

use super::{Contender, Prepared, peer};
use crate::kit::{Kit, first_line, run};
use crate::server::Place;

const FUNCTIONS_FRAMEWORK: &str = "5.0.5";
const WORKERD: &str = "1.20261117.1";

pub(super) fn contenders() -> Vec<Contender> {
    vec![
        peer("deno serve", "`deno serve`, one process, no permissions but its port", deno),
        peer("workerd", "one worker, no isolation around it", workerd),
        peer("ff-node", "functions-framework, one process", functions_framework),
    ]
}

fn deno(kit: &Kit) -> Result<Prepared> {
    let deno = kit.deno()?;
    let version = first_line(&deno, &["--version"])?;
    let version = version.split(" (").next().unwrap_or_default().to_owned();
    let app = kit.source("fetch/fetch.js", include_str!("../peers/fetch.js"))?;
    let files = vec![deno.clone(), app.clone()];
    let command = Box::new(move |place: &Place| {
        let mut command = Command::new(&deno);
        command.args(["serve", "--quiet", "--no-config", "--host", "127.0.0.1", "--port"]);
        command.arg(place.port.to_string()).arg(&app).env("DENO_NO_UPDATE_CHECK", "1");
        command
    });
    Ok(Prepared { version, command, files, artifact: None })
}

fn workerd(kit: &Kit) -> Result<Prepared> {
    let folder = packages(kit, "workerd", &format!("workerd@{WORKERD}"))?;
    // Install scripts do not run; the platform's package holds the program itself.
    let program = folder.join("node_modules/@cloudflare/workerd-linux-64/bin/workerd");
    program.metadata().context("workerd's package for this platform is not installed")?;
    kit.source("fetch/fetch.js", include_str!("../peers/fetch.js"))?;
    let config = kit.source("fetch/workerd.capnp", include_str!("../peers/workerd.capnp"))?;
    let files = vec![program.clone(), config.clone()];
    let command = Box::new(move |place: &Place| {
        let mut command = Command::new(&program);
        command.arg("serve").arg(&config).arg("--socket-addr").arg(format!("http=127.0.0.1:{}", place.port));
        command
    });
    Ok(Prepared { version: format!("workerd {WORKERD}"), command, files, artifact: None })
}

fn functions_framework(kit: &Kit) -> Result<Prepared> {
    let node = kit.tool("node")?;
    let folder =
        packages(kit, "functions-framework-node", &format!("@google-cloud/functions-framework@{FUNCTIONS_FRAMEWORK}"))?;
    // Beside its packages: Node looks for them in the folders above.
    let app = folder.join("index.js");
    std::fs::write(&app, include_str!("../peers/functions.js"))?;
    let version = format!("functions-framework {FUNCTIONS_FRAMEWORK}, node {}", first_line(&node, &["--version"])?);
    let files = vec![folder.clone(), node.clone()];
    let command = Box::new(move |_: &Place| {
        let mut command = Command::new(&node);
        command.arg(folder.join("node_modules/@google-cloud/functions-framework/build/src/main.js"));
        command
            .args(["--target=handler", "--source"])
            .arg(&folder)
            .env("HOST", "127.0.0.1")
            .env("NODE_ENV", "production");
        command
    });
    Ok(Prepared { version, command, files, artifact: None })
}

fn packages(kit: &Kit, name: &str, package: &str) -> Result<std::path::PathBuf> {
    let npm = kit.tool("npm")?;
    kit.once(name, package, |folder| {
        std::fs::write(folder.join("package.json"), "{\"private\":true,\"main\":\"index.js\"}\n")?;
        let mut command = Command::new(&npm);
        command.current_dir(folder).args(["install", "--no-audit", "--no-fund", "--ignore-scripts", package]);
        run(&mut command)
    })
}
