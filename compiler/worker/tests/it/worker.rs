//! A worker on each queue, with a compiler that does what the source says.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use ignite_compiler_worker::{Worker, WorkerOptions};
use tokio_util::sync::CancellationToken;

use crate::fake::{Fake, Still};
use crate::stage::{End, Stage, eventually};

/// From the wish to stop until nothing runs.
const STOP_MAX: Duration = Duration::from_secs(2);

fn options(name: &str, compiles_max: usize) -> WorkerOptions {
    let mut options = WorkerOptions::new(name, compiles_max);
    options.retry_pause = Duration::from_millis(10);
    options.drain_max = Duration::from_millis(200);
    options
}

fn start(stage: &Stage, compiler: &Arc<Fake>, name: &str, compiles_max: usize) -> Worker {
    let queue = stage.queue.clone();
    Worker::start(options(name, compiles_max), queue, compiler.clone(), CancellationToken::new())
}

async fn running(compiler: &Fake, count: usize) {
    eventually("so many run", async || (compiler.running.load(Ordering::SeqCst) == count).then_some(())).await;
}

/// The lines that the compiler itself said.
async fn said(stage: &Stage, id: ignite_core_model::JobId) -> Vec<String> {
    let lines = stage.lines(id).await;
    for (at, (number, _)) in lines.iter().enumerate() {
        assert_eq!(*number, at as u64 + 1, "numbers have no gap and no repeat: {lines:?}");
    }
    lines.into_iter().filter(|(_, line)| line.stream == "stdout").map(|(_, line)| line.text).collect()
}

pub(crate) async fn a_worker_compiles_what_is_queued(stage: &Stage) {
    let compiler = Fake::new();
    let worker = start(stage, &compiler, "a", 1);
    let good = stage.submit(b"say:hello say:there").await;
    let End::Succeeded(compiled) = stage.ended(good).await else { panic!("it compiles") };
    let artifact = stage.artifact(&compiled.artifact).await.unwrap();
    assert_eq!(artifact.len() as u64, compiled.artifact_bytes);
    assert_eq!(said(stage, good).await, ["hello", "there"]);
    let last = stage.lines(good).await.pop().unwrap().1;
    assert!(last.stream == "host" && last.text.contains("bytes in"), "{last:?}");
    assert_eq!(compiler.swept.load(Ordering::SeqCst), 1);
    worker.drain().await;
    assert_eq!(compiler.left(), 0);
}

pub(crate) async fn no_more_run_at_once_than_is_allowed(stage: &Stage) {
    let compiler = Fake::new();
    let mut jobs = Vec::new();
    for number in 0..6 {
        jobs.push(stage.submit(format!("wait {number}").as_bytes()).await);
    }
    let worker = start(stage, &compiler, "a", 2);
    running(&compiler, 2).await;
    compiler.open.store(true, Ordering::SeqCst);
    for job in jobs {
        assert!(matches!(stage.ended(job).await, End::Succeeded(_)));
    }
    assert_eq!(compiler.most.load(Ordering::SeqCst), 2);
    let figures = worker.metrics().text();
    assert!(figures.contains("ignite_builder_compiles_total{outcome=\"succeeded\"} "), "{figures}");
    worker.drain().await;
}

pub(crate) async fn a_cancel_stops_a_compile(stage: &Stage) {
    let compiler = Fake::new();
    let worker = start(stage, &compiler, "a", 1);
    let job = stage.submit(b"say:begins wait").await;
    running(&compiler, 1).await;
    let asked = Instant::now();
    assert!(stage.cancel(job).await);
    assert_eq!(stage.ended(job).await, End::Cancelled);
    assert!(asked.elapsed() < STOP_MAX, "{:?}", asked.elapsed());
    assert_eq!((compiler.running.load(Ordering::SeqCst), compiler.left()), (0, 0), "before its end is told");
    assert_eq!(said(stage, job).await, ["begins"]);
    worker.drain().await;
}

pub(crate) async fn a_fault_of_the_platform_is_tried_again_and_told_at_last(stage: &Stage) {
    let compiler = Fake::new();
    let worker = start(stage, &compiler, "a", 1);
    let job = stage.submit(b"disk").await;
    let End::Failed(reason) = stage.ended(job).await else { panic!("it cannot go well") };
    assert!(reason.contains("the platform could not compile it") && !reason.contains("/secret"), "{reason}");
    let lines = stage.lines(job).await;
    let again = lines.iter().filter(|(_, line)| line.text.starts_with("attempt ")).count();
    assert_eq!(again, 2, "three attempts: {lines:?}");
    worker.drain().await;
}

/// The first worker stops being heard, as a killed one does; another takes over.
pub(crate) async fn a_killed_workers_lines_go_on_without_a_gap(stage: &Stage) {
    let (first, second) = (Fake::new(), Fake::new());
    second.open.store(true, Ordering::SeqCst);
    let still = Still::new(stage.queue.clone());
    let mut short = options("first", 1);
    short.lease = Duration::from_secs(4);
    short.look_every = Duration::from_millis(100);
    let one = Worker::start(short, still.clone(), first.clone(), CancellationToken::new());
    let job = stage.submit(b"count:700 wait say:end").await;
    eventually("the first writes", async || (stage.lines(job).await.len() >= 700).then_some(())).await;
    still.still.store(true, Ordering::SeqCst);
    let began = Instant::now();
    // It stops by itself, and before the lease is over for others.
    running(&first, 0).await;
    assert!(began.elapsed() < Duration::from_secs(4), "{:?}", began.elapsed());
    assert_eq!(stage.end(job).await, None);
    let two = start(stage, &second, "second", 1);
    assert!(matches!(stage.ended(job).await, End::Succeeded(_)));
    let mut expected: Vec<String> = (0..700).map(|number| number.to_string()).collect();
    expected.extend(expected.clone());
    expected.push("end".into());
    assert_eq!(said(stage, job).await, expected);
    still.still.store(false, Ordering::SeqCst);
    one.drain().await;
    two.drain().await;
    assert_eq!((first.left(), second.left()), (0, 0));
    assert_eq!(said(stage, job).await, expected, "the first adds nothing when it is back");
}

