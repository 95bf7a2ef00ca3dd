//! The executor with the workers of Python, Deno and Go, as a host runs them. What functions can do is told by
//! `tests/cases`; here it is how their processes live.
#![allow(clippy::unwrap_used, reason = "a test")]

mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use ignite_core_model::Limits;
use ignite_core_model::toolchain::{self, Tool};
use ignite_runtimes_executor::{Executor as _, Health, InvokeError};
use ignite_runtimes_process::{AppDir, ProcessConfig, ProcessExecutor, ProcessRuntime, install_python_worker};
use support::{Fake, Logs, invocation};
use tokio::time::Instant;

/// The tool as the product finds it. `cargo xtask test` installs what is missing.
fn tool(tool: Tool) -> PathBuf {
    tool_answering(tool, "--version")
}

fn tool_answering(tool: Tool, question: &str) -> PathBuf {
    let answers = |path: &PathBuf| {
        let output = Command::new(path).arg(question).output().ok().filter(|output| output.status.success());
        output.is_some_and(|output| toolchain::parse_version(tool, &String::from_utf8_lossy(&output.stdout)).is_some())
    };
    let found = toolchain::candidates(tool, &|name| std::env::var_os(name)).into_iter().find(answers);
    found.unwrap_or_else(|| panic!("{tool} is not installed; `cargo xtask test` installs it"))
}

struct App {
    fake: Fake,
    _dir: tempfile::TempDir,
}

impl App {
    async fn python(source: &str, limit: impl FnOnce(&mut Limits)) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let cache = std::env::temp_dir().join(format!("ignite-test-{}", rustix::process::geteuid().as_raw()));
        let runtime =
            ProcessRuntime::Python { python: tool(Tool::Python), worker: install_python_worker(&cache).unwrap() };
        Self::start(dir, "handler.py", source, runtime, limit).await
    }

    async fn deno(source: &str, limit: impl FnOnce(&mut Limits)) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let sdk = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deno/mod.ts").canonicalize().unwrap();
        let source = format!("import {{ start }} from \"file://{}\";\n{source}", sdk.display());
        let runtime = ProcessRuntime::Deno { deno: tool(Tool::Deno), cache: dir.path().join("deno-cache") };
        Self::start(dir, "main.js", &source, runtime, limit).await
    }

    async fn go(source: &str, limit: impl FnOnce(&mut Limits)) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let sdk = Path::new(env!("CARGO_MANIFEST_DIR")).join("../go").canonicalize().unwrap();
        let module = format!("module app\n\ngo 1.26\n\nrequire ignite v0.0.0\n\nreplace ignite => {}\n", sdk.display());
        fs::write(dir.path().join("go.mod"), module).unwrap();
        fs::write(dir.path().join("main.go"), source).unwrap();
        let built = Command::new(tool_answering(Tool::Go, "version"))
            .args(["build", "-o", "app", "."])
            .current_dir(&dir)
            .env("CGO_ENABLED", "0")
            .status();
        assert!(built.unwrap().success());
        Self::launch(dir, "app", ProcessRuntime::Binary, limit).await
    }

    async fn start(
        dir: tempfile::TempDir,
        entrypoint: &str,
        source: &str,
        runtime: ProcessRuntime,
        limit: impl FnOnce(&mut Limits),
    ) -> Self {
        fs::write(dir.path().join(entrypoint), source).unwrap();
        Self::launch(dir, entrypoint, runtime, limit).await
    }

    async fn launch(
        dir: tempfile::TempDir,
        entrypoint: &str,
        runtime: ProcessRuntime,
        limit: impl FnOnce(&mut Limits),
    ) -> Self {
        let logs = Arc::new(Logs::default());
        let mut limits = Limits::default();
        limit(&mut limits);
        let config = ProcessConfig {
            app: AppDir { path: dir.path().into(), entrypoint: entrypoint.into() },
            runtime,
            limits,
            env: Vec::new(),
            logs: Arc::clone(&logs) as Arc<_>,
        };
        let fake = Fake { executor: ProcessExecutor::start(config).unwrap(), logs };
        assert_eq!(fake.executor.started().await, Health::Ready);
        Self { fake, _dir: dir }
    }

    async fn call(&self, body: &'static str) -> Result<String, InvokeError> {
        self.call_path("/", body).await
    }

    async fn call_path(&self, path: &str, body: &'static str) -> Result<String, InvokeError> {
        let answer = self.fake.full(invocation(path, "", Bytes::from_static(body.as_bytes()))).await?;
        Ok(String::from_utf8(answer.1.to_vec()).unwrap())
    }
}

