//! What is kept, for whom, for how long, and what a killed compile leaves: nothing.

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use ignite_compiler_builder::{Bound, CacheLimits, CompileRequest, Part, Whence};
use ignite_core_artifact::ReadLimits;
use ignite_core_artifact::provenance::{Ecosystem, read_provenance};

use crate::support::{builder, cache, compiled, folder, slow, write};

const HANDLER: &str = "def handler(payload, ctx):\n    return payload\n";
/// The variable by which the test below tells its own child what to compile.
const CHILD: &str = "IGNITE_TEST_COMPILES";

fn request(source: &Path, tenant: &str) -> CompileRequest {
    let mut request = CompileRequest::new(source, source.join("out"));
    request.tenant = tenant.to_owned();
    request
}

/// Files and folders directly in a folder; none where there is no folder.
fn count(folder: &Path) -> usize {
    fs::read_dir(folder).map_or(0, Iterator::count)
}

#[test]
fn what_is_kept_is_bounded_and_a_tenants_own() {
    if !slow() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let two = Bound { entries_max: 2, bytes_max: 1024 * 1024 };
    let limits = CacheLimits { artifacts: two, ..CacheLimits::default() };
    let builder = builder(dir.path().to_owned()).with_cache_limits(limits);
    let sources: Vec<_> = (0..3).map(|number| folder(&[("handler.py", &format!("{HANDLER}# {number}\n"))])).collect();

    let first = compiled(&builder, &request(sources[0].path(), "a"));
    assert_eq!(first.origins.last().map(|origin| (origin.part, origin.whence)), Some((Part::Artifact, Whence::Made)));
    assert!(fs::read_to_string(&first.log).unwrap().contains("artifact: made"));
    let again = compiled(&builder, &request(sources[0].path(), "a"));
    assert_eq!(again.origins.iter().map(|origin| origin.whence).collect::<Vec<_>>(), [Whence::Kept]);
    // Another tenant's compile is its own, and gives the same.
    let theirs = compiled(&builder, &request(sources[0].path(), "b"));
    assert_eq!((theirs.cached.len(), theirs.digest), (0, first.digest));

    for source in &sources[1..] {
        compiled(&builder, &request(source.path(), "a"));
    }
    assert_eq!(count(&dir.path().join("compile/artifacts")), 2);
    assert!(compiled(&builder, &request(sources[0].path(), "a")).cached.is_empty(), "the oldest is gone");
    assert_eq!(count(&dir.path().join("compile/fresh")), 0);
}

#[test]
fn compiles_at_once_give_the_same() {
    if !slow() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let source = folder(&[("handler.py", HANDLER)]);
    let digests: Vec<_> = std::thread::scope(|scope| {
        let compile = |number: usize| {
            let (cache, source) = (dir.path().to_owned(), source.path());
            let out = dir.path().join(format!("out-{number}"));
            // A builder for each, as processes have.
            move || compiled(&builder(cache), &CompileRequest::new(source, out)).digest
        };
        let running: Vec<_> = (0..4).map(|number| scope.spawn(compile(number))).collect();
        running.into_iter().map(|compile| compile.join().unwrap()).collect()
    });
    assert!(digests.windows(2).all(|pair| pair[0] == pair[1]), "{digests:?}");
    assert_eq!(count(&dir.path().join("compile/fresh")), 0);
}

/// Compiles what the test below names, in a process that it kills.
#[test]
fn child_that_is_killed() {
    let Some(place) = std::env::var_os(CHILD) else { return };
    let place = Path::new(&place);
    let mut request = CompileRequest::new(place.join("source"), place.join("out/artifact"));
    request.no_cache = true;
    writeln!(std::io::stdout(), "ready").unwrap();
    loop {
        compiled(&builder(place.join("cache")), &request);
    }
}

