//! What holds for every language: outputs, tools, stopping, several at once.

use std::fs;
use std::path::Path;
use std::thread;
use std::time::Duration;

use ignite_compiler_builder::{CompileError, CompileEvent, CompileRequest};
use ignite_core_model::Fault;

use crate::support::{builder, builder_with, cache, compile, compiled, folder, slow};

const HANDLER: &str = "def handler(payload, ctx):\n    return payload\n";

#[test]
fn a_missing_tool_says_what_was_looked_at_and_how_to_get_it() {
    let (source, cache) =
        (folder(&[("main.go", "package main\nimport \"ignite\"\nfunc main() { ignite.Start(nil) }\n")]), folder(&[]));
    let request = CompileRequest::new(source.path(), cache.path().join("out"));
    let error = compile(&builder_with(cache.path().to_owned(), &[("IGNITE_GO", "/bin/false")]), &request).unwrap_err();
    assert_eq!(error.fault(), Fault::Missing);
    let report = error.report();
    assert!(
        report.starts_with("error: go 1.26.x was not found; looked at /bin/false (it does not tell its version)\n"),
        "{report}"
    );
    assert!(report.contains("\nhint: to get it, "), "{report}");
}

#[test]
fn nothing_to_compile_is_told_apart() {
    let dir = folder(&[("handler.py", HANDLER)]);
    let builder = builder(dir.path().join("cache"));
    let out = dir.path().join("out");
    let said = |source: &Path| compile(&builder, &CompileRequest::new(source, &out)).unwrap_err().report();
    assert!(said(&dir.path().join("nowhere")).starts_with("error: there is no folder "));
    assert!(
        said(&dir.path().join("handler.py"))
            .ends_with(" is a file, and an app is a folder\nhint: name the folder it lies in, or an archive of it")
    );
}

#[test]
fn an_output_that_cannot_be_written_is_no_loss() {
    if !slow() {
        return;
    }
    let source = folder(&[("handler.py", HANDLER)]);
    let builder = builder(cache());
    let out = source.path().join("no/such/folder/app.tar.zst");
    let error = compile(&builder, &CompileRequest::new(source.path(), &out)).unwrap_err();
    assert!(matches!(error, CompileError::Output { .. }), "{error}");
    assert!(error.hint().unwrap().starts_with("make the folder "));
    assert!(!source.path().join("no").exists());

    // A folder that is there stays.
    let error = compile(&builder, &CompileRequest::new(source.path(), source.path())).unwrap_err();
    assert!(error.report().contains("it is a folder"), "{}", error.report());

    let out = source.path().join("app.tar.zst");
    fs::write(&out, "old").unwrap();
    fs::write(source.path().join("handler.py"), "def broken(").unwrap();
    compile(&builder, &CompileRequest::new(source.path(), &out)).unwrap_err();
    assert_eq!(fs::read(&out).unwrap(), b"old", "a failed compile changes nothing");
}

#[test]
fn a_damaged_artifact_in_the_cache_is_made_anew() {
    if !slow() {
        return;
    }
    let (source, cache) = (folder(&[("handler.py", HANDLER)]), folder(&[]));
    let builder = builder(cache.path().to_owned());
    let request = CompileRequest::new(source.path(), cache.path().join("out"));
    let first = compiled(&builder, &request);
    let entry = fs::read_dir(cache.path().join("compile/artifacts")).unwrap().next().unwrap().unwrap().path();
    // A bit that flipped, and what a loss of power may leave of a file: its name, or a part.
    type Damage = fn(&mut Vec<u8>);
    let damages: [(&str, Damage); 4] = [
        ("artifact", |bytes| *bytes.last_mut().unwrap() ^= 1),
        ("artifact", |bytes| bytes.fill(0)),
        ("compiled.json", Vec::clear),
        ("compiled.json", |bytes| bytes.truncate(bytes.len() / 2)),
    ];
    for (name, damage) in damages {
        let mut bytes = fs::read(entry.join(name)).unwrap();
        damage(&mut bytes);
        fs::write(entry.join(name), bytes).unwrap();
        let again = compiled(&builder, &request);
        assert_eq!(again.digest, first.digest);
        assert!(again.cached.is_empty(), "{name}");
    }
    assert_eq!(compiled(&builder, &request).cached, ["everything"]);
}

#[test]
fn compiles_of_one_folder_do_not_disturb_each_other() {
    if !slow() {
        return;
    }
    let (source, cache) = (folder(&[("handler.py", HANDLER)]), folder(&[]));
    let digests: Vec<_> = thread::scope(|scope| {
        let compiles: Vec<_> = (0..4)
            .map(|index| {
                let (source, cache) = (source.path(), cache.path());
                scope.spawn(move || {
                    // Builders of their own, as processes of their own have.
                    let mut request = CompileRequest::new(source, cache.join(format!("out{index}")));
                    request.no_cache = true;
                    compiled(&builder(cache.to_owned()), &request).digest
                })
            })
            .collect();
        compiles.into_iter().map(|compile| compile.join().unwrap()).collect()
    });
    assert!(digests.iter().all(|digest| *digest == digests[0]), "{digests:?}");
}

#[test]
fn a_compile_stops_when_asked_or_out_of_time() {
    if !slow() {
        return;
    }
    let (source, cache) = (folder(&[("handler.py", HANDLER)]), folder(&[]));
    let builder = builder(cache.path().to_owned());
    let request = CompileRequest::new(source.path(), cache.path().join("out"));
    let cancel = request.cancel.clone();
    let error = builder
        .compile(&request, &mut |event| {
            if matches!(event, CompileEvent::Started { .. }) {
                cancel.cancel();
            }
        })
        .unwrap_err();
    assert!(matches!(error, CompileError::Cancelled), "{error}");

    let mut request = CompileRequest::new(source.path(), cache.path().join("out"));
    request.time_max = Duration::ZERO;
    let error = compile(&builder, &request).unwrap_err();
    assert!(matches!(error, CompileError::TimedOut { .. }), "{error}");
}
