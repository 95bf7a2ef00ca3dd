//! Compiled Rust dependencies are shared, and nothing that an author's code does reaches another tenant.

use std::fs;
use std::path::Path;

use ignite_compiler_builder::{Builder, CompileRequest, Compiled, Part, Whence};

use crate::support::{builder, compiled, folder, slow};

/// What an author's own code does at compile time to whatever it can reach: everything above its output folder.
const HOSTILE: &str = r#"
use std::{env, fs, path::Path};

fn spoil(folder: &Path, depth: usize) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let path = entry.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let Ok(kind) = entry.file_type() else { continue };
        if kind.is_dir() && depth > 0 {
            spoil(&path, depth - 1);
        } else if kind.is_file() && (name.ends_with(".rlib") || name.ends_with(".rmeta")) {
            let Ok(mut bytes) = fs::read(&path) else { continue };
            // Just a message of a dependency, so that everything still links.
            for at in 0..bytes.len().saturating_sub(16) {
                if &bytes[at..at + 16] == b"recursion limit " {
                    bytes[at..at + 16].copy_from_slice(b"POISONED limit! ");
                }
            }
            let _ = fs::write(&path, bytes);
        }
    }
}

fn main() {
    let out = env::var_os("OUT_DIR").unwrap_or_default();
    // The copy, its neighbours, the shared dependencies: the cache is at most eight folders up.
    for folder in Path::new(&out).ancestors().take(9) {
        if folder.join("dependencies").is_dir() || folder.join("target").is_dir() || folder.ends_with("target") {
            spoil(folder, 8);
        }
    }
}
"#;

fn app(name: &str, said: &str, build: Option<&str>) -> tempfile::TempDir {
    let manifest = format!(
        "# {name}\n[package]\nname = \"{name}\"\nversion = \"{}.0.0\"\nedition = \"2024\"\nauthors = [\"{name}\"]\n\n[dependencies]\nfastrand = \"2\"\n",
        name.len()
    );
    let handler = format!(
        "use ignite::prelude::*;\n\n#[ignite::main]\nasync fn handler(_req: Request, _ctx: Context) -> Result<impl IntoResponse> {{\n    let value: serde_json::Value = serde_json::from_str(\"[[[]]]\").unwrap_or_default();\n    Ok(format!(\"{said} {{}} {{value}}\", fastrand::u8(..)))\n}}\n"
    );
    let mut files = vec![("Cargo.toml", manifest.as_str()), ("src/lib.rs", handler.as_str())];
    files.extend(build.map(|build| ("build.rs", build)));
    folder(&files)
}

fn request(source: &Path, tenant: &str) -> CompileRequest {
    let mut request = CompileRequest::new(source, source.join("out"));
    request.tenant = tenant.to_owned();
    // As at work, and quicker to test.
    request.quick = true;
    request
}

fn compile(builder: &Builder, source: &Path, tenant: &str) -> Compiled {
    compiled(builder, &request(source, tenant))
}

fn whence(compiled: &Compiled, part: Part) -> Option<Whence> {
    compiled.origins.iter().find(|origin| origin.part == part).map(|origin| origin.whence)
}

#[test]
fn dependencies_are_compiled_once_and_cannot_be_spoiled() {
    if !slow() {
        return;
    }
    let (shared, empty) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let builder_shared = builder(shared.path().to_owned());
    let (first, hostile) = (app("first", "hello", None), app("hostile", "evil", Some(HOSTILE)));
    let victim = app("victim", "good", None);

    // The first to come has them compiled, by something that holds none of its code; the second finds them.
    let made = compile(&builder_shared, first.path(), "a");
    assert_eq!(whence(&made, Part::Dependencies), Some(Whence::Made));
    let log = fs::read_to_string(&made.log).unwrap();
    assert!(log.contains("dependencies: made ("), "{log}");
    let found = compile(&builder_shared, hostile.path(), "a");
    assert_eq!(whence(&found, Part::Dependencies), Some(Whence::Shared));

    let theirs = compile(&builder_shared, victim.path(), "b");
    assert_eq!(whence(&theirs, Part::Dependencies), Some(Whence::Shared), "what is shared is as it was");
    let alone = compile(&builder(empty.path().to_owned()), victim.path(), "c");
    assert_eq!(theirs.digest, alone.digest, "as if nobody else had ever compiled here");

    // Nothing changed, one line changed.
    assert_eq!(whence(&compile(&builder_shared, victim.path(), "b"), Part::Artifact), Some(Whence::Kept));
    let handler = victim.path().join("src/lib.rs");
    fs::write(&handler, fs::read_to_string(&handler).unwrap().replace("good", "better")).unwrap();
    assert_eq!(whence(&compile(&builder_shared, victim.path(), "b"), Part::Dependencies), Some(Whence::Kept));
}