pub(crate) async fn a_worker_that_drains_gives_back(stage: &Stage) {
    let (first, second) = (Fake::new(), Fake::new());
    second.open.store(true, Ordering::SeqCst);
    let worker = start(stage, &first, "first", 2);
    let job = stage.submit(b"say:x wait").await;
    running(&first, 1).await;
    worker.drain().await;
    assert_eq!((first.running.load(Ordering::SeqCst), first.left()), (0, 0));
    assert_eq!(stage.end(job).await, None);
    let worker = start(stage, &second, "second", 2);
    assert!(matches!(stage.ended(job).await, End::Succeeded(_)), "at once: it was given back");
    assert_eq!(said(stage, job).await, ["x", "x"]);
    worker.drain().await;
}

pub(crate) async fn a_compiler_that_panics_ends_nothing_else(stage: &Stage) {
    let compiler = Fake::new();
    let worker = start(stage, &compiler, "a", 1);
    let bad = stage.submit(b"panic").await;
    let good = stage.submit(b"say:fine").await;
    assert!(matches!(stage.ended(bad).await, End::Failed(_)));
    assert!(matches!(stage.ended(good).await, End::Succeeded(_)));
    worker.drain().await;
    assert_eq!(compiler.left(), 0);
}

pub(crate) async fn a_flood_of_lines_is_whole(stage: &Stage) {
    let compiler = Fake::new();
    let worker = start(stage, &compiler, "a", 1);
    let job = stage.submit(b"count:20000").await;
    assert!(matches!(stage.ended(job).await, End::Succeeded(_)));
    assert_eq!(said(stage, job).await.len(), 20_000, "they are there before the end is told");
    worker.drain().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_is_away_for_a_while_loses_nothing() {
    let stage = Stage::memory();
    let compiler = Fake::new();
    let still = Still::new(stage.queue.clone());
    let mut options = options("a", 1);
    options.call_max = Duration::from_millis(50);
    options.look_every = Duration::from_millis(20);
    let worker = Worker::start(options, still.clone(), compiler.clone(), CancellationToken::new());
    let job = stage.submit(b"count:9000 wait count:5").await;
    running(&compiler, 1).await;
    still.still.store(true, Ordering::SeqCst);
    compiler.open.store(true, Ordering::SeqCst);
    eventually("it is told that the queue does not answer", async || {
        let figures = worker.metrics().text();
        let count = figures.lines().find_map(|line| line.strip_prefix("ignite_builder_queue_errors_total "))?;
        (count.parse::<u32>().unwrap() > 10).then_some(())
    })
    .await;
    assert_eq!(stage.end(job).await, None);
    still.still.store(false, Ordering::SeqCst);
    assert!(matches!(stage.ended(job).await, End::Succeeded(_)));
    assert_eq!(said(&stage, job).await.len(), 9005);
    worker.drain().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_without_room_costs_an_attempt_and_says_so() {
    let stage = Stage::memory();
    let compiler = Fake::new();
    let still = Still::new(stage.queue.clone());
    still.full.store(true, Ordering::SeqCst);
    let mut options = options("a", 1);
    options.retry_pause = Duration::from_secs(3600);
    let worker = Worker::start(options, still.clone(), compiler.clone(), CancellationToken::new());
    let job = stage.submit(b"x").await;
    eventually("it says so", async || {
        stage.lines(job).await.iter().any(|(_, line)| line.text.contains("could not be stored")).then_some(())
    })
    .await;
    still.full.store(false, Ordering::SeqCst);
    eventually("it is given back", async || {
        worker.metrics().text().contains("outcome=\"given_back\"} 1").then_some(())
    })
    .await;
    stage.pass(Duration::from_secs(3600));
    // Its hour is over as well as its pause.
    assert_eq!(stage.ended(job).await, End::TimedOut);
    assert_eq!(worker.status().not_ready(), None);
    worker.drain().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cancel_is_heard_of_while_objects_are_on_their_way() {
    let stage = Stage::memory();
    let compiler = Fake::new();
    let still = Still::new(stage.queue.clone());
    let worker = Worker::start(options("a", 1), still.clone(), compiler.clone(), CancellationToken::new());
    let stopped = async |job| {
        let asked = Instant::now();
        assert!(stage.cancel(job).await);
        assert_eq!(stage.ended(job).await, End::Cancelled);
        assert!(asked.elapsed() < STOP_MAX, "{:?}", asked.elapsed());
        assert_eq!(compiler.left(), 0);
    };
    // The source does not come.
    still.hangs.store(true, Ordering::SeqCst);
    let job = stage.submit(b"x").await;
    eventually("it has a folder", async || (compiler.left() > 0).then_some(())).await;
    stopped(job).await;
    // The artifact does not go.
    still.hangs.store(false, Ordering::SeqCst);
    let job = stage.submit(b"wait say:made").await;
    running(&compiler, 1).await;
    still.hangs.store(true, Ordering::SeqCst);
    compiler.open.store(true, Ordering::SeqCst);
    eventually("it is compiled", async || (said(&stage, job).await == ["made"]).then_some(())).await;
    running(&compiler, 0).await;
    stopped(job).await;
    worker.drain().await;
}
