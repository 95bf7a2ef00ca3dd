use std::time::Duration;

use ignite_core_model::Fault;
use ignite_store_meta::{Bounds, Line, Meta, MetaError, Topic};

use crate::support::{NOW, job, job_id};

const WIDE: Bounds = Bounds { lines_max: 1_000_000, bytes_max: 1 << 30 };

fn lines(texts: &[&str]) -> Vec<Line> {
    texts.iter().map(|text| Line { at_ms: NOW, body: format!("\"{text}\"") }).collect()
}

async fn bodies(meta: &Meta, stream: &str, from: u64) -> Vec<(u64, String)> {
    let read = meta.read_log(stream, from, 10_000).await.unwrap();
    read.into_iter().map(|line| (line.sequence, line.body)).collect()
}

pub(crate) async fn lines_have_no_gap(meta: &Meta) {
    assert_eq!(meta.read_log("s", 0, 10).await.unwrap(), []);
    let mut signal = meta.subscribe(Topic::Log("s".into()));
    assert_eq!(meta.append_log("s", None, &lines(&["a", "b"]), &WIDE, NOW).await.unwrap(), 3);
    signal.wait(Duration::from_secs(60)).await;
    assert_eq!(meta.append_log("s", None, &lines(&["c"]), &WIDE, NOW + 1).await.unwrap(), 4);
    assert_eq!(bodies(meta, "s", 2).await, [(2, "\"b\"".into()), (3, "\"c\"".into())]);
    assert_eq!(meta.read_log("s", 1, 1).await.unwrap().len(), 1);
    let stream = meta.find_log("s").await.unwrap().unwrap();
    assert_eq!((stream.first, stream.next, stream.bytes, stream.updated_ms), (1, 4, 9, NOW + 1));
    let long = [Line { at_ms: NOW, body: "x".repeat(70_000) }];
    assert_eq!(meta.append_log("s", None, &long, &WIDE, NOW).await.unwrap_err().fault(), Fault::Caller);
    meta.delete_log("s").await.unwrap();
    assert_eq!(meta.find_log("s").await.unwrap(), None);
    assert_eq!(bodies(meta, "s", 0).await, []);
}

pub(crate) async fn a_batch_sent_twice_is_stored_once(meta: &Meta) {
    assert_eq!(meta.append_log("s", Some(1), &lines(&["a", "b"]), &WIDE, NOW).await.unwrap(), 3);
    // The answer was lost, so it is sent again, with more.
    assert_eq!(meta.append_log("s", Some(1), &lines(&["a", "b", "c"]), &WIDE, NOW).await.unwrap(), 4);
    assert_eq!(meta.append_log("s", Some(2), &lines(&["b"]), &WIDE, NOW).await.unwrap(), 4);
    assert_eq!(bodies(meta, "s", 0).await.len(), 3);
    let gap = meta.append_log("s", Some(6), &lines(&["f"]), &WIDE, NOW).await.unwrap_err();
    assert!(matches!(gap, MetaError::LogGap { expected: 4, found: 6, .. }), "{gap}");
    assert_eq!(gap.to_string(), "log `s` continues with line 4, and line 6 was appended");
}

pub(crate) async fn a_stream_is_trimmed(meta: &Meta) {
    let few = Bounds { lines_max: 5, bytes_max: 1 << 20 };
    let many: Vec<String> = (1..=3000).map(|line| line.to_string()).collect();
    let many = lines(&many.iter().map(String::as_str).collect::<Vec<_>>());
    assert_eq!(meta.append_log("s", None, &many, &few, NOW).await.unwrap(), 3001);
    let left = bodies(meta, "s", 0).await;
    assert_eq!((left.len(), left[0].0), (5, 2996));
    // A batch that was stored and trimmed is still known.
    assert_eq!(meta.append_log("s", Some(1), &many, &few, NOW).await.unwrap(), 3001);

    let narrow = Bounds { lines_max: 100, bytes_max: 10 };
    meta.append_log("t", None, &lines(&["aa", "bb", "cc"]), &narrow, NOW).await.unwrap();
    assert_eq!(bodies(meta, "t", 0).await.iter().map(|line| line.0).collect::<Vec<_>>(), [2, 3]);
    assert_eq!(meta.find_log("t").await.unwrap().unwrap().bytes, 8);
    meta.append_log("t", None, &lines(&["longer than all"]), &narrow, NOW).await.unwrap();
    let stream = meta.find_log("t").await.unwrap().unwrap();
    assert_eq!((stream.first, stream.next, stream.bytes), (5, 5, 0));
}

pub(crate) async fn streams_are_listed_and_swept(meta: &Meta) {
    for (name, at) in [("acme/a/1", 0), ("acme/a/2", 10), ("acme/ab/1", 0), ("acme/b/1", 0)] {
        meta.append_log(name, None, &lines(&["x"]), &WIDE, NOW + at).await.unwrap();
    }
    let names = |streams: Vec<ignite_store_meta::LogStream>| streams.into_iter().map(|s| s.name).collect::<Vec<_>>();
    assert_eq!(names(meta.list_logs("acme/a/", "", 10).await.unwrap()), ["acme/a/1", "acme/a/2"]);
    assert_eq!(names(meta.list_logs("acme/a/", "acme/a/1", 10).await.unwrap()), ["acme/a/2"]);
    assert_eq!(meta.sweep_logs("acme/a/", NOW + 5, 10).await.unwrap(), 1);
    assert_eq!(names(meta.list_logs("acme/", "", 10).await.unwrap()), ["acme/a/2", "acme/ab/1", "acme/b/1"]);
}

pub(crate) async fn appenders_at_once_leave_no_gap(meta: &Meta) {
    let appenders = (0..4).map(|_| {
        let meta = meta.clone();
        tokio::spawn(async move {
            for _ in 0..25 {
                meta.append_log("s", None, &lines(&["a", "b"]), &WIDE, NOW).await.unwrap();
            }
        })
    });
    for appender in appenders.collect::<Vec<_>>() {
        appender.await.unwrap();
    }
    let sequences: Vec<u64> = bodies(meta, "s", 0).await.into_iter().map(|line| line.0).collect();
    assert_eq!(sequences, (1..=200).collect::<Vec<_>>());
}

pub(crate) async fn only_who_has_a_job_appends_for_it(meta: &Meta) {
    meta.insert_job(&job(1, "compile"), NOW).await.unwrap();
    let append = async |attempt, first, texts: &[&str]| {
        meta.append_job_log((job_id(1), attempt), "s", first, &lines(texts), &WIDE, NOW).await.unwrap()
    };
    assert_eq!(append(0, 1, &["early"]).await, None, "nobody has it");
    meta.lease_job("compile", "b1", NOW, NOW + 10).await.unwrap().unwrap();
    assert_eq!(append(1, 1, &["a", "b"]).await, Some(3));
    assert_eq!(append(1, 1, &["a", "b"]).await, Some(3), "sent again");
    // Late, and nobody has taken it.
    meta.lease_job("compile", "b2", NOW + 10, NOW + 20).await.unwrap().unwrap();
    assert_eq!(append(1, 3, &["late"]).await, None);
    assert_eq!(append(2, 3, &["c"]).await, Some(4));
    meta.finish_job(job_id(1), 2, true, "{}", NOW + 11).await.unwrap().unwrap();
    assert_eq!(append(2, 4, &["after"]).await, None);
    assert_eq!(bodies(meta, "s", 1).await, [(1, "\"a\"".into()), (2, "\"b\"".into()), (3, "\"c\"".into())]);
}
