//! The world of our own SDK: what goes in and what comes out.

use http::{HeaderMap, HeaderValue};
use ignite_runtimes_executor::{Executor as _, InvokeError, LogSource, ReplyBody, RequestBody, body_channel};

use crate::support::{PATIENCE, function_app, function_guest, invocation, read, setup};

#[tokio::test]
async fn every_byte_comes_back() {
    let app = function_app().await;
    let body: Vec<u8> = (0..=255).collect();
    let reply = app.call("/echo", body.clone()).await.unwrap();
    assert_eq!(reply.status, 200);
    assert_eq!(read(reply.body).await.unwrap(), body);
    assert_eq!(app.text("/echo", "").await, "");
}

#[tokio::test]
async fn six_mebibytes_come_back() {
    let app = function_app().await;
    let body: Vec<u8> = (0..6 * 1024 * 1024).map(|n: u32| (n * 31 % 251) as u8).collect();
    let reply = app.call("/echo", body.clone()).await.unwrap();
    assert_eq!(read(reply.body).await.unwrap(), body);
}

#[tokio::test]
async fn a_body_that_arrives_in_parts_is_one_to_the_guest() {
    let app = function_app().await;
    let mut request = invocation("/echo", "");
    let (sender, stream) = body_channel(2);
    request.body = RequestBody::Stream(stream);
    let writer = tokio::spawn(async move {
        for part in ["a", "b", "c"] {
            sender.send(part.into()).await.unwrap();
        }
        sender.finish();
    });
    let reply = app.executor.invoke(request).await.unwrap();
    assert_eq!(read(reply.body).await.unwrap(), "abc");
    writer.await.unwrap();

    let mut request = invocation("/echo", "");
    let (sender, stream) = body_channel(2);
    request.body = RequestBody::Stream(stream);
    drop(sender);
    assert_eq!(app.executor.invoke(request).await.unwrap_err(), InvokeError::Cancelled);
}

#[tokio::test]
async fn the_guest_sees_the_whole_request() {
    let app = function_app().await;
    let mut request = invocation("/echo/%7e?a=1&b=%20", "x");
    let id = request.execution_id.to_string();
    request.headers.insert("x-bytes", HeaderValue::from_bytes(b"caf\xc3\xa9 \xff").unwrap());
    let reply = app.executor.invoke(request).await.unwrap();
    let expected: HeaderMap = [
        ("x-method", "POST".as_bytes()),
        ("x-query", b"a=1&b=%20"),
        ("x-execution-id", id.as_bytes()),
        ("x-function-id", b"acme/guest"),
        ("x-organization-id", b"acme"),
        ("x-timeout-us", b"y"),
        ("x-first-header", b"caf\xc3\xa9 \xff"),
    ]
    .into_iter()
    .map(|(name, value)| (name.parse().unwrap(), HeaderValue::from_bytes(value).unwrap()))
    .collect();
    assert_eq!(reply.headers, expected);
}

#[tokio::test]
async fn failures_panics_and_traps_are_told_apart() {
    let app = function_app().await;
    let failure = app.call("/fail", "").await.unwrap_err();
    let expected =
        InvokeError::Handler { kind: "ValueError".into(), message: "it is bad".into(), trace: "at line 1".into() };
    assert_eq!(failure, expected);
    // Logged in full, because the caller may not be shown the trace.
    assert_eq!(app.logs.of(LogSource::Host).last().unwrap(), "ValueError: it is bad\nat line 1");

    match app.call("/trap", "").await.unwrap_err() {
        InvokeError::Handler { kind, message, trace } => {
            assert_eq!((kind.as_str(), message.as_str()), ("panic", "all is lost"));
            assert!(trace.contains("panicked at src/lib.rs:7:5") && trace.contains("wasm backtrace"), "{trace}");
        }
        other => panic!("{other:?}"),
    }
    match app.call("/deep", "").await.unwrap_err() {
        InvokeError::Handler { kind, message, .. } => {
            assert_eq!(kind, "trap");
            assert!(message.contains("call stack exhausted"), "{message}");
        }
        other => panic!("{other:?}"),
    }
    match app.call("/exit", "").await.unwrap_err() {
        InvokeError::WorkerLost { cause, .. } => assert_eq!(cause, "the handler ended its process with exit code 1"),
        other => panic!("{other:?}"),
    }
    // None of them cost the others anything.
    assert_eq!(app.text("/echo", "fine").await, "fine");
}

#[tokio::test]
async fn answers_that_http_cannot_carry_are_refused() {
    let app = function_app().await;
    for (path, why) in [("/stat", "status 99"), ("/head", "header name"), ("/clam", "never began"), ("/utf8", "utf-8")]
    {
        match app.call(path, "").await.unwrap_err() {
            InvokeError::BadReply(reason) => assert!(reason.contains(why), "{path}: {reason}"),
            other => panic!("{path}: {other:?}"),
        }
    }
}

#[tokio::test]
async fn lines_and_records_carry_the_execution() {
    let app = function_app().await;
    let request = invocation("/logs", "");
    let id = Some(request.execution_id);
    let reply = tokio::time::timeout(PATIENCE, app.executor.invoke(request)).await.unwrap().unwrap();
    assert_eq!(reply.status, 204);
    assert!(matches!(reply.body, ReplyBody::Full(body) if body.is_empty()));
    let lines: Vec<_> = app.logs.all().into_iter().filter(|line| line.2 == id).collect();
    let expected = [
        (LogSource::Logger, "warn", id, "a record".to_owned(), "{\"n\":1}".to_owned()),
        (LogSource::Stdout, "info", id, "one".to_owned(), String::new()),
        (LogSource::Stdout, "info", id, "two".to_owned(), String::new()),
        (LogSource::Stdout, "info", id, "no end".to_owned(), String::new()),
    ];
    assert_eq!(lines, expected);
}

#[tokio::test]
async fn only_the_declared_environment_is_seen() {
    let mut setup = setup(&function_guest());
    setup.config.env = vec![("GREETING".into(), "hello = you".into()), ("EMPTY".into(), String::new())];
    let shown = format!("{:?}", setup.config);
    assert!(shown.contains("GREETING") && !shown.contains("hello"), "{shown}");
    let app = setup.start().await;
    assert_eq!(app.text("/envs", "").await, "GREETING=hello = you\nEMPTY=\n");
}

#[tokio::test]
async fn there_are_neither_directories_nor_sockets() {
    let app = function_app().await;
    assert_eq!(app.text("/deny", "").await, "clean");
}

#[tokio::test]
async fn nothing_is_left_for_the_next_instance() {
    let app = function_app().await;
    // One after another, so that each takes the place of the one before.
    for _ in 0..20 {
        assert_eq!(app.text("/leak", "").await, "clean");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_at_once_all_answer() {
    let app = function_app().await;
    let mut calls = tokio::task::JoinSet::new();
    for n in 0..256_u32 {
        let executor = app.executor.clone();
        calls.spawn(async move {
            let reply = executor.invoke(invocation("/echo", n.to_le_bytes().to_vec())).await.unwrap();
            assert_eq!(read(reply.body).await.unwrap(), n.to_le_bytes().to_vec());
        });
    }
    while let Some(done) = calls.join_next().await {
        done.unwrap();
    }
    app.until_gauge("wasm_executions", 0.0).await;
    assert!((app.gauge("wasm_memory_bytes")).abs() < f64::EPSILON);
}
