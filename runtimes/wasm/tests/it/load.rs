//! Files that cannot be served, and what is said about them.

use ignite_core_model::Digest;

use crate::support::{function_guest, setup};

async fn refused(wat: &str) -> String {
    setup(&wat::parse_str(wat).unwrap()).refusal().await
}

#[tokio::test]
async fn other_files_are_named_for_what_they_are() {
    let reason = refused("(module)").await;
    assert!(reason.contains("a core WebAssembly module") && reason.contains("wasm32-wasip2"), "{reason}");
    let reason = setup(b"\x7fELF\x02").refusal().await;
    assert!(reason.contains("native code"), "{reason}");
    let reason = setup(b"").refusal().await;
    assert!(reason.contains("something else"), "{reason}");
    let mut broken = function_guest();
    broken.truncate(broken.len() / 2);
    let reason = setup(&broken).refusal().await;
    assert!(reason.contains("not valid"), "{reason}");
}

#[tokio::test]
async fn a_component_without_a_handler_is_told_what_it_exports() {
    let reason = refused("(component)").await;
    assert!(reason.contains("exports nothing") && reason.contains("wasi:http/incoming-handler@0.2"), "{reason}");
    let reason = refused(
        r#"(component
            (core module $m (func (export "f")))
            (core instance $i (instantiate $m))
            (func $f (canon lift (core func $i "f")))
            (instance $run (export "run" (func $f)))
            (export "wasi:cli/run@0.2.0" (instance $run))
            (export "other" (func $f)))"#,
    )
    .await;
    assert!(reason.contains("exports `wasi:cli/run@0.2.0`, `other`"), "{reason}");
}

#[tokio::test]
async fn every_missing_import_is_named() {
    let reason = refused(
        r#"(component
            (import "wasi:keyvalue/store@0.2.0" (instance (export "open" (func))))
            (import "wasi:io/poll@0.2.0" (instance))
            (import "acme:tools/hammer" (instance (export "hit" (func))))
            (import "hit" (func))
            (core module $m (func (export "f")))
            (core instance $i (instantiate $m))
            (func (export "handle") (canon lift (core func $i "f"))))"#,
    )
    .await;
    assert!(reason.contains("imports `wasi:keyvalue/store@0.2.0`, `acme:tools/hammer`, `hit`, which"), "{reason}");
}

#[tokio::test]
async fn a_handler_of_another_type_is_refused() {
    let reason = refused(
        r#"(component
            (core module $m (func (export "f")))
            (core instance $i (instantiate $m))
            (func (export "handle") (canon lift (core func $i "f"))))"#,
    )
    .await;
    assert!(reason.contains("does not fit this host") && reason.contains("handle"), "{reason}");
    let reason = refused(
        r#"(component
            (import "wasi:io/poll@0.2.0" (instance (export "no-such-thing" (func))))
            (core module $m (func (export "f")))
            (core instance $i (instantiate $m))
            (func (export "handle") (canon lift (core func $i "f"))))"#,
    )
    .await;
    assert!(reason.contains("no-such-thing"), "{reason}");
}

#[tokio::test]
async fn a_file_that_changed_is_refused() {
    let mut changed = setup(&function_guest());
    changed.config.digest = Digest::of(b"another");
    assert!(changed.refusal().await.contains("has the digest"));
    let mut gone = setup(&function_guest());
    gone.config.component.set_file_name("gone.wasm");
    assert!(gone.refusal().await.contains("could not read the component"));
}
