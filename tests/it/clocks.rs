//! Four clocks, and a slot that is free when the work has stopped and not before.

use std::time::{Duration, Instant};

use ignite_tests::client::Client;
use ignite_tests::clocks::{Clocks, STUBBORN};

use crate::app::SOON;

fn expired(clocks: &Clocks, clock: &str) -> f64 {
    clocks.host.metric(&format!("ignite_host_clock_expired_total{{clock=\"{clock}\"}}")).unwrap()
}

#[test]
fn a_slot_is_free_when_the_work_has_stopped_whatever_it_does() {
    let clocks = Clocks::serve(&[("IGNITE_TIMEOUT_MS", "150"), ("IGNITE_QUEUE_TIMEOUT_MS", "20000")]).unwrap();
    for way in STUBBORN {
        let mut stuck = clocks.send(way, "").unwrap();
        // They wait for the slot while it is held by work that nobody waits for any more.
        let mut next: Vec<Client> =
            (0..3).map(|_| clocks.send("answers", "x-ignite-timeout-ms: 150\r\n").unwrap()).collect();
        let answer = stuck.answer().unwrap();
        answer.error(504, "timeout").unwrap();
        drop(answer);
        for client in &mut next {
            let answer = client.answer().unwrap();
            assert!(answer.status == 200 || answer.status == 503, "{way}: {}", answer.text());
        }
        let answer = clocks.send("answers", "").unwrap().answer().unwrap();
        if answer.status != 200 {
            answer.error(503, "queue_timeout").unwrap();
        }
        clocks.host.wait_metric("ignite_host_slots_busy", 0.0, SOON).unwrap();
        assert_eq!(clocks.send("answers", "").unwrap().answer().unwrap().text(), "in time", "after {way}");
        clocks.never_two_at_once().unwrap();
    }
    let killed = clocks.host.metric("ignite_host_worker_ends_overdue_total").unwrap();
    assert_eq!(killed as usize, STUBBORN.len(), "each was killed");
    assert_eq!(expired(&clocks, "total") as usize, STUBBORN.len());
}

#[test]
fn what_a_worker_leaves_behind_ends_with_it() {
    let clocks = Clocks::serve(&[]).unwrap();
    for _ in 0..3 {
        clocks.send("dies_and_leaves_a_child", "").unwrap().answer().unwrap().error(502, "worker_lost").unwrap();
        assert_eq!(clocks.send("answers", "").unwrap().answer().unwrap().text(), "in time");
    }
    clocks.never_two_at_once().unwrap();
}

#[test]
fn each_clock_has_its_limit_its_count_and_its_error() {
    let clocks = Clocks::serve(&[
        ("IGNITE_TIMEOUT_MS", "2000"),
        ("IGNITE_QUEUE_TIMEOUT_MS", "200"),
        ("IGNITE_RESPONSE_START_MS", "600"),
        ("IGNITE_STREAM_IDLE_MS", "300"),
    ])
    .unwrap();
    // Queue: the slot is held for longer than one waits for it.
    let mut holder = clocks.send("sleeps_in_c", "").unwrap();
    clocks.host.wait_metric("ignite_host_slots_busy", 1.0, SOON).unwrap();
    let words = clocks.send("answers", "").unwrap().answer().unwrap().error(503, "queue_timeout").unwrap();
    // It says how long it was, which on a busy machine is some milliseconds more.
    let waited = words.split_once("within ").and_then(|(_, rest)| rest.split_once(" ms")?.0.parse().ok());
    assert!(waited.is_some_and(|waited: u64| (200..400).contains(&waited)), "{words}");
    // Response start: shorter than the total.
    let words = holder.answer().unwrap().error(504, "response_start_timeout").unwrap();
    assert_eq!(words, "the answer did not begin within 600 ms");
    // A caller's deadline shortens that, too, and is told as the total.
    clocks.host.wait_metric("ignite_host_slots_busy", 0.0, SOON).unwrap();
    let words =
        clocks.send("spins", "x-ignite-timeout-ms: 100\r\n").unwrap().answer().unwrap().error(504, "timeout").unwrap();
    assert_eq!(words, "the execution exceeded its time limit of 100 ms");
    // Idle: the stream pauses. Its head is sent, so it breaks off.
    clocks.host.wait_metric("ignite_host_slots_busy", 0.0, SOON).unwrap();
    let mut client = clocks.send("streams", "").unwrap();
    let begun = Instant::now();
    client.answer().unwrap_err();
    assert!(begun.elapsed() < Duration::from_millis(1900), "before the total: {:?}", begun.elapsed());
    let told = |text: &str| {
        let text = text.to_owned();
        clocks
            .host
            .log_line(SOON, move |line| line["message"].as_str().is_some_and(|said| said.contains(&text)))
            .unwrap()
    };
    told("no further part of the answer came within 300 ms");
    // Total: a stream that never pauses and never ends.
    clocks.host.wait_metric("ignite_host_slots_busy", 0.0, SOON).unwrap();
    let begun = Instant::now();
    clocks.send("streams_on", "").unwrap().answer().unwrap_err();
    assert!(begun.elapsed() >= Duration::from_millis(1900), "{:?}", begun.elapsed());
    told("its time limit was reached");
    for (clock, count) in [("queue", 1.0), ("response_start", 1.0), ("idle", 1.0), ("total", 2.0)] {
        assert_eq!(expired(&clocks, clock), count, "{clock}");
    }
    clocks.host.wait_metric("ignite_host_slots_busy", 0.0, SOON).unwrap();
    clocks.never_two_at_once().unwrap();
}

#[test]
fn whoever_comes_first_wins_and_nobody_is_answered_twice() {
    let clocks = Clocks::serve(&[("IGNITE_TIMEOUT_MS", "30000")]).unwrap();
    // The answer comes at about the moment the time is up, or the caller goes; each is answered once or not at all.
    for round in 0..60 {
        let limit = 1 + round % 6;
        let mut client = clocks.send("answers", &format!("x-ignite-timeout-ms: {limit}\r\n")).unwrap();
        if round % 3 == 0 {
            continue;
        }
        let answer = client.answer().unwrap();
        assert!(matches!(answer.status, 200 | 503 | 504 | 408), "{}", answer.text());
        client.request("GET", "/livez", "", b"").unwrap();
        let next = client.answer().unwrap();
        assert_eq!(next.json()["status"], "live", "the next answer on the connection is that of the next request");
    }
    clocks.host.wait_metric("ignite_host_slots_busy", 0.0, SOON).unwrap();
    assert_eq!(clocks.send("answers", "").unwrap().answer().unwrap().text(), "in time");
    clocks.never_two_at_once().unwrap();
}
