//! Streams, cancellation, and how a worker ends.

use ignite_core_abi::payload::{Failure, Hello, encode_chunk, encode_credit, encode_empty};
use ignite_core_abi::{ABI_VERSION, FrameHeader, FrameKind};

use crate::host::{Call, Host, USUAL, command, wait};

fn narrow(function: &str) -> Host {
    Host::start_with(function, Hello { stream_window_bytes: 6, ..USUAL })
}

#[test]
fn a_stream_sends_what_the_host_has_room_for() {
    let mut host = narrow("asynchronous");
    host.invoke(1, &Call::to("/stream"));
    assert_eq!(host.stream(1), 202);
    assert_eq!(host.part(1), ("012345".to_owned(), false));
    // Another execution is not held up by one that waits.
    assert_eq!(host.ask(2, &Call::with("/echo", b"past")).text(), "past");
    host.credit(1, 1);
    assert_eq!(host.part(1), ("6".to_owned(), false));
    host.credit(1, 5);
    assert_eq!(host.part(1), ("789".to_owned(), false));
    assert_eq!(host.part(1), ("ab".to_owned(), false));
    host.credit(1, 1000);
    assert_eq!(host.part(1), ("cdefghijklmno".to_owned(), false));
    assert_eq!(host.part(1), (String::new(), true));
    // Credit that crosses the end is not at fault.
    host.credit(1, 1000);
    assert_eq!(host.ask(3, &Call::with("/echo", b"on")).text(), "on");
}

#[test]
fn a_handler_that_is_not_async_streams_by_blocking() {
    let mut host = narrow("synchronous");
    host.invoke(1, &Call::to("/stream"));
    assert_eq!(host.stream(1), 200);
    assert_eq!(host.part(1), ("012345".to_owned(), false));
    host.credit(1, 6);
    assert_eq!(host.part(1), ("6789".to_owned(), false));
    let mut rest = String::new();
    loop {
        let (part, end) = host.part(1);
        host.credit(1, 6);
        rest.push_str(&part);
        if end {
            break;
        }
    }
    assert_eq!(rest, "abc-7");
}

#[test]
fn a_stream_that_goes_wrong_is_broken_off() {
    let mut host = Host::start("asynchronous");
    let message = |host: &mut Host, path, parts: &[&str]| {
        host.invoke(1, &Call::to(path));
        assert_eq!(host.stream(1), 200);
        for part in parts {
            assert_eq!(host.part(1), ((*part).to_owned(), false));
        }
        let (kind, message, _) = host.failure(1);
        format!("{}: {message}", kind.rsplit(':').next().unwrap_or_default())
    };
    assert_eq!(message(&mut host, "/stream/error", &["begun"]), "Outer: no number came: invalid digit found in string");
    assert_eq!(message(&mut host, "/stream/refused", &[]), "Error: too late");
    assert_eq!(message(&mut host, "/stream/panic", &[]), "panic: midway");
    assert_eq!(
        message(&mut host, "/stream/unfinished", &[]),
        "stream_unfinished: the handler began a stream and returned without finishing it: return what `finish` gives"
    );
}

#[test]
fn an_execution_has_one_stream() {
    let mut host = Host::start("asynchronous");
    host.invoke(1, &Call::to("/stream/twice"));
    assert_eq!(host.stream(1), 200);
    assert_eq!(host.log().2, "an execution has one answer, and this one's has begun before");
    assert_eq!(host.part(1), (String::new(), true));
    assert_eq!(host.ask(2, &Call::with("/echo", b"on")).text(), "on");
}

#[test]
fn cancel_stops_a_stream_that_waits_for_room() {
    for function in ["asynchronous", "synchronous"] {
        let mut host = narrow(function);
        host.invoke(1, &Call::to("/stream"));
        host.stream(1);
        assert_eq!(host.part(1), ("012345".to_owned(), false));
        host.cancel(1);
        assert_eq!(host.failure(1).0, "cancelled", "{function}");
        assert_eq!(host.ask(2, &Call::with("/echo", b"on")).text(), "on");
    }
}