#[test]
fn a_killed_compile_leaves_nothing_half_made() {
    if !slow() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), &[("source/handler.py", HANDLER), ("out/keep", "")]);
    let request = CompileRequest::new(dir.path().join("source"), dir.path().join("out/artifact"));
    let whole = compiled(&builder(dir.path().join("cache")), &request);
    for round in 0..12_u64 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "caches::child_that_is_killed", "--nocapture"])
            .env(CHILD, dir.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = std::io::BufRead::lines(std::io::BufReader::new(child.stdout.take().unwrap()));
        assert!(lines.any(|line| line.is_ok_and(|line| line.contains("ready"))));
        // Anywhere in it: a compile takes some tens of milliseconds.
        let until = Instant::now() + Duration::from_millis(round * 23);
        while Instant::now() < until {
            std::thread::yield_now();
        }
        child.kill().unwrap();
        child.wait().unwrap();
    }
    let mut again = request.clone();
    again.out = dir.path().join("out/again");
    let found = compiled(&builder(dir.path().join("cache")), &again);
    assert_eq!((found.digest, found.cached.as_slice()), (whole.digest, ["everything".to_owned()].as_slice()));
    assert_eq!(fs::read(dir.path().join("out/again")).unwrap(), fs::read(dir.path().join("out/artifact")).unwrap());
    assert_eq!(count(&dir.path().join("cache/compile/fresh")), 0, "what was half made is swept");
    assert_eq!(count(&dir.path().join("out")), 3, "beside the output too");
}

#[test]
fn modules_that_a_lock_file_proves_are_shared() {
    if !slow() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let builder = builder(dir.path().to_owned());
    let example = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/go-third-party");
    let source = tempfile::tempdir().unwrap();
    for file in fs::read_dir(example).unwrap() {
        let file = file.unwrap();
        if file.file_type().unwrap().is_file() {
            fs::copy(file.path(), source.path().join(file.file_name())).unwrap();
        }
    }
    let downloads = |tenant: &str| {
        let done = compiled(&builder, &request(source.path(), tenant));
        let found = done.origins.iter().find(|origin| origin.part == Part::Downloads).unwrap().whence;
        (found, done.digest)
    };
    let first = downloads("a");
    assert_eq!(first.0, Whence::Made);
    assert_eq!(downloads("b"), (Whence::Shared, first.1));

    // A line that names no module does not make Go look for any; one that does, does.
    let main = source.path().join("main.go");
    let text = fs::read_to_string(&main).unwrap();
    fs::write(&main, format!("{text}// One more line.\n")).unwrap();
    assert_eq!(downloads("a").0, Whence::Kept);
    fs::write(source.path().join("more.go"), "package main\n\nimport _ \"embed\"\n").unwrap();
    assert_ne!(downloads("a").0, Whence::Kept);
}

#[test]
fn an_artifact_says_what_went_into_it() {
    if !slow() {
        return;
    }
    let source = folder(&[("handler.py", HANDLER), ("requirements.txt", "tabulate==0.9.0\n")]);
    let done = compiled(&builder(cache()), &CompileRequest::new(source.path(), source.path().join("out")));
    let bytes = fs::read(&done.artifact).unwrap();
    let (read, said) = read_provenance(&mut &*bytes, &ReadLimits::default()).unwrap();
    assert_eq!(read.digest, done.digest);
    assert_eq!(
        said.sources.iter().map(|file| file.path.as_str()).collect::<Vec<_>>(),
        ["handler.py", "requirements.txt"]
    );
    let tools: Vec<(&str, bool)> = said.tools.iter().map(|tool| (tool.name.as_str(), tool.digest.is_some())).collect();
    assert_eq!(tools, [("python", true), ("uv", true)]);
    let packages: Vec<_> =
        said.packages.iter().map(|one| (one.ecosystem, one.name.as_str(), one.hashes[0].algorithm.as_str())).collect();
    assert_eq!(packages, [(Ecosystem::Pypi, "tabulate", "record")]);
    // What it knows before it compiles is what the artifact says.
    let inspected = builder(cache()).inspect(&CompileRequest::new(source.path(), &done.artifact)).unwrap();
    assert_eq!(
        (inspected.source, inspected.sources, inspected.tools),
        (done.manifest.source, said.sources, said.tools)
    );
}
