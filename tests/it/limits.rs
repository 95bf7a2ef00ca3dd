//! What is refused, when and with which words; over real sockets, byte by byte where that matters.

use std::thread;
use std::time::{Duration, Instant};

use ignite_tests::client::{Client, ask};
use serde_json::json;

use crate::app::{Gate, SOON, execution_id, serve, wait_until};

/// How much later than it should a limit may be felt here; the machine has much else to do.
const LATE_MAX: Duration = Duration::from_millis(700);

fn chunked(parts: &[&[u8]]) -> Vec<u8> {
    let mut framed = Vec::new();
    for part in parts {
        framed.extend_from_slice(format!("{:x}\r\n", part.len()).as_bytes());
        framed.extend_from_slice(part);
        framed.extend_from_slice(b"\r\n");
    }
    framed.extend_from_slice(b"0\r\n\r\n");
    framed
}

#[test]
fn a_payload_at_the_limit_passes_and_one_byte_more_does_not() {
    let host = serve(&[("IGNITE_PAYLOAD_BYTES_MAX", "1000")]);
    let (most, over) = ([b'x'; 1000], [b'x'; 1001]);
    let chunks = "transfer-encoding: chunked\r\n";

    let mut client = Client::connect(host.address()).unwrap();
    for _ in 0..2 {
        client.request("POST", "/echo", "", &most).unwrap();
        assert_eq!(client.answer().unwrap().body, most);
        client.request("POST", "/echo", chunks, b"").unwrap();
        client.send(chunked(&[&most[..1], &most[1..]])).unwrap();
        assert_eq!(client.answer().unwrap().body, most);
    }

    let refused = ask(host.address(), "POST", "/echo", "", &over).unwrap();
    assert_eq!(refused.error(413, "payload_too_large").unwrap(), "the payload exceeds the limit of 1000 bytes");

    let mut client = Client::connect(host.address()).unwrap();
    client.request("POST", "/echo", chunks, b"").unwrap();
    client.send(chunked(&[&over[..1000], &over[1000..]])).unwrap();
    client.answer().unwrap().error(413, "payload_too_large").unwrap();

    // What is announced is refused before it is sent; who asks first is told not to send it.
    for expect in ["", "expect: 100-continue\r\n"] {
        let mut client = Client::connect(host.address()).unwrap();
        client.request("POST", "/echo", &format!("{expect}content-length: 1001\r\n"), b"").unwrap();
        client.answer().unwrap().error(413, "payload_too_large").unwrap();
        assert!(client.ends(SOON).unwrap(), "what the caller sends next is no request");
    }
    let mut client = Client::connect(host.address()).unwrap();
    client.request("POST", "/echo", "expect: 100-continue\r\ncontent-length: 1000\r\n", b"").unwrap();
    assert_eq!(client.head().unwrap().status, 100);
    client.send(most).unwrap();
    assert_eq!(client.answer().unwrap().body, most);

    assert_eq!(host.metric("ignite_host_errors_total{type=\"payload_too_large\"}").unwrap(), 4.0);
}

#[test]
fn who_sends_too_much_before_listening_still_hears_why() {
    let host = serve(&[]);
    let mut payload = vec![7; 6 * 1024 * 1024];
    let answer = ask(host.address(), "POST", "/echo", "", &payload).unwrap();
    assert!(answer.status == 200 && answer.body == payload, "{}", answer.status);

    payload.push(7);
    ask(host.address(), "POST", "/echo", "", &payload).unwrap().error(413, "payload_too_large").unwrap();

    let mut client = Client::connect(host.address()).unwrap();
    client.request("POST", "/echo", "transfer-encoding: chunked\r\n", b"").unwrap();
    client.send(chunked(&payload.chunks(100_000).collect::<Vec<_>>())).unwrap();
    client.answer().unwrap().error(413, "payload_too_large").unwrap();

    assert_eq!(ask(host.address(), "POST", "/echo", "", b"next").unwrap().text(), "next");
}

