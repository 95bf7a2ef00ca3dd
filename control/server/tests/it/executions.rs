//! Calls of apps over the API: with a caller who waits, and with one who does not.

use std::time::Duration;

use ignite_control_pipeline::Event;
use ignite_control_server::Clock as _;
use ignite_control_server::executions::ExecutionLimits;
use serde_json::{Value, json};

use crate::gateway::{FakeGateway, KEY, Plan, SOON, client};
use crate::stage::{Stage, base64, until};

/// Bounds for tests: what is tried again is tried at once.
fn limits() -> ExecutionLimits {
    ExecutionLimits { backoff: Duration::ZERO, ..ExecutionLimits::default() }
}

async fn stage(plans: Vec<Plan>) -> (Stage, FakeGateway) {
    let gateway = FakeGateway::start(plans).await;
    let mut stage = Stage::with(gateway.client(), limits()).await;
    stage.live().await;
    stage.run();
    (stage, gateway)
}

fn ok() -> Plan {
    Plan::Answer(200, b"done".to_vec())
}

fn brief(execution: &Value) -> String {
    let text = |field: &str| execution[field].as_str().unwrap_or_default().to_owned();
    let status = text("status").replace("EXECUTION_STATUS_", "");
    format!("{status} {} after {}: {}", execution["responseStatus"], execution["attempts"], text("error"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_who_waits_gets_the_apps_answer_as_it_comes() {
    let (stage, mut gateway) = stage(vec![Plan::Answer(418, b"short and stout".to_vec())]).await;
    let http =
        json!({ "method": "PUT", "path": "/pot", "query": "a=b%20c", "headers": [{ "name": "X-Own", "value": "1" }] });
    let request = json!({ "appId": "acme:hello", "http": http, "body": base64(b"tea") });
    let frames = stage.stream("all", "Invoke", request).await;
    let asked = gateway.next().await;
    assert_eq!((asked.head.method.as_str(), asked.head.uri.to_string().as_str()), ("PUT", "/pot?a=b%20c"));
    assert_eq!(
        (&asked.head.headers["host"], &asked.head.headers["x-own"]),
        (&"hello-acme.ignite.localhost".parse().unwrap(), &"1".parse().unwrap())
    );
    assert_eq!(asked.head.headers["x-ignite-platform-key"], KEY);
    assert_eq!(asked.body, "tea");
    assert!(!asked.head.headers.contains_key("authorization"), "the API's token is no business of the app");
    assert_eq!(frames.len(), 4, "{frames:?}");
    let head = &frames[0]["head"];
    assert_eq!((&head["status"], &head["version"]), (&json!(418), &json!(1)));
    assert_eq!(head["executionId"], asked.execution());
    assert_eq!(frames[1]["chunk"], base64(b"short and stout"));
    assert!(frames[2]["trailer"]["durationUs"].as_str().unwrap().parse::<u64>().unwrap() > 0);
    assert_eq!((frames[2]["trailer"].get("error"), &frames[3]), (None, &json!({})));
    assert_eq!(stage.code("all", "GetExecution", json!({ "executionId": asked.execution() })).await, "not_found");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_breaks_off_says_so_in_its_trailer() {
    let (stage, _gateway) = stage(vec![Plan::BreakOff]).await;
    let frames = stage.stream("all", "Invoke", json!({ "appId": "hello" })).await;
    assert_eq!(frames[1]["chunk"], base64(b"half"));
    assert_eq!(frames[2]["trailer"]["error"], "the answer broke off");
}

#[tokio::test(flavor = "multi_thread")]
async fn payloads_are_bounded_where_they_are_told_to_be() {
    let (stage, mut gateway) = stage(vec![ok()]).await;
    let body = vec![b'x'; 6 << 20];
    let frames = stage.stream("all", "Invoke", json!({ "appId": "hello", "body": base64(&body) })).await;
    assert_eq!(frames[0]["head"]["status"], 200, "{}", frames[0]);
    assert_eq!(gateway.next().await.body.len(), body.len());
    let longer = json!({ "appId": "hello", "body": base64(&[body, vec![b'x']].concat()) });
    let frames = stage.stream("all", "Invoke", longer).await;
    assert_eq!(frames[0]["error"]["code"], "invalid_argument");
    let later = json!({ "appId": "hello", "body": base64(&vec![b'x'; (1 << 20) + 1]) });
    assert_eq!(stage.code("all", "InvokeAsync", later).await, "invalid_argument");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_goes_away_cancels_the_execution() {
    let (stage, mut gateway) = stage(vec![Plan::Hang(vec!["one"]), Plan::Hang(vec![])]).await;
    let mut messages = stage.begin("all", "Invoke", json!({ "appId": "hello" })).await;
    assert_eq!(messages.next().await.unwrap()["head"]["status"], 200);
    assert_eq!(messages.next().await.unwrap()["chunk"], base64(b"one"));
    let asked = gateway.next().await;
    assert!(!asked.over.is_cancelled());
    drop(messages);
    tokio::time::timeout(SOON, asked.over.cancelled()).await.expect("the call ends with its caller");
    // The same before there is an answer.
    let messages = stage.begin("all", "Invoke", json!({ "appId": "hello" })).await;
    let asked = gateway.next().await;
    drop(messages);
    tokio::time::timeout(SOON, asked.over.cancelled()).await.expect("the call ends with its caller");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_called_is_told_so() {
    let stage = Stage::new().await;
    let error = |frames: &[Value]| frames.last().unwrap()["error"].clone();
    for method in ["Invoke", "InvokeAsync"] {
        let of = |app: &str| json!({ "appId": app, "http": { "path": "nowhere" } });
        let (missing, unfit, early) = if method == "Invoke" {
            let refused = |request| async { error(&stage.stream("all", method, request).await)["code"].clone() };
            (refused(of("nobody")).await, refused(of("hello")).await, refused(json!({ "appId": "hello" })).await)
        } else {
            let refused = |request| async { Value::from(stage.code("all", method, request).await) };
            (refused(of("nobody")).await, refused(of("hello")).await, refused(json!({ "appId": "hello" })).await)
        };
        assert_eq!(
            (missing, unfit, early),
            ("not_found".into(), "invalid_argument".into(), "failed_precondition".into())
        );
    }
    stage.live().await;
    let frames = stage.stream("all", "Invoke", json!({ "appId": "hello" })).await;
    assert_eq!(error(&frames)["code"], "unavailable", "no gateway is there");
    let frames = stage.stream("stranger", "Invoke", json!({ "appId": "acme/hello" })).await;
    assert_eq!(error(&frames)["code"], "not_found");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_without_the_key_is_no_answer_of_the_app() {
    let (stage, mut gateway) = stage(vec![Plan::Stranger, Plan::Stranger, ok()]).await;
    let frames = stage.stream("all", "Invoke", json!({ "appId": "hello" })).await;
    assert_eq!(frames[0]["error"]["code"], "internal");
    gateway.next().await;
    let id = stage.accept(b"").await;
    assert_eq!(brief(&stage.ended(&id).await), "SUCCEEDED 200 after 2: ");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_accepted_call_is_carried_out_and_its_result_kept() {
    // Large enough for the object store, both ways.
    let (input, output) = (vec![b'i'; 200_000], vec![b'o'; 300_000]);
    let (stage, mut gateway) = stage(vec![Plan::Answer(201, output.clone())]).await;
    let id = stage.accept(&input).await;
    let asked = gateway.next().await;
    assert_eq!((asked.execution(), asked.head.method.as_str()), (id.clone(), "POST"));
    assert_eq!(asked.body, input);
    let execution = stage.ended(&id).await;
    assert_eq!(brief(&execution), "SUCCEEDED 201 after 1: ");
    assert_eq!((&execution["responseBody"], &execution["version"]), (&base64(&output).into(), &json!(1)));
    assert_eq!(execution["responseContentType"], "text/plain");
    let read = stage.done("all", "GetExecution", json!({ "executionId": id })).await;
    assert_eq!(read["execution"], execution);
    // The input is not kept beyond the end.
    assert_eq!(stage.objects.list("executions", None, 10).await.unwrap().len(), 1);
    for (method, request) in [
        ("GetExecution", json!({ "executionId": id })),
        ("CancelExecution", json!({ "executionId": id })),
        ("ListExecutions", json!({ "appId": "acme/hello" })),
        ("GetExecutionStats", json!({ "appId": "acme/hello" })),
    ] {
        assert_eq!(stage.code("stranger", method, request).await, "not_found", "{method}");
    }
    let watched = stage.stream("stranger", "WatchExecution", json!({ "executionId": id })).await;
    assert_eq!(watched[0]["error"]["code"], "not_found");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_id_again_is_the_same_execution() {
    let (stage, mut gateway) = stage(vec![ok()]).await;
    let request = json!({ "appId": "hello", "idempotencyId": "01J00000000000000000000000" });
    for _ in 0..3 {
        let accepted = stage.done("all", "InvokeAsync", request.clone()).await;
        assert_eq!(accepted["executionId"], "01J00000000000000000000000");
    }
    stage.ended("01J00000000000000000000000").await;
    stage.done("all", "InvokeAsync", request.clone()).await;
    gateway.next().await;
    assert!(gateway.asked.try_recv().is_err(), "it ran twice");
    stage.done("stranger", "CreateApp", json!({ "name": "hello" })).await;
    assert_eq!(stage.code("stranger", "InvokeAsync", request).await, "already_exists");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_handler_answers_is_final() {
    let (stage, mut gateway) = stage(vec![ok()]).await;
    for (plan, expected) in [
        (Plan::Answer(500, b"boom".to_vec()), "FAILED 500 after 1: the handler answered with status 500"),
        (Plan::Answer(503, b"{}".to_vec()), "FAILED 503 after 1: the handler answered with status 503"),
        (Plan::Answer(404, b"no".to_vec()), "SUCCEEDED 404 after 1: "),
        (Plan::Platform(500, "ValueError"), "FAILED 500 after 1: it was ValueError"),
        (Plan::Platform(504, "timeout"), "TIMED_OUT 504 after 1: it was timeout"),
        (Plan::Platform(502, "memory_limit"), "FAILED 502 after 1: it was memory_limit"),
    ] {
        gateway.plan(vec![plan]);
        let id = stage.accept(b"once").await;
        assert_eq!(brief(&stage.ended(&id).await), expected);
        assert_eq!(gateway.next().await.execution(), id);
        assert!(gateway.asked.try_recv().is_err(), "it was tried again: {expected}");
    }
    gateway.plan(vec![Plan::Answer(200, vec![b'x'; (1 << 20) + 1])]);
    let id = stage.accept(b"once").await;
    let execution = stage.ended(&id).await;
    assert!(
        brief(&execution).starts_with("FAILED null after 1: the answer has more than 1048576 bytes"),
        "{execution}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_platform_lost_is_tried_again() {
    let plans = vec![
        Plan::Platform(503, "no_instance"),
        Plan::Break,
        Plan::Platform(429, "in_flight_limit"),
        Plan::Platform(502, "worker_lost"),
        ok(),
    ];
    let (stage, mut gateway) = stage(plans).await;
    let id = stage.accept(b"again").await;
    assert_eq!(brief(&stage.ended(&id).await), "SUCCEEDED 200 after 5: ");
    for _ in 0..5 {
        let asked = gateway.next().await;
        assert_eq!((asked.execution(), asked.body.as_ref()), (id.clone(), b"again".as_slice()));
    }
    // One that loses whatever runs it is given up.
    gateway.plan(vec![Plan::BreakOff]);
    let id = stage.accept(b"deadly").await;
    let execution = stage.ended(&id).await;
    assert_eq!(
        brief(&execution),
        "FAILED null after 3: 3 instances were lost while they ran it; the last: the answer broke off"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn it_waits_for_a_gateway_that_is_away() {
    let gateway = FakeGateway::start(vec![ok()]).await;
    let address = gateway.address;
    drop(gateway);
    let mut stage = Stage::with(client(address), limits()).await;
    stage.live().await;
    stage.run();
    let id = stage.accept(b"").await;
    let tried = || async {
        let read = stage.done("all", "GetExecution", json!({ "executionId": id })).await;
        read["execution"]["attempts"].as_u64() > Some(1)
    };
    until("it is tried again", tried).await;
    let _gateway = FakeGateway::start_at(address, vec![ok()]).await;
    let execution = stage.ended(&id).await;
    assert_eq!(execution["status"], "EXECUTION_STATUS_SUCCEEDED", "{execution}");
}

#[tokio::test(flavor = "multi_thread")]
async fn another_control_plane_goes_on_where_one_was_killed() {
    let (stage, mut gateway) = stage(vec![Plan::Hang(vec![]), ok()]).await;
    let (running, waiting) = (stage.accept(b"one").await, "01J00000000000000000000000");
    let asked = gateway.next().await;
    assert_eq!(asked.execution(), running);
    let mut stage = stage.killed(gateway.client(), limits()).await;
    tokio::time::timeout(SOON, asked.over.cancelled()).await.expect("its connections went with it");
    stage.done("all", "InvokeAsync", json!({ "appId": "hello", "idempotencyId": waiting })).await;
    stage.run_as("another");
    assert_eq!(brief(&stage.ended(waiting).await), "SUCCEEDED 200 after 1: ");
    let read = stage.done("all", "GetExecution", json!({ "executionId": running })).await;
    assert_eq!(read["execution"]["status"], "EXECUTION_STATUS_RUNNING", "its lease is not over");
    stage.platform.clock.pass(u64::try_from(limits().lease.as_millis()).unwrap());
    assert_eq!(brief(&stage.ended(&running).await), "SUCCEEDED 200 after 2: ");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_was_killed_goes_on_at_once_when_it_is_back() {
    let (stage, mut gateway) = stage(vec![Plan::Hang(vec![]), ok()]).await;
    let id = stage.accept(b"one").await;
    gateway.next().await;
    let mut stage = stage.killed(gateway.client(), limits()).await;
    stage.run();
    assert_eq!(brief(&stage.ended(&id).await), "SUCCEEDED 200 after 2: ");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_ends_puts_back_what_runs() {
    let gateway = FakeGateway::start(vec![Plan::Hang(vec![]), ok()]).await;
    let limits = ExecutionLimits { drain_max: Duration::from_millis(50), ..limits() };
    let mut stage = Stage::with(gateway.client(), limits.clone()).await;
    stage.live().await;
    stage.run();
    let id = stage.accept(b"").await;
    let mut gateway = gateway;
    let asked = gateway.next().await;
    stage.stop().await;
    tokio::time::timeout(SOON, asked.over.cancelled()).await.unwrap();
    let read = stage.done("all", "GetExecution", json!({ "executionId": id })).await;
    assert_eq!(brief(&read["execution"]), "PENDING null after 1: the control plane ended while it ran");
    let mut stage = stage.killed(gateway.client(), limits).await;
    stage.run();
    assert_eq!(brief(&stage.ended(&id).await), "SUCCEEDED 200 after 2: ");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_execution_ends_at_its_instance_too() {
    let (stage, mut gateway) = stage(vec![Plan::Hang(vec!["begun"])]).await;
    let id = stage.accept(b"").await;
    let asked = gateway.next().await;
    let cancelled = stage.done("all", "CancelExecution", json!({ "executionId": id })).await;
    assert_eq!(brief(&cancelled["execution"]), "CANCELLED null after 1: ");
    tokio::time::timeout(SOON, asked.over.cancelled()).await.expect("the call is ended");
    assert_eq!(brief(&stage.ended(&id).await), "CANCELLED null after 1: ");
    let again = stage.done("all", "CancelExecution", json!({ "executionId": id })).await;
    assert_eq!(again["execution"]["status"], "EXECUTION_STATUS_CANCELLED");
}

#[tokio::test(flavor = "multi_thread")]
async fn executions_of_an_app_that_is_deleted_are_cancelled() {
    let gateway = FakeGateway::start(vec![ok()]).await;
    let mut stage = Stage::with(gateway.client(), limits()).await;
    stage.live().await;
    let id = stage.accept(b"").await;
    stage.platform.send(Event::Delete).await.unwrap();
    stage.run();
    assert_eq!(brief(&stage.ended(&id).await), "CANCELLED null after 1: the app was deleted");
}

#[tokio::test(flavor = "multi_thread")]
async fn executions_are_listed_counted_and_bounded() {
    let gateway = FakeGateway::start(vec![ok()]).await;
    let mut stage = Stage::with(gateway.client(), ExecutionLimits { pending_per_app_max: 3, ..limits() }).await;
    stage.live().await;
    let mut ids = Vec::new();
    for _ in 0..3 {
        stage.platform.clock.pass(1);
        ids.push(stage.accept(b"").await);
    }
    assert_eq!(stage.code("all", "InvokeAsync", json!({ "appId": "hello" })).await, "resource_exhausted");
    stage.run();
    for id in &ids {
        stage.ended(id).await;
    }
    gateway.plan(vec![Plan::Answer(500, Vec::new())]);
    stage.platform.clock.pass(1);
    let failed = stage.accept(b"").await;
    stage.ended(&failed).await;
    ids.push(failed.clone());
    ids.reverse();
    let list = async |request: Value| {
        let page = stage.done("all", "ListExecutions", request).await;
        let ids: Vec<String> = page["executions"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|one| one["id"].as_str().unwrap().to_owned())
            .collect();
        (ids, page["nextCursor"].as_str().unwrap_or_default().to_owned())
    };
    let (first, cursor) = list(json!({ "appId": "hello", "limit": 3 })).await;
    let (second, end) = list(json!({ "appId": "hello", "limit": 3, "cursor": cursor })).await;
    assert_eq!((first, second, end.as_str()), (ids[..3].to_vec(), ids[3..].to_vec(), ""));
    let (only, _) = list(json!({ "appId": "hello", "status": "EXECUTION_STATUS_FAILED" })).await;
    assert_eq!(only, [failed]);
    let stats = stage.done("all", "GetExecutionStats", json!({ "appId": "hello" })).await;
    let expected = json!([{ "status": "EXECUTION_STATUS_FAILED", "count": "1" }, { "status": "EXECUTION_STATUS_SUCCEEDED", "count": "3" }]);
    assert_eq!(stats["counts"], expected);
    let since = stage.platform.clock.now_ms().to_string();
    let stats = stage.done("all", "GetExecutionStats", json!({ "appId": "hello", "sinceMs": since })).await;
    assert_eq!(stats["counts"], json!([{ "status": "EXECUTION_STATUS_FAILED", "count": "1" }]));
}

#[tokio::test(flavor = "multi_thread")]
async fn executions_are_kept_for_a_while() {
    let (mut stage, gateway) = stage(vec![Plan::Answer(200, vec![b'o'; 100_000])]).await;
    let id = stage.accept(b"").await;
    stage.ended(&id).await;
    // What an execution of an app that was erased has left, and one that is being written.
    let bytes = bytes::Bytes::from_static(b"left");
    let (old, young) = (stage.platform.clock.now_ms(), stage.platform.clock.now_ms() + 8 * 24 * 3_600_000);
    for (made_ms, name) in [(old, "input"), (young, "input")] {
        let key = format!("executions/01J00000000000000000000000/{made_ms}.{name}").parse().unwrap();
        stage.objects.put_bytes(&key, bytes.clone(), &ignite_store_objects::Content::of(&bytes)).await.unwrap();
    }
    stage.stop().await;
    stage.platform.clock.pass(8 * 24 * 3_600_000);
    let mut stage = stage.killed(gateway.client(), limits()).await;
    stage.run();
    let gone = || async { stage.code("all", "GetExecution", json!({ "executionId": id })).await == "not_found" };
    until("it is swept", gone).await;
    let one_left = || async { stage.objects.list("executions", None, 10).await.unwrap().len() == 1 };
    until("so is what belongs to nobody", one_left).await;
}
