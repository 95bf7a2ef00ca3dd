//! Real compiles that are stopped in each of their phases: within two seconds nothing of them is there any more.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use ignite_compiler_builder::{ArchiveLimits, Builder, BuilderConfig, SandboxOptions, SourceLimits, pack_source};
use ignite_compiler_worker::{Worker, WorkerOptions};
use ignite_core_artifact::Compression;
use ignite_core_model::JobId;
use tokio::net::TcpListener;
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;

use crate::left;
use crate::stage::{End, Stage, eventually};

/// One at a time: what is left is looked for in all of this process.
static ALONE: Mutex<()> = Mutex::const_new(());

/// From the cancel until the job has ended.
const STOP_MAX: Duration = Duration::from_secs(2);

pub(crate) const PYTHON: &str = "def handler(payload, ctx):\n    return payload\n";

/// Kept between runs, for what Go compiles of its own library.
pub(crate) fn cache(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name)
}

/// An archive of a folder with these files.
pub(crate) fn archive(files: &[(&str, &[u8])]) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    for (name, content) in files {
        std::fs::write(folder.path().join(name), content).unwrap();
    }
    let mut archive = Vec::new();
    pack_source(folder.path(), Compression::Zstd, &ArchiveLimits::default(), &mut archive).unwrap();
    archive
}

struct Real {
    stage: Stage,
    worker: Worker,
    cache: PathBuf,
}

impl Real {
    async fn start(name: &str, variables: Vec<(&'static str, String)>) -> Self {
        let stage = Stage::sqlite().await;
        let cache = cache(name);
        let builder = Builder::new(BuilderConfig {
            cache_dir: cache.clone(),
            env: Arc::new(move |name| {
                let set = variables.iter().find(|(own, _)| *own == name).map(|(_, value)| value.into());
                set.or_else(|| std::env::var_os(name))
            }),
            limits: SourceLimits::default(),
            sandbox: SandboxOptions::default(),
        });
        let options = WorkerOptions::new("real", 1);
        let worker = Worker::start(options, stage.queue.clone(), Arc::new(builder), CancellationToken::new());
        Self { stage, worker, cache }
    }

    /// Waits for a line of the platform's own.
    async fn says(&self, job: JobId, words: &str) {
        eventually(words, async || {
            let end = self.stage.end(job).await;
            assert_eq!(end, None, "it is to be stopped before: {:?}", self.stage.lines(job).await);
            self.stage
                .lines(job)
                .await
                .iter()
                .any(|(_, line)| line.stream == "host" && line.text.starts_with(words))
                .then_some(())
        })
        .await;
    }

    async fn stops(&self, job: JobId) {
        let asked = Instant::now();
        assert!(self.stage.cancel(job).await);
        assert_eq!(self.stage.ended(job).await, End::Cancelled);
        assert!(asked.elapsed() < STOP_MAX, "{:?}", asked.elapsed());
        nothing_left(&self.cache);
        assert_eq!(left::groups(std::process::id()), [""; 0]);
    }
}

pub(crate) fn nothing_left(cache: &Path) {
    assert_eq!(left::processes(cache), [""; 0]);
    assert_eq!(left::mounts(cache), [""; 0]);
    assert_eq!(left::files(cache), [""; 0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_compile_that_fetches_is_stopped() {
    if !left::slow() {
        return;
    }
    let _alone = ALONE.lock().await;
    // A registry that takes connections and says nothing.
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let proxy = format!("http://{}", silent.local_addr().unwrap());
    let real = Real::start("fetching", vec![("GOPROXY", proxy), ("GONOSUMDB", "*".into())]).await;
    let go = "package main\n\nimport (\n\t_ \"example.com/nowhere\"\n\n\t\"ignite\"\n)\n\nfunc main() { ignite.Start(nil) }\n";
    let job = real.stage.submit(&archive(&[("main.go", go.as_bytes())])).await;
    let connected = tokio::time::timeout(crate::stage::WAIT_MAX, silent.accept()).await;
    let Ok(Ok(_connection)) = connected else {
        panic!("nobody fetches: {:?} {:?}", real.stage.end(job).await, real.stage.lines(job).await)
    };
    assert!(!left::processes(&real.cache).is_empty(), "what is looked for later is seen now");
    real.stops(job).await;
    real.worker.drain().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_compile_that_builds_is_stopped() {
    if !left::slow() {
        return;
    }
    let _alone = ALONE.lock().await;
    let real = Real::start("building", Vec::new()).await;
    // Takes the interpreter long to parse.
    let long = format!("{PYTHON}x = [{}]\n", "f(1, a=2),".repeat(700_000));
    let job = real.stage.submit(&archive(&[("handler.py", long.as_bytes())])).await;
    real.says(job, "check").await;
    eventually("the step runs", async || (!left::processes(&real.cache).is_empty()).then_some(())).await;
    real.stops(job).await;
    real.worker.drain().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_compile_that_packs_is_stopped() {
    if !left::slow() {
        return;
    }
    let _alone = ALONE.lock().await;
    let real = Real::start("packing", Vec::new()).await;
    // Half of each byte is noise: that takes the compressor three seconds. Whole noise it gives up soon. Another one each time: a run
    // that got to the end leaves its artifact in the cache, which the next would be given at once.
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let mut state = since.as_nanos() as u64;
    let mut noise = Vec::with_capacity(120 << 20);
    while noise.len() < 120 << 20 {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        noise.extend_from_slice(&(state & 0x0f0f_0f0f_0f0f_0f0f).to_be_bytes());
    }
    let source = archive(&[("handler.py", PYTHON.as_bytes()), ("noise.bin", &noise)]);
    let job = real.stage.submit(&source).await;
    real.says(job, "check: ").await;
    real.stops(job).await;
    // The next one begins with nothing in its way, and what it needs is there.
    let small = archive(&[("handler.py", PYTHON.as_bytes())]);
    let job = real.stage.submit(&small).await;
    let End::Succeeded(compiled) = real.stage.ended(job).await else { panic!("{:?}", real.stage.lines(job).await) };
    assert!(real.stage.artifact(&compiled.artifact).await.is_some());
    nothing_left(&real.cache);
    real.worker.drain().await;
}
