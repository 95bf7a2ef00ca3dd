//! Sources that are too long for a request, and sources that come back.

use ignite_cli::Exit;
use serde_json::json;

use crate::stand_in::{Answer, Api, End};

/// Bytes that no compression makes less of.
fn noise(bytes: usize) -> Vec<u8> {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let step = |_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[0]
    };
    (0..bytes).map(step).collect()
}

#[test]
fn a_long_source_is_uploaded_and_the_token_stays_here() {
    let place = std::sync::Arc::new(std::sync::OnceLock::<String>::new());
    let known = std::sync::Arc::clone(&place);
    let api = Api::start(move |call, _| match call.method.as_str() {
        "CreateUpload" => Answer::Json(json!({
            "uploadKey": "uploads/acme/1", "url": format!("http://{}/objects/place", known.get().unwrap()), "headers": { "x-one": "1" }
        })),
        "place" => Answer::Other(200, "stored"),
        "SaveDraft" => Answer::Json(json!({ "draft": { "status": "VERSION_STATUS_DRAFT" } })),
        method => panic!("nobody expected {method}"),
    });
    place.set(api.address.clone()).unwrap();
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("handler.py"), "x").unwrap();
    std::fs::write(dir.path().join("model.bin"), noise(3 << 20)).unwrap();
    let said = api.ignite(&["draft", "save", "acme:hello", "--code", dir.path().to_str().unwrap()]);
    assert_eq!(said.exit, Exit::Done, "{}", said.err);
    let calls = api.calls();
    let upload = calls.iter().find(|call| call.method == "CreateUpload").unwrap();
    let put = calls.iter().find(|call| call.method == "place").unwrap();
    assert_eq!(put.authorization, None, "the place may be another's");
    assert_eq!(upload.body["sizeBytes"], put.bytes.to_string());
    assert!(put.bytes > 3 << 20);
    assert_eq!(api.calls_of("SaveDraft")[0]["code"]["compile"]["uploadKey"], "uploads/acme/1");
}

#[test]
fn the_same_bytes_are_sent_once() {
    let api = Api::start(|call, _| match call.method.as_str() {
        "CreateUpload" => Answer::Json(json!({ "uploadKey": "uploads/acme/1" })),
        "SaveDraft" => Answer::Json(json!({ "draft": {} })),
        method => panic!("nobody expected {method}"),
    });
    let dir = tempfile::tempdir().unwrap();
    let archive = dir.path().join("source.zip");
    std::fs::write(&archive, noise(2 << 20)).unwrap();
    let said = api.ignite(&["draft", "save", "acme:hello", "--code", archive.to_str().unwrap(), "--runtime", "go"]);
    assert_eq!(said.exit, Exit::Done, "{}", said.err);
    let source = &api.calls_of("SaveDraft")[0]["code"]["compile"];
    assert_eq!((&source["uploadKey"], &source["runtime"]), (&json!("uploads/acme/1"), &json!({ "go": {} })));
}

#[test]
fn a_source_comes_back_whole_or_not_at_all() {
    let hash = |text: &str| ignite_core_model::Digest::of(text.as_bytes()).to_string();
    let (right, wrong) = (hash("PKtext"), hash("other"));
    let api = Api::start(move |call, _| match (call.method.as_str(), call.body["version"].as_u64()) {
        ("GetAppCode", version) => {
            let hash = if version == Some(1) { &right } else { &wrong };
            Answer::Stream(
                vec![
                    json!({ "codeHash": hash, "totalBytes": "6" }),
                    json!({ "chunk": "UEt0" }),
                    json!({ "chunk": "ZXh0" }),
                ],
                End::Done,
            )
        }
        (method, _) => panic!("nobody expected {method}"),
    });
    let out = api.home.path().join("code.zip");
    let said = api.ignite(&["version", "code", "hello", "--version", "1", "--out", out.to_str().unwrap()]);
    assert_eq!(said.exit, Exit::Done, "{}", said.err);
    assert_eq!(std::fs::read_to_string(&out).unwrap(), "PKtext");
    std::fs::remove_file(&out).unwrap();
    let said = api.ignite(&["version", "code", "hello", "--version", "v2", "--out", out.to_str().unwrap()]);
    assert_eq!(said.exit, Exit::Unavailable);
    assert!(!out.exists());
}