const PYTHON: &str = r#"
import os, sys, time
print("loaded once")

def handler(payload, ctx):
    command = payload.decode()
    if command == "pid":
        return str(os.getpid())
    if command == "sleep":
        time.sleep(0.15)
        return str(os.getpid())
    if command == "priority":
        both = os.getppid(), 0
        return " ".join(f"{os.getpriority(os.PRIO_PROCESS, of)}/{os.sched_getscheduler(of)}" for of in both)
    if command == "spin":
        while True:
            pass
    if command == "exit":
        print("so long", file=sys.stderr)
        os._exit(3)
    if command == "sys.exit":
        sys.exit(1)
    if command == "stream":
        def parts():
            for n in range(2000):
                yield b"%04d" % n * 500
        return parts()
    print("printed for", command)
    return payload
"#;

#[tokio::test]
async fn python_workers_are_forked_on_demand_and_one_costs_only_itself() {
    let app = App::python(PYTHON, |limits| limits.max_concurrency = 4).await;
    assert_eq!(app.call("echo").await.unwrap(), "echo");
    assert_eq!(app.fake.gauge("workers_count"), 1.0);
    let pids = join_all((0..4).map(|_| app.call("sleep"))).await;
    let pids: std::collections::BTreeSet<String> = pids.into_iter().map(Result::unwrap).collect();
    assert_eq!(pids.len(), 4, "one execution a process");
    // Whoever waits for a start or a fork waits for the one that forks; those that run handlers yield (3: SCHED_BATCH).
    let own = support::nice(rustix::process::getpid());
    assert_eq!(app.call("priority").await.unwrap(), format!("{own}/0 {}/3", (own + 5).min(19)));

    // One spins for ever, one ends its process, the others never notice.
    let mut spin = invocation("/", "", Bytes::from_static(b"spin"));
    spin.deadline = Instant::now() + Duration::from_millis(200);
    let spin = app.fake.with_deadline(spin);
    let others = join_all((0..40).map(|_| app.call("pid")));
    let (spin, exit, others) = tokio::join!(spin, app.call("exit"), others);
    assert!(spin.is_none());
    let cause = exit.unwrap_err().in_full();
    assert!(cause.contains("exited with code 3; last on stderr: so long"), "{cause}");
    for other in others {
        other.unwrap();
    }
    let error = app.call("sys.exit").await.unwrap_err();
    assert!(matches!(error, InvokeError::Handler { .. }), "{error}");

    let pid = app.call("pid").await.unwrap();
    let started = Instant::now();
    app.fake.executor.drain(Instant::now() + Duration::from_secs(5)).await;
    assert!(started.elapsed() < Duration::from_secs(1), "an idle drain took {:?}", started.elapsed());
    support::gone(rustix::process::Pid::from_raw(pid.parse().unwrap()).unwrap()).await;
}

const COUNTED: &str = r#"
import os, time
runs = os.open("runs", os.O_WRONLY | os.O_APPEND | os.O_CREAT)

def handler(payload, ctx):
    os.write(runs, b"%s %s\n" % (ctx.execution_id.encode(), payload))
    if payload == b"slow":
        time.sleep(2)
    if payload == b"exit":
        os._exit(3)
    return payload
"#;

#[tokio::test]
async fn what_python_is_sent_ahead_runs_once_wherever_it_goes() {
    let app = App::python(COUNTED, |limits| limits.max_concurrency = 64).await;
    let call = |body: &'static str| async {
        let invocation = invocation("/", "", Bytes::from_static(body.as_bytes()));
        let (id, began) = (invocation.execution_id, Instant::now());
        (id, app.fake.full(invocation).await.map(|_| began.elapsed()))
    };
    let mut ids = Vec::new();
    let warm_up = async {
        for _ in 0..40 {
            ids.extend(join_all((0..50).map(|_| call("quick"))).await.into_iter().map(|(id, answer)| {
                answer.unwrap();
                id
            }));
        }
    };
    warm_up.await;
    assert!(app.fake.gauge("executions_sent_ahead_total") > 0.0, "the way this test is about was never taken");

    // Three that are slow, one whose process ends, and many that are sent ahead of or behind them.
    let odd = join_all(["slow", "slow", "slow", "exit"].map(call));
    let (odd, quick) = tokio::join!(odd, join_all((0..400).map(|_| call("quick"))));
    for (id, answer) in quick {
        let took = answer.unwrap();
        assert!(took < Duration::from_millis(1500), "it waited {took:?} behind a slow one");
        ids.push(id);
    }
    assert_eq!(odd.iter().filter(|(_, answer)| answer.is_err()).count(), 1, "only the one that ended its process");
    ids.extend(odd.into_iter().map(|(id, _)| id));

    let runs = fs::read_to_string(app._dir.path().join("runs")).unwrap();
    let mut ran: Vec<&str> = runs.lines().filter_map(|line| line.split(' ').next()).collect();
    let mut sent: Vec<String> = ids.iter().map(ToString::to_string).collect();
    ran.sort_unstable();
    sent.sort_unstable();
    assert_eq!(ran, sent, "each runs exactly once");
}

