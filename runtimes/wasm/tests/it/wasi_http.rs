//! Components of other toolchains.

use ignite_runtimes_executor::{Executor as _, InvokeError, LogSource, ReplyBody, RequestBody, body_channel};
use tokio::time::timeout;

use crate::support::{PATIENCE, http_app, invocation, read};

#[tokio::test]
async fn a_body_that_ends_at_once_is_sent_whole() {
    let app = http_app().await;
    let body: Vec<u8> = (0..=255).collect();
    let reply = app.call("/echo", body.clone()).await.unwrap();
    assert_eq!(reply.status, 201);
    assert_eq!(reply.headers["x-kind"], "wasi");
    assert!(matches!(reply.body, ReplyBody::Full(_)));
    assert_eq!(read(reply.body).await.unwrap(), body);
    assert_eq!(app.text("/echo", "").await, "");
}

#[tokio::test]
async fn six_mebibytes_go_through() {
    let app = http_app().await;
    let body: Vec<u8> = (0..6 * 1024 * 1024).map(|n: u32| (n * 31 % 251) as u8).collect();
    let reply = app.call("/echo", body.clone()).await.unwrap();
    assert!(matches!(reply.body, ReplyBody::Stream(_)));
    assert!(read(reply.body).await.unwrap() == body);
}

#[tokio::test]
async fn bodies_flow_both_ways_at_once() {
    let app = http_app().await;
    let mut request = invocation("/echo", "");
    let (sender, stream) = body_channel(1);
    request.body = RequestBody::Stream(stream);
    let reply = timeout(PATIENCE, app.executor.invoke(request)).await.unwrap().unwrap();
    let ReplyBody::Stream(mut answer) = reply.body else { panic!("it was not streamed") };
    for part in ["a", "b", "c"] {
        sender.send(part.into()).await.unwrap();
        let back = timeout(PATIENCE, answer.next()).await.unwrap().unwrap().unwrap();
        assert_eq!(back, part);
    }
    sender.finish();
    assert!(timeout(PATIENCE, answer.next()).await.unwrap().is_none());
    app.until_gauge("wasm_executions", 0.0).await;
}

#[tokio::test]
async fn parts_are_sent_as_they_are_written() {
    let app = http_app().await;
    let reply = app.call("/slow", "").await.unwrap();
    let ReplyBody::Stream(mut answer) = reply.body else { panic!("it was not streamed") };
    assert_eq!(answer.next().await.unwrap().unwrap(), "one");
    assert_eq!(answer.next().await.unwrap().unwrap(), "two");
    assert!(answer.next().await.is_none());
}

#[tokio::test]
async fn path_query_and_ids_are_seen() {
    let app = http_app().await;
    assert_eq!(app.text("/path/%7e?a=1&b=%20", "").await, "/path/%7e?a=1&b=%20");
    let request = invocation("/exec", "");
    let id = request.execution_id.to_string();
    let reply = app.executor.invoke(request).await.unwrap();
    assert_eq!(read(reply.body).await.unwrap(), id);
}

#[tokio::test]
async fn answers_that_are_none_are_refused() {
    let app = http_app().await;
    match app.call("/none", "").await.unwrap_err() {
        InvokeError::BadReply(reason) => assert!(reason.contains("without an answer"), "{reason}"),
        other => panic!("{other:?}"),
    }
    match app.call("/info", "").await.unwrap_err() {
        InvokeError::BadReply(reason) => assert!(reason.contains("status 100"), "{reason}"),
        other => panic!("{other:?}"),
    }
    match app.call("/code", "").await.unwrap_err() {
        InvokeError::Handler { kind, message, .. } => {
            assert_eq!(kind, "wasi:http error-code");
            assert!(message.to_lowercase().contains("refused"), "{message}");
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_torn_body_never_looks_whole() {
    let app = http_app().await;
    for path in ["/lost", "/drop"] {
        let reply = app.call(path, "").await.unwrap();
        assert!(read(reply.body).await.is_err(), "{path}");
    }
}

#[tokio::test]
async fn outgoing_requests_are_denied_and_the_log_says_why() {
    let app = http_app().await;
    assert_eq!(app.text("/deny", "").await, "denied");
    let logged = app.logs.of(LogSource::Host);
    assert!(
        logged.iter().any(|line| line.contains("example.com") && line.contains("allowed_outbound_hosts")),
        "{logged:?}"
    );
}
