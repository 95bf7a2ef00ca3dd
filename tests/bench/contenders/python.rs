//! Peers in Python: each one process, with the settings it comes with.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;

use super::{Contender, Prepared, Standing, peer};
use crate::generator::{Answers, Dialect};
use crate::kit::{Kit, run};
use crate::server::Place;

const UVICORN: &str = "0.54.0";
const GRANIAN: &str = "2.8.7";
const FUNCTIONS_FRAMEWORK: &str = "3.10.2";
const FDK: &str = "0.1.128";
/// Asked for by name of the module; the newest there is.
const WATCHDOG: &str = "github.com/openfaas/of-watchdog@latest";

pub(super) fn contenders() -> Vec<Contender> {
    vec![
        peer("uvicorn", "bare ASGI app, one process, uvloop and httptools, no access log", |kit| uvicorn(kit, 1)),
        peer("uvicorn-2", "the same with `--workers 2`", |kit| uvicorn(kit, 2)),
        peer("granian", "bare WSGI app, one worker, default threads", |kit| granian(kit, 1)),
        peer("granian-2", "the same with `--workers 2`", |kit| granian(kit, 2)),
        peer("ff-python", "functions-framework on gunicorn, one process, default threads", functions_framework),
        Contender {
            name: "fdk-python",
            how: "Fn's development kit; the generator drives its Unix socket as Fn's agent does, with no agent between",
            place: Standing::Peer,
            dialect: Dialect::Fn,
            answers: Answers::Greeting,
            prepare: fdk,
        },
        peer("of-watchdog", "HTTP mode, in front of the uvicorn above", watchdog),
    ]
}

/// The environment, the interpreter and the app: what a start reads.
fn files(kit: &Kit, further: &[&Path]) -> Result<Vec<PathBuf>> {
    let mut files = kit.python_files()?;
    for file in further {
        // Of an environment everything, not only its programs.
        let is_bin = file.file_name().is_some_and(|name| name == "bin");
        files.push(if is_bin { file.parent().unwrap_or(file).to_owned() } else { (*file).to_owned() });
    }
    Ok(files)
}

fn uvicorn(kit: &Kit, workers: usize) -> Result<Prepared> {
    let bin = kit.python_packages("uvicorn", &[&format!("uvicorn[standard]=={UVICORN}")])?;
    let app = kit.source("python/asgi.py", include_str!("../peers/asgi.py"))?;
    let files = files(kit, &[&bin, &app])?;
    let command = Box::new(move |place: &Place| {
        let mut command = uvicorn_command(&bin, &app, place.port);
        if workers > 1 {
            command.arg("--workers").arg(workers.to_string());
        }
        command
    });
    Ok(Prepared { version: format!("uvicorn {UVICORN}"), command, files, artifact: None })
}

fn uvicorn_command(bin: &Path, app: &Path, port: u16) -> Command {
    let mut command = Command::new(bin.join("uvicorn"));
    command.arg("--app-dir").arg(app.parent().unwrap_or(app)).args(["--host", "127.0.0.1", "--port"]);
    command.arg(port.to_string()).args(["--no-access-log", "--log-level", "warning", "asgi:app"]);
    command
}

fn granian(kit: &Kit, workers: usize) -> Result<Prepared> {
    let bin = kit.python_packages("granian", &[&format!("granian=={GRANIAN}")])?;
    let app = kit.source("python/wsgi.py", include_str!("../peers/wsgi.py"))?;
    let files = files(kit, &[&bin, &app])?;
    let command = Box::new(move |place: &Place| {
        let mut command = Command::new(bin.join("granian"));
        command.args(["--interface", "wsgi", "--host", "127.0.0.1", "--port"]).arg(place.port.to_string());
        command.arg("--working-dir").arg(app.parent().unwrap_or(&app)).arg("wsgi:app");
        if workers > 1 {
            command.arg("--workers").arg(workers.to_string());
        }
        command
    });
    Ok(Prepared { version: format!("granian {GRANIAN}"), command, files, artifact: None })
}

fn functions_framework(kit: &Kit) -> Result<Prepared> {
    let package = format!("functions-framework=={FUNCTIONS_FRAMEWORK}");
    let bin = kit.python_packages("functions-framework-python", &[&package])?;
    // Its own name would shadow no module, but `functions.py` beside others might.
    let app = kit.source("functions-python/functions.py", include_str!("../peers/functions.py"))?;
    let files = files(kit, &[&bin, &app])?;
    let command = Box::new(move |_: &Place| {
        let mut command = Command::new(bin.join("functions-framework"));
        command.args(["--target", "handler", "--source"]).arg(&app).env("HOST", "127.0.0.1");
        command
    });
    Ok(Prepared { version: format!("functions-framework {FUNCTIONS_FRAMEWORK}"), command, files, artifact: None })
}

fn fdk(kit: &Kit) -> Result<Prepared> {
    // An environment of its own: with a recent uvloop it does not start.
    let bin = kit.python_packages("fdk-python", &[&format!("fdk=={FDK}")])?;
    let app = kit.source("fdk-python/func.py", include_str!("../peers/fdk.py"))?;
    let files = files(kit, &[&bin, &app])?;
    let command = Box::new(move |place: &Place| {
        let mut command = Command::new(bin.join("fdk"));
        command.arg(&app).arg("handler").env("FN_FORMAT", "http-stream");
        command.env("FN_LISTENER", format!("unix:{}", place.socket().display()));
        command
    });
    Ok(Prepared { version: format!("fdk {FDK}"), command, files, artifact: None })
}

fn watchdog(kit: &Kit) -> Result<Prepared> {
    let go = kit.go()?;
    let folder = kit.once("of-watchdog", WATCHDOG, |folder| {
        run(Command::new(&go).args(["install", WATCHDOG]).env("GOBIN", folder).current_dir(folder))
    })?;
    let program = folder.join("of-watchdog");
    let bin = kit.python_packages("uvicorn", &[&format!("uvicorn[standard]=={UVICORN}")])?;
    let app = kit.source("python/asgi.py", include_str!("../peers/asgi.py"))?;
    let files = files(kit, &[&bin, &app, &program])?;
    let command = Box::new(move |place: &Place| {
        let behind = uvicorn_command(&bin, &app, place.inner_port);
        let words = std::iter::once(behind.get_program()).chain(behind.get_args());
        let process = words.map(|word| word.to_string_lossy().into_owned()).collect::<Vec<_>>().join(" ");
        let mut command = Command::new(&program);
        command.env("mode", "http").env("port", place.port.to_string()).env("fprocess", process);
        command.env("upstream_url", format!("http://127.0.0.1:{}", place.inner_port));
        command
    });
    Ok(Prepared { version: format!("of-watchdog, uvicorn {UVICORN}"), command, files, artifact: None })
}
