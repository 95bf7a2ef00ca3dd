//! A finished component is checked and packed.

use std::fs;

use ignite_compiler_plan::{Mistakes, component};

use super::{Context, PackedFile, Payload};
use crate::error::CompileError;

pub(super) fn build(context: &Context<'_>) -> Result<Payload, CompileError> {
    let content = context.root.join(&context.plan.entry);
    let bytes = fs::read(&content).map_err(|cause| CompileError::Source { path: content.clone(), cause })?;
    check(&context.plan.entry, &bytes)?;
    let file = PackedFile { path: context.plan.entrypoint.clone(), content, executable: false };
    Ok(Payload { files: vec![file], ..Payload::default() })
}

fn check(path: &str, bytes: &[u8]) -> Result<(), Mistakes> {
    component::check(path, component::layer(bytes), exports(bytes).as_deref())
}

/// The names a component exports; `None` when its sections cannot be read.
fn exports(bytes: &[u8]) -> Option<Vec<String>> {
    let mut exports = Vec::new();
    let mut depth = 0_usize;
    for payload in wasmparser::Parser::new(0).parse_all(bytes) {
        use wasmparser::Payload as Section;
        match payload.ok()? {
            // The parser goes into the modules and components inside; theirs are not ours.
            Section::ModuleSection { .. } | Section::ComponentSection { .. } => depth += 1,
            Section::End(_) if depth > 0 => depth -= 1,
            Section::ComponentExportSection(section) if depth == 0 => {
                for export in section {
                    exports.push(export.ok()?.name.name.to_owned());
                }
            }
            _ => {}
        }
    }
    Some(exports)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test")]
    use super::*;

    /// A component that exports an empty instance under `name`, by hand.
    fn exporting(name: &str) -> Vec<u8> {
        let mut bytes = vec![0, b'a', b's', b'm', 0x0d, 0, 1, 0];
        // Instance section: one instance made of no exports.
        bytes.extend([5, 3, 1, 1, 0]);
        let length = u8::try_from(name.len()).unwrap();
        // Export section: plain name, sort instance, index 0, no type.
        let mut section = vec![1, 0, length];
        section.extend(name.bytes());
        section.extend([5, 0, 0]);
        bytes.extend([11, u8::try_from(section.len()).unwrap()]);
        bytes.extend(section);
        bytes
    }

    #[test]
    fn only_what_can_be_called_passes() {
        check("a.wasm", &exporting("wasi:http/incoming-handler@0.2.3")).unwrap();
        check("a.wasm", &exporting("ignite:function/handler@1.0.0")).unwrap();
        let said = |bytes: &[u8]| check("a.wasm", bytes).unwrap_err().to_string();
        assert_eq!(
            said(&exporting("wasi:cli/run@0.2.0")),
            "a.wasm exports nothing that can be called: it exports wasi:cli/run@0.2.0"
        );
        assert_eq!(said(b"\0asm\x01\0\0\0"), "a.wasm is a core module, not a component");
        assert_eq!(said(b"#!/bin/sh\n"), "a.wasm is not WebAssembly: it does not begin with `\\0asm`");
        let mut cut = exporting("wasi:http/incoming-handler@0.2.3");
        cut.truncate(cut.len() - 4);
        assert_eq!(said(&cut), "a.wasm is damaged: its sections cannot be read");
    }
}
