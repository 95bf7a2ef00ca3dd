//! The golden frames: every kind of frame with its fields and its bytes, the same file for the codec of each language.
//! `UPDATE_GOLDEN=1 cargo test -p ignite-core-abi` writes it anew; a changed line is a change of the protocol.
#![allow(clippy::unwrap_used, reason = "a test")]

use ignite_core_abi::payload::{
    CancelReason, Failure, Hello, Invoke, Log, LogLevel, Ready, Reply, encode_chunk, encode_credit, encode_empty,
    encode_exited, encode_forked,
};
use ignite_core_abi::{FRAME_BYTES_MAX, FrameError, FrameKind, Headers, PREFACE, encode_headers, split_frame};
use serde_json::{Value, json};

struct Golden {
    name: &'static str,
    kind: &'static str,
    fields: Value,
    bytes: Vec<u8>,
}

fn golden(name: &'static str, kind: &'static str, fields: Value, encode: impl FnOnce(&mut Vec<u8>)) -> Golden {
    let mut bytes = Vec::new();
    encode(&mut bytes);
    Golden { name, kind, fields, bytes }
}

fn block(headers: &[(&str, &[u8])]) -> Vec<u8> {
    let mut out = Vec::new();
    encode_headers(headers.iter().copied(), &mut out);
    out.split_off(4)
}

fn all_bytes() -> Vec<u8> {
    (0..=255).collect()
}

fn frames() -> Vec<Golden> {
    let request_headers = block(&[("content-type", b"application/json"), ("x-two", b"a"), ("x-two", b"b\xff")]);
    let reply_headers =
        block(&[("content-type", b"text/plain; charset=utf-8"), ("set-cookie", b"a=1"), ("set-cookie", b"b=2")]);
    let invoke = Invoke {
        timeout_us: 30_000_000,
        execution_id: "01J0000000000000000000000Z",
        function_id: "acme/hello",
        organization_id: "acme",
        method: "POST",
        path: "/gr%C3%BC%C3%9Fe",
        query: "a=1&b=%20&a=2",
        headers: Headers(&request_headers),
        body: "{\"name\":\"Zoë\"}".as_bytes(),
    };
    let body = all_bytes();
    let bare = Invoke {
        timeout_us: 0,
        execution_id: "",
        function_id: "",
        organization_id: "",
        method: "GET",
        path: "/",
        query: "",
        headers: Headers(&[]),
        body: &body,
    };
    let hello =
        Hello { abi_version: 1, frame_bytes_max: 33_554_432, stream_window_bytes: 262_144, max_concurrency: 64 };
    let ready = Ready { abi_version: 1, max_concurrency: 1, zygote: true, sdk: "ignite-python/0.1.0" };
    let reply = Reply { status: 201, headers: Headers(&reply_headers), body: "grüß dich".as_bytes() };
    let head = Reply { status: 200, headers: Headers(&[]), body: b"" };
    let failure = Failure { kind: "ValueError", message: "größer als 3", trace: "line 1\nline 2\n" };
    let log = Log { level: LogLevel::Warn, message: "two\nlines", fields: "{\"user\":7}" };
    let plain = Log { level: LogLevel::Info, message: "started", fields: "" };
    vec![
        golden(
            "hello",
            "HELLO",
            json!({"abi_version": 1, "frame_bytes_max": 33_554_432, "stream_window_bytes": 262_144, "max_concurrency": 64}),
            |out| hello.encode(out),
        ),
        golden(
            "invoke",
            "INVOKE",
            json!({"timeout_us": 30_000_000, "execution_id": invoke.execution_id, "function_id": "acme/hello", "organization_id": "acme", "method": "POST", "path": invoke.path, "query": invoke.query, "headers": [["content-type", hex(b"application/json")], ["x-two", hex(b"a")], ["x-two", hex(b"b\xff")]], "body": hex(invoke.body)}),
            |out| invoke.encode(7, out),
        ),
        golden(
            "invoke_bare",
            "INVOKE",
            json!({"timeout_us": 0, "execution_id": "", "function_id": "", "organization_id": "", "method": "GET", "path": "/", "query": "", "headers": [], "body": hex(&body)}),
            |out| bare.encode(u64::MAX, out),
        ),
        golden("cancel", "CANCEL", json!({"reason": 1}), |out| CancelReason::Deadline.encode(7, out)),
        golden("credit", "CREDIT", json!({"bytes": 65_536}), |out| encode_credit(7, 65_536, out)),
        golden("drain", "DRAIN", json!({}), |out| encode_empty(FrameKind::Drain, 0, out)),
        golden(
            "ready",
            "READY",
            json!({"abi_version": 1, "max_concurrency": 1, "zygote": true, "sdk": "ignite-python/0.1.0"}),
            |out| ready.encode(out),
        ),
        golden(
            "init_error",
            "INIT_ERROR",
            json!({"type": "ValueError", "message": failure.message, "trace": failure.trace}),
            |out| failure.encode_init_error(out),
        ),
        golden(
            "result",
            "RESULT",
            json!({"status": 201, "headers": [["content-type", hex(b"text/plain; charset=utf-8")], ["set-cookie", hex(b"a=1")], ["set-cookie", hex(b"b=2")]], "body": hex(reply.body)}),
            |out| reply.encode(7, true, out),
        ),
        golden("result_streamed", "RESULT", json!({"status": 200, "headers": [], "body": ""}), |out| {
            head.encode(8, false, out)
        }),
        golden("chunk", "CHUNK", json!({"body": hex(b"part")}), |out| encode_chunk(8, false, b"part", out)),
        golden("chunk_last", "CHUNK", json!({"body": ""}), |out| encode_chunk(8, true, b"", out)),
        golden(
            "error",
            "ERROR",
            json!({"type": "ValueError", "message": failure.message, "trace": failure.trace}),
            |out| failure.encode_error(7, out),
        ),
        golden("log", "LOG", json!({"level": 3, "message": "two\nlines", "fields": "{\"user\":7}"}), |out| {
            log.encode(7, out)
        }),
        golden("log_plain", "LOG", json!({"level": 2, "message": "started", "fields": ""}), |out| plain.encode(0, out)),
        golden("bye", "BYE", json!({}), |out| encode_empty(FrameKind::Bye, 0, out)),
        golden("fork", "FORK", json!({}), |out| encode_empty(FrameKind::Fork, 3, out)),
        golden("forked", "FORKED", json!({"pid": 4242}), |out| encode_forked(3, 4242, out)),
        golden("exited", "EXITED", json!({"status": 9}), |out| encode_exited(3, 9, out)),
    ]
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn golden_file_is_what_the_codec_writes() {
    let rows: Vec<Value> = frames()
        .iter()
        .map(|golden| {
            let (header, _) = split_frame(&golden.bytes, FRAME_BYTES_MAX).unwrap().unwrap();
            json!({
                "name": golden.name,
                "kind": golden.kind,
                "number": header.kind as u8,
                "flags": header.flags,
                "id": header.id.to_string(),
                "fields": golden.fields,
                "hex": hex(&golden.bytes),
            })
        })
        .collect();
    let text = format!("{}\n", serde_json::to_string_pretty(&json!({ "abi_version": 1, "frames": rows })).unwrap());
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/golden/frames.json");
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(path, &text).unwrap();
    }
    assert_eq!(std::fs::read_to_string(path).unwrap(), text, "the wire format changed; see FRAMES.md, Versions");
}

