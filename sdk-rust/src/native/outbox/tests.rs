#![allow(clippy::unwrap_used, reason = "a test")]

use std::io::Read as _;
use std::thread;

use ignite_core_abi::payload::encode_chunk;
use ignite_core_abi::{FRAME_BYTES_MAX, FrameHeader, HEADER_BYTES};

use super::*;

/// What a host reads until the worker has nothing more to say: kind and payload of each frame.
fn read_all(mut host: UnixStream) -> Vec<(FrameKind, Vec<u8>)> {
    let mut bytes = Vec::new();
    host.read_to_end(&mut bytes).unwrap();
    let mut frames = Vec::new();
    let mut rest = bytes.as_slice();
    while let Some((header, behind)) = rest.split_first_chunk::<HEADER_BYTES>() {
        let header = FrameHeader::decode(header, FRAME_BYTES_MAX).unwrap();
        let (payload, behind) = behind.split_at(header.length as usize);
        frames.push((header.kind, payload.to_vec()));
        rest = behind;
    }
    frames
}

fn log(outbox: &Outbox, message: &str) {
    outbox.put_log(message.len(), |out| Log { level: LogLevel::Info, message, fields: "" }.encode(1, out));
}

#[test]
fn log_records_beyond_the_bound_are_left_out_and_counted() {
    let (socket, host) = UnixStream::pair().unwrap();
    let outbox = Outbox::new(socket);
    let frames = thread::scope(|scope| {
        // Nobody reads: more than the socket holds keeps the one who puts it.
        let stuck = scope.spawn(|| outbox.put(0, |out| encode_chunk(1, false, &vec![0; 8 << 20], out)));
        while lock(&outbox.queue).writer == Writer::Nobody {
            thread::yield_now();
        }
        let message = "x".repeat(1 << 20);
        for _ in 0..10 {
            log(&outbox, &message);
        }
        assert!(!stuck.is_finished());
        let frames = scope.spawn(|| read_all(host));
        stuck.join().unwrap();
        log(&outbox, "room again");
        outbox.socket.shutdown(Shutdown::Write).unwrap();
        frames.join().unwrap()
    });
    let texts: Vec<_> = frames[1..].iter().map(|(_, payload)| Log::decode(payload).unwrap().message).collect();
    assert_eq!(texts.iter().filter(|text| text.len() == 1 << 20).count(), 3);
    assert_eq!(texts[3..], ["7 log records were left out: there were more than the host took", "room again"]);
}

#[test]
fn answers_of_what_was_read_together_are_written_together() {
    let (socket, host) = UnixStream::pair().unwrap();
    host.set_nonblocking(true).unwrap();
    let outbox = Outbox::new(socket);
    let waiting = || {
        let mut bytes = [0; 1024];
        (&host).read(&mut bytes).unwrap_or(0) / HEADER_BYTES
    };
    outbox.hold();
    assert!(outbox.expect() && outbox.expect());
    let answer = || outbox.answer(0, |out| encode_chunk(1, true, &[], out));
    outbox.begun();
    answer();
    assert_eq!(waiting(), 0, "the reader is not done");
    outbox.release();
    assert_eq!(waiting(), 0, "another has not begun");
    outbox.begun();
    assert_eq!(waiting(), 1, "the last one that begins writes what waits");
    answer();
    assert_eq!(waiting(), 1, "with nobody to wait for it is written at once");
}

#[test]
fn bye_is_the_last_word() {
    let (socket, host) = UnixStream::pair().unwrap();
    let outbox = Outbox::new(socket);
    assert!(outbox.expect());
    outbox.begun();
    assert!(outbox.drain());
    assert!(!outbox.drain());
    assert!(!outbox.expect(), "nothing is taken up after DRAIN");
    outbox.begun();
    for _ in 0..2 {
        outbox.answer(0, |out| encode_chunk(1, true, &[], out));
    }
    log(&outbox, "late");
    outbox.run_writer();
    let mut end = [0; 1];
    assert_eq!((&outbox.socket).read(&mut end).unwrap(), 0, "the reader is told that it is over");
    drop(outbox);
    let kinds: Vec<_> = read_all(host).into_iter().map(|(kind, _)| kind).collect();
    assert_eq!(kinds, [FrameKind::Chunk, FrameKind::Chunk, FrameKind::Bye]);
}