#[test]
fn headers_at_the_limit_pass_and_one_byte_more_does_not() {
    let host = serve(&[]);
    // Counted are the path, and for each header its name, its value and the four bytes around them.
    let own = "/seen".len() + "host".len() + "test".len() + 4 + "x-long".len() + 4;
    let line = |length: usize| format!("x-long: {}\r\n", "v".repeat(length));
    let most = 32 * 1024 - own;

    let mut client = Client::connect(host.address()).unwrap();
    client.request("GET", "/seen", &line(most), b"").unwrap();
    let answer = client.answer().unwrap();
    assert_eq!((answer.status, answer.json()["headers"]["x-long"].as_str().map(str::len)), (200, Some(most)));
    client.request("GET", "/seen", &line(most + 1), b"").unwrap();
    let words = client.answer().unwrap().error(431, "headers_too_large").unwrap();
    assert_eq!(words, "the request's headers exceed the limit of 32768 bytes");
    client.request("GET", "/seen", "", b"").unwrap();
    assert_eq!(client.answer().unwrap().status, 200, "the connection is as good as before");

    client.request("GET", &format!("/{}", "p".repeat(32 * 1024)), "", b"").unwrap();
    client.answer().unwrap().error(431, "headers_too_large").unwrap();
}

#[test]
fn a_flood_of_headers_is_ended() {
    let host = serve(&[]);
    let many: String = (0..50_000).map(|index| format!("x-{index}: flood\r\n")).collect();
    let long = format!("x-long: {}\r\n", "v".repeat(4 * 1024 * 1024));
    for flood in [many, long] {
        let begun = Instant::now();
        let mut client = Client::connect(host.address()).unwrap();
        // The host may well end the connection while it is flooded.
        let sent = client.request("GET", "/seen", &flood, b"");
        match client.answer() {
            Ok(answer) => assert_eq!(answer.status, 431),
            Err(error) => assert!(sent.is_err() || format!("{error:#}").contains("reset"), "{error:#}"),
        }
        assert!(begun.elapsed() < SOON);
    }
    assert_eq!(ask(host.address(), "GET", "/seen", "", b"").unwrap().status, 200);
    assert_eq!(host.metric("ignite_host_executions_total{class=\"2xx\"}").unwrap(), 1.0, "no flood became a request");
}

#[test]
fn slow_callers_are_ended_and_keep_nobody_waiting() {
    let host = serve(&[
        ("IGNITE_MAX_CONCURRENCY", "1"),
        ("IGNITE_HEADER_TIMEOUT_MS", "400"),
        ("IGNITE_BODY_IDLE_MS", "400"),
        ("IGNITE_TIMEOUT_MS", "1200"),
    ]);
    let address = host.address();
    let dribble = |client: &mut Client, bytes: &str| {
        let begun = Instant::now();
        for byte in bytes.bytes() {
            if client.send([byte]).is_err() || begun.elapsed() > SOON {
                break;
            }
            // The pace of the attack, not a wait for something.
            thread::sleep(Duration::from_millis(60));
        }
    };
    thread::scope(|scope| {
        let silent = scope.spawn(|| Client::connect(address).unwrap().ends(SOON).unwrap());
        let headers = scope.spawn(|| {
            let mut client = Client::connect(address).unwrap();
            let begun = Instant::now();
            dribble(&mut client, &format!("GET /seen HTTP/1.1\r\nx-slow: {}", "x".repeat(1000)));
            (client.ends(SOON), begun.elapsed())
        });
        let stopped = scope.spawn(|| {
            let mut client = Client::connect(address).unwrap();
            client.request("POST", "/echo", "content-length: 100\r\n", b"").unwrap();
            client.send("only this").unwrap();
            let answer = client.answer().unwrap();
            (answer.error(408, "payload_timeout").unwrap(), answer.took)
        });
        let body = scope.spawn(|| {
            let mut client = Client::connect(address).unwrap();
            client.request("POST", "/echo", "content-length: 1000\r\n", b"").unwrap();
            let begun = Instant::now();
            dribble(&mut client, &"x".repeat(30));
            client.answer().unwrap().error(408, "payload_timeout").unwrap();
            begun.elapsed()
        });
        // None of them holds the only slot.
        let mut served = 0;
        while !(silent.is_finished() && headers.is_finished() && stopped.is_finished() && body.is_finished()) {
            assert_eq!(ask(address, "POST", "/echo", "", b"quick").unwrap().text(), "quick");
            served += 1;
        }
        assert!(served > 10, "{served}");
        assert!(silent.join().unwrap());
        let (ended, took) = headers.join().unwrap();
        assert!(ended.unwrap_or(true) && took < SOON, "{took:?}");
        let (words, took) = stopped.join().unwrap();
        assert_eq!(words, "no further part of the payload came within 400 ms");
        assert!(took >= Duration::from_millis(390) && took < Duration::from_millis(400) + LATE_MAX, "{took:?}");
        let took = body.join().unwrap();
        assert!(
            took >= Duration::from_millis(1190),
            "each part came in time until the execution's own was up: {took:?}"
        );
    });
}

