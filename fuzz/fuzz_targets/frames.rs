//! Any bytes as a stream of worker frames: decoded or refused, and what is decoded encodes to the same bytes.
#![no_main]

use ignite_core_abi::payload::{CancelReason, Failure, Hello, Invoke, Log, Ready, Reply, decode_number};
use ignite_core_abi::{FrameKind, HEADER_BYTES, split_frame};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let mut rest = data;
    while let Ok(Some((header, payload))) = split_frame(rest, 1 << 20) {
        assert_eq!(payload.len(), header.length as usize);
        match header.kind {
            FrameKind::Hello => drop(Hello::decode(payload)),
            FrameKind::Ready => drop(Ready::decode(payload)),
            FrameKind::Invoke => {
                if let Ok(invoke) = Invoke::decode(payload) {
                    let mut again = Vec::new();
                    invoke.encode(header.id, &mut again);
                    assert_eq!(&again[HEADER_BYTES..], payload);
                    let _ = invoke.headers.find("content-type");
                }
            }
            FrameKind::Result => {
                if let Ok(reply) = Reply::decode(payload) {
                    let _ = reply.headers.iter().count();
                }
            }
            FrameKind::Error | FrameKind::InitError => drop(Failure::decode(payload)),
            FrameKind::Log => drop(Log::decode(payload)),
            FrameKind::Cancel => drop(CancelReason::decode(payload)),
            FrameKind::Credit | FrameKind::Forked | FrameKind::Exited => drop(decode_number(payload)),
            FrameKind::Drain | FrameKind::Chunk | FrameKind::Bye | FrameKind::Fork => {}
        }
        rest = &rest[HEADER_BYTES + payload.len()..];
    }
});
