#![allow(clippy::unwrap_used, reason = "a test")]

use std::sync::mpsc::channel;

use super::*;

/// Longest wait for something that is to happen at once.
const PATIENCE: Duration = Duration::from_secs(20);

fn pool(threads_max: usize) -> (tokio::runtime::Runtime, Arc<Pool>) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_time().build().unwrap();
    let pool = Pool::new(threads_max, runtime.handle().clone());
    (runtime, pool)
}

#[test]
fn quick_jobs_share_few_threads() {
    let (_runtime, pool) = pool(1000);
    let (done, finished) = channel();
    for n in 0..10_000 {
        let done = done.clone();
        pool.run(Box::new(move || done.send(n).unwrap()));
    }
    let mut seen: Vec<_> = (0..10_000).map(|_| finished.recv_timeout(PATIENCE).unwrap()).collect();
    seen.sort_unstable();
    assert!(seen.into_iter().eq(0..10_000));
}

#[test]
fn jobs_that_block_each_get_a_thread_even_behind_quick_ones() {
    let (_runtime, pool) = pool(50);
    let (done, finished) = channel();
    for _ in 0..1000 {
        let done = done.clone();
        pool.run(Box::new(move || done.send(()).unwrap()));
        finished.recv_timeout(PATIENCE).unwrap();
    }
    assert!(lock(&pool.state).average_ns < 10_000_000, "the quick ones were measured");
    // None of them ends before all have begun.
    let barrier = Arc::new(std::sync::Barrier::new(50));
    for _ in 0..50 {
        let (done, barrier) = (done.clone(), barrier.clone());
        pool.run(Box::new(move || {
            barrier.wait();
            done.send(()).unwrap();
        }));
    }
    for _ in 0..50 {
        finished.recv_timeout(PATIENCE).unwrap();
    }
    assert!(lock(&pool.state).threads <= 50);
}

#[test]
fn no_more_jobs_run_at_once_than_threads_are_allowed() {
    let (_runtime, pool) = pool(2);
    let (done, finished) = channel();
    let running = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    for _ in 0..200 {
        let (done, running) = (done.clone(), running.clone());
        pool.run(Box::new(move || {
            let at_once = running.fetch_add(1, std::sync::atomic::Ordering::SeqCst) + 1;
            thread::yield_now();
            running.fetch_sub(1, std::sync::atomic::Ordering::SeqCst);
            done.send(at_once).unwrap();
        }));
    }
    for _ in 0..200 {
        assert!(finished.recv_timeout(PATIENCE).unwrap() <= 2);
    }
}
