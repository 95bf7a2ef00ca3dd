//! From draft to route and back, through rows.

use expect_test::expect;
use ignite_control_pipeline::{Event, JobState};
use ignite_control_server::{AppError, Attached, rounds};
use ignite_core_model::{AppSettings, Fault, InstanceState};

use crate::platform::{Platform, code, version};

async fn live(source: &str) -> Platform {
    let platform = Platform::new().await;
    platform.publish(source).await;
    platform.build(Ok(())).await;
    platform.converge(InstanceState::Healthy).await;
    platform
}

#[tokio::test]
async fn a_publish_goes_live_when_its_instances_are_healthy() {
    let platform = Platform::new().await;
    let job = platform.publish("one").await;
    assert_eq!(platform.route().await, None);
    platform.build(Ok(())).await;
    platform.converge(InstanceState::Starting).await;
    assert_eq!(platform.route().await, None);
    platform.converge(InstanceState::Healthy).await;
    assert_eq!(platform.route().await, Some(1));
    assert_eq!(platform.load().await.find_job(job).unwrap().state, JobState::Succeeded);
    let stored = platform.apps.load_version(&platform.app, version(1)).await.unwrap();
    assert_eq!(stored.source, code("one"));
    expect![[r#"
        [
            "created",
            "draft_saved",
            "publish_started",
            "compile_started",
            "compile_succeeded",
            "scaled",
            "live",
            "publish_succeeded",
        ]
    "#]]
    .assert_debug_eq(&platform.events().await);
}

#[tokio::test]
async fn the_old_version_stays_until_every_gateway_has_the_new_route() {
    let platform = live("one").await;
    platform.acknowledge(0).await;
    platform.publish("two").await;
    platform.build(Ok(())).await;
    platform.converge(InstanceState::Healthy).await;
    assert_eq!(platform.route().await, Some(2));
    platform.acknowledge(0).await;
    assert_eq!(platform.desired().await, [1, 2], "a gateway still leads requests to version 1");
    let last = platform.apps.meta().last_change().await.unwrap();
    platform.acknowledge(last).await;
    assert_eq!(platform.desired().await, [2]);
}

#[tokio::test]
async fn what_fails_leaves_the_live_version_alone() {
    let platform = live("one").await;
    let broken = platform.publish("two").await;
    platform.build(Err("handler.py:1: there is no `handler`")).await;
    let app = platform.load().await;
    assert!(
        matches!(&app.find_job(broken).unwrap().state, JobState::Failed(why) if why.reason.contains("handler.py:1"))
    );
    let crashing = platform.publish("three").await;
    platform.build(Ok(())).await;
    let rows = platform.apps.meta().list_desired(&platform.app).await.unwrap();
    assert_eq!(rows.len(), 2);
    platform.converge(InstanceState::Failed).await;
    let app = platform.load().await;
    assert!(matches!(&app.find_job(crashing).unwrap().state, JobState::Failed(why) if why.reason == "exit status 1"));
    assert_eq!((platform.route().await, platform.desired().await), (Some(1), vec![1]));
}

#[tokio::test]
async fn another_control_plane_goes_on_where_one_died() {
    let mut platform = live("one").await;
    let job = platform.publish("two").await;
    platform.restart().await;
    platform.build(Ok(())).await;
    platform.restart().await;
    platform.converge(InstanceState::Healthy).await;
    assert_eq!(platform.route().await, Some(2));
    platform.restart().await;
    let last = platform.apps.meta().last_change().await.unwrap();
    platform.acknowledge(last).await;
    assert_eq!(platform.desired().await, [2]);
    assert_eq!(platform.load().await.find_job(job).unwrap().state, JobState::Succeeded);
}

#[tokio::test]
async fn a_step_that_nobody_ends_ends_by_time() {
    let platform = live("one").await;
    let job = platform.publish("two").await;
    platform.clock.pass(20 * 60_000);
    rounds::settle_compiles(&platform.apps).await.unwrap();
    rounds::tick_due(&platform.apps).await.unwrap();
    assert!(matches!(platform.load().await.find_job(job).unwrap().state, JobState::Failed(_)));
    let job = platform.publish("three").await;
    platform.build(Ok(())).await;
    platform.clock.pass(120_000);
    rounds::tick_due(&platform.apps).await.unwrap();
    assert!(matches!(platform.load().await.find_job(job).unwrap().state, JobState::Failed(_)));
    assert_eq!((platform.route().await, platform.desired().await), (Some(1), vec![1]));
}

#[tokio::test]
async fn a_rollback_starts_the_old_version_anew() {
    let platform = live("one").await;
    platform.publish("two").await;
    platform.build(Ok(())).await;
    platform.converge(InstanceState::Healthy).await;
    let last = platform.apps.meta().last_change().await.unwrap();
    platform.acknowledge(last).await;
    platform.converge(InstanceState::Healthy).await;
    let to = platform.apps.load_version(&platform.app, version(1)).await.unwrap();
    let job = platform.apps.clock().job_id();
    platform.send(Event::Rollback { job, to: Box::new(to) }).await.unwrap();
    assert_eq!(platform.route().await, Some(2));
    platform.converge(InstanceState::Healthy).await;
    assert_eq!(platform.route().await, Some(1));
}

#[tokio::test]
async fn a_deleted_app_is_gone_when_its_instances_are() {
    let platform = live("one").await;
    platform.send(Event::Delete).await.unwrap();
    assert_eq!((platform.route().await, platform.desired().await), (None, vec![]));
    platform.converge(InstanceState::Healthy).await;
    assert!(matches!(platform.apps.load(&platform.app).await, Err(AppError::Missing(_))));
    platform.apps.create(&platform.app, AppSettings::default()).await.unwrap();
    assert_eq!(platform.load().await.last_version, None);
}

#[tokio::test]
async fn two_apps_never_share_a_hostname() {
    let platform = Platform::new().await;
    let organization = "hello-acme".parse().unwrap();
    platform.apps.meta().create_organization(&organization, 0).await.unwrap();
    platform.apps.meta().create_organization(&"b-c".parse().unwrap(), 0).await.unwrap();
    platform.apps.meta().create_organization(&"c".parse().unwrap(), 0).await.unwrap();
    platform.apps.create(&"b-c/a".parse().unwrap(), AppSettings::default()).await.unwrap();
    let taken = platform.apps.create(&"c/a-b".parse().unwrap(), AppSettings::default()).await.unwrap_err();
    assert_eq!(taken.fault(), Fault::Conflict);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_who_change_one_app_lose_nothing() {
    let platform = Platform::new().await;
    let mut tasks = tokio::task::JoinSet::new();
    for number in 0..8 {
        let (apps, app) = (platform.apps.clone(), platform.app.clone());
        tasks.spawn(async move {
            let event = Event::SaveDraft(code(&format!("source {number}")));
            apps.send(&app, event, Attached::default()).await.unwrap();
        });
    }
    while let Some(done) = tasks.join_next().await {
        done.unwrap();
    }
    let saved = platform.events().await.iter().filter(|kind| *kind == "draft_saved").count();
    // Those saved within one millisecond with one source are one; here each has its own.
    assert_eq!(saved, 8);
}
