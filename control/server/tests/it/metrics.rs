//! What is counted of executions is what happened to them, and what the reference lists.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

use ignite_control_server::AdminServer;
use ignite_control_server::executions::ExecutionLimits;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::gateway::{FakeGateway, Plan, SOON};
use crate::stage::{Stage, until};

async fn get(address: SocketAddr, path: &str) -> String {
    let read = async {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let head = format!("GET {path} HTTP/1.1\r\nhost: admin\r\nconnection: close\r\n\r\n");
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut page = String::new();
        stream.read_to_string(&mut page).await.unwrap();
        page
    };
    tokio::time::timeout(SOON, read).await.expect("the page comes")
}

/// Names and kinds of a section of the reference.
fn listed(section: &str) -> BTreeSet<(String, String)> {
    let page = include_str!("../../../../docs/reference/metrics.md");
    let (_, rest) = page.split_once(&format!("\n## {section}\n")).unwrap();
    let rows = rest.lines().take_while(|line| !line.starts_with("## ")).filter(|line| line.starts_with("| `"));
    rows.map(|row| {
        let mut cells = row.split('|').skip(1).map(|cell| cell.trim().trim_matches('`').to_owned());
        (cells.next().unwrap(), cells.next().unwrap())
    })
    .collect()
}

/// Names and kinds of a page of metrics.
fn served(page: &str) -> BTreeSet<(String, String)> {
    let types = page.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    types
        .map(|line| {
            let (name, kind) = line.split_once(' ').unwrap();
            let suffix = if kind == "counter" { "_total" } else { "" };
            (format!("{name}{suffix}"), kind.to_owned())
        })
        .collect()
}

/// The figures that are not nought, without those of buckets and sums.
fn figures(page: &str) -> BTreeMap<String, String> {
    let lines = page.lines().filter(|line| line.starts_with("ignite_"));
    lines
        .filter_map(|line| line.rsplit_once(' '))
        .filter(|(name, value)| !name.contains("_bucket") && !name.ends_with("_sum") && *value != "0")
        .map(|(name, value)| (name.trim_start_matches("ignite_control_executions_").to_owned(), value.to_owned()))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn executions_are_counted_by_what_became_of_them() {
    let gateway = FakeGateway::start(vec![Plan::Platform(503, "no_instance")]).await;
    let limits = ExecutionLimits { backoff: Duration::ZERO, drain_max: Duration::ZERO, ..ExecutionLimits::default() };
    let mut stage = Stage::with(gateway.client(), limits).await;
    stage.live().await;
    let admin = AdminServer::start(SocketAddr::from(([127, 0, 0, 1], 0)), stage.executions.clone()).await.unwrap();
    let page = get(admin.address(), "/metrics").await;
    assert!(page.starts_with("HTTP/1.1 200") && page.contains("openmetrics-text"), "{page}");
    assert_eq!(served(&page), listed("Control plane"));
    assert_eq!(figures(&page), BTreeMap::new());
    assert!(get(admin.address(), "/").await.starts_with("HTTP/1.1 404"));

    // Nobody carries them out yet.
    let (first, second) = (stage.accept(b"").await, stage.accept(b"").await);
    let expect = |pairs: &[(&str, &str)]| -> BTreeMap<String, String> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    };
    let now = async || figures(&get(admin.address(), "/metrics").await);
    assert_eq!(now().await, expect(&[("accepted_total", "2"), ("waiting", "2")]));
    stage.done("all", "CancelExecution", json!({ "executionId": second })).await;
    // One that has ended is counted once.
    stage.done("all", "CancelExecution", json!({ "executionId": second })).await;

    gateway.plan(vec![Plan::Platform(503, "no_instance"), Plan::Break, Plan::Answer(200, b"done".to_vec())]);
    stage.run();
    stage.ended(&first).await;
    for (plan, times) in [(Plan::Answer(500, b"boom".to_vec()), 2), (Plan::Platform(504, "timeout"), 1)] {
        gateway.plan(vec![plan]);
        for _ in 0..times {
            let id = stage.accept(b"").await;
            stage.ended(&id).await;
        }
    }
    let mut ended = expect(&[
        ("accepted_total", "5"),
        ("ended_total{outcome=\"succeeded\"}", "1"),
        ("ended_total{outcome=\"failed\"}", "2"),
        ("ended_total{outcome=\"timed_out\"}", "1"),
        ("ended_total{outcome=\"cancelled\"}", "1"),
        ("retried_total{cause=\"not_delivered\"}", "1"),
        ("retried_total{cause=\"instance_lost\"}", "1"),
        ("waited_seconds_count", "4"),
        ("duration_seconds_count", "6"),
    ]);
    // A record is written a moment before its attempt is over.
    until("none runs", || async { now().await == ended }).await;

    gateway.plan(vec![Plan::Hang(Vec::new())]);
    stage.accept(b"").await;
    until("one runs", || async { now().await.get("running").is_some_and(|running| running == "1") }).await;
    stage.stop().await;
    ended.extend(expect(&[
        ("accepted_total", "6"),
        ("retried_total{cause=\"control_ended\"}", "1"),
        ("waited_seconds_count", "5"),
        ("waiting", "1"),
    ]));
    assert_eq!(now().await, ended);
}
