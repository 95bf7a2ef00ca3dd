//! What becomes of requests.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use ignite_core_model::AppSettings;
use ignite_gateway::GatewayLimits;
use ignite_store_meta::{ChangeItem, Instance};
use tokio::task::JoinSet;

use crate::instance::FakeInstance;
use crate::stage::{SOON, Stage, call};

const HOST: &str = "host: hello-acme.ignite.localhost";

fn open() -> AppSettings {
    AppSettings { allow_unauthenticated: true, ..AppSettings::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_wakes_an_app_and_waits_for_it() {
    let stage = Stage::new(open()).await;
    stage.route(1, &open(), 0).await;
    let address = stage.gateway.address();
    let waiting = tokio::spawn(async move { call(address, &["POST / HTTP/1.1", HOST], "payload").await });
    tokio::time::timeout(SOON, async {
        while stage.seen.woken.lock().unwrap().is_empty() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await
    .unwrap();
    assert_eq!(stage.seen.woken.lock().unwrap()[0], (stage.app.clone(), 1));
    let mut instance = FakeInstance::start("awake").await;
    stage.instances(1, &[(instance.address, 4)]).await;
    let answer = waiting.await.unwrap();
    assert_eq!((answer.status, answer.body.as_str()), (200, "awake"));
    assert_eq!(instance.asked.recv().await.unwrap().body, "payload");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_instance_that_is_heard_of_takes_requests_before_it_is_read() {
    let limits = GatewayLimits { hold_max: Duration::from_millis(200), ..GatewayLimits::default() };
    let stage = Stage::with_limits(open(), limits).await;
    stage.route(1, &open(), 0).await;
    let (instance, hears) = (FakeInstance::start("heard").await, stage.gateway.hears());
    let healthy = stage.healthy(1, instance.address, 4).await;
    let get = async || stage.call(&["GET / HTTP/1.1", HOST], "").await;
    // Of a former specification, or of a version that is not live: nothing to send requests to.
    hears(ChangeItem::InstanceSet(Instance { generation: healthy.generation + 1, ..healthy.clone() }));
    assert_eq!(get().await.kind(), "no_instance");
    hears(ChangeItem::InstanceSet(healthy.clone()));
    assert_eq!(get().await.body, "heard");
    // What is read and older than what was heard changes nothing.
    stage.report(&[Instance { state: "starting".to_owned(), address: None, updated_ms: 2, ..healthy.clone() }]).await;
    assert_eq!(get().await.body, "heard");
    stage.report(std::slice::from_ref(&healthy)).await;
    assert_eq!(get().await.body, "heard");
    // What is read and newer counts.
    hears(ChangeItem::InstanceSet(Instance { updated_ms: 5, ..healthy.clone() }));
    stage.report(&[Instance { state: "draining".to_owned(), updated_ms: 6, ..healthy.clone() }]).await;
    assert_eq!(get().await.kind(), "no_instance");
    // One that is heard to be gone is gone, whatever was read.
    stage.report(&[Instance { updated_ms: 7, ..healthy.clone() }]).await;
    assert_eq!(get().await.body, "heard");
    hears(ChangeItem::InstanceRemoved(healthy.id));
    assert_eq!(get().await.kind(), "no_instance");
    // And what was heard is forgotten when nothing comes of it, in either way.
    stage.eventually(async || get().await.body == "heard").await;
    stage.meta.report_instances("agent", &[], &[healthy.id]).await.unwrap();
    hears(ChangeItem::InstanceSet(Instance { updated_ms: 9, ..healthy }));
    stage.eventually(async || get().await.kind() == "no_instance").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_waits_while_the_route_moves_is_led_to_the_new_version() {
    let stage = Stage::new(open()).await;
    let old = FakeInstance::start("old").await;
    stage.instances(1, &[(old.address, 1)]).await;
    old.hold.arm();
    let address = stage.gateway.address();
    let first = tokio::spawn(async move { call(address, &["GET / HTTP/1.1", HOST], "").await });
    tokio::time::timeout(SOON, async {
        while old.peak.load(Ordering::SeqCst) == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await
    .unwrap();
    let waiting = tokio::spawn(async move { call(address, &["GET / HTTP/1.1", HOST], "").await });
    let mut new = FakeInstance::start("new").await;
    stage.route(2, &open(), 1).await;
    stage.instances(2, &[(new.address, 1)]).await;
    let answer = tokio::time::timeout(SOON, waiting).await.expect("it does not wait for the old version").unwrap();
    assert_eq!((answer.status, answer.body.as_str()), (200, "new"));
    assert!(answer.head.contains("x-ignite-version: 2"), "{}", answer.head);
    assert_eq!(new.asked.recv().await.unwrap().head.headers["x-ignite-version"], "2");
    old.hold.release();
    assert_eq!(first.await.unwrap().body, "old");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_no_instance_takes_in_time_is_told_so() {
    let limits = GatewayLimits { hold_max: Duration::from_millis(100), ..GatewayLimits::default() };
    let stage = Stage::with_limits(open(), limits).await;
    let answer = stage.call(&["GET / HTTP/1.1", HOST], "").await;
    assert_eq!((answer.status, answer.kind().as_str()), (503, "no_instance"));
    assert!(answer.head.contains("retry-after: 1"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_instance_never_gets_more_than_it_takes() {
    let stage = Stage::new(open()).await;
    let (one, other) = (FakeInstance::start("one").await, FakeInstance::start("other").await);
    stage.instances(1, &[(one.address, 2), (other.address, 3)]).await;
    one.hold.arm();
    other.hold.arm();
    let mut calls = JoinSet::new();
    let address = stage.gateway.address();
    for _ in 0..20 {
        calls.spawn(async move { call(address, &["GET / HTTP/1.1", HOST], "").await.status });
    }
    tokio::time::timeout(SOON, async {
        while one.peak.load(Ordering::SeqCst) < 2 || other.peak.load(Ordering::SeqCst) < 3 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await
    .unwrap();
    one.hold.release();
    other.hold.release();
    while let Some(status) = calls.join_next().await {
        assert_eq!(status.unwrap(), 200);
    }
    assert_eq!((one.peak.load(Ordering::SeqCst), other.peak.load(Ordering::SeqCst)), (2, 3));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_not_delivered_is_tried_elsewhere() {
    let stage = Stage::new(open()).await;
    let (gone, there) = (FakeInstance::start("gone").await, FakeInstance::start("there").await);
    gone.close();
    // More free places, so that it would be taken first.
    stage.instances(1, &[(gone.address, 100), (there.address, 4)]).await;
    for number in 0..10 {
        let answer = stage.call(&["POST / HTTP/1.1", HOST], &format!("payload {number}")).await;
        assert_eq!((answer.status, answer.body.as_str()), (200, "there"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_bounds_of_an_app_are_its_own_errors() {
    let limits = GatewayLimits {
        in_flight_max: 2,
        held_max: 1,
        body_bytes_max: 1000,
        header_bytes_max: 2000,
        ..GatewayLimits::default()
    };
    let stage = Stage::with_limits(open(), limits).await;
    let instance = FakeInstance::start("hello").await;
    stage.instances(1, &[(instance.address, 1)]).await;
    let long = format!("x-long: {}", "a".repeat(2000));
    assert_eq!(stage.call(&["GET / HTTP/1.1", HOST, &long], "").await.kind(), "headers_too_large");
    assert_eq!(stage.call(&["POST / HTTP/1.1", HOST], &"a".repeat(1001)).await.kind(), "payload_too_large");
    let chunked = format!("3e9\r\n{}\r\n0\r\n\r\n", "a".repeat(1001));
    let lines = ["POST / HTTP/1.1", HOST, "transfer-encoding: chunked", "\r\n"];
    let address = stage.gateway.address();
    let answer =
        raw(address, &format!("{}{chunked}", lines.join("\r\n").trim_end_matches("\r\n").to_owned() + "\r\n\r\n"))
            .await;
    assert!(answer.contains("413"), "{answer}");
    assert_eq!(
        stage.call(&["GET / HTTP/1.1", HOST, "upgrade: websocket", "connection: upgrade"], "").await.kind(),
        "upgrade"
    );
    instance.hold.arm();
    let mut calls = JoinSet::new();
    for _ in 0..4 {
        calls.spawn(async move { call(address, &["GET / HTTP/1.1", HOST], "").await });
    }
    let mut kinds = Vec::new();
    for _ in 0..2 {
        kinds.push(calls.join_next().await.unwrap().unwrap().kind());
    }
    instance.hold.release();
    assert_eq!(kinds, ["in_flight_limit", "in_flight_limit"]);
    while let Some(answer) = calls.join_next().await {
        assert_eq!(answer.unwrap().status, 200);
    }
}

async fn raw(address: std::net::SocketAddr, request: &str) -> String {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = vec![0; 4096];
    let read = tokio::time::timeout(SOON, stream.read(&mut answer)).await.unwrap().unwrap();
    String::from_utf8_lossy(&answer[..read]).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_route_moves_without_a_lost_request() {
    let stage = Arc::new(Stage::new(open()).await);
    let (one, two) = (FakeInstance::start("one").await, FakeInstance::start("two").await);
    stage.instances(1, &[(one.address, 8)]).await;
    let stop = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let mut callers = JoinSet::new();
    for _ in 0..4 {
        let (stop, address) = (Arc::clone(&stop), stage.gateway.address());
        callers.spawn(async move {
            let mut answers = Vec::new();
            while !stop.load(Ordering::Relaxed) {
                let answer = call(address, &["GET / HTTP/1.1", HOST], "").await;
                answers.push((answer.status, answer.body));
            }
            answers
        });
    }
    // The new version's instance is healthy before its route is made, as the pipeline does it.
    stage.route(2, &open(), 1).await;
    stage.instances(2, &[(two.address, 8)]).await;
    for _ in 0..20 {
        assert_eq!(stage.call(&["GET / HTTP/1.1", HOST], "").await.body, "two");
    }
    stop.store(true, Ordering::Relaxed);
    while let Some(answers) = callers.join_next().await {
        for (status, body) in answers.unwrap() {
            assert_eq!(status, 200, "{body}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_routes_are_served_while_the_store_is_away() {
    let stage = Stage::new(AppSettings::default()).await;
    let instance = FakeInstance::start("hello").await;
    stage.instances(1, &[(instance.address, 4)]).await;
    assert_eq!(stage.get("/").await.status, 200);
    stage.meta.close().await;
    tokio::time::sleep(Duration::from_millis(600)).await;
    assert_eq!(stage.get("/").await.status, 200, "a known token and a known route");
    let ready = call(stage.gateway.admin_address().unwrap(), &["GET /readyz HTTP/1.1", "host: a"], "").await;
    assert_eq!(ready.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_app_is_unknown_because_its_route_was_not_read_yet() {
    let mut stage = Stage::new(open()).await;
    let instance = FakeInstance::start("hello").await;
    stage.instances(1, &[(instance.address, 4)]).await;
    assert_eq!(stage.get("/").await.status, 200);
    for _ in 0..20 {
        stage.restart().await;
        assert_eq!(stage.call(&["GET / HTTP/1.1", HOST], "").await.status, 200, "the first request there is");
    }
    stage.meta.close().await;
    stage.restart().await;
    let answer = stage.call(&["GET / HTTP/1.1", HOST], "").await;
    assert_eq!((answer.status, answer.kind().as_str()), (503, "starting"));
}

#[tokio::test(flavor = "multi_thread")]
async fn it_tells_what_it_sees() {
    let stage = Stage::new(open()).await;
    let instance = FakeInstance::start("hello").await;
    stage.instances(1, &[(instance.address, 4)]).await;
    stage.call(&["GET / HTTP/1.1", HOST], "").await;
    tokio::time::timeout(SOON, async {
        while stage.seen.loads.lock().unwrap().iter().all(|load| load.executions_peak == 0) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await
    .unwrap();
    let metrics = call(stage.gateway.admin_address().unwrap(), &["GET /metrics HTTP/1.1", "host: a"], "").await;
    assert!(metrics.body.contains(r#"ignite_gateway_requests_total{class="2xx",source="app"} 1"#), "{}", metrics.body);
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_in_flight_finish_when_the_gateway_ends() {
    let stage = Stage::new(open()).await;
    let mut instance = FakeInstance::start("done").await;
    stage.instances(1, &[(instance.address, 4)]).await;
    instance.hold.arm();
    let address = stage.gateway.address();
    let waiting = tokio::spawn(async move { call(address, &["GET / HTTP/1.1", HOST], "").await });
    instance.asked.recv().await.unwrap();
    let draining = tokio::spawn(stage.gateway.drain());
    instance.hold.release();
    assert_eq!(waiting.await.unwrap().body, "done");
    draining.await.unwrap();
}