#[tokio::test]
async fn python_prints_belong_to_their_execution() {
    let app = App::python(PYTHON, |_| ()).await;
    app.fake.logs.wait("stdout info loaded once").await;
    for _ in 0..20 {
        let call = invocation("/", "", Bytes::from_static(b"me"));
        let id = call.execution_id;
        app.fake.full(call).await.unwrap();
        let lines = app.fake.logs.of(id);
        assert!(lines.iter().any(|line| line.ends_with("info printed for me")), "{lines:?}");
    }
}

#[tokio::test]
async fn python_streams_with_backpressure() {
    let app = App::python(PYTHON, |_| ()).await;
    let reply = app.fake.executor.invoke(invocation("/", "", Bytes::from_static(b"stream"))).await.unwrap();
    assert_eq!(support::read(reply.body).await.unwrap().len(), 4_000_000);
}

#[tokio::test]
async fn python_async_handlers_share_a_worker() {
    let app = App::python(
        "import asyncio, os\nasync def handler(payload, ctx):\n    await asyncio.sleep(0.2)\n    return str(os.getpid())\n",
        |limits| limits.max_concurrency = 50,
    )
    .await;
    let started = Instant::now();
    let pids: std::collections::BTreeSet<String> =
        join_all((0..50).map(|_| app.call("x"))).await.into_iter().map(Result::unwrap).collect();
    assert_eq!(pids.len(), 1);
    assert!(started.elapsed() < Duration::from_secs(5));
}

#[tokio::test]
async fn a_python_handler_that_cannot_be_loaded_says_why() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("handler.py"), "import nothing_like_it\n").unwrap();
    let cache = tempfile::tempdir().unwrap();
    let logs = Arc::new(Logs::default());
    let config = ProcessConfig {
        app: AppDir { path: dir.path().into(), entrypoint: "handler.py".into() },
        runtime: ProcessRuntime::Python {
            python: tool(Tool::Python),
            worker: install_python_worker(cache.path()).unwrap(),
        },
        limits: Limits::default(),
        env: Vec::new(),
        logs: Arc::clone(&logs) as Arc<_>,
    };
    let executor = ProcessExecutor::start(config).unwrap();
    let Health::Failed(reason) = executor.started().await else { panic!("not failed") };
    assert!(reason.contains("nothing_like_it"), "{reason}");
}

const DENO: &str = r#"
start(async (payload, ctx) => {
  const command = new TextDecoder().decode(payload);
  if (command === "pid") return String(Deno.pid);
  if (command === "wait") {
    await new Promise((resolve) => setTimeout(resolve, 150));
    return "waited";
  }
  if (command === "spin") while (true);
  if (command === "exit") Deno.exit(4);
  if (command === "grow") {
    const held = [];
    while (true) { held.push(new Uint8Array(1 << 20).fill(1)); await new Promise((r) => setTimeout(r, 1)); }
  }
  return payload;
});
"#;

#[tokio::test]
async fn deno_answers_many_at_once_and_is_replaced_when_it_spins_or_exits() {
    let app = App::deno(DENO, |_| ()).await;
    let before = app.call("pid").await.unwrap();
    let started = Instant::now();
    for answer in join_all((0..16).map(|_| app.call("wait"))).await {
        assert_eq!(answer.unwrap(), "waited");
    }
    assert!(started.elapsed() < Duration::from_secs(2));
    let mut spin = invocation("/", "", Bytes::from_static(b"spin"));
    spin.deadline = Instant::now() + Duration::from_millis(100);
    assert!(app.fake.with_deadline(spin).await.is_none());
    let after = app.call("pid").await.unwrap();
    assert_ne!(before, after);
    let error = app.call("exit").await.unwrap_err();
    assert!(error.to_string().contains("exited with code 4"), "{error}");
    assert_eq!(app.call("echo").await.unwrap(), "echo");
}

