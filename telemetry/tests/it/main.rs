//! Spans on their way to a collector.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test")]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, SystemTime};

use ignite_core_model::TraceContext;
use ignite_telemetry::{Entered, Kind, Span, Tracer, TracerOptions};
use serde_json::Value;

/// Longest wait for what must come.
const SOON: Duration = Duration::from_secs(20);

/// A collector that answers with this status, and what it is sent: head and body.
fn collector(status: &'static str) -> (String, Receiver<(String, Value)>) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let (sender, received) = channel();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = BufReader::new(stream.unwrap());
            while let Some(request) = request(&mut stream) {
                let answer = format!("HTTP/1.1 {status}\r\ncontent-length: 2\r\n\r\n{{}}");
                if stream.get_mut().write_all(answer.as_bytes()).is_err() || sender.send(request).is_err() {
                    return;
                }
            }
        }
    });
    (url, received)
}

fn request(stream: &mut BufReader<TcpStream>) -> Option<(String, Value)> {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if stream.read_line(&mut head).ok()? == 0 {
            return None;
        }
    }
    let head = head.to_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "))?.parse().ok()?;
    let mut body = vec![0; length];
    stream.read_exact(&mut body).ok()?;
    Some((head, serde_json::from_slice(&body).ok()?))
}

fn tracer(endpoint: &str) -> Tracer {
    let find = |name: &str| match name {
        "OTEL_EXPORTER_OTLP_ENDPOINT" => Some(endpoint.to_owned()),
        "OTEL_EXPORTER_OTLP_HEADERS" => Some("x-key=hunter2".to_owned()),
        _ => None,
    };
    Tracer::start(TracerOptions::read(find, "ignite-part", "one").unwrap().unwrap()).unwrap()
}

fn span(of: &Entered) -> Span {
    Span {
        context: of.context,
        parent: of.parent,
        name: "request",
        kind: Kind::Server,
        begun: SystemTime::UNIX_EPOCH + Duration::from_secs(1),
        took: Duration::from_millis(2),
        failed: true,
        attributes: vec![("app", "acme/hello".to_owned())],
    }
}

#[test]
fn a_span_arrives_as_a_part_of_its_trace() {
    let (url, received) = collector("200 OK");
    let tracer = tracer(&url);
    let said: TraceContext = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".parse().unwrap();
    let entered = tracer.enter(Some(said));
    assert_eq!((entered.context.trace, entered.parent), (said.trace, Some(said.span)));
    assert_ne!(entered.context.span, said.span);
    tracer.export(|| span(&entered), &entered);
    tracer.flush(SOON);
    let (head, body) = received.recv_timeout(SOON).unwrap();
    assert!(head.starts_with("post /v1/traces http/1.1"), "{head}");
    assert!(head.contains("x-key: hunter2") && head.contains("content-type: application/json"), "{head}");
    let sent = &body["resourceSpans"][0];
    assert_eq!(sent["resource"]["attributes"][1]["value"]["stringValue"], "ignite-part");
    let sent = &sent["scopeSpans"][0]["spans"][0];
    assert_eq!(sent["traceId"], "0af7651916cd43dd8448eb211c80319c");
    assert_eq!(sent["parentSpanId"], "b7ad6b7169203331");
    assert_eq!(sent["spanId"], entered.context.span.to_string());
    assert_eq!((&sent["kind"], &sent["status"]["code"]), (&2.into(), &2.into()));
    assert_eq!((&sent["startTimeUnixNano"], &sent["endTimeUnixNano"]), (&"1000000000".into(), &"1002000000".into()));
    assert_eq!(sent["attributes"][0]["key"], "app");
    assert_eq!(tracer.dropped(), 0);
}

#[test]
fn what_is_not_to_be_kept_is_not_sent() {
    let (url, received) = collector("200 OK");
    let tracer = tracer(&url);
    let said: TraceContext = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00".parse().unwrap();
    let entered = tracer.enter(Some(said));
    tracer.export(|| panic!("it is made"), &entered);
    let kept = tracer.enter(None);
    tracer.export(|| span(&kept), &kept);
    tracer.flush(SOON);
    let (_, body) = received.recv_timeout(SOON).unwrap();
    let spans = body["resourceSpans"][0]["scopeSpans"][0]["spans"].as_array().unwrap();
    assert_eq!(spans.len(), 1);
    assert!(spans[0]["parentSpanId"].is_null());
}

#[test]
fn without_a_collector_traces_go_on_as_they_are() {
    let tracer = Tracer::off();
    let said: TraceContext = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".parse().unwrap();
    assert_eq!(tracer.enter(Some(said)), Entered { context: said, parent: None });
    assert_ne!(tracer.enter(None), tracer.enter(None));
    tracer.export(|| panic!("it is made"), &tracer.enter(None));
    tracer.flush(SOON);
}

#[test]
fn a_collector_that_refuses_or_hangs_costs_spans_and_nothing_else() {
    let (url, received) = collector("503 Busy");
    let refused = tracer(&url);
    let entered = refused.enter(None);
    refused.export(|| span(&entered), &entered);
    refused.flush(SOON);
    received.recv_timeout(SOON).unwrap();
    assert_eq!(refused.dropped(), 1);

    // One that takes connections and never answers.
    let hangs = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let tracer = tracer(&format!("http://{}", hangs.local_addr().unwrap()));
    for _ in 0..10_000 {
        tracer.export(|| span(&entered), &entered);
    }
    // What waits and what is being sent; the rest had no room.
    assert!((10_000 - 4096 - 2 * 512..=10_000).contains(&tracer.dropped()), "{}", tracer.dropped());
}
