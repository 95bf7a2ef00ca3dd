//! Every target compiles, to the same bytes in another folder, and a second time at once.

use std::fs;
use std::path::Path;
use std::time::Duration;

use ignite_compiler_builder::{
    Builder, BuilderConfig, CompileError, CompileRequest, Compiled, SandboxOptions, SourceLimits,
};
use ignite_core_model::{ArtifactKind, Target};

use crate::support::{builder, builder_with, cache, compile, compiled, folder, slow, write};

const PYTHON: &[(&str, &str)] = &[
    (
        "handler.py",
        "import json\nimport words\n\n\ndef handler(payload, ctx):\n    return {\"hello\": words.WORLD, \"is\": payload in {b\"a\", b\"b\", b\"c\"}}\n",
    ),
    ("words.py", "WORLD = \"world\"\n"),
    ("data/names.txt", "one\ntwo\n"),
];
const GO: &[(&str, &str)] = &[(
    "main.go",
    "package main\n\nimport \"ignite\"\n\nfunc handler(payload []byte, ctx *ignite.Context) ([]byte, error) {\n\treturn payload, nil\n}\n\nfunc main() {\n\tignite.Start(handler)\n}\n",
)];
const DENO: &[(&str, &str)] = &[
    (
        "main.ts",
        "import { start } from \"ignite\";\nimport { greet } from \"@/greet.ts\";\n\nstart((payload: Uint8Array) => greet(new TextDecoder().decode(payload)));\n",
    ),
    ("greet.ts", "export const greet = (name: string) => `hello ${name}`;\n"),
    ("deno.jsonc", "{\n  // kept\n  \"imports\": { \"@/\": \"./\", },\n}\n"),
];
const RUST: &[(&str, &str)] = &[
    ("Cargo.toml", "[package]\nname = \"hello\"\nversion = \"0.1.0\"\nedition = \"2024\"\n"),
    (
        "src/lib.rs",
        "use ignite::prelude::*;\n\n#[ignite::main]\nasync fn handler(req: Request, ctx: Context) -> Result<impl IntoResponse> {\n    let name: String = req.field(\"name\")?;\n    Ok(format!(\"hello {name}, {}\", ctx.execution_id()))\n}\n",
    ),
];

/// Compiles in two folders with caches of their own where that is cheap, and once more; tells what came out.
fn check(files: &[(&str, &str)], other_cache: bool, wish: impl Fn(&mut CompileRequest)) -> Option<Compiled> {
    if !slow() {
        return None;
    }
    let one = folder(files);
    // Another name, another depth, other times.
    let above = folder(&[]);
    let other = above.path().join("a folder/of another name");
    write(&other, files);
    let fresh = tempfile::tempdir().unwrap();

    let request = |source: &Path| {
        let mut request = CompileRequest::new(source, above.path().join("out.tar.zst"));
        wish(&mut request);
        request
    };
    let builder_one = builder(cache());
    let mut first = request(one.path());
    first.no_cache = true;
    let first = compiled(&builder_one, &first);
    assert!(fs::metadata(above.path().join("out.tar.zst")).unwrap().len() == first.bytes);

    let builder_two = if other_cache { builder(fresh.path().to_owned()) } else { builder(cache()) };
    let mut second = request(&other);
    second.no_cache = true;
    let second = compiled(&builder_two, &second);
    assert_eq!(second.digest, first.digest, "the same source in another folder gives the same bytes");

    let again = compiled(&builder_one, &request(&other));
    assert_eq!((again.digest, again.cached.as_slice()), (first.digest, ["everything".to_owned()].as_slice()));
    // The bound of the product is 100 ms in release; this build is not optimised.
    assert!(again.elapsed < Duration::from_secs(2), "{:?}", again.elapsed);
    Some(first)
}

fn mode_of(compiled: &Compiled, path: &str) -> u32 {
    compiled.manifest.files.iter().find(|file| file.path == path).unwrap().mode
}

/// Of what was compiled; what the artifact says of its making lies beside it.
fn paths(compiled: &Compiled) -> Vec<&str> {
    compiled.manifest.files.iter().map(|file| file.path.as_str()).filter(|path| !path.starts_with(".ignite/")).collect()
}

