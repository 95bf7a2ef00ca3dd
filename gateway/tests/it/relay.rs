//! Short requests share a connection to an instance, in frames.

use std::time::{Duration, Instant};

use ignite_core_abi::payload::{Failure, decode_number, encode_chunk, encode_empty};
use ignite_core_abi::{FrameKind, NOT_BEGUN, STREAM_WINDOW_BYTES};
use ignite_core_model::AppSettings;
use ignite_gateway::GatewayLimits;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::instance::FakeInstance;
use crate::script::Script;
use crate::stage::{SOON, Stage};

const HOST: &str = "host: hello-acme.ignite.localhost";

fn open() -> AppSettings {
    AppSettings { allow_unauthenticated: true, ..AppSettings::default() }
}

/// An app that anybody may call, with a scripted instance.
async fn scripted(places: u32) -> (Stage, Script) {
    let (stage, script) = (Stage::new(open()).await, Script::new().await);
    stage.instances(1, &[(script.address(), places)]).await;
    (stage, script)
}

/// A caller that reads its answer by itself.
async fn caller(stage: &Stage) -> TcpStream {
    let mut stream = TcpStream::connect(stage.gateway.address()).await.unwrap();
    stream.write_all(format!("GET / HTTP/1.1\r\n{HOST}\r\n\r\n").as_bytes()).await.unwrap();
    stream
}

/// Reads until `needle` has come.
async fn read_until(stream: &mut TcpStream, needle: &str) -> String {
    let mut read = Vec::new();
    let reading = async {
        while !String::from_utf8_lossy(&read).contains(needle) {
            let mut part = [0; 4096];
            let length = stream.read(&mut part).await.unwrap();
            assert!(length > 0, "the gateway ended it after {}", String::from_utf8_lossy(&read));
            read.extend_from_slice(&part[..length]);
        }
    };
    timeout(SOON, reading).await.expect("it comes");
    String::from_utf8_lossy(&read).into_owned()
}

#[tokio::test]
async fn requests_of_a_thread_share_one_connection_and_are_answered_in_any_order() {
    let (stage, script) = scripted(64).await;
    let (answers, ()) = tokio::join!(
        async {
            let calls = (0..16).map(|number| {
                let address = stage.gateway.address();
                let line = format!("POST /{number} HTTP/1.1");
                async move { crate::stage::call(address, &[&line, HOST], "a body").await }
            });
            futures(calls).await
        },
        async {
            // As many connections as the gateway has threads, whatever comes on them.
            let lanes = std::thread::available_parallelism().unwrap().get();
            let mut lines = Vec::new();
            for _ in 0..lanes.min(16) {
                lines.push(script.greet(64).await);
            }
            let answering = lines.into_iter().map(|mut line| async move {
                let mut asked = Vec::new();
                // Those of one thread come together: it has as many callers as any other.
                while asked.len() < 16 / lanes.min(16) {
                    let (header, payload) = line.next().await.unwrap();
                    let invoke = ignite_core_abi::payload::Invoke::decode(&payload).unwrap();
                    assert_eq!((invoke.method, invoke.body), ("POST", &b"a body"[..]));
                    asked.push((header.id, invoke.path.to_owned()));
                }
                for (id, path) in asked.iter().rev() {
                    line.answer(*id, path);
                }
            });
            futures(answering).await;
        }
    );
    for (number, answer) in answers.iter().enumerate() {
        assert_eq!((answer.status, &*answer.body), (200, &*format!("/{number}")));
    }
}

/// What all resolve to, side by side.
async fn futures<T: Send + 'static>(all: impl Iterator<Item = impl Future<Output = T> + Send + 'static>) -> Vec<T> {
    let tasks: Vec<_> = all.map(tokio::spawn).collect();
    let mut done = Vec::new();
    for task in tasks {
        done.push(task.await.unwrap());
    }
    done
}

#[tokio::test]
async fn an_instance_that_leaves_answers_what_it_has_and_is_sent_nothing_more() {
    let (stage, script) = scripted(64).await;
    let (answer, mut line) = tokio::join!(stage.call(&["GET / HTTP/1.1", HOST], ""), async {
        let mut line = script.greet(64).await;
        let id = line.invoked().await;
        line.send(|out| encode_empty(FrameKind::Bye, 0, out));
        // The next request comes on another connection while this one is still under way.
        let (second, ()) = tokio::join!(stage.call(&["GET / HTTP/1.1", HOST], ""), async {
            let mut next = script.greet(64).await;
            let id = next.invoked().await;
            next.answer(id, "second");
        });
        assert_eq!(second.body, "second");
        line.answer(id, "first");
        line
    });
    assert_eq!(answer.body, "first");
    assert!(line.next().await.is_none(), "then the gateway ends the connection");
}

#[tokio::test]
async fn what_an_instance_did_not_begin_is_tried_elsewhere() {
    let (stage, script) = scripted(64).await;
    let there = FakeInstance::start("there").await;
    // The scripted one has more places, and so is asked first.
    stage.instances(1, &[(script.address(), 64), (there.address, 1)]).await;
    let (answer, ()) = tokio::join!(stage.call(&["POST / HTTP/1.1", HOST], "kept"), async {
        let mut line = script.greet(64).await;
        let id = line.invoked().await;
        line.send(|out| Failure { kind: NOT_BEGUN, message: "it ends", trace: "" }.encode_error(id, out));
    });
    assert_eq!((answer.status, &*answer.body), (200, "there"));
}

