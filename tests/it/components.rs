//! A component that another toolchain made: one file, deployed as it is, and what its host counts.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use ignite_tests::cli::{command, said};
use ignite_tests::client::ask;
use ignite_tests::host::Host;
use ignite_tests::platform::Platform;
use ignite_tests::product::{compile, repository};
use serde_json::Value;
use tempfile::TempDir;

/// A component of `wasi:http/incoming-handler`: what it does stands in its text.
fn component(folder: &TempDir, name: &str) -> PathBuf {
    let text = |file: &str| fs::read_to_string(repository().join("runtimes/wasm/tests/guests").join(file)).unwrap();
    let core = text("http.core.wat").replacen("\n(module", "\n(core module $main", 1);
    let bytes = wat::parse_str(text("http.wat").replacen("{{core}}", &core, 1)).unwrap();
    let path = folder.path().join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, bytes).unwrap();
    path
}

#[test]
fn a_component_is_deployed_as_the_one_file_it_is() {
    let (data, folder) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let platform = Platform::start(data.path()).unwrap();
    let ignite = |words: &[&str]| {
        let mut command = command(folder.path(), words).unwrap();
        command.env("IGNITE_API_ENDPOINT", &platform.api).env("IGNITE_TOKEN", &platform.token);
        said(command.env("IGNITE_CONFIG_DIR", folder.path().join("config")).output().unwrap())
    };
    component(&folder, "greet.wasm");
    let deployed = ignite(&["-o", "json", "deploy", "greet.wasm", "--app", "greet"]);
    assert_eq!(deployed.code, 0, "{}", deployed.stderr);
    let deployed: Value = serde_json::from_slice(&deployed.stdout).unwrap();
    assert_eq!(deployed["rollout"]["version"], 1, "{deployed}");
    assert_eq!(ignite(&["invoke", "greet"]).text(), "onetwo");
    let headers = format!("host: {}\r\nauthorization: Bearer {}\r\n", platform.host("greet"), platform.token);
    let answer = ask(&platform.gateway, "POST", "/echo", &headers, b"as it came").unwrap();
    let kind = answer.header("x-kind");
    assert_eq!((answer.status, kind.as_deref(), answer.text().as_str()), (201, Some("wasi"), "as it came"));

    // The same by steps, under a name that says nothing.
    component(&folder, "build/App-1.0.wasm");
    for words in [
        ["app", "create", "steps", "--description", "x"].as_slice(),
        &["draft", "save", "steps", "--code", "build/App-1.0.wasm"],
        &["draft", "publish", "steps"],
    ] {
        let said = ignite(words);
        assert_eq!(said.code, 0, "{words:?}: {}", said.stderr);
    }
    assert_eq!(ignite(&["invoke", "steps"]).text(), "onetwo");
    let source = platform.call("GetDraftInfo", &serde_json::json!({ "appId": "steps" })).unwrap();
    assert!(source["draft"]["runtime"]["component"].is_object(), "{source}");

    // What is no component is refused before anything is live, in words.
    fs::write(folder.path().join("module.wasm"), b"\0asm\x01\0\0\0").unwrap();
    let refused = ignite(&["deploy", "module.wasm", "--app", "greet"]);
    assert!(refused.code == 1 && refused.stderr.contains("a core module, not a component"), "{}", refused.stderr);
    assert_eq!(ignite(&["invoke", "greet"]).text(), "onetwo");
    platform.stop().unwrap();
}

/// Names and kinds of a section of the reference.
fn listed(section: &str) -> BTreeSet<(String, String)> {
    let page = fs::read_to_string(repository().join("docs/reference/metrics.md")).unwrap();
    let (_, rest) = page.split_once(&format!("\n## {section}\n")).unwrap();
    let rows = rest.lines().take_while(|line| !line.starts_with("## ")).filter(|line| line.starts_with("| `"));
    rows.map(|row| {
        let mut cells = row.split('|').skip(1).map(|cell| cell.trim().trim_matches('`').to_owned());
        (cells.next().unwrap(), cells.next().unwrap())
    })
    .collect()
}

#[test]
fn the_reference_lists_the_metrics_of_a_host_with_components() {
    let folder = tempfile::tempdir().unwrap();
    component(&folder, "app/app.wasm");
    let artifact = compile(&folder.path().join("app"), folder.path(), &[]).unwrap();
    let host = Host::serve(&artifact, &[]).unwrap();
    assert_eq!(ask(host.address(), "POST", "/echo", "", b"x").unwrap().text(), "x");
    // Errors are listed by type, once there is one.
    assert_eq!(ask(host.address(), "POST", "/", "x-ignite-timeout-ms: soon\r\n", b"").unwrap().status, 400);
    let page = host.admin("/metrics").unwrap();
    let types = page.lines().filter_map(|line| line.trim().strip_prefix("# TYPE "));
    let served: BTreeSet<(String, String)> = types
        .map(|line| {
            let (name, kind) = line.split_once(' ').unwrap();
            let suffix = if kind == "counter" { "_total" } else { "" };
            (format!("{name}{suffix}"), kind.to_owned())
        })
        .collect();
    let all: BTreeSet<_> = [listed("Host"), listed("Host with components")].into_iter().flatten().collect();
    // A machine without room for a pool has no figures of one.
    let has_pool = served.iter().any(|(name, _)| name.contains("_pool_"));
    let expected: BTreeSet<_> = all.into_iter().filter(|(name, _)| has_pool || !name.contains("_pool_")).collect();
    assert_eq!(served, expected);
}
