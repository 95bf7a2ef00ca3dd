//! What a host tells of itself and of what it serves.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use ignite_control_deploy::Backend;
use ignite_control_deploy::local::LocalBackend;
use ignite_core_model::{AppSettings, TraceContext};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, UnixStream};

use crate::app::{APP, Shelf, Vault};
use crate::contract::Watch;
use crate::local::LocalStage;
use crate::machine::{call, call_with, options};
use crate::rows::{SOON, spec};

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";

fn parent() -> String {
    format!("00-{TRACE}-b7ad6b7169203331-01")
}

#[tokio::test(flavor = "multi_thread")]
async fn lines_of_an_execution_name_its_trace() {
    let stage = LocalStage::new(Duration::from_secs(600));
    let mut watch = Watch::new();
    let id = watch.start(&*stage.backend, 1, stage.good());
    let address = watch.healthy(id).await;
    let parent = parent();
    let headers = [("traceparent", parent.as_str())];
    // Nobody is told of the host's part, so the handler sees what the caller said.
    assert_eq!(call_with(&address, "/trace", "", &headers).await, Ok((200, parent.clone())));
    assert_eq!(call_with(&address, "/lines", "2", &headers).await.unwrap().0, 200);
    assert_eq!(call(&address, "/hold", "0").await.unwrap().0, 200);
    for text in ["line 0", "line 1"] {
        let line = watch.line(id, |line| line.text == text).await;
        assert_eq!((line.trace_id.as_str(), line.execution_id.len()), (TRACE, 26), "{line:?}");
    }
    let without = watch.line(id, |line| line.text == "begun").await;
    assert_eq!(without.trace_id, "");
    stage.backend.drain(id);
    watch.ended(id).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_gets_the_hosts_part_of_the_trace() {
    let collector = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let shelf = Arc::new(Shelf::new(folder.path()));
    let good = Arc::new(spec(shelf.put(APP), 1, 1, AppSettings::default()));
    let mut options = options(folder.path());
    let endpoint = format!("http://{}", collector.local_addr().unwrap());
    options.env.push(("OTEL_EXPORTER_OTLP_ENDPOINT".to_owned(), endpoint));
    let backend = LocalBackend::new(options, shelf, Arc::new(Vault::default())).unwrap();
    let mut watch = Watch::new();
    let id = watch.start(&backend, 1, good);
    let address = watch.healthy(id).await;
    let parent = parent();
    let seen = call_with(&address, "/trace", "", &[("traceparent", &parent)]).await.unwrap().1;
    let seen: TraceContext = seen.parse().unwrap();
    assert_eq!(seen.trace.to_string(), TRACE);
    assert_ne!(seen.to_string(), parent, "the handler is called in the host's span");

    let sent = tokio::time::timeout(SOON, async {
        let (stream, _) = collector.accept().await.unwrap();
        let mut stream = BufReader::new(stream);
        let mut length = 0;
        loop {
            let mut line = String::new();
            stream.read_line(&mut line).await.unwrap();
            if let Some(text) = line.to_lowercase().strip_prefix("content-length:") {
                length = text.trim().parse().unwrap();
            }
            if line.trim().is_empty() {
                break;
            }
        }
        let mut body = vec![0; length];
        stream.read_exact(&mut body).await.unwrap();
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}").await.unwrap();
        serde_json::from_slice::<serde_json::Value>(&body).unwrap()
    });
    let sent = sent.await.expect("spans come");
    let span = &sent["resourceSpans"][0]["scopeSpans"][0]["spans"][0];
    assert_eq!((span["traceId"].as_str(), span["parentSpanId"].as_str()), (Some(TRACE), Some("b7ad6b7169203331")));
    assert_eq!(span["spanId"], seen.span.to_string());
    assert!(span["attributes"].to_string().contains("acme/hello"), "{span}");
    backend.drain(id);
    watch.ended(id).await;
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

#[tokio::test(flavor = "multi_thread")]
async fn the_reference_lists_the_metrics_that_are_served() {
    let stage = LocalStage::new(Duration::from_secs(600));
    let mut watch = Watch::new();
    let id = watch.start(&*stage.backend, 1, stage.good());
    let address = watch.healthy(id).await;
    assert_eq!(call(&address, "/", "").await.unwrap().0, 200);
    // Errors are listed by type, once there is one.
    assert_eq!(call_with(&address, "/", "", &[("x-ignite-timeout-ms", "soon")]).await.unwrap().0, 400);
    let socket = stage.files()[0].join("admin.sock");
    let mut admin = UnixStream::connect(socket).await.unwrap();
    admin.write_all(b"GET /metrics HTTP/1.1\r\nhost: host\r\nconnection: close\r\n\r\n").await.unwrap();
    let mut page = String::new();
    admin.read_to_string(&mut page).await.unwrap();
    let types = page.lines().filter_map(|line| line.trim().strip_prefix("# TYPE "));
    let served: BTreeSet<(String, String)> = types
        .map(|line| {
            let (name, kind) = line.split_once(' ').unwrap();
            let suffix = if kind == "counter" { "_total" } else { "" };
            (format!("{name}{suffix}"), kind.to_owned())
        })
        .collect();
    let listed: BTreeSet<_> = [listed("Host"), listed("Host with worker processes")].into_iter().flatten().collect();
    assert_eq!(served, listed);
    stage.backend.drain(id);
    watch.ended(id).await;
}
