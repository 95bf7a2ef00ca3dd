//! Rust: one line in an author's own tree, and an app that is new.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::Result;
use ignite_tests::product::repository;

use super::{App, ROUNDS_LONG, Row, timed, unchanged};

/// New apps that are measured; each takes minutes by hand.
const NEW_APPS: usize = 2;

/// What most handlers have.
const DEPENDENCIES: &str = "serde = { version = \"1\", features = [\"derive\"] }\nserde_json = \"1\"\n\
     tokio = { version = \"1\", features = [\"rt\", \"macros\", \"time\"] }\n\
     reqwest = { version = \"0.12\", default-features = false, features = [\"json\"] }\n";

const HANDLER: &str = r#"use ignite::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Deserialize, Serialize)]
struct Question {
    url: Option<String>,
}

#[ignite::main]
async fn handler(req: Request, _ctx: Context) -> Result<impl IntoResponse> {
    let question: Question = req.body()?;
    let text = match &question.url {
        Some(url) => reqwest::get(url).await.map(|answer| answer.status().to_string()).unwrap_or_default(),
        None => serde_json::to_string(&question).unwrap_or_default(),
    };
    Ok(format!("ROUND {text}"))
}
"#;

/// What by hand must be written down and the compiler adds: the program, the SDK, the settings of a release.
const BY_HAND: &str = "[[bin]]\nname = \"worker\"\npath = \"worker.rs\"\n\n\
     [profile.release]\nlto = \"thin\"\nstrip = true\ncodegen-units = 1\n\n[workspace]\n";

/// Measures both.
pub(super) fn rows(work: &Path, cache: &Path) -> Result<Vec<Row>> {
    crate::say("against Rust: one line changed");
    let mut rows = one_line(work, cache)?;
    crate::say("against Rust: a new app");
    rows.push(new_app(work, cache)?);
    Ok(rows)
}

/// An app without more than what the SDK needs, changed again and again.
fn one_line(work: &Path, cache: &Path) -> Result<Vec<Row>> {
    let (ours, by_hand) = (work.join("handler"), work.join("handler-by-hand"));
    let text = |round: usize| hello(round);
    write(&ours, "handler", "", &text(0), false)?;
    write(&by_hand, "handler", "", &text(0), true)?;
    cargo(&by_hand, &["fetch"])?;
    // The same versions for both.
    std::fs::copy(by_hand.join("Cargo.lock"), ours.join("Cargo.lock"))?;
    let app = App::new(&ours, cache);
    app.compile()?;
    build(&by_hand)?;
    let mut row = Row {
        what: "Rust: one line changed; by hand `cargo build --release`, with the same settings".to_owned(),
        ours: Vec::new(),
        hand: Vec::new(),
        ratio_max: Some(1.3),
    };
    for round in 1..=ROUNDS_LONG {
        for folder in [&ours, &by_hand] {
            std::fs::write(folder.join("src/lib.rs"), text(round))?;
        }
        row.ours.push(app.compile()?);
        row.hand.push(build(&by_hand)?);
    }
    Ok(vec![row, unchanged("Rust", &app)?])
}

/// Apps with the usual dependencies after another one with them was compiled.
fn new_app(work: &Path, cache: &Path) -> Result<Row> {
    let seen = work.join("seen");
    write(&seen, "seen", DEPENDENCIES, HANDLER, false)?;
    App::new(&seen, cache).compile()?;
    let mut row = Row {
        what: "Rust: a new app with serde, serde_json, tokio, reqwest; by hand a clean `cargo build --release`"
            .to_owned(),
        ours: Vec::new(),
        hand: Vec::new(),
        ratio_max: Some(0.35),
    };
    for round in 0..NEW_APPS {
        let handler = HANDLER.replace("ROUND", &format!("round {round}"));
        let (name, by_hand) = (format!("new-{round}"), work.join(format!("new-{round}-by-hand")));
        write(&work.join(&name), &name, DEPENDENCIES, &handler, false)?;
        row.ours.push(App::new(&work.join(&name), cache).compile()?);
        write(&by_hand, &name, DEPENDENCIES, &handler, true)?;
        cargo(&by_hand, &["fetch"])?;
        row.hand.push(build(&by_hand)?);
        std::fs::remove_dir_all(&by_hand)?;
    }
    Ok(row)
}

fn hello(round: usize) -> String {
    format!(
        "use ignite::prelude::*;\n\n#[ignite::main]\nasync fn handler(req: Request, _ctx: Context) -> Result<impl IntoResponse> {{\n    \
         let name: String = req.field(\"name\")?;\n    Ok(json!({{ \"greeting\": format!(\"Hello, {{name}}, in round {round}!\") }}))\n}}\n"
    )
}

fn write(folder: &Path, name: &str, dependencies: &str, handler: &str, by_hand: bool) -> Result<()> {
    let sdk = format!("ignite = {{ path = {:?} }}\n", repository().join("sdk-rust"));
    let (sdk, rest) = if by_hand { (sdk.as_str(), BY_HAND) } else { ("", "") };
    let head = format!("[package]\nname = \"{name}\"\nversion = \"0.1.0\"\nedition = \"2024\"\n");
    std::fs::create_dir_all(folder.join("src"))?;
    std::fs::write(folder.join("Cargo.toml"), format!("{head}\n[dependencies]\n{sdk}{dependencies}\n{rest}"))?;
    std::fs::write(folder.join("src/lib.rs"), handler)?;
    if by_hand {
        let main = format!("fn main() {{\n    {}::__ignite_main()\n}}\n", name.replace('-', "_"));
        std::fs::write(folder.join("worker.rs"), main)?;
    }
    Ok(())
}

fn build(folder: &Path) -> Result<Duration> {
    cargo(folder, &["build", "--release", "--offline", "--bin", "worker"])
}

/// Cargo as an author calls it: nothing of this process's own build in its environment.
fn cargo(folder: &Path, arguments: &[&str]) -> Result<Duration> {
    let mut command = Command::new("cargo");
    command.args(arguments).current_dir(folder).env("CARGO_TARGET_DIR", folder.join("target"));
    for name in ["CARGO", "RUSTFLAGS", "RUSTC_WRAPPER", "CARGO_MANIFEST_DIR"] {
        command.env_remove(name);
    }
    timed(&mut command)
}
