//! `ignite compile --sbom` and `ignite verify`, from one end to the other.
#![allow(clippy::unwrap_used, reason = "a test")]
#![allow(clippy::print_stderr, reason = "a skipped test says so")]

use std::fs;
use std::io::Write;
use std::path::Path;
use std::sync::{Arc, Mutex};

use ignite_cli::Exit;
use ignite_cli::ui::Ui;

#[derive(Clone, Default)]
struct Words(Arc<Mutex<Vec<u8>>>);

impl Write for Words {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Runs one command line with a cache of its own; its end, what it printed, what it said.
fn ignite(cache: &Path, arguments: &[&str]) -> (Exit, String, String) {
    let (out, err) = (Words::default(), Words::default());
    let mut ui = Ui::of_writers(Box::new(out.clone()), Box::new(err.clone()));
    let arguments = std::iter::once("ignite").chain(arguments.iter().copied()).map(Into::into).collect();
    let cache = cache.to_owned();
    let env = Arc::new(move |name: &str| match name {
        "IGNITE_CACHE_DIR" => Some(cache.clone().into()),
        name => std::env::var_os(name),
    });
    let exit = ignite_cli::run(arguments, env, &mut ui);
    let text = |words: &Words| String::from_utf8(words.0.lock().unwrap().clone()).unwrap();
    (exit, text(&out), text(&err))
}

#[test]
fn an_artifact_is_verified_against_its_source() {
    if std::env::var_os("IGNITE_SLOW").is_none_or(|value| value != "1") {
        eprintln!("skipped: set IGNITE_SLOW=1 to run tests with compilers");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let (app, cache) = (dir.path().join("app"), dir.path().join("cache"));
    fs::create_dir(&app).unwrap();
    let handler = app.join("handler.py");
    fs::write(&handler, "def handler(payload, ctx):\n    return payload\n").unwrap();
    // It lies in the folder, and is none of the sources.
    let (artifact, sbom) = (app.join("app.tar.zst"), dir.path().join("sbom.json"));
    let (folder, artifact_text) = (app.to_str().unwrap(), artifact.to_str().unwrap());
    let compile = ["compile", folder, "--out", artifact_text, "--sbom", sbom.to_str().unwrap(), "-o", "json"];
    let (exit, out, err) = ignite(&cache, &compile);
    assert_eq!(exit, Exit::Done, "{err}");
    let report: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert!(report["origins"].as_array().unwrap().iter().any(|origin| origin == "artifact: made"), "{out}");
    let bom = fs::read_to_string(&sbom).unwrap();
    assert_eq!(serde_json::from_str::<serde_json::Value>(&bom).unwrap()["bomFormat"], "CycloneDX");
    let (_, out, _) = ignite(&cache, &compile);
    assert!(out.contains("artifact: kept") && fs::read_to_string(&sbom).unwrap() == bom, "{out}");

    // The same again, with another cache.
    let (exit, out, err) = ignite(&dir.path().join("other"), &["verify", artifact_text, folder, "-o", "json"]);
    assert_eq!(exit, Exit::Done, "{err}");
    let report: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!((report["same"].as_bool(), &report["digest"]), (Some(true), &report["recompiled"]));

    // An artifact that says it was made of these sources, and was not.
    let genuine = dir.path().join("genuine.tar.zst");
    fs::rename(&artifact, &genuine).unwrap();
    forge(&genuine, &artifact);
    let (exit, out, err) = ignite(&cache, &["verify", artifact_text, folder]);
    assert_eq!(exit, Exit::Failed, "{err}");
    fs::rename(&genuine, &artifact).unwrap();
    assert!(out.contains("handler.py") && out.contains("content"), "{out}");

    // Not the source, not an artifact, nothing.
    fs::write(&handler, "def handler(payload, ctx):\n    return b\"\"\n").unwrap();
    let (exit, _, err) = ignite(&cache, &["verify", artifact_text, folder]);
    assert_eq!(exit, Exit::InvalidArgument);
    assert!(err.contains("handler.py has another content"), "{err}");
    assert_eq!(ignite(&cache, &["verify", handler.to_str().unwrap(), folder]).0, Exit::InvalidArgument);
    assert_eq!(ignite(&cache, &["verify", "/nowhere/at/all", folder]).0, Exit::NotFound);
}

/// The artifact with one file of it changed, sound in itself.
fn forge(from: &Path, to: &Path) {
    use ignite_core_artifact::{Compression, FileEntry, Manifest, ManifestHead, PayloadFile, ReadLimits, Sink};
    #[derive(Default)]
    struct Keep(Vec<(FileEntry, Vec<u8>)>);
    impl Sink for Keep {
        fn begin(&mut self, _: &Manifest) -> std::io::Result<()> {
            Ok(())
        }
        fn file(&mut self, file: &FileEntry, content: &mut dyn std::io::Read) -> std::io::Result<()> {
            let mut bytes = Vec::new();
            content.read_to_end(&mut bytes)?;
            self.0.push((file.clone(), bytes));
            Ok(())
        }
    }
    let mut keep = Keep::default();
    let read = ignite_core_artifact::read(&mut fs::File::open(from).unwrap(), &ReadLimits::default(), &mut keep);
    let manifest = read.unwrap().manifest;
    for (file, content) in &mut keep.0 {
        if file.path == "handler.py" {
            content.extend(b"# and more\n");
        }
    }
    let files = keep.0.iter().map(|(file, content)| PayloadFile::from_bytes(file.path.clone(), file.mode, content));
    let head = ManifestHead {
        runtime: manifest.runtime,
        target: manifest.target,
        kind: manifest.kind,
        entrypoint: manifest.entrypoint,
        abi: manifest.abi,
        name: manifest.name,
        toolchain: manifest.toolchain,
        source: manifest.source,
        limits: manifest.limits,
        env: manifest.env,
        dependencies: manifest.dependencies,
    };
    let mut out = fs::File::create(to).unwrap();
    ignite_core_artifact::write(head, files.collect(), Compression::Zstd, &mut out).unwrap();
}
