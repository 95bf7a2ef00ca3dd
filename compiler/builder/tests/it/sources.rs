//! Python packages that are published as sources only.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use ignite_compiler_builder::{CompileError, CompileEvent, CompileRequest, Compiled};
use ignite_core_model::Digest;

use crate::support::{builder, builder_with, cache, folder, slow};

const HANDLER: &str = "def handler(payload, ctx):\n    return payload\n";

/// A backend that brings itself, so that nothing is needed to build with. It notes what it could reach.
const BACKEND: &str = r#"
import os, urllib.request, zipfile
def reaches(address):
    try:
        urllib.request.urlopen(address, timeout=2)
        return True
    except Exception:
        return False
def writes(path):
    try:
        open(path, "w").close()
        return True
    except Exception:
        return False
ANSWERS = [os.path.join(folder, name) for folder, _, names in os.walk(os.environ["UV_CACHE_DIR"])
    for name in names if "/interpreter-" in folder]
LISTS = [os.path.join(os.environ["UV_CACHE_DIR"], "..", name) for name in ("source-0.txt", "wheels.txt")]
FOUND = {"answers": (len(ANSWERS) > 0, any(writes(path) for path in ANSWERS)),
    "lists": any(os.path.exists(path) and writes(path) for path in LISTS), "network": reaches("@ADDRESS@/leak"), "outside": writes("@OUTSIDE@/mark"), "environment": sorted(os.environ)}
def build_wheel(wheel_directory, config_settings=None, metadata_directory=None):
    wheel, about = "@NAME@-1.0-py3-none-any.whl", "@NAME@-1.0.dist-info/"
    with zipfile.ZipFile(os.path.join(wheel_directory, wheel), "w") as files:
        files.writestr("@NAME@.py", f"FOUND = {FOUND!r}\n")
        files.writestr(about + "METADATA", "Metadata-Version: 2.1\nName: @NAME@\nVersion: 1.0\n@REQUIRES@")
        files.writestr(about + "WHEEL", "Wheel-Version: 1.0\nGenerator: x\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        files.writestr(about + "RECORD", "")
    return wheel
@MORE@
"#;

/// An index of packages on loopback.
struct Index {
    address: String,
    files: Shared<(String, Vec<u8>)>,
    asked: Shared<String>,
}

type Shared<T> = Arc<Mutex<Vec<T>>>;

impl Index {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let (files, asked): (Shared<(String, Vec<u8>)>, Shared<String>) = Default::default();
        let (serves, hears) = (Arc::clone(&files), Arc::clone(&asked));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let mut reader = BufReader::new(&stream);
                let mut line = String::new();
                let _ = reader.read_line(&mut line);
                let path = line.split(' ').nth(1).unwrap_or_default().to_owned();
                let mut header = String::new();
                while reader.read_line(&mut header).is_ok_and(|read| read > 2) {
                    header.clear();
                }
                hears.lock().unwrap().push(path.clone());
                let (status, body) = answer(&path, &serves.lock().unwrap());
                let head = format!(
                    "HTTP/1.1 {status}\r\ncontent-type: text/html\r\ncache-control: max-age=600\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
                    body.len()
                );
                let head_only = line.starts_with("HEAD");
                let _ = (&stream).write_all(head.as_bytes());
                let _ = (&stream).write_all(if head_only { b"" } else { &body });
            }
        });
        Self { address, files, asked }
    }

    /// Publishes a source distribution with this backend.
    fn publish(&self, name: &str, requires: &[&str], outside: &Path, more: &str) -> Digest {
        let requires: String = requires.iter().map(|name| format!("Requires-Dist: {name}\\n")).collect();
        let backend = BACKEND
            .replace("@ADDRESS@", &self.address)
            .replace("@OUTSIDE@", outside.to_str().unwrap())
            .replace("@REQUIRES@", &requires)
            .replace("@MORE@", more)
            .replace("@NAME@", name);
        let project = "[build-system]\nrequires = []\nbuild-backend = \"backend\"\nbackend-path = [\".\"]\n";
        let about = format!("Metadata-Version: 1.1\nName: {name}\nVersion: 1.0\n");
        let mut archive = tar::Builder::new(flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast()));
        for (path, text) in [("backend.py", backend.as_str()), ("pyproject.toml", project), ("PKG-INFO", &about)] {
            let mut header = tar::Header::new_gnu();
            header.set_size(text.len() as u64);
            header.set_mode(0o644);
            header.set_cksum();
            archive.append_data(&mut header, format!("{name}-1.0/{path}"), text.as_bytes()).unwrap();
        }
        let bytes = archive.into_inner().unwrap().finish().unwrap();
        let digest = Digest::of(&bytes);
        self.files.lock().unwrap().push((name.to_owned(), bytes));
        digest
    }
}