#[test]
fn python() {
    let Some(done) = check(PYTHON, true, |_| {}) else { return };
    assert_eq!(done.manifest.entrypoint, "handler.py");
    assert_eq!(
        paths(&done),
        [
            "__pycache__/handler.cpython-312.pyc",
            "__pycache__/words.cpython-312.pyc",
            "data/names.txt",
            "handler.py",
            "words.py"
        ]
    );
    assert!(done.bytes <= 8 * 1024, "{}", done.bytes);
}

#[test]
fn python_with_dependencies() {
    let mut files = PYTHON.to_vec();
    files.push(("requirements.txt", "tabulate==0.9.0\n"));
    let Some(done) = check(&files, true, |_| {}) else { return };
    let found = paths(&done);
    assert!(found.contains(&"vendor/tabulate/__pycache__/__init__.cpython-312.pyc"), "{found:?}");
    assert!(!found.iter().any(|path| path.starts_with("vendor/bin/") || path.ends_with("/INSTALLER")), "{found:?}");
    assert_eq!(done.manifest.dependencies[0].name, "tabulate");
}

#[test]
fn go() {
    let Some(done) = check(GO, false, |_| {}) else { return };
    assert_eq!((paths(&done), mode_of(&done, "app")), (vec!["app"], 0o755));
    assert!(done.bytes <= 3 * 1000 * 1000, "{}", done.bytes);
}

#[test]
fn deno_bundle() {
    let Some(done) = check(DENO, false, |_| {}) else { return };
    assert_eq!((paths(&done), done.manifest.entrypoint.as_str()), (vec!["main.js"], "main.js"));
    assert!(done.bytes <= 64 * 1000, "{}", done.bytes);
}

#[test]
fn deno_binary_without_its_base_names_it() {
    if !slow() {
        return;
    }
    let (source, cache) = (folder(DENO), tempfile::tempdir().unwrap());
    // Nothing listens there, so this is what an author without a way out sees.
    let builder = builder_with(cache.path().to_owned(), &[("HTTPS_PROXY", "http://127.0.0.1:9"), ("DENORT_BIN", "")]);
    let mut request = CompileRequest::new(source.path(), cache.path().join("out"));
    request.kind = Some(ArtifactKind::Binary);
    let error = compile(&builder, &request).unwrap_err();
    assert!(matches!(&error, CompileError::Step { step, .. } if step == "deno compile"), "{error}");
    assert!(error.hint().unwrap().contains("DENORT_BIN"), "{}", error.report());
}

#[test]
fn rust_native() {
    let Some(done) = check(RUST, false, |_| {}) else { return };
    assert_eq!((paths(&done), mode_of(&done, "app")), (vec!["app"], 0o755));
    assert!(done.bytes <= 2_500_000, "{}", done.bytes);
    assert!(done.manifest.dependencies.iter().any(|package| package.name == "serde_json"));
}

#[test]
fn rust_wasm() {
    let Some(done) = check(RUST, false, |request| request.target = Some(Target::Wasm)) else { return };
    assert_eq!(paths(&done), ["app.wasm"]);
    assert!(done.bytes <= 400 * 1000, "{}", done.bytes);
}

/// A program of its own name beside a library, with what is not looked at: another toolchain, tests' dependencies.
#[test]
fn rust_program() {
    if !slow() {
        return;
    }
    let source = folder(&[
        (
            "Cargo.toml",
            "[package]\nname = \"greet-er\"\nversion = \"0.1.0\"\nedition = \"2024\"\n\n[dev-dependencies]\nfixtures = { path = \"../../fixtures\" }\n",
        ),
        (
            "src/main.rs",
            &RUST[1]
                .1
                .replace("\"hello {name}", "\"{} {name}")
                .replace(", ctx.execution", ", greet_er::HELLO, ctx.execution"),
        ),
        ("src/lib.rs", "pub const HELLO: &str = \"hello\";\n"),
        ("rust-toolchain.toml", "[toolchain]\nchannel = \"1.10.0\"\n"),
    ]);
    let out = source.path().join("out");
    let builder = builder(cache());
    for (target, file) in [(Target::Native, "app"), (Target::Wasm, "app.wasm")] {
        let mut request = CompileRequest::new(source.path(), &out);
        request.target = Some(target);
        // The other way is the one the other tests go.
        request.quick = target == Target::Native;
        assert_eq!(paths(&compiled(&builder, &request)), [file]);
    }
}