#[test]
fn every_kind_has_a_golden_frame() {
    let kinds: std::collections::HashSet<FrameKind> =
        frames().iter().map(|golden| split_frame(&golden.bytes, FRAME_BYTES_MAX).unwrap().unwrap().0.kind).collect();
    assert_eq!(kinds.len(), FrameKind::ALL.len());
}

#[test]
fn decoding_gives_back_what_was_encoded() {
    for golden in frames() {
        let (header, payload) = split_frame(&golden.bytes, FRAME_BYTES_MAX).unwrap().unwrap();
        let mut again = Vec::new();
        match header.kind {
            FrameKind::Hello => Hello::decode(payload).unwrap().encode(&mut again),
            FrameKind::Invoke => Invoke::decode(payload).unwrap().encode(header.id, &mut again),
            FrameKind::Cancel => CancelReason::decode(payload).unwrap().encode(header.id, &mut again),
            FrameKind::Credit => {
                encode_credit(header.id, ignite_core_abi::payload::decode_number(payload).unwrap(), &mut again);
            }
            FrameKind::Ready => Ready::decode(payload).unwrap().encode(&mut again),
            FrameKind::InitError => Failure::decode(payload).unwrap().encode_init_error(&mut again),
            FrameKind::Result => Reply::decode(payload).unwrap().encode(header.id, header.is_end(), &mut again),
            FrameKind::Chunk => encode_chunk(header.id, header.is_end(), payload, &mut again),
            FrameKind::Error => Failure::decode(payload).unwrap().encode_error(header.id, &mut again),
            FrameKind::Log => Log::decode(payload).unwrap().encode(header.id, &mut again),
            FrameKind::Forked => {
                encode_forked(header.id, ignite_core_abi::payload::decode_number(payload).unwrap(), &mut again);
            }
            FrameKind::Exited => {
                encode_exited(header.id, ignite_core_abi::payload::decode_number(payload).unwrap(), &mut again);
            }
            kind @ (FrameKind::Drain | FrameKind::Bye | FrameKind::Fork) => encode_empty(kind, header.id, &mut again),
        }
        assert_eq!(again, golden.bytes, "{}", golden.name);
    }
}

#[test]
fn truncated_frames_never_decode_and_never_panic() {
    for golden in frames() {
        for end in 0..golden.bytes.len() {
            assert_eq!(split_frame(&golden.bytes[..end], FRAME_BYTES_MAX), Ok(None), "{} cut at {end}", golden.name);
        }
    }
}

/// A gateway and a host of different ages meet: it is as fixed as the frames are.
#[test]
fn a_gateway_begins_with_the_bytes_of_the_page() {
    assert_eq!(PREFACE, b"IGNITE-FRAMES/1\r\n\r\n");
    assert_eq!(split_frame(PREFACE, u32::MAX).unwrap_err(), FrameError::UnknownKind(b'T'));
}
