//! Workers that are up before they are told their app.
#![allow(clippy::unwrap_used, reason = "a test")]

mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use bytes::Bytes;
use ignite_core_model::Limits;
use ignite_core_model::toolchain::{self, Tool};
use ignite_runtimes_executor::{Executor as _, Health};
use ignite_runtimes_process::{
    AppDir, ProcessConfig, ProcessExecutor, ProcessRuntime, WarmError, WarmWorker, install_python_worker,
};
use support::{Fake, Logs, invocation};

fn tool(tool: Tool) -> PathBuf {
    let answers = |path: &PathBuf| {
        let output = Command::new(path).arg("--version").output().ok().filter(|output| output.status.success());
        output.is_some_and(|output| toolchain::parse_version(tool, &String::from_utf8_lossy(&output.stdout)).is_some())
    };
    let found = toolchain::candidates(tool, &|name| std::env::var_os(name)).into_iter().find(answers);
    found.unwrap_or_else(|| panic!("{tool} is not installed; `cargo xtask test` installs it"))
}

fn cache() -> PathBuf {
    std::env::temp_dir().join(format!("ignite-test-{}", rustix::process::geteuid().as_raw()))
}

fn python() -> ProcessRuntime {
    ProcessRuntime::Python { python: tool(Tool::Python), worker: install_python_worker(&cache()).unwrap() }
}

fn deno() -> ProcessRuntime {
    ProcessRuntime::Deno { deno: tool(Tool::Deno), cache: cache().join("deno") }
}

/// A bundle's source: the SDK, then the app's own lines.
fn bundle(source: &str) -> String {
    let sdk = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deno/mod.ts").canonicalize().unwrap();
    format!("import {{ start }} from \"file://{}\";\n{source}", sdk.display())
}

struct App {
    dir: tempfile::TempDir,
    config: ProcessConfig,
    logs: Arc<Logs>,
}

impl App {
    fn new(runtime: &ProcessRuntime, entrypoint: &str, source: &str, env: &[(&str, &str)]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join(entrypoint), source).unwrap();
        let logs = Arc::new(Logs::default());
        let config = ProcessConfig {
            app: AppDir { path: dir.path().into(), entrypoint: entrypoint.into() },
            runtime: runtime.clone(),
            limits: Limits::default(),
            env: env.iter().map(|(name, value)| (name.into(), value.into())).collect(),
            logs: Arc::clone(&logs) as Arc<_>,
        };
        Self { dir, config, logs }
    }

    fn start_warm(self, warm: WarmWorker) -> (Fake, tempfile::TempDir) {
        (Fake { executor: ProcessExecutor::start_warm(self.config, warm).unwrap(), logs: self.logs }, self.dir)
    }
}

async fn answer(fake: &Fake) -> String {
    let (_, body) = fake.full(invocation("/", "", Bytes::new())).await.unwrap();
    String::from_utf8(body.to_vec()).unwrap()
}

async fn warm(runtime: &ProcessRuntime) -> WarmWorker {
    WarmWorker::start(runtime.clone(), &Limits::default()).await.unwrap()
}

const PYTHON: &str = "
import json, os, sys, time
loaded = os.getpid()
def handler(payload, ctx):
    return json.dumps([os.environ.get('COLOUR'), os.getcwd(), sorted(name for name in os.environ if name.startswith('IGNITE')),
        time.tzname[0], sys.argv, os.getppid() == loaded])
";

#[tokio::test]
async fn a_warm_python_worker_becomes_the_app() {
    let runtime = python();
    let warm = warm(&runtime).await;
    let app = App::new(&runtime, "handler.py", PYTHON, &[("COLOUR", "mauve"), ("TZ", "XYZ-3")]);
    assert_eq!(warm.unfit(&app.config), None);
    let (fake, dir) = app.start_warm(warm);
    assert_eq!(fake.executor.started().await, Health::Ready);
    let body = answer(&fake).await;
    let folder = dir.path().canonicalize().unwrap();
    let expected =
        serde_json::json!(["mauve", folder, ["IGNITE_WORKER_MARK"], "XYZ", [folder.join("handler.py")], true]);
    assert_eq!(serde_json::from_str::<serde_json::Value>(&body).unwrap(), expected);
}

