//! Answers that are written while they are read.

use std::time::Duration;

use ignite_runtimes_executor::{BodyStream, Executor as _, InvokeError, LogSource, Reply, ReplyBody};
use tokio::time::{Instant, timeout};

use crate::support::{App, PATIENCE, function_app, http_app, invocation, is_free, read, slot, until};

fn stream_of(reply: Reply) -> BodyStream {
    match reply.body {
        ReplyBody::Stream(stream) => stream,
        ReplyBody::Full(_) => panic!("it was not streamed"),
    }
}

#[tokio::test]
async fn head_and_parts_arrive_and_end() {
    let app = function_app().await;
    let reply = app.call("/strm", "and the rest").await.unwrap();
    assert_eq!(reply.status, 201);
    assert_eq!(reply.headers["x-method"], "part");
    let mut stream = stream_of(reply);
    assert_eq!(stream.next().await.unwrap().unwrap(), "part");
    assert_eq!(stream.next().await.unwrap().unwrap(), "and the rest");
    assert!(timeout(PATIENCE, stream.next()).await.unwrap().is_none());
    app.until_gauge("wasm_executions", 0.0).await;
}

#[tokio::test]
async fn a_long_part_is_passed_on_in_pieces() {
    let app = function_app().await;
    let body = vec![7_u8; 3 << 20];
    let mut stream = stream_of(app.call("/strm", body.clone()).await.unwrap());
    let mut all = Vec::new();
    while let Some(part) = stream.next().await {
        let part = part.unwrap();
        assert!(part.len() <= 256 * 1024, "{}", part.len());
        all.extend_from_slice(&part);
    }
    assert_eq!(all.len(), 4 + body.len());
    assert_eq!(all[4..], body);
}

/// A guest that writes for ever writes as much as is read, and some parts more.
async fn is_held_back(app: &App) {
    let mut request = invocation("/flod", "");
    let (right, held) = slot();
    request.slot = right;
    let mut stream = stream_of(app.executor.invoke(request).await.unwrap());
    for _ in 0..100 {
        stream.next().await.unwrap().unwrap();
    }
    assert!(!is_free(&held));
    // Nobody reads now: the guest comes to rest, which shows as a processor that is not used.
    let at_rest = async {
        let mut before = processor_time();
        loop {
            tokio::time::sleep(Duration::from_millis(50)).await;
            let now = processor_time();
            if now - before < Duration::from_millis(25) {
                break;
            }
            before = now;
        }
    };
    timeout(PATIENCE, at_rest).await.unwrap();
    drop(stream);
    until(|| is_free(&held)).await;
    app.until_gauge("wasm_executions", 0.0).await;
}

/// Processor time of this process.
fn processor_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap())
}

#[tokio::test]
async fn a_slow_reader_holds_the_guest_back_and_a_lost_one_stops_it() {
    let app = function_app().await;
    is_held_back(&app).await;
    assert_eq!(app.logs.of(LogSource::Logger), ["noticed"]);
    is_held_back(&http_app().await).await;
}

#[tokio::test]
async fn a_guest_that_does_not_listen_is_stopped_after_the_grace() {
    let app = function_app().await;
    let mut request = invocation("/deaf", "");
    let (right, held) = slot();
    request.slot = right;
    let mut stream = stream_of(app.executor.invoke(request).await.unwrap());
    stream.next().await.unwrap().unwrap();
    drop(stream);
    let began = Instant::now();
    until(|| is_free(&held)).await;
    assert!(began.elapsed() >= Duration::from_millis(90), "{:?}", began.elapsed());
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
}

#[tokio::test]
async fn a_stream_ends_at_the_deadline() {
    let app = function_app().await;
    let mut request = invocation("/flod", "");
    let (right, held) = slot();
    request.slot = right;
    request.deadline = Instant::now() + Duration::from_millis(100);
    let reply = app.executor.invoke(request).await.unwrap();
    assert_eq!(read(reply.body).await.unwrap_err(), "the execution exceeded its time limit");
    until(|| is_free(&held)).await;
    assert!(app.logs.of(LogSource::Host).iter().any(|line| line.contains("exceeded its time limit while it streamed")));
}

#[tokio::test]
async fn a_body_without_an_end_is_broken() {
    let app = function_app().await;
    for (path, why) in [
        ("/lost", "aborted without a message"),
        ("/drop", "before it finished the body"),
        ("/open", "before it finished the body"),
        ("/twic", "second answer"),
    ] {
        let reply = app.call(path, "").await.unwrap();
        let broken = read(reply.body).await.unwrap_err();
        assert!(broken.contains(why), "{path}: {broken}");
    }
    let logged = app.logs.of(LogSource::Host);
    assert!(logged.iter().any(|line| line.contains("after its answer had begun: panic")), "{logged:?}");
    app.until_gauge("wasm_executions", 0.0).await;
}

#[tokio::test]
async fn a_failure_before_anything_was_sent_is_answered_for() {
    for app in [function_app().await, http_app().await] {
        match app.call("/stop", "").await.unwrap_err() {
            InvokeError::Handler { kind, .. } => assert_eq!(kind, "panic"),
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn two_answers_are_one_too_many() {
    let app = function_app().await;
    let reply = app.call("/both", "").await.unwrap();
    // What was sent was whole; the mistake is logged.
    assert_eq!(read(reply.body).await.unwrap(), "part");
    until(|| app.logs.of(LogSource::Host).iter().any(|line| line.contains("then returned another"))).await;
}

#[tokio::test]
async fn work_after_the_answer_goes_on() {
    let app = function_app().await;
    let mut request = invocation("/long", "!");
    let (right, held) = slot();
    request.slot = right;
    let reply = app.executor.invoke(request).await.unwrap();
    assert_eq!(read(reply.body).await.unwrap(), "part!");
    until(|| is_free(&held)).await;
    assert_eq!(app.logs.of(LogSource::Logger), ["noticed"]);
}