#[tokio::test]
async fn a_connection_that_ends_costs_what_was_under_way_and_nothing_else() {
    let (stage, script) = scripted(64).await;
    let (answer, ()) = tokio::join!(stage.call(&["GET / HTTP/1.1", HOST], ""), async {
        let mut line = script.greet(64).await;
        line.invoked().await;
    });
    // It may have been begun: it is not sent again.
    assert_eq!((answer.status, &*answer.kind()), (502, "instance_ended"), "{answer:?}");
    let (answer, ()) = tokio::join!(stage.call(&["GET / HTTP/1.1", HOST], ""), async {
        let mut line = script.greet(64).await;
        let id = line.invoked().await;
        line.answer(id, "well");
    });
    assert_eq!(answer.body, "well");
}

#[tokio::test]
async fn what_is_no_frame_or_not_the_instances_to_say_ends_the_connection() {
    let faults: [fn(&mut Vec<u8>); 5] = [
        |out| out.extend_from_slice(b"HTTP/1.1 200 OK\r\n\r\n"),
        |out| encode_empty(FrameKind::Drain, 0, out),
        |out| encode_chunk(1, true, b"before its head", out),
        |out| out.extend_from_slice(&[2, 0, 0, 0, FrameKind::Result as u8, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 99, 0]),
        |out| out.extend_from_slice(&[255, 255, 255, 255, FrameKind::Result as u8, 1, 0, 0]),
    ];
    for (number, fault) in faults.into_iter().enumerate() {
        let (stage, script) = scripted(64).await;
        let (answer, mut line) = tokio::join!(stage.call(&["GET / HTTP/1.1", HOST], ""), async {
            let mut line = script.greet(64).await;
            assert_eq!(line.invoked().await, 1);
            line.send(fault);
            if number == 4 {
                // The rest of its head.
                line.send(|out| out.extend_from_slice(&[1, 0, 0, 0, 0, 0, 0, 0]));
            }
            line
        });
        assert_eq!(answer.status, 502, "fault {number}: {answer:?}");
        assert!(line.next().await.is_none(), "fault {number}");
    }
}

#[tokio::test]
async fn a_stream_is_sent_as_fast_as_its_caller_reads() {
    let (stage, script) = scripted(64).await;
    let mut caller = caller(&stage).await;
    let mut line = script.greet(64).await;
    let id = line.invoked().await;
    line.begin(id, b"first", false);
    read_until(&mut caller, "first").await;
    // What is sent within the window comes to the caller, who gives credit by reading.
    let part = vec![b'x'; 32 * 1024];
    let mut sent = 5;
    while sent + part.len() <= STREAM_WINDOW_BYTES as usize {
        line.send(|out| encode_chunk(id, false, &part, out));
        sent += part.len();
    }
    let (credit, ()) = tokio::join!(
        async {
            let (header, payload) = line.next().await.unwrap();
            assert_eq!((header.kind, header.id), (FrameKind::Credit, id));
            decode_number(&payload).unwrap()
        },
        async {
            let mut read = 0;
            let mut buffer = vec![0; 64 * 1024];
            while read < 128 * 1024 {
                read += timeout(SOON, caller.read(&mut buffer)).await.unwrap().unwrap();
            }
        }
    );
    assert!(credit >= STREAM_WINDOW_BYTES / 4, "{credit}");
    line.send(|out| encode_chunk(id, true, b"last", out));
    read_until(&mut caller, "last\r\n0\r\n\r\n").await;
}

#[tokio::test]
async fn a_caller_who_reads_nothing_gives_no_credit() {
    let (stage, script) = scripted(64).await;
    let _caller = caller(&stage).await;
    let mut line = script.greet(64).await;
    let id = line.invoked().await;
    line.begin(id, b"", false);
    // Kernel and gateway hold some; then credit ends, and the instance has to wait.
    let part = vec![b'x'; STREAM_WINDOW_BYTES as usize / 4];
    let (mut credit, mut sent) = (STREAM_WINDOW_BYTES, 0);
    loop {
        while credit >= part.len() as u32 {
            line.send(|out| encode_chunk(id, false, &part, out));
            credit -= part.len() as u32;
            sent += part.len();
            assert!(sent < 64 * 1024 * 1024, "it is passed on though nobody reads");
        }
        match timeout(Duration::from_millis(500), line.next()).await {
            Ok(frame) => credit += decode_number(&frame.unwrap().1).unwrap(),
            Err(_) => break,
        }
    }
    // One byte more than the credit is a fault.
    line.send(|out| encode_chunk(id, false, &vec![b'x'; credit as usize + 1], out));
    assert!(line.next().await.is_none());
}

