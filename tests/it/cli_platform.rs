//! What an author and an operator do on the command line with a whole platform, `ignite serve`.

use std::fs;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use ignite_tests::cli::{Said, command, said};
use ignite_tests::platform::{ORGANIZATION, Platform, STEP_MAX};
use serde_json::{Value, json};
use tempfile::TempDir;

/// Pause between two looks at what is awaited.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// A person at a terminal, with a folder of projects and a configuration of their own.
struct Person {
    folder: TempDir,
}

impl Person {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    /// Runs `ignite` with what the configuration says and nothing else.
    fn ignite(&self, words: &[&str]) -> Said {
        let mut command = command(self.folder.path(), words).unwrap();
        for name in ["IGNITE_TOKEN", "DODIL_TOKEN", "IGNITE_API_ENDPOINT", "IGNITE_ORG"] {
            command.env_remove(name);
        }
        said(command.env("IGNITE_CONFIG_DIR", self.folder.path().join("config")).output().unwrap())
    }

    /// As [`Person::ignite`], and it must succeed.
    fn done(&self, words: &[&str]) -> String {
        let said = self.ignite(words);
        assert_eq!(said.code, 0, "{words:?}: {}", said.stderr);
        said.text()
    }

    fn json(&self, words: &[&str]) -> Value {
        serde_json::from_str(&self.done(&[&["-o", "json"], words].concat())).unwrap()
    }

    /// Configures what the guides say to.
    fn configure(&self, platform: &Platform, token: &str) {
        self.done(&["config", "set", "token", token]);
        self.done(&["config", "set", "api_endpoint", &platform.api]);
    }

    /// A project in Python.
    fn project(&self, name: &str, handler: &str) {
        let dir = self.folder.path().join(name);
        fs::create_dir_all(&dir).unwrap();
        fs::write(dir.join("handler.py"), handler).unwrap();
    }

    fn write(&self, path: &str, text: &str) {
        fs::write(self.folder.path().join(path), text).unwrap();
    }
}

fn start(data: &Path) -> Platform {
    Platform::start(data).unwrap()
}

#[test]
fn a_folder_is_deployed_changed_broken_and_rolled_back() {
    let data = tempfile::tempdir().unwrap();
    let platform = start(data.path());
    let person = Person::new();
    let login = person.ignite(&["login", "--api-endpoint", &platform.api, "--token", &platform.token]);
    assert_eq!(login.code, 0, "{}", login.stderr);
    assert!(!login.stderr.contains(&platform.token));
    assert!(!person.done(&["config", "view"]).contains(&platform.token));

    person.project("hello", "import os\ndef handler(payload, ctx):\n    print('one was here')\n    return 'one ' + os.environ['GREETING']\n");
    person.write("hello/ignite.toml", "name = \"hello\"\n[env]\nGREETING = \"hi\"\n");
    // Files that are left out cannot break it, however long they are.
    person.write("hello/.igniteignore", "*.bin\n");
    person.write("hello/huge.bin", &"x".repeat(4 << 20));
    let deployed = person.json(&["deploy", "hello"]);
    assert_eq!(deployed["rollout"]["version"], 1, "{deployed}");
    assert_eq!(platform.ask("hello", b"").unwrap().text(), "one hi");

    person.project("hello", "def handler(payload, ctx):\n    return 'two'\n");
    assert!(person.done(&["deploy", "hello", "--tier", "small"]).contains("v2"));
    assert_eq!(person.done(&["invoke", "hello"]), "two");
    assert_eq!(person.json(&["app", "get", "hello"])["resourceTier"], "RESOURCE_TIER_SMALL");

    person.project("hello", "def handlr(payload, ctx):\n    return 'three'\n");
    let broken = person.ignite(&["deploy", "hello"]);
    assert_eq!(broken.code, 1, "{}", broken.stderr);
    assert!(broken.stderr.contains("has no function `handler`"), "{}", broken.stderr);
    person.project("hello", "raise RuntimeError('no database')\ndef handler(payload, ctx):\n    return ''\n");
    let broken = person.ignite(&["deploy", "hello"]);
    assert_eq!(broken.code, 1, "{}", broken.stderr);
    assert!(broken.stderr.contains("no database"), "{}", broken.stderr);
    assert_eq!(person.done(&["invoke", "hello"]), "two", "what was live still is");

    person.done(&["version", "rollback", "hello", "v1"]);
    assert_eq!(person.done(&["invoke", "hello"]), "one hi");
    let versions = person.json(&["version", "list", "hello"]);
    let states: Vec<&str> =
        versions["versions"].as_array().unwrap().iter().map(|one| one["status"].as_str().unwrap()).collect();
    assert_eq!(states, ["VERSION_STATUS_FAILED", "VERSION_STATUS_SUPERSEDED", "VERSION_STATUS_ACTIVE"]);
    person.done(&["version", "code", "hello", "--version", "2", "--out", "code.tar.zst"]);
    assert!(fs::metadata(person.folder.path().join("code.tar.zst")).unwrap().len() > 0);

    let deadline = Instant::now() + STEP_MAX;
    while !person.done(&["app", "logs", "hello"]).contains("one was here") {
        assert!(Instant::now() < deadline, "the line is not kept");
        thread::sleep(LOOK_EVERY);
    }
    assert!(person.done(&["app", "events", "hello", "-n", "500"]).contains("publish_succeeded"));
    person.done(&["app", "delete", "hello", "--yes", "--follow"]);
    assert_eq!(person.ignite(&["app", "get", "hello"]).code, 5);
    platform.stop().unwrap();
}

#[test]
fn an_operator_hands_out_tokens_and_takes_them_back() {
    let data = tempfile::tempdir().unwrap();
    let platform = start(data.path());
    let (operator, author, stranger) = (Person::new(), Person::new(), Person::new());
    operator.configure(&platform, &platform.token);
    operator.done(&["app", "create", "secret"]);
    let token = |words: &[&str]| operator.done(&[&["token", "create", "--scopes"], words].concat()).trim().to_owned();
    author.configure(&platform, &token(&["GetApp,ListApps", "--note", "reads", "--expires-in", "1h"]));
    stranger.configure(&platform, &token(&["*", "--org", "other"]));

    assert_eq!(author.json(&["app", "get", "secret"])["id"], format!("{ORGANIZATION}/secret"));
    assert_eq!(author.ignite(&["app", "delete", "secret", "--yes"]).code, 4);
    assert_eq!(stranger.ignite(&["app", "get", &format!("{ORGANIZATION}:secret")]).code, 5);
    assert_eq!(stranger.json(&["app", "list"]), json!({}));

    let tokens = operator.json(&["token", "list"]);
    let reads = tokens["tokens"].as_array().unwrap().iter().find(|token| token["note"] == "reads").unwrap();
    operator.done(&["token", "revoke", reads["id"].as_str().unwrap()]);
    assert_eq!(author.ignite(&["app", "get", "secret"]).code, 3);
    platform.stop().unwrap();
}
