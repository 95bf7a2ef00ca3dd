//! Code that is run once, to be tried.

use ignite_control_pipeline::Event;
use ignite_control_server::rounds;
use ignite_core_model::{InstanceState, VersionNumber};
use serde_json::{Value, json};

use crate::gateway::{FakeGateway, Plan, SOON};
use crate::platform::code;
use crate::stage::{Stage, base64, until};

/// An app whose version 1 is live, and whose draft is other code, compiled.
async fn stage() -> Stage {
    let stage = Stage::new().await;
    stage.live().await;
    let platform = &stage.platform;
    platform.send(Event::SaveDraft(code("two"))).await.unwrap();
    let job = ignite_control_server::Clock::job_id(platform.clock.as_ref());
    platform.send(Event::Compile { job }).await.unwrap();
    platform.build(Ok(())).await;
    stage
}

fn tried(desired: &[u32]) -> bool {
    desired.contains(&VersionNumber::TRIAL.get())
}

/// An agent starts what is tried in `state` at `address`, and ends it when it is wanted no more.
async fn agent(stage: &Stage, state: InstanceState, address: &str) {
    until("something is tried", || async { tried(&stage.platform.desired().await) }).await;
    stage.platform.converge_at(state, address).await;
    let [instance] = stage.platform.trials().await[..] else { panic!("there is one instance") };
    let stream = ignite_control_deploy::logs_stream(&stage.platform.app);
    stage.platform.say_as(&stream, "another", &["not of the trial"]).await;
    stage.platform.say_as(&stream, &instance.to_string(), &["loaded", "called"]).await;
    until("it is ended", || async { !tried(&stage.platform.desired().await) }).await;
    stage.platform.converge(InstanceState::Healthy).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_draft_is_tried_without_a_number_or_a_route() {
    let stage = stage().await;
    let mut instance = FakeGateway::start(vec![Plan::Answer(418, b"short".to_vec())]).await;
    let address = instance.address.to_string();
    let call = json!({ "http": { "path": "/pot", "query": "a=b" }, "body": base64(b"tea") });
    let test = stage.done("all", "TestDraft", json!({ "appId": "hello", "call": call }));
    let (answer, ()) = tokio::join!(test, agent(&stage, InstanceState::Healthy, &address));
    let result = &answer["result"];
    assert_eq!((&result["status"], &result["body"]), (&json!(418), &base64(b"short").into()));
    assert_eq!(result["headers"]["content-type"], "text/plain");
    let lines: Vec<&Value> = result["logs"].as_array().unwrap().iter().map(|line| &line["text"]).collect();
    assert_eq!(lines, ["loaded", "called"]);
    let asked = instance.next().await;
    let headers = &asked.head.headers;
    assert_eq!((asked.head.uri.to_string().as_str(), asked.body.as_ref()), ("/pot?a=b", b"tea".as_slice()));
    assert_eq!(headers["x-ignite-execution-id"], result["executionId"].as_str().unwrap());
    assert_eq!(
        (&headers["x-ignite-function-id"], &headers["x-ignite-organization-id"]),
        (&"acme/hello".parse().unwrap(), &"acme".parse().unwrap())
    );
    assert_eq!(headers["host"], "hello-acme.ignite.localhost");
    assert!(!headers.contains_key("x-ignite-platform-key"), "user code was shown the platform's key");
    // Nothing live has changed, and nothing is left.
    assert_eq!((stage.platform.route().await, stage.platform.desired().await), (Some(1), vec![1]));
    let versions = stage.done("all", "ListAppVersions", json!({ "appId": "hello" })).await;
    assert_eq!(versions["versions"].as_array().unwrap().len(), 1);
    assert_eq!(stage.platform.load().await.trial, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_is_tried_beside_the_one_that_is_live() {
    let stage = stage().await;
    let instance = FakeGateway::start(vec![Plan::Answer(200, b"one".to_vec())]).await;
    let address = instance.address.to_string();
    let test = stage.done("all", "TestAppVersion", json!({ "appId": "hello", "version": 1 }));
    // Looked at while it starts: once it is healthy it may have answered and be gone.
    let look = async {
        until("something is tried", || async { tried(&stage.platform.desired().await) }).await;
        stage.platform.converge_at(InstanceState::Starting, &address).await;
        let instances = stage.done("all", "ListAppInstances", json!({ "appId": "hello" })).await;
        let versions: Vec<u64> = instances["instances"]
            .as_array()
            .unwrap()
            .iter()
            .map(|one| one["version"].as_u64().unwrap_or_default())
            .collect();
        assert!(versions.contains(&1) && versions.contains(&0), "{instances}");
        agent(&stage, InstanceState::Healthy, &address).await;
    };
    let (answer, ()) = tokio::join!(test, look);
    assert_eq!(answer["result"]["body"], base64(b"one"));
    assert_eq!(stage.code("all", "TestAppVersion", json!({ "appId": "hello", "version": 9 })).await, "not_found");
    assert_eq!(
        stage.code("stranger", "TestAppVersion", json!({ "appId": "acme/hello", "version": 1 })).await,
        "not_found"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn code_that_does_not_start_says_why() {
    let stage = stage().await;
    let test = stage.call("all", "TestDraft", json!({ "appId": "hello" }));
    let (answer, ()) = tokio::join!(test, agent(&stage, InstanceState::Failed, "127.0.0.1:1"));
    assert_eq!(answer.body["code"], "failed_precondition");
    assert_eq!(answer.body["message"], "the code could not be tried: exit status 1");
    // One that goes away while it answers.
    let instance = FakeGateway::start(vec![Plan::Break]).await;
    let address = instance.address.to_string();
    let test = stage.call("all", "TestDraft", json!({ "appId": "hello" }));
    let (answer, ()) = tokio::join!(test, agent(&stage, InstanceState::Healthy, &address));
    assert_eq!(answer.body["message"], "the code could not be tried: its instance ended before it answered");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_tried_is_told_so() {
    let stage = Stage::new().await;
    let draft = json!({ "appId": "hello" });
    for (source, words) in [(None, "has no draft"), (Some("one"), "is not compiled")] {
        if let Some(source) = source {
            stage.platform.send(Event::SaveDraft(code(source))).await.unwrap();
        }
        let answer = stage.call("all", "TestDraft", draft.clone()).await;
        assert_eq!(answer.body["code"], "failed_precondition");
        assert!(answer.text.contains(words), "{}", answer.text);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trial_ends_with_its_caller_and_with_its_time() {
    let stage = stage().await;
    let mut instance = FakeGateway::start(vec![Plan::Hang(vec![])]).await;
    let body = json!({ "appId": "hello" }).to_string();
    let head = format!(
        "POST /ignite.v1.ComputeService/TestDraft HTTP/1.1\r\nhost: api\r\ncontent-type: application/json\r\nauthorization: Bearer all\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    let connection = stage.open(&head, body.as_bytes()).await;
    until("it is tried", || async { tried(&stage.platform.desired().await) }).await;
    assert_eq!(
        stage.code("all", "TestDraft", json!({ "appId": "hello" })).await,
        "failed_precondition",
        "one at a time"
    );
    stage.platform.converge_at(InstanceState::Healthy, &instance.address.to_string()).await;
    let asked = instance.next().await;
    drop(connection);
    tokio::time::timeout(SOON, asked.over.cancelled()).await.expect("the execution is cancelled");
    until("it is ended", || async { !tried(&stage.platform.desired().await) }).await;
    // A control plane that dies leaves it to time.
    let trial = Event::Try { compiled: Box::new(crate::platform::compiled(&code("two"))), settings: Box::default() };
    stage.platform.send(trial).await.unwrap();
    assert!(tried(&stage.platform.desired().await));
    stage.platform.clock.pass(200_000);
    rounds::tick_due(&stage.platform.apps).await.unwrap();
    assert!(!tried(&stage.platform.desired().await));
}
