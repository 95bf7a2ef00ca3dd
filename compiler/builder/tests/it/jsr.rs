//! Packages of JSR, from a registry of this test that speaks as jsr.io does (its documentation, "API, Package manifests").

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;

use ignite_compiler_builder::CompileRequest;
use ignite_core_model::Digest;

use crate::support::{builder_with, compile, compiled, folder, slow};

const GREET: &str = "/** Greets. */\nexport function greet(name: string): string {\n  return `hello ${name}`;\n}\n";
const MAIN: &str = "import { start } from \"ignite\";\nimport { greet } from \"jsr:@acme/greet@^1.0.0\";\n\n\
                    start((payload: Uint8Array) => greet(new TextDecoder().decode(payload)));\n";

/// Serves a package with one module, whose manifest names it with the digest of `manifest_of`, until the test ends.
fn registry(manifest_of: &str) -> SocketAddr {
    let digest = Digest::of(manifest_of.as_bytes()).to_hex();
    let manifest = format!(
        r#"{{"manifest":{{"/mod.ts":{{"size":{},"checksum":"sha256-{digest}"}}}},"exports":{{".":"./mod.ts"}},"moduleGraph2":{{"/mod.ts":{{}}}}}}"#,
        GREET.len()
    );
    let files = BTreeMap::from([
        (
            "/@acme/greet/meta.json",
            r#"{"scope":"acme","name":"greet","latest":"1.2.0","versions":{"1.2.0":{},"0.9.0":{}}}"#.to_owned(),
        ),
        ("/@acme/greet/1.2.0_meta.json", manifest),
        ("/@acme/greet/1.2.0/mod.ts", GREET.to_owned()),
    ]);
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            // A caller that goes away is its own concern.
            let _ = answer(stream, &files);
        }
    });
    address
}

fn answer(mut stream: TcpStream, files: &BTreeMap<&str, String>) -> std::io::Result<()> {
    let mut lines = BufReader::new(stream.try_clone()?).lines();
    let first = lines.next().transpose()?.unwrap_or_default();
    while lines.next().transpose()?.is_some_and(|line| !line.is_empty()) {}
    let (status, body) = match first.split(' ').nth(1).and_then(|path| files.get(path)) {
        Some(body) => ("200 OK", body.as_str()),
        None => ("404 Not Found", ""),
    };
    let kind = if first.contains(".json") { "application/json" } else { "application/typescript" };
    write!(
        stream,
        "HTTP/1.1 {status}\r\ncontent-type: {kind}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    )
}

#[test]
fn a_package_of_jsr_is_bundled_and_stands_in_the_manifest() {
    if !slow() {
        return;
    }
    let (source, cache) = (folder(&[("main.ts", MAIN)]), tempfile::tempdir().unwrap());
    let url = format!("http://{}/", registry(GREET));
    let builder = builder_with(cache.path().to_owned(), &[("JSR_URL", &url)]);
    let done = compiled(&builder, &CompileRequest::new(source.path(), cache.path().join("out")));
    let named: Vec<_> = done.manifest.dependencies.iter().map(|package| (&*package.name, &*package.version)).collect();
    assert_eq!(named, [("jsr:@acme/greet", "1.2.0")]);
}

#[test]
fn a_package_of_jsr_that_is_not_what_its_manifest_says_is_refused() {
    if !slow() {
        return;
    }
    let (source, cache) = (folder(&[("main.ts", MAIN)]), tempfile::tempdir().unwrap());
    let url = format!("http://{}/", registry("something else"));
    let builder = builder_with(cache.path().to_owned(), &[("JSR_URL", &url)]);
    let error = compile(&builder, &CompileRequest::new(source.path(), cache.path().join("out"))).unwrap_err();
    assert!(error.report().contains("greet"), "{}", error.report());
}