#[tokio::test]
async fn a_warm_deno_worker_becomes_the_app() {
    let runtime = deno();
    let warm = warm(&runtime).await;
    let source = bundle(
        "const here = import.meta.url;
         start(() => ({ colour: Deno.env.get('COLOUR'), cwd: Deno.cwd(), here,
             own: Object.keys(Deno.env.toObject()).filter((name) => name.startsWith('IGNITE')) }));",
    );
    let app = App::new(&runtime, "main.js", &source, &[("COLOUR", "mauve")]);
    assert_eq!(warm.unfit(&app.config), None);
    let (fake, dir) = app.start_warm(warm);
    assert_eq!(fake.executor.started().await, Health::Ready);
    let body = answer(&fake).await;
    let folder = dir.path().canonicalize().unwrap();
    let expected = serde_json::json!({
        "colour": "mauve", "cwd": folder, "here": format!("file://{}/main.js", dir.path().display()),
        "own": ["IGNITE_WORKER_MARK"],
    });
    assert_eq!(serde_json::from_str::<serde_json::Value>(&body).unwrap(), expected);
}

#[tokio::test]
async fn an_app_that_does_not_load_says_why_as_ever() {
    for (runtime, entrypoint, source, said) in [
        (python(), "handler.py", "import nothing_of_that_name".to_owned(), "nothing_of_that_name"),
        (deno(), "main.js", bundle("throw new Error('no colour');"), "exited with code 1"),
    ] {
        let warm = warm(&runtime).await;
        let (fake, _dir) = App::new(&runtime, entrypoint, &source, &[]).start_warm(warm);
        let health = tokio::time::timeout(std::time::Duration::from_secs(20), async {
            loop {
                // A crash is tried again before it is a crash loop.
                if let Health::Failed(reason) = fake.executor.started().await {
                    return reason;
                }
            }
        });
        let reason = health.await.unwrap();
        assert!(reason.contains(said), "{reason}");
    }
}

#[tokio::test]
async fn what_counts_before_a_language_starts_is_told() {
    let runtime = python();
    let warm_python = warm(&runtime).await;
    let fit = |app: App| warm_python.unfit(&app.config);
    assert_eq!(fit(App::new(&runtime, "handler.py", "", &[("TZ", "UTC"), ("LDAP", "x")])), None);
    let why = fit(App::new(&runtime, "handler.py", "", &[("LD_PRELOAD", "x.so")])).unwrap();
    assert!(why.contains("LD_PRELOAD"), "{why}");
    let app = App::new(&runtime, "handler.py", "", &[]);
    fs::write(app.dir.path().join("json.py"), "").unwrap();
    let why = fit(app).unwrap();
    assert!(why.contains("`json.py`"), "{why}");

    let runtime = deno();
    let warm_deno = warm(&runtime).await;
    let fit = |app: App| warm_deno.unfit(&app.config);
    let why = fit(App::new(&runtime, "main.js", "if (import.meta.main) start();", &[])).unwrap();
    assert!(why.contains("import.meta.main"), "{why}");
    let mut app = App::new(&runtime, "main.js", "", &[]);
    app.config.limits.memory_mb = 100;
    assert!(fit(app).unwrap().contains("100 MiB"));
}

#[tokio::test]
async fn a_warm_worker_that_has_ended_is_done_without() {
    let runtime = python();
    let warm = warm(&runtime).await;
    let ended = warm.watch().unwrap();
    let pid = warm.pid();
    rustix::process::kill_process(rustix::process::Pid::from_raw(pid).unwrap(), rustix::process::Signal::KILL).unwrap();
    ended.await;
    let (fake, _dir) = App::new(&runtime, "handler.py", PYTHON, &[("COLOUR", "red")]).start_warm(warm);
    assert_eq!(fake.executor.started().await, Health::Ready);
    assert!(answer(&fake).await.starts_with("[\"red\""));
}

#[tokio::test]
async fn programs_have_nothing_to_warm() {
    let refused = WarmWorker::start(ProcessRuntime::Binary, &Limits::default()).await.err().unwrap();
    assert!(matches!(refused, WarmError::NoWorker), "{refused}");
}
