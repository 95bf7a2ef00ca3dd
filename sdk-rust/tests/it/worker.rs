//! What handlers answer, seen from the host's end of the socket.

use ignite_core_abi::FrameKind;
use ignite_core_abi::payload::{Hello, Log, LogLevel};
use serde_json::{Value, json};

use crate::host::{Call, Host, USUAL};

#[test]
fn bytes_come_back_as_they_went() {
    let all: Vec<u8> = (0..=255).collect();
    let six_mib: Vec<u8> = (0..6 * 1024 * 1024).map(|n: u32| (n % 251) as u8).collect();
    for function in ["asynchronous", "synchronous"] {
        let mut host = Host::start(function);
        for (id, body) in [(1, all.as_slice()), (2, &[]), (3, &six_mib), (4, b"\n")] {
            let answer = host.ask(id, &Call::with("/echo", body));
            assert_eq!(answer.status, 200);
            assert_eq!(answer.header("content-type"), Some("application/octet-stream"));
            assert!(answer.body == body, "{function}: {} bytes came back for {}", answer.body.len(), body.len());
        }
    }
}

#[test]
fn every_part_of_a_request_reaches_the_handler() {
    let mut host = Host::start("asynchronous");
    let headers = [("content-type", "text/plain"), ("x-two", "a"), ("x-two", "b\u{ff}")];
    let call = Call { query: "q=a%20b+c&q=2", headers: &headers, body: b"four", ..Call::to("/request") };
    let answer = host.ask(7, &call);
    assert_eq!(answer.header("content-type"), Some("application/json"));
    let seen: Value = serde_json::from_slice(&answer.body).unwrap();
    let expected = json!({
        "method": "POST", "path": "/request", "query": "q=a%20b+c&q=2", "q": "a b c", "absent": null,
        "headers": ["content-type=text/plain", "x-two=a", "x-two=b\\xc3\\xbf"], "length": 4,
        "execution": "01J00000000000000000000007", "function": "acme/it", "organization": "acme",
        "greeting": "hello", "unset": null,
    });
    assert_eq!(seen, expected);
}

#[test]
fn unicode_is_read_and_written() {
    let mut host = Host::start("asynchronous");
    let call =
        Call {
            query: "an=%E2%82%AC", body: "{\"größe\": \"ß\\u00fc🦀\"}".as_bytes(), ..Call::to("/gr%C3%BC%C3%9Fe")
        };
    let answer = host.ask(1, &call);
    assert_eq!(answer.text(), "€ ßü🦀");
    assert_eq!(answer.header("content-type"), Some("text/plain; charset=utf-8"));
}

#[test]
fn answers_have_the_status_and_headers_they_were_given() {
    let mut host = Host::start("asynchronous");
    let nothing = host.ask(1, &Call::to("/nothing"));
    assert_eq!((nothing.status, nothing.headers.len(), nothing.body.len()), (200, 0, 0));
    let teapot = host.ask(2, &Call::to("/teapot"));
    assert_eq!((teapot.status, teapot.text()), (418, "short and stout"));
    let headers: Vec<_> = teapot.headers.iter().map(|(name, value)| format!("{name}: {value}")).collect();
    let expected = ["content-type: text/plain; charset=utf-8", "x-kind: pot", "set-cookie: a=1", "set-cookie: b=2"];
    assert_eq!(headers, expected);
    host.invoke(3, &Call::to("/header"));
    let (kind, message, _) = host.failure(3);
    assert_eq!(
        (&*kind, &*message),
        ("invalid_header", "header \"x-bad\" cannot be sent: its value has a control character")
    );
}

#[test]
fn a_body_that_does_not_fit_is_the_callers_fault() {
    let mut host = Host::start("asynchronous");
    assert_eq!(host.ask(1, &Call::with("/body", b"{\"a\": 1}")).text(), "{\"a\":1}");
    let answer = host.ask(2, &Call::with("/body", b"{\"a\": 1,\n\"b\": 256}"));
    let body: Value = serde_json::from_slice(&answer.body).unwrap();
    let expected = json!({
        "error": "the request body does not fit: `b`: invalid value: integer `256`, expected u8 at line 2 column 8",
        "type": "invalid_body",
        "execution_id": "01J00000000000000000000002",
    });
    assert_eq!((answer.status, body), (400, expected));
}