#[tokio::test]
async fn what_is_stuck_behind_one_that_spins_does_not_wait_for_its_own_limit() {
    let app = App::deno(DENO, |_| ()).await;
    let before = app.call("pid").await.unwrap();
    let mut spin = invocation("/", "", Bytes::from_static(b"spin"));
    spin.deadline = Instant::now() + Duration::from_millis(100);
    let spinning = app.fake.with_deadline(spin);
    let behind = async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        let began = Instant::now();
        (app.call("echo").await, began.elapsed())
    };
    let (spun, (answer, took)) = tokio::join!(spinning, behind);
    assert!(spun.is_none());
    // Its own limit is 60 s.
    assert!(matches!(answer, Err(InvokeError::WorkerLost { .. })), "{answer:?}");
    assert!(took < Duration::from_secs(5), "{took:?}");
    assert_ne!(app.call("pid").await.unwrap(), before);
}

#[tokio::test]
async fn one_that_outlives_its_limit_and_waits_costs_no_other() {
    let app = App::deno(
        "start(async (payload) => {\n  const ms = Number(new TextDecoder().decode(payload));\n  \
         await new Promise((resolve) => setTimeout(resolve, ms));\n  return payload;\n});\n",
        |_| (),
    )
    .await;
    let mut late = invocation("/", "", Bytes::from_static(b"20000"));
    late.deadline = Instant::now() + Duration::from_millis(100);
    let (late, other) = tokio::join!(app.fake.with_deadline(late), app.call("1500"));
    assert!(late.is_none());
    assert_eq!(other.unwrap(), "1500");
}

#[tokio::test]
async fn deno_is_ended_at_its_memory_limit() {
    let app = App::deno(DENO, |limits| limits.memory_mb = 192).await;
    let error = app.call("grow").await.unwrap_err();
    assert_eq!(error, InvokeError::MemoryLimit { memory_mb: 192 });
    assert_eq!(app.call("echo").await.unwrap(), "echo");
}

const GO: &str = r#"
package main

import (
	"fmt"
	"os"
	"time"

	"ignite"
)

func handler(payload []byte, ctx *ignite.Context) ([]byte, error) {
	switch string(payload) {
	case "pid":
		return []byte(fmt.Sprint(os.Getpid())), nil
	case "wait":
		time.Sleep(150 * time.Millisecond)
		return []byte("waited"), nil
	case "obey":
		<-ctx.Context().Done()
		return nil, ctx.Context().Err()
	case "deaf":
		time.Sleep(time.Hour)
	case "panic":
		panic("oh no")
	case "crash":
		go func() { panic("in a goroutine") }()
		time.Sleep(time.Hour)
	case "grow":
		var held [][]byte
		for {
			part := make([]byte, 1<<20)
			for n := range part {
				part[n] = 1
			}
			held = append(held, part)
			time.Sleep(time.Millisecond)
		}
	}
	return payload, nil
}

func main() { ignite.Start(handler) }
"#;

#[tokio::test]
async fn go_answers_many_at_once_and_is_replaced_when_it_must_be() {
    let app = App::go(GO, |limits| limits.memory_mb = 192).await;
    let pid = app.call("pid").await.unwrap();
    for answer in join_all((0..16).map(|_| app.call("wait"))).await {
        assert_eq!(answer.unwrap(), "waited");
    }
    let timed_out = |body: &'static str| {
        let mut call = invocation("/", "", Bytes::from_static(body.as_bytes()));
        call.deadline = Instant::now() + Duration::from_millis(100);
        call
    };
    assert!(app.fake.with_deadline(timed_out("obey")).await.is_none());
    let error = app.call("panic").await.unwrap_err();
    let InvokeError::Handler { kind, .. } = &error else { panic!("{error}") };
    assert_eq!(kind, "panic");
    assert_eq!(app.call("pid").await.unwrap(), pid, "neither costs the worker");

    // What goes on although it was cancelled costs its worker, but no sibling.
    let (sibling, deaf) = tokio::join!(app.call("wait"), app.fake.with_deadline(timed_out("deaf")));
    assert_eq!(sibling.unwrap(), "waited");
    assert!(deaf.is_none());
    let next = app.call("pid").await.unwrap();
    assert_ne!(next, pid);

    let cause = app.call("crash").await.unwrap_err().in_full();
    assert!(cause.contains("exited with code 2; last on stderr:"), "{cause}");
    assert_eq!(app.call("grow").await.unwrap_err(), InvokeError::MemoryLimit { memory_mb: 192 });
    assert_eq!(app.call("echo").await.unwrap(), "echo");
}
