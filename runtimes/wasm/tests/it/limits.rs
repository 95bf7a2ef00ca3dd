//! Bounds of time, memory, answers and places, and what becomes of executions that meet them.

use std::time::Duration;

use ignite_core_model::Limits;
use ignite_runtimes_executor::{Executor as _, Health, InvokeError};
use tokio::time::{Instant, timeout};

use crate::support::{
    App, PATIENCE, function_app, function_guest, http_app, invocation, is_free, read, setup, slot, until,
};

#[tokio::test]
async fn a_guest_that_spins_is_stopped_at_its_deadline() {
    for app in [function_app().await, http_app().await] {
        let mut request = invocation("/spin", "");
        let (right, held) = slot();
        request.slot = right;
        request.deadline = Instant::now() + Duration::from_millis(100);
        let began = Instant::now();
        assert_eq!(app.executor.invoke(request).await.unwrap_err(), InvokeError::TimedOut);
        assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
        until(|| is_free(&held)).await;
        app.until_gauge("wasm_executions", 0.0).await;
    }
}

#[tokio::test]
async fn a_guest_that_waits_is_stopped_at_its_deadline() {
    let app = function_app().await;
    let mut request = invocation("/wait", 3_600_000_000_000_u64.to_le_bytes().to_vec());
    let (right, held) = slot();
    request.slot = right;
    request.deadline = Instant::now() + Duration::from_millis(30);
    assert_eq!(app.executor.invoke(request).await.unwrap_err(), InvokeError::TimedOut);
    assert!(is_free(&held));
}

#[tokio::test]
async fn dropping_the_call_stops_the_guest_and_then_frees_its_slot() {
    let app = function_app().await;
    for path in ["/spin", "/wait"] {
        let mut request = invocation(path, 3_600_000_000_000_u64.to_le_bytes().to_vec());
        let (right, held) = slot();
        request.slot = right;
        assert!(timeout(Duration::from_millis(50), app.executor.invoke(request)).await.is_err());
        until(|| is_free(&held)).await;
        // The slot is free only when the instance is gone.
        assert!(app.gauge("wasm_pool_instances").abs() < f64::EPSILON);
        assert!(app.gauge("wasm_memory_bytes").abs() < f64::EPSILON);
    }
}

#[tokio::test]
async fn memory_without_end_meets_its_limit() {
    let app = function_app().await;
    assert_eq!(app.call("/grow", "").await.unwrap_err(), InvokeError::MemoryLimit { memory_mb: 64 });
    assert_eq!(app.text("/echo", "fine").await, "fine");
}

#[tokio::test]
async fn memory_is_bounded_for_all_instances_together() {
    let app = function_app().await;
    let pages = |mib: u32| (mib * 16).to_le_bytes().to_vec();
    let executor = app.executor.clone();
    let first = tokio::spawn(async move { executor.invoke(invocation("/hold", pages(40))).await.map(drop) });
    until(|| app.gauge("wasm_memory_bytes") > 40.0 * 1024.0 * 1024.0).await;
    // 40 of 64 MiB are gone, so another 40 are too many; 10 are not.
    assert!(matches!(app.call("/hold", pages(40)).await, Err(InvokeError::Handler { .. })));
    assert_eq!(app.call("/size", (10_u32 << 20).to_le_bytes().to_vec()).await.unwrap().status, 200);
    assert_eq!(app.call("/grow", "").await.unwrap_err(), InvokeError::MemoryLimit { memory_mb: 64 });
    first.abort();
    let _ = first.await;
    app.until_gauge("wasm_memory_bytes", 0.0).await;
}

#[tokio::test]
async fn a_component_that_begins_with_too_much_memory_is_not_started() {
    let wasm = wat::parse_str(
        r#"(component
            (core module $m (memory 2000) (func (export "f")))
            (core instance $i (instantiate $m))
            (func (export "handle") (canon lift (core func $i "f"))))"#,
    )
    .unwrap();
    // The handler's type is wrong as well, but memory is looked at first.
    let reason = setup(&wasm).refusal().await;
    assert!(reason.contains("begins with 125 MiB") && reason.contains("limit is 64 MiB"), "{reason}");
}

#[tokio::test]
async fn an_answer_over_its_limit_is_refused_and_one_at_it_is_not() {
    let app = limited(Limits { response_bytes_max: 1 << 20, ..limits() }).await;
    let size = |bytes: u32| bytes.to_le_bytes().to_vec();
    let reply = app.call("/size", size(1 << 20)).await.unwrap();
    assert_eq!(read(reply.body).await.unwrap().len(), 1 << 20);
    let too_large = InvokeError::ResponseTooLarge { response_bytes_max: 1 << 20 };
    assert_eq!(app.call("/size", size((1 << 20) + 1)).await.unwrap_err(), too_large);
    // So much that the host does not even copy it.
    assert_eq!(app.call("/size", size(40 << 20)).await.unwrap_err(), too_large);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_pool_is_never_exhausted() {
    let app = limited(Limits { max_concurrency: 4, ..limits() }).await;
    // No host bounds these: forty at once, some of which spin until their time is up.
    let mut calls = tokio::task::JoinSet::new();
    for n in 0..40 {
        let executor = app.executor.clone();
        calls.spawn(async move {
            let spins = n % 10 == 0;
            let mut request = invocation(if spins { "/spin" } else { "/echo" }, "x");
            if spins {
                request.deadline = Instant::now() + Duration::from_millis(200);
            }
            (spins, executor.invoke(request).await.map(|reply| reply.status.as_u16()))
        });
    }
    let watch = async {
        loop {
            assert!(app.gauge("wasm_pool_instances") <= 4.0);
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    let all = async {
        while let Some(done) = calls.join_next().await {
            let (spins, result) = done.unwrap();
            assert_eq!(result, if spins { Err(InvokeError::TimedOut) } else { Ok(200) });
        }
    };
    timeout(PATIENCE, async {
        tokio::select! { () = all => {}, () = watch => {} }
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn draining_lets_work_finish_and_takes_no_more() {
    let app = function_app().await;
    let executor = app.executor.clone();
    let wait = 100_000_000_u64.to_le_bytes().to_vec();
    let work = tokio::spawn(async move { executor.invoke(invocation("/wait", wait)).await.map(|reply| reply.status) });
    app.until_gauge("wasm_executions", 1.0).await;
    app.executor.drain(Instant::now() + PATIENCE).await;
    assert_eq!(work.await.unwrap().unwrap(), 200);
    assert_eq!(app.executor.health(), Health::Draining);
    assert!(matches!(app.call("/echo", "").await, Err(InvokeError::Unavailable(_))));
    // A second time changes nothing.
    app.executor.drain(Instant::now()).await;
}

#[tokio::test]
async fn draining_ends_work_that_does_not_finish() {
    let app = function_app().await;
    let mut request = invocation("/spin", "");
    let (right, held) = slot();
    request.slot = right;
    let executor = app.executor.clone();
    let work = tokio::spawn(async move { executor.invoke(request).await.map(drop) });
    app.until_gauge("wasm_executions", 1.0).await;
    app.executor.drain(Instant::now() + Duration::from_millis(50)).await;
    assert!(is_free(&held));
    assert!(matches!(work.await.unwrap(), Err(InvokeError::Unavailable(_))));
}

fn limits() -> Limits {
    Limits { memory_mb: 64, ..Limits::default() }
}

async fn limited(limits: Limits) -> App {
    let mut setup = setup(&function_guest());
    setup.config.limits = limits;
    setup.start().await
}