#[test]
fn errors_tell_type_message_and_causes() {
    let mut host = Host::start("asynchronous");
    assert_eq!(host.ask(1, &Call { query: "42", ..Call::to("/error") }).text(), "42");
    host.invoke(2, &Call { query: "x", ..Call::to("/error") });
    let (kind, message, trace) = host.failure(2);
    assert!(kind.ends_with("::functions::Outer"), "{kind}");
    assert_eq!(message, "no number came: invalid digit found in string");
    assert_eq!(trace, "caused by: invalid digit found in string\n");

    let refused = host.ask(3, &Call::to("/refused"));
    let expected = r#"{"error":"no such thing","execution_id":"01J00000000000000000000003","type":"unknown_thing"}"#;
    assert_eq!((refused.status, refused.text()), (404, expected));

    host.invoke(4, &Call::to("/unavailable"));
    let (id, level, message, fields) = host.log();
    assert_eq!((id, level, &*message), (4, LogLevel::Error, "disk"));
    assert!(fields.contains("\"status\":503"), "{fields}");
    assert_eq!(host.answer(4).status, 503);

    let mut host = Host::start("synchronous");
    host.invoke(1, &Call::to("/error"));
    let (kind, message, _) = host.failure(1);
    assert_eq!((&*kind, &*message), ("Error", "in words"));
    assert_eq!(host.ask(2, &Call::to("/refused")).status, 404);
}

#[test]
fn a_panic_is_one_failed_execution() {
    let mut host = Host::start("asynchronous");
    host.invoke(1, &Call::to("/gate/wait"));
    for id in 2..5 {
        host.invoke(id, &Call::with("/panic", b"abc"));
        let (kind, message, trace) = host.failure(id);
        assert_eq!((&*kind, &*message), ("panic", "all 3 lost"));
        let (place, frames) = trace.split_once('\n').unwrap();
        assert!(place.starts_with("panicked at ") && place.contains("functions.rs:"), "{trace}");
        assert!(frames.contains("functions.rs:"), "{trace}");
        assert!(!frames.contains("panicking") && !frames.contains("handler.rs"), "{trace}");
    }
    assert_eq!(host.ask(5, &Call::with("/echo", b"well")).text(), "well");
    host.invoke(6, &Call::to("/gate/open"));
    let mut answered = [host.next(), host.next()].map(|frame| (frame.kind, frame.id));
    answered.sort_by_key(|(_, id)| *id);
    assert_eq!(answered, [(FrameKind::Result, 1), (FrameKind::Result, 6)]);
    assert_eq!(host.end(), (0, String::new()));

    let mut host = Host::start("synchronous");
    host.invoke(1, &Call::to("/panic"));
    let (kind, message, _) = host.failure(1);
    assert_eq!((&*kind, &*message), ("panic", "the handler panicked with a value that is no text"));
    assert_eq!(host.ask(2, &Call::with("/echo", b"well")).text(), "well");
}

#[test]
fn executions_run_side_by_side_and_end_in_any_order() {
    for function in ["asynchronous", "synchronous"] {
        let mut host = Host::start(function);
        // Many quick ones first: they must not make the worker believe that all are.
        for id in 1..200 {
            host.ask(id, &Call::with("/echo", b"quick"));
        }
        for id in 1000..1015 {
            host.invoke(id, &Call::to("/gate/wait"));
        }
        assert_eq!(host.ask(2000, &Call::with("/echo", b"past")).text(), "past");
        host.invoke(2001, &Call::to("/gate/open"));
        let mut ids: Vec<_> = (0..16).map(|_| host.next().id).collect();
        ids.sort_unstable();
        assert_eq!(ids, (1000..1015).chain([2001]).collect::<Vec<_>>(), "{function}");
    }
}

#[test]
fn async_handlers_that_block_hold_up_only_themselves() {
    let mut host = Host::start("asynchronous");
    for id in 1..=15 {
        host.invoke(id, &Call::to("/gate/block"));
        assert_eq!(host.log().0, id, "what it said before it blocked is heard at once");
    }
    for id in 20..100 {
        assert_eq!(host.ask(id, &Call::with("/echo", b"past")).text(), "past");
    }
    host.invoke(100, &Call::to("/gate/open"));
    let mut ids: Vec<_> = (0..16).map(|_| host.next().id).collect();
    ids.sort_unstable();
    assert_eq!(ids, (1..=15).chain([100]).collect::<Vec<_>>());
}