fn answer(path: &str, files: &[(String, Vec<u8>)]) -> (&'static str, Vec<u8>) {
    let name = path.trim_start_matches("/simple/").trim_start_matches("/files/").trim_end_matches('/');
    let name = name.trim_end_matches("-1.0.tar.gz");
    match files.iter().find(|(other, _)| other == name) {
        Some((name, _)) if path.starts_with("/simple/") => {
            ("200 OK", format!("<a href=\"/files/{name}-1.0.tar.gz\">{name}-1.0.tar.gz</a>").into_bytes())
        }
        Some((_, bytes)) => ("200 OK", bytes.clone()),
        None => ("404 Not Found", Vec::new()),
    }
}

struct Done {
    result: Result<Compiled, CompileError>,
    lines: Vec<String>,
    cache: tempfile::TempDir,
}

impl Done {
    fn vendored(&self, file: &str) -> PathBuf {
        let entries: Vec<_> = fs::read_dir(self.cache.path().join("compile/python")).unwrap().flatten().collect();
        entries[0].path().join("vendor").join(file)
    }
}

fn compile(index: &Index, requirements: &str) -> Done {
    compile_files(index, &[("handler.py", HANDLER), ("requirements.txt", requirements)])
}

fn compile_files(index: &Index, files: &[(&str, &str)]) -> Done {
    let cache = tempfile::tempdir().unwrap();
    let source = folder(files);
    let simple = index.address.replace("http://", "http://user:hunter2@") + "/simple";
    let builder = builder_with(cache.path().to_owned(), &[("UV_DEFAULT_INDEX", &simple)]);
    let mut lines = Vec::new();
    let request = CompileRequest::new(source.path(), source.path().join("out"));
    let result = builder.compile(&request, &mut |event| {
        if let CompileEvent::Line { line, .. } = event {
            lines.push(line.to_owned());
        }
    });
    Done { result, lines, cache }
}

#[test]
fn sources_are_built_without_a_network() {
    if !slow() {
        return;
    }
    let (index, outside) = (Index::start(), tempfile::tempdir().unwrap());
    // What the first needs is known to its code only, and is sources as well.
    index.publish("first", &["second"], outside.path(), "");
    index.publish("second", &[], outside.path(), "");
    let done = compile(&index, "first\n");
    let compiled = done.result.as_ref().unwrap_or_else(|error| panic!("{}\n{:#?}", error.report(), done.lines));
    let packages: Vec<_> = compiled.manifest.dependencies.iter().map(|package| package.name.as_str()).collect();
    assert_eq!(packages, ["first", "second"]);
    for name in ["first.py", "second.py"] {
        let found = fs::read_to_string(done.vendored(name)).unwrap();
        assert!(found.contains("'network': False") && found.contains("'outside': False"), "{found}");
        assert!(found.contains("'answers': (True, False)") && found.contains("'lists': False"), "{found}");
        assert!(!found.contains("hunter2") && !found.contains("HTTP_PROXY"), "{found}");
    }
    let asked = index.asked.lock().unwrap().clone();
    assert!(asked.iter().any(|path| path == "/files/second-1.0.tar.gz"), "{asked:?}");
    assert!(!asked.iter().any(|path| path == "/leak"), "{asked:?}");
    assert!(done.lines.iter().any(|line| line.contains("built from their sources")), "{:#?}", done.lines);
    assert_eq!(fs::read_dir(done.cache.path().join("compile/fresh")).unwrap().count(), 0);
    // None of it went to where the apps of a tenant meet.
    let mut grep = std::process::Command::new("grep");
    grep.args(["-rl", "FOUND ="]).arg(done.cache.path().join("compile/downloads"));
    assert!(grep.output().unwrap().stdout.is_empty());
}