#[test]
fn with_a_concurrency_of_one_never_two_run() {
    let host = serve(&[("IGNITE_MAX_CONCURRENCY", "1")]);
    let dir = tempfile::tempdir().unwrap();
    let place = dir.path().join("place").display().to_string();
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                let mut client = Client::connect(host.address()).unwrap();
                for _ in 0..5 {
                    client.request("POST", "/alone", "", place.as_bytes()).unwrap();
                    let answer = client.answer().unwrap();
                    assert_eq!((answer.status, answer.text().as_str()), (200, "alone"));
                }
            });
        }
    });
    assert_eq!(host.metric("ignite_host_executions_total{class=\"2xx\"}").unwrap(), 40.0);
}

#[test]
fn beyond_the_queue_it_is_429() {
    let host = serve(&[("IGNITE_MAX_CONCURRENCY", "1"), ("IGNITE_QUEUE_MAX", "1")]);
    let gate = Gate::new();
    let mut first = gate.enter(&host, "");
    let mut second = Client::connect(host.address()).unwrap();
    second.request("POST", "/pid", "", b"").unwrap();
    host.wait_metric("ignite_host_queue_length", 1.0, SOON).unwrap();

    let third = ask(host.address(), "POST", "/pid", "", b"").unwrap();
    let words = third.error(429, "concurrency_limit").unwrap();
    assert_eq!(words, "1 executions run and 1 wait, which is the limit of this instance");
    assert_eq!(third.header("retry-after").as_deref(), Some("1"));

    gate.open();
    assert_eq!(first.client.answer().unwrap().status, 200);
    assert_eq!(second.answer().unwrap().text(), first.pid.to_string());
    assert_eq!(host.metric("ignite_host_queue_length").unwrap(), 0.0);
}

#[test]
fn too_long_in_the_queue_it_is_503() {
    let host = serve(&[("IGNITE_MAX_CONCURRENCY", "1"), ("IGNITE_QUEUE_TIMEOUT_MS", "300")]);
    let gate = Gate::new();
    let mut first = gate.enter(&host, "");
    // The execution's own time may end first; it never began, so that is no 504.
    for (headers, wait_ms) in [("", 300), ("x-ignite-timeout-ms: 100\r\n", 100)] {
        let begun = Instant::now();
        let answer = ask(host.address(), "POST", "/pid", headers, b"").unwrap();
        let (took, wait) = (begun.elapsed(), Duration::from_millis(wait_ms));
        answer.error(503, "queue_timeout").unwrap();
        assert_eq!(answer.header("retry-after").as_deref(), Some("1"));
        assert!(took >= wait && took < wait + LATE_MAX, "{took:?}");
    }
    gate.open();
    assert_eq!(first.client.answer().unwrap().status, 200);
    assert_eq!(ask(host.address(), "POST", "/echo", "", b"next").unwrap().text(), "next");
}

