//! What an author does with `ignite` from an empty folder on: new, compile, run, invoke.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use ignite_tests::cli::{Serving, command, ignite};
use ignite_tests::host::Host;
use ignite_tests::tree::files;
use serde_json::Value;
use tempfile::TempDir;

/// A first compile of Rust, on a machine that has much else to do.
const SERVES_MAX: Duration = Duration::from_secs(300);
/// From a signal to the end.
const ENDS_MAX: Duration = Duration::from_secs(15);

/// A folder with a new project called `app` in it.
fn new_project(runtime: &str) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    let made = ignite(dir.path(), &["new", "app", "--runtime", runtime]).unwrap();
    assert_eq!(made.code, 0, "{}", made.stderr);
    dir
}

/// Makes a project, serves it with `ignite run` and greets Ada with `ignite invoke`.
fn from_nothing_to_an_answer(runtime: &str) {
    let dir = new_project(runtime);
    let before = files(&dir.path().join("app")).unwrap();
    assert!(before.contains_key(Path::new(".gitignore")), "{:?}", before.keys());
    let mut run = Serving::start(command(dir.path(), &["run", "app", "--port", "0"]).unwrap(), SERVES_MAX).unwrap();

    let url = format!("http://{}/", run.address());
    let said = ignite(dir.path(), &["invoke", "--url", &url, "-p", r#"{"name":"Ada"}"#]).unwrap();
    assert_eq!(said.code, 0, "{}", said.stderr);
    let body: Value = serde_json::from_slice(&said.stdout).unwrap();
    assert_eq!(body["greeting"], "Hello, Ada!");
    let execution = body["execution_id"].as_str().unwrap();
    assert!(said.stderr.starts_with("status 200 OK  "), "{}", said.stderr);
    assert!(said.stderr.contains(&format!("execution {execution}  function local/app")), "{}", said.stderr);
    let said = ignite(dir.path(), &["-q", "invoke", "--url", &url]).unwrap();
    assert_eq!(serde_json::from_slice::<Value>(&said.stdout).unwrap()["greeting"], "Hello, world!");
    assert_eq!((said.code, said.stderr.as_str()), (0, ""));

    assert_eq!(run.interrupt(ENDS_MAX).unwrap().code(), Some(0));
    assert_eq!(files(&dir.path().join("app")).unwrap(), before, "`run` writes nothing to the author's folder");
}

#[test]
fn a_new_python_project_answers() {
    from_nothing_to_an_answer("python");
}

#[test]
fn a_new_go_project_answers() {
    from_nothing_to_an_answer("go");
}

#[test]
fn a_new_deno_project_answers() {
    from_nothing_to_an_answer("deno");
}

#[test]
fn a_new_rust_project_answers() {
    from_nothing_to_an_answer("rust");
}

#[test]
fn the_test_of_the_python_template_passes() {
    let dir = new_project("python");
    let doctor = ignite(dir.path(), &["doctor", "--runtime", "python", "-o", "json"]).unwrap();
    let tools: Value = serde_json::from_slice(&doctor.stdout).unwrap();
    let python = tools[0]["path"].as_str().expect("python is found");
    let tests =
        Command::new(python).args(["-B", "-m", "unittest"]).current_dir(dir.path().join("app")).output().unwrap();
    let said = String::from_utf8_lossy(&tests.stderr);
    assert!(tests.status.success() && said.contains("Ran 2 tests"), "{said}");
}

#[test]
fn new_never_writes_over_somebodys_work() {
    let dir = new_project("python");
    let before = files(dir.path()).unwrap();
    let again = ignite(dir.path(), &["new", "app", "-r", "go"]).unwrap();
    assert_eq!(again.code, 6);
    assert!(again.stderr.contains("the folder exists and is not empty"), "{}", again.stderr);
    fs::write(dir.path().join("taken"), "x").unwrap();
    assert_eq!(ignite(dir.path(), &["new", "taken", "-r", "go"]).unwrap().code, 6);
    fs::remove_file(dir.path().join("taken")).unwrap();
    for name in ["Bad", "my_app", "../up", "", "-x", "a b", "1st"] {
        let said = ignite(dir.path(), &["new", "-r", "go", "--", name]).unwrap();
        assert_eq!(said.code, 2, "{name}: {}", said.stderr);
    }
    assert_eq!(ignite(dir.path(), &["new", "other", "-r", "cobol"]).unwrap().code, 2);
    assert_eq!(files(dir.path()).unwrap(), before);

    fs::create_dir(dir.path().join("empty")).unwrap();
    let said = ignite(dir.path(), &["new", "other", "-r", "go", "--dir", "empty"]).unwrap();
    assert_eq!(said.code, 0, "an empty folder is as good as none: {}", said.stderr);
    assert!(fs::read_to_string(dir.path().join("empty/ignite.toml")).unwrap().contains("name = \"other\""));
}

#[test]
fn compile_writes_where_it_is_told_and_nowhere_else() {
    let dir = new_project("python");
    let app = dir.path().join("app");
    let before = files(&app).unwrap();
    let out = dir.path().join("no/such/folder/app.tar.zst");
    let said = ignite(dir.path(), &["compile", "app", "--out", out.to_str().unwrap()]).unwrap();
    assert_eq!(said.code, 2, "{}", said.stderr);
    assert!(said.stderr.contains("hint: make the folder"), "{}", said.stderr);
    assert!(!dir.path().join("no").exists());
    let out = dir.path().join("app.tar.zst");
    let said = ignite(dir.path(), &["compile", "app", "--out", out.to_str().unwrap()]).unwrap();
    assert_eq!(said.code, 0, "{}", said.stderr);
    assert_eq!(files(&app).unwrap(), before, "with --out, nothing is written to the author's folder");

    let said = ignite(&app, &["compile"]).unwrap();
    assert_eq!(said.code, 0, "{}", said.stderr);
    let mut after = files(&app).unwrap();
    let written: Vec<String> = after
        .extract_if(.., |path, _| path.starts_with(".ignite"))
        .map(|(path, _)| path.display().to_string())
        .collect();
    assert_eq!(written, [".ignite/.gitignore", ".ignite/app.tar.zst"]);
    assert_eq!(after, before, "without --out, only .ignite/ is written");
    assert_eq!(fs::read(app.join(".ignite/app.tar.zst")).unwrap(), fs::read(out).unwrap());
}

#[test]
fn results_are_for_programs_too() {
    let dir = new_project("python");
    for words in [&["compile", "app"][..], &["doctor"]] {
        let of = |form: &str| {
            let said = ignite(dir.path(), &[words, &["-o", form]].concat()).unwrap();
            assert_eq!(said.code, 0, "{}", said.stderr);
            said.stdout
        };
        let json: Value = serde_json::from_slice(&of("json")).unwrap();
        let yaml: Value = serde_yaml_ng::from_slice(&of("yaml")).unwrap();
        match words[0] {
            "doctor" => assert_eq!(json, yaml),
            _ => assert_eq!((&json["digest"], &json["runtime"]), (&yaml["digest"], &Value::from("python"))),
        }
    }
    let json = ignite(dir.path(), &["compile", "app", "-o", "json"]).unwrap();
    let json: Value = serde_json::from_slice(&json.stdout).unwrap();
    let artifact = dir.path().join(json["artifact"].as_str().unwrap());
    assert_eq!(fs::metadata(artifact).unwrap().len(), json["bytes"].as_u64().unwrap());
    assert!(fs::metadata(json["log"].as_str().unwrap()).unwrap().is_file(), "the tools' words are kept");
}

#[test]
fn a_fault_of_the_code_names_file_and_line() {
    let dir = new_project("python");
    fs::write(dir.path().join("app/handler.py"), "import json\n\ndef handler(payload, ctx):\n    return (\n").unwrap();
    for quiet in [&[][..], &["-q"]] {
        let said = ignite(dir.path(), &[&["compile", "app"], quiet].concat()).unwrap();
        assert_eq!((said.code, said.text().as_str()), (1, ""));
        assert!(said.stderr.contains("File \"handler.py\", line 4"), "{}", said.stderr);
    }
    assert_eq!(ignite(dir.path(), &["run", "app", "--port", "0"]).unwrap().code, 1);

    let go = new_project("go");
    let main = go.path().join("app/main.go");
    let code = fs::read_to_string(&main).unwrap().replace("Start(handler)", "Start(handlr)");
    let line = 1 + code.lines().position(|line| line.contains("handlr")).unwrap();
    fs::write(&main, code).unwrap();
    for quiet in [&[][..], &["-q"]] {
        let said = ignite(go.path(), &[&["compile", "app"], quiet].concat()).unwrap();
        assert_eq!(said.code, 1, "{}", said.stderr);
        assert!(said.stderr.contains(&format!("main.go:{line}:")), "{}", said.stderr);
    }
}

#[test]
fn what_is_not_there_is_named() {
    let dir = new_project("deno");
    let said = command(dir.path(), &["compile", "app"]).unwrap().env("IGNITE_DENO", "/nonexistent").output().unwrap();
    let stderr = String::from_utf8_lossy(&said.stderr);
    assert_eq!(said.status.code(), Some(9), "{stderr}");
    assert!(stderr.contains("deno") && stderr.contains("IGNITE_DENO"), "{stderr}");
    let mut doctor = command(dir.path(), &["doctor", "--runtime", "deno", "-o", "wide"]).unwrap();
    let doctor = doctor.env("IGNITE_DENO", "/nonexistent").output().unwrap();
    let stdout = String::from_utf8_lossy(&doctor.stdout);
    assert_eq!(doctor.status.code(), Some(9), "{stdout}");
    assert!(
        stdout.contains("missing") && stdout.contains("to get deno") && stdout.contains("/nonexistent"),
        "{stdout}"
    );
    for words in [&["compile", "gone"][..], &["run", "gone"], &["run", "gone.tar.zst"], &["dev", "gone"]] {
        let said = ignite(dir.path(), words).unwrap();
        assert_eq!(said.code, 2, "{words:?}: {}", said.stderr);
        assert!(said.stderr.contains("gone"), "{}", said.stderr);
    }
}

#[test]
fn artifacts_are_served_by_both_programs() {
    let dir = new_project("python");
    let said = ignite(dir.path(), &["compile", "app", "--format", "tar.gz", "--out", "app.tar.gz"]).unwrap();
    assert_eq!(said.code, 0, "{}", said.stderr);
    let artifact = dir.path().join("app.tar.gz");
    assert!(fs::read(&artifact).unwrap().starts_with(&[0x1f, 0x8b]), "gzip");
    let host = Host::serve(&artifact, &[]).unwrap();
    let answer = ignite_tests::client::ask(host.address(), "POST", "/", "", b"{\"name\": \"Ada\"}").unwrap();
    assert_eq!((answer.status, &answer.json()["greeting"]), (200, &Value::from("Hello, Ada!")));

    let mut run =
        Serving::start(command(dir.path(), &["run", "app.tar.gz", "--port", "0"]).unwrap(), SERVES_MAX).unwrap();
    let answer = ignite_tests::client::ask(run.address(), "POST", "/", "", b"").unwrap();
    assert_eq!(answer.json()["greeting"], "Hello, world!");
    let port = run.address().rsplit(':').next().unwrap().to_owned();
    let taken = ignite(dir.path(), &["run", "app.tar.gz", "--port", &port]).unwrap();
    assert_eq!(taken.code, 9, "{}", taken.stderr);
    assert!(taken.stderr.contains("--port 0"), "{}", taken.stderr);
    assert_eq!(run.interrupt(ENDS_MAX).unwrap().code(), Some(0));
    assert!(artifact.is_file(), "the author's artifact stays");
    fs::write(dir.path().join("broken.tar.zst"), "not an artifact").unwrap();
    let said = ignite(dir.path(), &["run", "broken.tar.zst", "--port", "0"]).unwrap();
    assert_eq!(said.code, 2, "{}", said.stderr);
}

#[test]
fn shells_are_helped() {
    let here = Path::new(".");
    for shell in ["bash", "zsh", "fish"] {
        let said = ignite(here, &["completions", shell]).unwrap();
        assert_eq!(said.code, 0);
        for verb in ["compile", "doctor", "invoke"] {
            assert!(said.text().contains(verb), "{shell} completes {verb}");
        }
    }
    assert_eq!(ignite(here, &["completions", "cobol"]).unwrap().code, 2);
    assert_eq!(ignite(here, &["--version"]).unwrap().text(), format!("ignite {}\n", env!("CARGO_PKG_VERSION")));
    assert_eq!(ignite(here, &["frobnicate"]).unwrap().code, 2);
}

#[test]
fn a_reader_that_has_read_enough_ends_it_quietly() {
    let mut command = command(Path::new("."), &["completions", "bash"]).unwrap();
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let said = ignite_tests::cli::said(command.stdout(writer).output().unwrap());
    assert_eq!((said.code, said.stderr.as_str()), (0, ""));
}
