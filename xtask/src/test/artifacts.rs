//! What cargo built, from its JSON messages.

use std::path::PathBuf;

use serde_json::Value;

/// One test program.
pub(super) struct TestProgram {
    /// `core/model` for the tests beside the code, `core/abi golden` for `tests/golden.rs`.
    pub(super) name: String,
    /// The program.
    pub(super) program: PathBuf,
    /// The crate's folder, in which cargo runs tests.
    pub(super) folder: PathBuf,
    /// The crate's name.
    pub(super) package: String,
}

/// Collects the test programs of one build.
#[derive(Default)]
pub(super) struct Artifacts {
    pub(super) programs: Vec<TestProgram>,
}

impl Artifacts {
    /// Reads one line of `--message-format=json`; tells whether it was such a message.
    pub(super) fn line(&mut self, root: &std::path::Path, line: &str) -> bool {
        let Some(message) = line.starts_with('{').then(|| serde_json::from_str::<Value>(line).ok()).flatten() else {
            return false;
        };
        if message["reason"] == "compiler-artifact" && message["profile"]["test"] == true {
            self.programs.extend(program(root, &message));
        }
        true
    }
}

fn program(root: &std::path::Path, message: &Value) -> Option<TestProgram> {
    let folder = PathBuf::from(message["manifest_path"].as_str()?).parent()?.to_path_buf();
    let place = folder.strip_prefix(root).unwrap_or(&folder).display().to_string();
    let target = &message["target"];
    let kind = target["kind"][0].as_str()?;
    let name = target["name"].as_str()?;
    if matches!(kind, "bench" | "example") {
        return None;
    }
    Some(TestProgram {
        name: match kind {
            "lib" | "proc-macro" => place,
            "bin" => format!("{place} (program {name})"),
            _ => format!("{place} {name}"),
        },
        program: message["executable"].as_str()?.into(),
        package: package(message["package_id"].as_str()?),
        folder,
    })
}

/// The crate's name in a package id: `path+file:///x/core/abi#ignite-core-abi@0.1.0`, or without a name when that is the
/// folder's.
fn package(id: &str) -> String {
    let (path, fragment) = id.split_once('#').unwrap_or((id, ""));
    let name = fragment.split_once('@').map(|(name, _)| name);
    name.unwrap_or_else(|| path.rsplit('/').next().unwrap_or(path)).to_string()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test")]
    use super::*;

    #[test]
    fn test_programs_are_named_by_their_place() {
        let message = r#"{"reason":"compiler-artifact","package_id":"path+file:///x/core/abi#ignite-core-abi@0.1.0",
            "manifest_path":"/x/core/abi/Cargo.toml","target":{"kind":["test"],"name":"golden"},
            "profile":{"test":true},"executable":"/t/release/deps/golden-1"}"#;
        let mut artifacts = Artifacts::default();
        assert!(artifacts.line("/x".as_ref(), &message.replace('\n', "")));
        assert!(!artifacts.line("/x".as_ref(), "warning: something"));
        let program = artifacts.programs.pop().unwrap();
        assert_eq!((program.name.as_str(), program.package.as_str()), ("core/abi golden", "ignite-core-abi"));
        assert_eq!(package("path+file:///x/xtask#0.1.0"), "xtask");
    }
}