#[test]
fn cancel_drops_a_handler_where_it_waits() {
    let mut host = Host::start("asynchronous");
    for (id, path) in [(1, "/wait"), (2, "/wait/drop"), (3, "/wait/listen"), (4, "/wait/deaf")] {
        host.invoke(id, &Call::to(path));
    }
    host.cancel(1);
    let (kind, message, _) = host.failure(1);
    assert_eq!((&*kind, &*message), ("cancelled", "the handler stopped because its execution was cancelled"));
    // Its values are gone when it is answered.
    host.cancel(2);
    assert_eq!(host.log().2, "dropped");
    assert_eq!(host.failure(2).0, "cancelled");
    // One that listens has time to tidy up, and no more than that.
    host.cancel(3);
    assert_eq!(host.log().2, "tidied up");
    assert_eq!(host.failure(3).0, "cancelled");
    host.cancel(4);
    assert_eq!(host.failure(4).0, "cancelled");
    // Of an id that is unknown or answered nothing is said.
    host.cancel(4);
    host.cancel(99);
    assert_eq!(host.ask(5, &Call::with("/echo", b"on")).text(), "on");
}

#[test]
fn a_handler_that_is_not_async_can_ask_whether_it_is_cancelled() {
    let mut host = Host::start("synchronous");
    host.invoke(1, &Call::to("/wait/listen"));
    host.cancel(1);
    assert_eq!(host.failure(1).0, "cancelled");
}

#[test]
fn drain_finishes_what_is_in_flight() {
    for function in ["asynchronous", "synchronous"] {
        let mut host = Host::start(function);
        host.invoke(1, &Call::to("/gate/wait"));
        host.invoke(2, &Call::to("/gate/open"));
        host.drain();
        let mut ids = [host.next(), host.next()].map(|frame| (frame.kind, frame.id));
        ids.sort_by_key(|(_, id)| *id);
        assert_eq!(ids, [(FrameKind::Result, 1), (FrameKind::Result, 2)]);
        assert_eq!(host.next().kind, FrameKind::Bye);
        assert_eq!(host.ended(), (0, String::new()), "{function}");
    }
    let mut idle = Host::start("asynchronous");
    idle.drain();
    assert_eq!(idle.next().kind, FrameKind::Bye);
    assert_eq!(idle.ended(), (0, String::new()));
}

#[test]
fn a_closed_socket_ends_the_worker_at_once() {
    let mut host = Host::start("asynchronous");
    host.invoke(1, &Call::to("/wait"));
    assert_eq!(host.end(), (0, String::new()));
    let mut host = Host::start("synchronous");
    host.invoke(1, &Call::to("/gate/wait"));
    assert_eq!(host.end(), (0, String::new()));
}

