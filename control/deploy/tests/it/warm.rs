//! The pool of warm hosts.

use std::time::Duration;

use ignite_control_deploy::Backend;
use rustix::process::Signal;

use crate::contract::Watch;
use crate::local::LocalStage;
use crate::machine::{call, signal, until};

#[tokio::test(flavor = "multi_thread")]
async fn a_warm_host_is_used_and_replaced() {
    let stage = LocalStage::with(Duration::from_secs(600), 1);
    stage.backend.warm_up(&["python"]);
    until("a warm host is up", || stage.backend.warm("python") == 1).await;
    let warm = stage.processes();
    let mut watch = Watch::new();
    let id = watch.start(&*stage.backend, 1, stage.good());
    let address = watch.healthy(id).await;
    assert!(warm.contains(&stage.backend.process_id(id).unwrap()), "another host was started");
    assert_eq!(call(&address, "/", "").await, Ok((200, "hello from acme/hello".to_owned())));
    until("another is up in its place", || stage.backend.warm("python") == 1).await;
    // Lines from before it had an app are none of the app's.
    stage.backend.drain(id);
    let first = watch.line(id, |_| true).await;
    assert!(!first.text.starts_with("warm"), "{first:?}");
    watch.ended(id).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_died_while_it_waited_is_not_used() {
    let stage = LocalStage::with(Duration::from_secs(600), 1);
    stage.backend.warm_up(&["python"]);
    until("a warm host is up", || stage.backend.warm("python") == 1).await;
    let warm = stage.processes();
    warm.iter().for_each(|pid| signal(*pid, Signal::KILL));
    until("it has ended", || stage.processes().iter().all(|pid| !warm.contains(pid))).await;
    let mut watch = Watch::new();
    let id = watch.start(&*stage.backend, 1, stage.good());
    let address = watch.healthy(id).await;
    assert_eq!(call(&address, "/", "").await, Ok((200, "hello from acme/hello".to_owned())));
    stage.backend.drain(id);
    watch.ended(id).await;
}