#[test]
fn log_records_carry_id_level_and_fields() {
    let mut host = Host::start("asynchronous");
    host.invoke(9, &Call::to("/log"));
    let (id, level, message, fields) = host.log();
    assert_eq!((id, level, &*message, &*fields), (9, LogLevel::Warn, "took long", r#"{"n":7,"who":"Ada"}"#));
    let (id, level, message, fields) = host.log();
    assert_eq!((id, level, &*message, &*fields), (9, LogLevel::Trace, "fine", ""));
    let (_, _, message, _) = host.log();
    assert_eq!((message.len(), message.ends_with('x')), (ignite::LOG_BYTES_MAX, true));
    let (_, _, message, fields) = host.log();
    assert_eq!((&*message, &*fields), ("large", r#"{"fields_left_out_bytes":65547}"#));
    assert_eq!(host.answer(9).text(), "logged");
}

#[test]
fn a_flood_of_log_records_is_told_to_the_last() {
    let mut host = Host::start("asynchronous");
    host.invoke(1, &Call::to("/flood"));
    // While nothing is read, they pile up. What was left out is told with the next record there is room for.
    let (mut records, mut left_out) = (0, 0);
    loop {
        let frame = host.next();
        match frame.kind {
            FrameKind::Log if frame.id == 0 => {
                let log = Log::decode(&frame.payload).unwrap();
                let (count, rest) = log.message.split_once(' ').unwrap();
                assert_eq!(rest, "log records were left out: there were more than the host took");
                left_out += count.parse::<u64>().unwrap();
            }
            FrameKind::Log if frame.id == 1 => records += 1,
            FrameKind::Log => {}
            FrameKind::Result if frame.id == 1 => host.invoke(2, &Call::to("/log")),
            kind => {
                assert_eq!((kind, frame.id), (FrameKind::Result, 2));
                break;
            }
        }
    }
    assert_eq!(records + left_out, 100_000);
}

#[test]
fn deadlines_are_told_as_time_left() {
    let mut host = Host::start("asynchronous");
    let answer = host.ask(1, &Call { timeout_us: 30_000_000, ..Call::to("/deadline") });
    let seen: Value = serde_json::from_slice(&answer.body).unwrap();
    let left = seen["left_ms"].as_u64().unwrap();
    assert!((10_000..=30_000).contains(&left), "{left}");
    assert_eq!(host.ask(2, &Call::to("/deadline")).text(), r#"{"at":false,"left_ms":null}"#);
    // Beyond what the clock can hold is no limit.
    assert_eq!(host.ask(3, &Call { timeout_us: u64::MAX, ..Call::to("/deadline") }).status, 200);
}

#[test]
fn the_temp_store_is_bounded_and_each_executions_own() {
    let mut host = Host::start("asynchronous");
    for id in 1..4 {
        let answer = host.ask(id, &Call::to("/store"));
        let seen: Value = serde_json::from_slice(&answer.body).unwrap();
        let full = "temp store is full: it would hold 73400515 of at most 67108864 bytes";
        let full = full.replace("73400515", &((30 << 20) + (40 << 20) + 3 * 64 + 6).to_string());
        let expected = json!({ "b": b"two", "full": full, "swapped": true, "taken": 60 << 20, "list": ["b"] });
        assert_eq!(seen, expected);
    }
}

#[test]
fn an_answer_longer_than_the_host_takes_is_an_error() {
    let mut host = Host::start_with("asynchronous", Hello { frame_bytes_max: 1000, ..USUAL });
    host.invoke(1, &Call { query: "2000", ..Call::to("/large") });
    let (kind, message, _) = host.failure(1);
    assert_eq!(kind, "response_too_large");
    assert_eq!(message, "the answer has 2000 bytes, the host takes 1000 at once: send it through `ctx.stream()`");
    assert_eq!(host.ask(2, &Call { query: "900", ..Call::to("/large") }).body.len(), 900);
}

#[test]
fn what_a_handler_leaves_behind_logs_without_an_id() {
    let mut host = Host::start("asynchronous");
    assert_eq!(host.ask(1, &Call::to("/background")).text(), "at once");
    host.invoke(2, &Call::to("/gate/open"));
    let frames = [host.next(), host.next()];
    assert!(frames.iter().any(|frame| (frame.kind, frame.id) == (FrameKind::Log, 0)), "{frames:?}");
}

#[test]
fn a_program_that_a_handler_starts_does_not_get_the_socket() {
    let mut host = Host::start("asynchronous");
    let answer = host.ask(1, &Call::to("/fds"));
    assert!(answer.text().contains("/dev/null"), "{}", answer.text());
    assert!(!answer.text().contains("socket:"), "{}", answer.text());
}

#[test]
fn a_handler_that_is_not_async_may_use_the_runtime() {
    assert_eq!(Host::start("synchronous").ask(1, &Call::to("/runtime")).text(), "has one");
}