#[test]
fn a_response_over_the_limit_is_refused_and_costs_no_worker() {
    let host = serve(&[("IGNITE_RESPONSE_BYTES_MAX", "1000"), ("IGNITE_MAX_CONCURRENCY", "1")]);
    let before = ask(host.address(), "POST", "/pid", "", b"").unwrap().text();
    assert_eq!(ask(host.address(), "POST", "/echo", "", &[b'x'; 1000]).unwrap().body.len(), 1000);
    let words = ask(host.address(), "POST", "/echo", "", &[b'x'; 1001]).unwrap().error(502, "response_too_large");
    assert!(words.as_ref().unwrap().contains("the limit of 1000 bytes"), "{words:?}");
    assert_eq!(ask(host.address(), "POST", "/pid", "", b"").unwrap().text(), before);
}

#[test]
fn a_callers_deadline_only_shortens() {
    let host = serve(&[("IGNITE_TIMEOUT_MS", "2000")]);
    let remaining = |asked: &str| {
        let headers = format!("x-ignite-timeout-ms: {asked}\r\n");
        ask(host.address(), "POST", "/remaining", &headers, b"").unwrap().json()["ms"].as_f64().unwrap()
    };
    let (shorter, longer) = (remaining("800"), remaining("60000"));
    assert!(0.0 < shorter && shorter <= 800.0, "{shorter}");
    assert!(800.0 < longer && longer <= 2000.0, "{longer}");
    for wrong in ["soon", "-1", "1.5", "", "99999999999999999999999"] {
        let answer = ask(host.address(), "POST", "/pid", &format!("x-ignite-timeout-ms: {wrong}\r\n"), b"").unwrap();
        let words = answer.error(400, "invalid_header").unwrap();
        assert!(words.contains("x-ignite-timeout-ms"), "{words}");
    }
}

#[test]
fn at_the_deadline_it_is_504_and_the_slot_is_free_again() {
    let host = serve(&[("IGNITE_TIMEOUT_MS", "500"), ("IGNITE_MAX_CONCURRENCY", "1")]);
    let gate = Gate::new();
    for (headers, limit_ms) in [("", 500), ("x-ignite-timeout-ms: 200\r\n", 200)] {
        let begun = Instant::now();
        let answer = ask(host.address(), "POST", "/gate", headers, gate.path().as_bytes()).unwrap();
        let (took, limit) = (begun.elapsed(), Duration::from_millis(limit_ms));
        let words = answer.error(504, "timeout").unwrap();
        assert_eq!(words, format!("the execution exceeded its time limit of {limit_ms} ms"));
        assert!(took >= limit && took < limit + LATE_MAX, "{took:?}");
        host.wait_metric("ignite_host_slots_busy", 0.0, SOON).unwrap();
    }
    assert_eq!(ask(host.address(), "POST", "/echo", "", b"next").unwrap().text(), "next");
}

