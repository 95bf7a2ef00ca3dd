//! Guests that compute hold nobody else up.

use std::time::Duration;

use ignite_runtimes_executor::Executor as _;
use tokio::time::{Instant, timeout};

use crate::support::{PATIENCE, function_app, invocation};

/// One thread for everything that is not a guest: if guests could hold it, nothing would move.
#[tokio::test(flavor = "current_thread")]
async fn timers_fire_and_others_are_answered_while_guests_spin() {
    let app = function_app().await;
    let mut spinning = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let executor = app.executor.clone();
        let mut request = invocation("/spin", "");
        // None of them ends by itself while this test looks on.
        request.deadline = Instant::now() + Duration::from_secs(3600);
        spinning.spawn(async move { executor.invoke(request).await.map(drop) });
    }
    app.until_gauge("wasm_executions", 8.0).await;

    let mut waits = Vec::new();
    let timers = async {
        for _ in 0..50 {
            let began = Instant::now();
            tokio::time::sleep(Duration::from_millis(5)).await;
            waits.push(began.elapsed());
        }
    };
    timeout(PATIENCE, timers).await.unwrap();
    // Eight that shared this thread would make it wait for eight slices each time. The median, because whatever else the
    // machine does may hold up some of them.
    waits.sort();
    assert!(waits[25] < Duration::from_millis(40), "timers of 5 ms fired after {waits:?}");

    for _ in 0..5 {
        assert_eq!(timeout(PATIENCE, app.text("/echo", "fine")).await.unwrap(), "fine");
    }
    let began = Instant::now();
    spinning.shutdown().await;
    app.until_gauge("wasm_executions", 0.0).await;
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
}

#[tokio::test(flavor = "current_thread")]
async fn work_that_was_moved_answers_as_well() {
    let app = function_app().await;
    // Enough rounds that each takes longer than a slice on any machine.
    let rounds = 200_000_000_u32.to_le_bytes().to_vec();
    for _ in 0..2 {
        assert_eq!(app.call("/busy", rounds.clone()).await.unwrap().status, 200);
    }
    assert!(app.gauge("wasm_moved_executions") >= 1.0);
    // Timers of guests that start over there work too, and panics are told.
    assert_eq!(app.call("/wait", 1_000_000_u64.to_le_bytes().to_vec()).await.unwrap().status, 200);
    assert!(app.call("/trap", "").await.is_err());
    assert_eq!(app.text("/strm", "!").await, "part!");
}