#[test]
fn whatever_breaks_the_protocol_ends_the_worker() {
    let check = |send: &dyn Fn(&mut Host), expected: &str| {
        let mut host = Host::start_with("asynchronous", Hello { max_concurrency: 1, ..USUAL });
        send(&mut host);
        assert_eq!(host.ended(), (70, format!("ignite worker: {expected}\n")));
    };
    let raw = |bytes: [u8; 16]| move |host: &mut Host| host.send(|out| out.extend_from_slice(&bytes));
    let head = |length, kind: u8, flags| {
        let mut bytes = FrameHeader { length, kind: FrameKind::Drain, flags, id: 1 }.to_bytes();
        bytes[4] = kind;
        bytes
    };
    check(&raw(head(0, 99, 0)), "malformed frame from the host: unknown frame kind 99");
    check(&raw(head(0, 5, 2)), "malformed frame from the host: unknown frame flags 0b00000010");
    check(
        &raw(head(1 << 30, 2, 1)),
        "malformed frame from the host: frame of 1073741824 bytes exceeds the limit of 33554432 bytes",
    );
    check(&raw(head(0, 2, 1)), "malformed frame from the host: payload ends inside `timeout`");
    check(&raw(head(0, 2, 0)), "malformed frame from the host: INVOKE without END");
    check(&raw(head(0, 3, 0)), "malformed frame from the host: payload ends inside `cancel reason`");
    check(&|host| host.send(|out| USUAL.encode(out)), "the host sent Hello, which is not for a worker that serves");
    check(
        &|host| host.send(|out| encode_chunk(1, true, b"", out)),
        "the host sent Chunk, which is not for a worker that serves",
    );
    check(
        &|host| host.send(|out| encode_empty(FrameKind::Fork, 1, out)),
        "the host sent Fork, which is not for a worker that serves",
    );
    let two = |host: &mut Host| [1, 2].into_iter().for_each(|id| host.invoke(id, &Call::to("/wait")));
    check(&two, "the host sent INVOKE wrongly: more than 1 executions at once");
    let late = |host: &mut Host| {
        host.invoke(1, &Call::to("/wait"));
        host.drain();
        host.drain();
    };
    check(&late, "the host sent DRAIN twice");

    let mut host = Host::greeted("asynchronous", USUAL);
    assert_eq!(host.next().kind, FrameKind::Ready);
    host.invoke(1, &Call::to("/wait"));
    host.invoke(1, &Call::to("/wait"));
    assert_eq!(host.ended().1, "ignite worker: the host sent INVOKE wrongly: execution 1 is running already\n");
    let mut host = Host::start("asynchronous");
    host.invoke(1, &Call::to("/wait"));
    host.drain();
    host.invoke(2, &Call::to("/wait"));
    assert_eq!(host.ended().1, "ignite worker: the host sent INVOKE wrongly: execution 2 came after DRAIN\n");
}

#[test]
fn a_host_of_another_version_is_told_so() {
    let mut host = Host::greeted("asynchronous", Hello { abi_version: ABI_VERSION + 1, ..USUAL });
    let frame = host.next();
    assert_eq!(frame.kind, FrameKind::InitError);
    let failure = Failure::decode(&frame.payload).unwrap();
    assert_eq!((failure.kind, failure.message), ("abi_version", "this function speaks version 1, the host 2"));
    assert_eq!(host.ended(), (1, String::new()));
}

#[test]
fn a_program_started_by_hand_says_how_to_serve_it() {
    let by_hand = command("asynchronous").spawn().unwrap();
    let expected = "this is an Ignite function; to serve it, run `ignite run` in its folder, and `ignite dev` to rebuild it as \
                    you edit\n";
    assert_eq!(wait(by_hand), (2, expected.to_owned()));
    for (number, cause) in
        [("x", "not the number"), ("-1", "not the number"), ("1", "not the number"), ("77", "Bad file descriptor")]
    {
        let (status, said) = wait(command("asynchronous").env("IGNITE_WORKER_FD", number).spawn().unwrap());
        assert_eq!(status, 70, "{said}");
        assert!(said.starts_with("ignite worker: IGNITE_WORKER_FD does not name the host's socket: "), "{said}");
        assert!(said.contains(cause), "{said}");
    }
}

#[test]
fn frames_may_come_in_any_pieces() {
    let mut host = Host::start("asynchronous");
    let mut bytes = Vec::new();
    encode_credit(9, 1, &mut bytes);
    encode_credit(9, 1, &mut bytes);
    for byte in bytes {
        host.send(|out| out.push(byte));
    }
    for size in [0, 1, 65_000, 131_000, 131_072, 200_000] {
        let body = vec![7; size];
        host.invoke(1, &Call::with("/echo", &body));
        host.invoke(2, &Call::with("/echo", b"behind"));
        let mut answers = [host.next(), host.next()].map(|frame| (frame.id, frame.payload.len()));
        answers.sort_unstable();
        assert!(answers[0].1 > size, "{answers:?}");
    }
}