#[test]
fn probes_wait_for_nobody_and_are_not_executions() {
    let host = serve(&[("IGNITE_MAX_CONCURRENCY", "1"), ("IGNITE_QUEUE_MAX", "0")]);
    let gate = Gate::new();
    let mut busy = gate.enter(&host, "");
    let mut client = Client::connect(host.address()).unwrap();
    for (path, body) in [("/healthz", json!({ "status": "ready" })), ("/livez", json!({ "status": "live" }))] {
        client.request("GET", path, "", b"").unwrap();
        let answer = client.answer().unwrap();
        assert_eq!((answer.status, answer.json()), (200, body));
        client.request("HEAD", path, "", b"").unwrap();
        assert_eq!(client.head().unwrap().status, 200);
    }
    client.request("POST", "/healthz", "", b"").unwrap();
    client.answer().unwrap().error(429, "concurrency_limit").unwrap();
    assert_eq!(host.metric("ignite_host_slots_busy").unwrap(), 1.0);
    assert_eq!(host.metric("ignite_host_executions_total{class=\"2xx\"}").unwrap(), 0.0);
    gate.open();
    assert_eq!(busy.client.answer().unwrap().status, 200);
    assert_eq!(host.metric("ignite_host_executions_total{class=\"2xx\"}").unwrap(), 1.0);
    host.wait_metric("ignite_host_slots_busy", 0.0, SOON).unwrap();
    client.request("POST", "/healthz", "", b"").unwrap();
    assert_eq!(client.answer().unwrap().json()["path"], "/healthz", "probes are asked with GET and HEAD");
}

#[test]
fn every_method_and_path_reaches_the_handler() {
    let host = serve(&[]);
    let mut client = Client::connect(host.address()).unwrap();
    for method in ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PURGE"] {
        client.request(method, "/any", "", b"").unwrap();
        let answer = client.answer().unwrap();
        assert_eq!((answer.status, &answer.json()["method"]), (200, &json!(method)));
    }
    client.request("HEAD", "/any", "", b"").unwrap();
    let head = client.head().unwrap();
    assert_eq!((head.status, head.header("x-seen-method").as_deref()), (200, Some("HEAD")));
    for path in ["/", "//a//b/", "/a%20b", "/../up", "/metrics", "/healthz/", "/%F0%9F%94%A5"] {
        client.request("GET", path, "", b"").unwrap();
        let answer = client.answer().unwrap();
        assert_eq!((answer.status, &answer.json()["path"]), (200, &json!(path)));
    }
    // As a proxy is asked, and as a server is asked about itself.
    client.request("GET", "http://elsewhere.test/absolute?a=b", "", b"").unwrap();
    assert_eq!(client.answer().unwrap().json()["path"], "/absolute");
    client.request("OPTIONS", "*", "", b"").unwrap();
    assert_eq!(client.answer().unwrap().status, 200);
}

#[test]
fn what_is_no_http_is_answered_400_and_harms_nobody() {
    let host = serve(&[]);
    for nonsense in [
        "\0\0\0\0\r\n\r\n",
        "GET /seen HTTP/9.9\r\n\r\n",
        "GET /seen HTTP/1.1\r\nno colon\r\n\r\n",
        "POST /seen HTTP/1.1\r\nhost: test\r\ncontent-length: many\r\n\r\n",
        "POST /seen HTTP/1.1\r\nhost: test\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n",
    ] {
        let mut client = Client::connect(host.address()).unwrap();
        client.send(nonsense).unwrap();
        assert_eq!(client.answer().unwrap().status, 400, "{nonsense:?}");
        assert!(client.ends(SOON).unwrap(), "{nonsense:?}");
    }
    let mut client = Client::connect(host.address()).unwrap();
    client.request("POST", "/seen", "transfer-encoding: chunked\r\n", b"").unwrap();
    client.send("not a size\r\n").unwrap();
    client.answer().unwrap().error(400, "payload_broken").unwrap();
    assert_eq!(ask(host.address(), "GET", "/seen", "", b"").unwrap().status, 200);
}

#[test]
fn requests_sent_ahead_are_answered_in_order() {
    let host = serve(&[]);
    let mut client = Client::connect(host.address()).unwrap();
    let one = |body: &str| format!("POST /echo HTTP/1.1\r\nhost: test\r\ncontent-length: {}\r\n\r\n{body}", body.len());
    client.send((0..20).map(|index| one(&index.to_string())).collect::<String>()).unwrap();
    for index in 0..20 {
        assert_eq!(client.answer().unwrap().text(), index.to_string());
    }
}

// Frames and flags of HTTP/2 (RFC 9113 §6).
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const SETTINGS: u8 = 4;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