#[test]
fn rust_member_of_a_workspace() {
    if !slow() {
        return;
    }
    let member = "[package]\nname = \"api\"\nversion.workspace = true\nedition = \"2024\"\n\n[dependencies]\nshared = { path = \"../../shared\" }\nignite = \"0.1\"\n";
    let source = folder(&[
        ("ignite.toml", "entrypoint = \"apps/api\"\n"),
        (
            "Cargo.toml",
            "[workspace]\nmembers = [\"apps/*\", \"shared\"]\nresolver = \"3\"\n\n[workspace.package]\nversion = \"1.2.3\"\n",
        ),
        ("apps/api/Cargo.toml", member),
        (
            "apps/api/src/lib.rs",
            &RUST[1]
                .1
                .replace("\"hello {name}", "\"{} {name}")
                .replace(", ctx.execution", ", shared::HELLO, ctx.execution"),
        ),
        ("shared/Cargo.toml", "[package]\nname = \"shared\"\nversion.workspace = true\nedition = \"2024\"\n"),
        ("shared/src/lib.rs", "pub const HELLO: &str = \"hello\";\n"),
    ]);
    let mut request = CompileRequest::new(source.path(), source.path().join("out"));
    request.quick = true;
    assert_eq!(paths(&compiled(&builder(cache()), &request)), ["app"]);
}

#[test]
fn included_files_are_packed_beside_the_program() {
    if !slow() {
        return;
    }
    let source = folder(GO);
    write(
        source.path(),
        &[
            ("ignite.toml", "name = \"hello\"\ntimeout_secs = 5\ninclude = [\"data/*.txt\"]\n[env]\nMODE = \"fast\"\n"),
            (".gitignore", "data\n"),
            ("data/a.txt", "a"),
            ("data/b.bin", "b"),
        ],
    );
    let out = source.path().join("hello.tar.gz");
    let mut request = CompileRequest::new(source.path(), &out);
    request.compression = ignite_core_artifact::Compression::Gzip;
    let done = compiled(&builder(cache()), &request);
    assert_eq!(paths(&done), ["app", "data/a.txt"]);
    assert_eq!(
        (done.manifest.limits.timeout_secs, done.manifest.env.as_slice()),
        (Some(5), ["MODE".to_owned()].as_slice())
    );
    assert_eq!(fs::read(&out).unwrap()[..2], [0x1f, 0x8b]);
    // The output lies among the sources and is none of them.
    assert_eq!(compiled(&builder(cache()), &request).cached, ["everything"]);
}

#[test]
fn an_image_gives_the_same_as_this_machine() {
    if !slow() {
        return;
    }
    // An unpacked image where one is named; else this machine's own root, taken for one: its tools are then mounted at
    // places of their own all the same.
    let image = std::env::var_os("IGNITE_COMPILE_IMAGE").unwrap_or_else(|| "/".into());
    let sandbox = SandboxOptions { image: Some(image.into()), ..SandboxOptions::default() };
    for files in [GO, PYTHON, DENO] {
        let (source, other) = (folder(files), tempfile::tempdir().unwrap());
        let digest = |builder: &Builder, name: &str| {
            let mut request = CompileRequest::new(source.path(), other.path().join(name));
            request.no_cache = true;
            compiled(builder, &request).digest
        };
        let here = digest(&builder(cache()), "here");
        let env = std::sync::Arc::new(|name: &str| std::env::var_os(name));
        let limits = SourceLimits::default();
        let config = BuilderConfig { cache_dir: cache(), env, limits, sandbox: sandbox.clone() };
        assert_eq!(digest(&Builder::new(config), "there"), here);
    }
}