#[tokio::test]
async fn a_stream_that_breaks_off_never_looks_whole() {
    let (stage, script) = scripted(64).await;
    let mut caller = caller(&stage).await;
    let mut line = script.greet(64).await;
    let id = line.invoked().await;
    line.begin(id, b"part", false);
    read_until(&mut caller, "part").await;
    line.send(|out| Failure { kind: "broken_off", message: "it failed", trace: "" }.encode_error(id, out));
    let mut rest = Vec::new();
    let _ = timeout(SOON, caller.read_to_end(&mut rest)).await.expect("the connection ends");
    let rest = String::from_utf8_lossy(&rest);
    assert!(!rest.contains("0\r\n\r\n") && !rest.contains("it failed"), "{rest:?}");
}

#[tokio::test]
async fn an_instance_is_told_when_its_caller_goes_away() {
    let (stage, script) = scripted(1).await;
    let gone = caller(&stage).await;
    let mut line = script.greet(64).await;
    let id = line.invoked().await;
    drop(gone);
    let (header, _) = line.next().await.unwrap();
    assert_eq!((header.kind, header.id), (FrameKind::Cancel, id));
    // The place is free again; what is said of the old one concerns nobody.
    line.answer(id, "too late");
    let mut next = caller(&stage).await;
    let further = tokio::select! {
        id = line.invoked() => (&line, id),
        // The next caller may be another thread's.
        mut other = script.greet(64) => {
            let id = other.invoked().await;
            other.answer(id, "in time");
            read_until(&mut next, "in time").await;
            return;
        }
    };
    further.0.answer(further.1, "in time");
    read_until(&mut next, "in time").await;
}

#[tokio::test]
async fn a_long_or_a_slow_body_has_a_connection_of_its_own() {
    let stage = Stage::new(open()).await;
    let mut instance = FakeInstance::start("hello").await;
    stage.instances(1, &[(instance.address, 8)]).await;
    let long = "x".repeat(100_000);
    assert_eq!(stage.call(&["POST /long HTTP/1.1", HOST], &long).await.body, "hello");
    assert_eq!(instance.asked.recv().await.unwrap().body.len(), long.len());
    // The head is passed on before the body has come.
    let mut slow = TcpStream::connect(stage.gateway.address()).await.unwrap();
    slow.write_all(format!("POST /slow HTTP/1.1\r\n{HOST}\r\ncontent-length: 8\r\n\r\nhalf").as_bytes()).await.unwrap();
    tokio::time::sleep(Duration::from_millis(50)).await;
    slow.write_all(b"half").await.unwrap();
    read_until(&mut slow, "hello").await;
    assert_eq!(&instance.asked.recv().await.unwrap().body[..], b"halfhalf");
    // In parts, but here.
    let mut chunked = TcpStream::connect(stage.gateway.address()).await.unwrap();
    let head = format!("POST /chunked HTTP/1.1\r\n{HOST}\r\ntransfer-encoding: chunked\r\n\r\n");
    chunked.write_all(format!("{head}4\r\nhalf\r\n4\r\nhalf\r\n0\r\n\r\n").as_bytes()).await.unwrap();
    read_until(&mut chunked, "hello").await;
    assert_eq!(&instance.asked.recv().await.unwrap().body[..], b"halfhalf");
}

#[tokio::test]
async fn an_instance_that_says_nothing_is_asked_over_http_and_holds_nobody_up_for_another() {
    let limits = GatewayLimits { connect_timeout: Duration::from_millis(300), ..GatewayLimits::default() };
    let (stage, script) = (Stage::with_limits(open(), limits).await, Script::new().await);
    stage.instances(1, &[(script.address(), 64)]).await;
    let begun = Instant::now();
    let mut callers = Vec::new();
    for _ in 0..6 {
        callers.push(caller(&stage).await);
    }
    // It takes connections and reads nothing, as one that was stopped.
    let (mut silent, mut over_http) = (Vec::new(), 0);
    while over_http < callers.len() {
        let mut stream = script.accept().await;
        let mut first = [0; 4];
        timeout(SOON, stream.read_exact(&mut first)).await.unwrap().unwrap();
        over_http += usize::from(&first == b"GET ");
        silent.push(stream);
    }
    // All had waited for the one that asked.
    assert!(begun.elapsed() < Duration::from_millis(300 * 4), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn an_instance_that_is_full_on_one_connection_is_asked_on_another() {
    let (stage, script) = scripted(64).await;
    let lanes = std::thread::available_parallelism().unwrap().get();
    let mut callers = Vec::new();
    let mut lines = Vec::new();
    // One for each thread, each with the one request its connection takes.
    for _ in 0..lanes {
        callers.push(caller(&stage).await);
        let mut line = script.greet(1).await;
        line.invoked().await;
        lines.push(line);
    }
    let _further = caller(&stage).await;
    let mut asked = String::new();
    let mut stream = script.accept().await;
    while !asked.contains("\r\n\r\n") {
        let mut part = [0; 4096];
        let length = timeout(SOON, stream.read(&mut part)).await.unwrap().unwrap();
        asked.push_str(&String::from_utf8_lossy(&part[..length]));
    }
    assert!(asked.starts_with("GET / HTTP/1.1\r\n") && asked.contains("x-ignite-execution-id: "), "{asked}");
}