/// One frame of HTTP/2 (RFC 9113 §4.1).
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut frame = (payload.len() as u32).to_be_bytes()[1..].to_vec();
    frame.extend_from_slice(&[kind, flags]);
    frame.extend_from_slice(&stream.to_be_bytes());
    frame.extend_from_slice(payload);
    frame
}

#[test]
fn http2_is_spoken_by_prior_knowledge() {
    let host = serve(&[]);
    let mut client = Client::connect(host.address()).unwrap();
    client.send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").unwrap();
    client.send(frame(SETTINGS, 0, 0, b"")).unwrap();
    // POST (3) and `http` (6) by index; path (4) and authority (1) as they are (RFC 7541, appendix A).
    let head = b"\x83\x86\x04\x05/echo\x01\x04test";
    for (stream, body) in [(1, b"first"), (3, b"other")] {
        client.send(frame(HEADERS, END_HEADERS, stream, head)).unwrap();
        client.send(frame(DATA, END_STREAM, stream, body)).unwrap();
    }
    let (mut statuses, mut bodies) = (vec![], vec![]);
    while bodies.len() < 2 {
        let head = client.exactly(9).unwrap();
        let payload = client.exactly(u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize).unwrap();
        let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
        match head[3] {
            HEADERS => statuses.push((stream, payload[0])),
            DATA if !payload.is_empty() => bodies.push((stream, String::from_utf8(payload).unwrap())),
            _ => {}
        }
    }
    statuses.sort_unstable();
    bodies.sort_unstable();
    assert_eq!(statuses, [(1, 0x88), (3, 0x88)], "status 200 is index 8");
    assert_eq!(bodies, [(1, "first".to_owned()), (3, "other".to_owned())]);
}

#[test]
fn ids_are_kept_made_or_replaced() {
    let host = serve(&[("IGNITE_FUNCTION_ID", "acme/paint")]);
    let own = execution_id();
    let headers = format!(
        "x-ignite-execution-id: {own}\r\nx-ignite-function-id: other/brush\r\nx-ignite-organization-id: other\r\n\
         traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\n"
    );
    let answer = ask(host.address(), "POST", "/seen", &headers, b"").unwrap();
    let seen = answer.json();
    for (name, member, value) in [
        ("x-ignite-execution-id", "execution_id", own.as_str()),
        ("x-ignite-function-id", "function_id", "other/brush"),
        ("x-ignite-organization-id", "organization_id", "other"),
    ] {
        assert_eq!(answer.header(name).as_deref(), Some(value));
        assert_eq!(seen[member], value);
        assert!(seen["headers"][name].is_null(), "the platform's headers are not the function's");
    }
    assert_eq!(seen["headers"]["traceparent"], "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");

    let mut made = vec![];
    for headers in [
        "",
        "x-ignite-execution-id: not-an-id\r\nx-ignite-function-id: No Name\r\nx-ignite-organization-id: ../..\r\n",
        "x-ignite-execution-id: 01JD000000000000000000000U\r\n",
    ] {
        let answer = ask(host.address(), "POST", "/seen", headers, b"").unwrap();
        assert_eq!(answer.header("x-ignite-function-id").as_deref(), Some("acme/paint"));
        assert_eq!(answer.header("x-ignite-organization-id").as_deref(), Some("acme"));
        let id = answer.header("x-ignite-execution-id").unwrap();
        assert_eq!(answer.json()["execution_id"], id.as_str());
        assert!(id.len() == 26 && !headers.contains(&id), "{id}");
        made.push(id);
    }
    made.dedup();
    assert_eq!(made.len(), 3, "each is its own: {made:?}");
}

