//! Metrics are those that the reference lists.

use std::collections::BTreeSet;

use ignite_core_model::AppSettings;

use crate::stage::{Stage, call};

/// Names and kinds of a section of the reference.
fn listed(section: &str) -> BTreeSet<(String, String)> {
    let page = include_str!("../../../docs/reference/metrics.md");
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

#[tokio::test(flavor = "multi_thread")]
async fn the_reference_lists_what_is_served() {
    let stage = Stage::new(AppSettings::default()).await;
    stage.get("/").await;
    let page = call(stage.gateway.admin_address().unwrap(), &["GET /metrics HTTP/1.1", "host: a"], "").await.body;
    assert_eq!(served(&page), listed("Gateway"));
}
