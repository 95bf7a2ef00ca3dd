//! The SDKs as they were when this crate was built.

use ignite_compiler_plan::KeyBuilder;
use ignite_core_model::Digest;

mod embedded {
    include!(concat!(env!("OUT_DIR"), "/sdk.rs"));
}

/// The sources of one SDK: relative path and content.
pub(crate) type Sources = &'static [(&'static str, &'static [u8])];

/// The Go module `ignite`.
pub(crate) const GO: Sources = embedded::GO;
/// The Deno modules, `mod.ts` first among them.
pub(crate) const DENO: Sources = embedded::DENO;
/// The Rust crates: `sdk-rust`, `sdk-macros`, `core/abi`.
pub(crate) const RUST: Sources = embedded::RUST;

/// The digest of an SDK, for cache keys.
pub(crate) fn digest(sources: Sources) -> Digest {
    let key = sources.iter().fold(KeyBuilder::new("sdk 1"), |key, (path, content)| key.with(path, content));
    key.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_sdk_is_whole_and_without_tests() {
        for (sources, wanted) in
            [(GO, "go.mod"), (DENO, "mod.ts"), (RUST, "sdk-rust/src/lib.rs"), (RUST, "core/abi/Cargo.toml")]
        {
            assert!(sources.iter().any(|(path, _)| *path == wanted), "{wanted}");
            assert!(!sources.iter().any(|(path, _)| path.contains("_test.") || path.contains("/tests/")));
        }
    }
}
