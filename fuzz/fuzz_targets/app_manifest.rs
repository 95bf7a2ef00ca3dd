//! Any text as `ignite.toml`: read, or refused with at least one fault and a line for each.
#![no_main]

use ignite_core_model::AppManifest;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Err(errors) = AppManifest::parse_compiled(text) {
        assert!(!errors.0.is_empty());
        let lines = text.bytes().filter(|byte| *byte == b'\n').count() + 1;
        assert!(errors.0.iter().all(|error| (1..=lines).contains(&error.line)));
    }
});