#[test]
fn headers_of_the_connection_go_no_further() {
    let host = serve(&[]);
    let mut client = Client::connect(host.address()).unwrap();
    let headers = "connection: keep-alive, x-gone\r\nx-gone: 1\r\nkeep-alive: timeout=5\r\nte: trailers\r\n\
                   proxy-authorization: Basic eA==\r\nupgrade: websocket\r\nx-kept: 1\r\ncookie: a=1\r\n";
    client.request("POST", "/seen", headers, b"x").unwrap();
    let seen = client.answer().unwrap().json()["headers"].clone();
    for gone in ["connection", "x-gone", "keep-alive", "te", "proxy-authorization", "upgrade", "transfer-encoding"] {
        assert!(seen[gone].is_null(), "{gone}: {seen}");
    }
    assert_eq!((&seen["x-kept"], &seen["cookie"], &seen["host"]), (&json!("1"), &json!("a=1"), &json!("test")));

    let asked = json!({ "status": 201, "body": "four", "headers": {
        "connection": "close, x-gone", "x-gone": "1", "keep-alive": "timeout=1", "transfer-encoding": "gzip",
        "content-length": "2", "upgrade": "h2c", "x-ignite-execution-id": "mine", "x-kept": "1",
    }});
    client.request("POST", "/respond", "", asked.to_string().as_bytes()).unwrap();
    let answer = client.answer().unwrap();
    assert_eq!((answer.status, answer.text().as_str()), (201, "four"));
    for gone in ["connection", "x-gone", "keep-alive", "transfer-encoding", "upgrade"] {
        assert_eq!(answer.header(gone), None, "{answer:?}");
    }
    assert_eq!(answer.header("x-kept").as_deref(), Some("1"));
    assert_eq!(answer.header("x-ignite-execution-id").map(|id| id.len()), Some(26));

    client.request("POST", "/echo", "connection: close\r\n", b"last").unwrap();
    assert_eq!(client.answer().unwrap().text(), "last");
    assert!(client.ends(SOON).unwrap(), "the caller's own wish counts");
}

#[test]
fn tracebacks_are_shown_only_where_the_app_says_so() {
    for (setting, shown) in [(None, false), (Some("false"), false), (Some("true"), true)] {
        let env: Vec<_> = setting.map(|value| ("IGNITE_EXPOSE_ERRORS", value)).into_iter().collect();
        let host = serve(&env);
        let answer = ask(host.address(), "POST", "/raise", "", b"").unwrap();
        assert_eq!(answer.error(500, "ValueError").unwrap(), "no such colour: mauve");
        let traceback = answer.json()["traceback"].as_str().map(str::to_owned);
        assert_eq!(traceback.is_some(), shown, "{setting:?}: {}", answer.text());
        assert!(traceback.is_none_or(|text| text.contains("in raise_error") && text.contains("handler.py")));
        let id = answer.header("x-ignite-execution-id").unwrap();
        let logged = |line: &serde_json::Value| {
            line["execution_id"] == id.as_str() && line.to_string().contains("in raise_error")
        };
        host.log_line(SOON, logged).expect("the log has it in any case");
    }
}

#[test]
fn connections_beyond_the_limit_wait_for_their_turn() {
    let host = serve(&[("IGNITE_CONNECTIONS_MAX", "2")]);
    wait_until("the test's own first connection is gone", SOON, || {
        host.metric("ignite_host_connections").unwrap() < 0.5
    });
    let mut held: Vec<_> = (0..2).map(|_| Client::connect(host.address()).unwrap()).collect();
    for client in &mut held {
        client.request("POST", "/pid", "", b"").unwrap();
        assert_eq!(client.answer().unwrap().status, 200);
    }
    let mut waiting = Client::connect(host.address()).unwrap();
    waiting.request("POST", "/echo", "", b"at last").unwrap();
    assert_eq!(host.metric("ignite_host_connections").unwrap(), 2.0);
    assert_eq!(host.metric("ignite_host_executions_total{class=\"2xx\"}").unwrap(), 2.0);
    drop(held);
    assert_eq!(waiting.answer().unwrap().text(), "at last");
}
