//! What one execution costs: `cargo bench -p ignite-runtimes-wasm`. Prints microseconds for a call in an instance of its
//! own, with the guests of the tests, and milliseconds from nothing to the first answer. Ends after some seconds.
//! Components named after `--` are measured instead, each with the body `{}` at the path `/`.
#![allow(clippy::unwrap_used, reason = "a measurement")]
#![allow(clippy::print_stdout, reason = "its figures are its output")]
#![allow(dead_code, reason = "shared with the tests")]

#[path = "../tests/it/support.rs"]
mod support;

use std::time::{Duration, Instant};

use ignite_runtimes_executor::Executor as _;
use ignite_runtimes_wasm::{WasmExecutor, precompile};

use support::{App, function_guest, http_guest, invocation, read, setup};

/// How long each figure is measured, thrice.
const ROUND: Duration = Duration::from_millis(500);

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let files: Vec<String> = std::env::args().skip(1).filter(|argument| argument.ends_with(".wasm")).collect();
    runtime.block_on(async {
        for file in &files {
            let wasm = std::fs::read(file).unwrap();
            first_answers(&wasm, file).await;
            let app = setup(&wasm).start().await;
            println!("{:?}", app.executor.invoke(invocation("/", "{}")).await);
            per_call(file, &app, "/", b"{}").await;
            println!("{:?}", app.executor.gauges().into_iter().map(|gauge| (gauge.0, gauge.2)).collect::<Vec<_>>());
        }
        if !files.is_empty() {
            return;
        }
        first_answers(&function_guest(), "function").await;
        first_answers(&http_guest(), "wasi:http").await;
        let function = setup(&function_guest()).start().await;
        let http = setup(&http_guest()).start().await;
        per_call("function, nothing in or out", &function, "/wait", &[0; 8]).await;
        per_call("function, 256 bytes both ways", &function, "/echo", &[7; 256]).await;
        per_call("function, 1 MiB both ways", &function, "/echo", &vec![7; 1 << 20]).await;
        per_call("function, 4 MiB of memory dirtied", &function, "/leak", &[]).await;
        per_call("wasi:http, 256 bytes both ways", &http, "/echo", &[7; 256]).await;
    });
}

/// The best of three rounds, one call after the other.
async fn per_call(what: &str, app: &App, path: &str, body: &[u8]) {
    let body = bytes::Bytes::copy_from_slice(body);
    let mut best = f64::INFINITY;
    for _ in 0..3 {
        let began = Instant::now();
        let mut calls = 0_u32;
        while began.elapsed() < ROUND {
            for _ in 0..20 {
                let reply = app.executor.invoke(invocation(path, body.clone())).await.unwrap();
                std::hint::black_box(read(reply.body).await.unwrap());
                calls += 1;
            }
        }
        best = best.min(began.elapsed().as_secs_f64() * 1e6 / f64::from(calls));
    }
    println!("{what}: {best:.1} µs");
}

/// From `start` to the first answer: with machine code at hand, and without.
async fn first_answers(wasm: &[u8], what: &str) {
    let cache = tempfile::tempdir().unwrap();
    let code = std::fs::metadata(precompile(wasm, cache.path()).unwrap()).unwrap().len();
    for (how, aot_cache) in [("compiled", None), ("machine code at hand", Some(cache.path().to_owned()))] {
        let mut best = f64::INFINITY;
        for _ in 0..5 {
            let mut setup = setup(wasm);
            setup.config.aot_cache = aot_cache.clone();
            let began = Instant::now();
            let executor = WasmExecutor::start(setup.config);
            let reply = executor.invoke(invocation("/echo", "{}")).await.unwrap();
            best = best.min(began.elapsed().as_secs_f64() * 1e3);
            read(reply.body).await.unwrap();
        }
        println!("{what}, first answer, {how} ({} kB of it): {best:.2} ms", code / 1000);
    }
}
