//! Bytes from anywhere: decoding answers with a value or an error, and what it accepts it can write again.
#![allow(clippy::unwrap_used, reason = "a test")]

use ignite_core_abi::payload::{CancelReason, Failure, Hello, Invoke, Log, Ready, Reply, decode_number};
use ignite_core_abi::{FrameHeader, HEADER_BYTES, split_frame};
use proptest::prelude::*;

proptest! {
    #[test]
    fn no_bytes_make_a_decoder_panic(bytes in prop::collection::vec(any::<u8>(), 0..512)) {
        let _ = split_frame(&bytes, 4096);
        let _ = Hello::decode(&bytes);
        let _ = Ready::decode(&bytes);
        let _ = Failure::decode(&bytes);
        let _ = Log::decode(&bytes);
        let _ = CancelReason::decode(&bytes);
        let _ = decode_number(&bytes);
        if let Ok(reply) = Reply::decode(&bytes) {
            let _ = reply.headers.iter().count();
        }
        if let Ok(invoke) = Invoke::decode(&bytes) {
            let _ = invoke.headers.iter().count();
            let mut again = Vec::new();
            invoke.encode(1, &mut again);
            prop_assert_eq!(&again[HEADER_BYTES..], &bytes[..]);
        }
    }

    #[test]
    fn a_header_survives_the_wire(length in 0u32..4096, id in any::<u64>(), end in any::<bool>()) {
        for kind in ignite_core_abi::FrameKind::ALL {
            let header = FrameHeader { length, kind, flags: u8::from(end), id };
            prop_assert_eq!(FrameHeader::decode(&header.to_bytes(), 4096), Ok(header));
        }
    }
}