#[test]
fn a_source_that_is_not_what_was_locked_is_refused() {
    if !slow() {
        return;
    }
    let (index, outside) = (Index::start(), tempfile::tempdir().unwrap());
    let digest = index.publish("only", &[], outside.path(), "");
    let good = compile(&index, &format!("only==1.0 --hash={digest}\n"));
    assert!(good.result.is_ok(), "{:#?}", good.lines);
    let other = Digest::of(b"other");
    let bad = compile(&index, &format!("only==1.0 --hash={other}\n"));
    let Err(error) = bad.result else { panic!("it is not what was locked") };
    assert!(error.report().to_lowercase().contains("hash"), "{}", error.report());
    assert!(!outside.path().join("mark").exists());
}

#[test]
fn a_source_that_cannot_be_built_says_why() {
    if !slow() {
        return;
    }
    let (index, outside) = (Index::start(), tempfile::tempdir().unwrap());
    index.publish("broken", &[], outside.path(), "raise SystemExit('out of order')");
    let done = compile(&index, "broken\n");
    let Err(error) = done.result else { panic!("it cannot be built") };
    assert!(error.report().contains("out of order"), "{}", error.report());
    // And one that is not there at all is said to be so, as for wheels.
    index.publish("fine", &[], outside.path(), "");
    let none = compile(&index, "fine\nnowhere-at-all\n");
    let Err(error) = none.result else { panic!("it is not there") };
    assert!(error.report().contains("nowhere-at-all"), "{}", error.report());
}

/// As authors have them: no wheel of it was ever published.
#[test]
fn a_package_of_the_public_index_is_built() {
    if !slow() {
        return;
    }
    let source = folder(&[("handler.py", HANDLER), ("requirements.txt", "docopt==0.6.2\ntabulate==0.9.0\n")]);
    let request = CompileRequest::new(source.path(), source.path().join("out"));
    let mut again = request.clone();
    let compiled = builder(cache()).compile(&request, &mut |_| {}).unwrap_or_else(|error| panic!("{}", error.report()));
    let packages: Vec<_> = compiled.manifest.dependencies.iter().map(|package| package.name.as_str()).collect();
    assert_eq!(packages, ["docopt", "tabulate"]);
    again.no_cache = true;
    let anew = builder(cache()).compile(&again, &mut |_| {}).unwrap_or_else(|error| panic!("{}", error.report()));
    assert_eq!(anew.digest, compiled.digest, "made twice, it is the same");
}

/// A project whose lock file names the source, and its digest.
#[test]
fn a_locked_source_is_built() {
    if !slow() {
        return;
    }
    let (index, outside) = (Index::start(), tempfile::tempdir().unwrap());
    let digest = index.publish("only", &[], outside.path(), "");
    let compile = |digest: &Digest| {
        let lock = LOCK.replace("@DIGEST@", &digest.to_string());
        compile_files(&index, &[("handler.py", HANDLER), ("pyproject.toml", PROJECT), ("uv.lock", &lock)])
    };
    let done = compile(&digest);
    let compiled = done.result.unwrap_or_else(|error| panic!("{}", error.report()));
    assert_eq!(compiled.manifest.dependencies.len(), 1);
    let Err(error) = compile(&Digest::of(b"other")).result else { panic!("it is not what was locked") };
    assert!(error.report().to_lowercase().contains("hash"), "{}", error.report());
}

const PROJECT: &str = r#"[project]
name = "app"
version = "0.1.0"
requires-python = ">=3.12"
dependencies = ["only==1.0"]
"#;

const LOCK: &str = r#"version = 1
revision = 3
requires-python = ">=3.12"

[[package]]
name = "app"
version = "0.1.0"
source = { virtual = "." }
dependencies = [{ name = "only" }]

[package.metadata]
requires-dist = [{ name = "only", specifier = "==1.0" }]

[[package]]
name = "only"
version = "1.0"
source = { registry = "https://packages.example/simple" }
sdist = { url = "https://packages.example/files/only-1.0.tar.gz", hash = "@DIGEST@" }
"#;
