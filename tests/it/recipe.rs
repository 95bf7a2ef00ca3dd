//! The recipe "build an image from your code", step by step and word for word, as far as this release goes: it compiles code and
//! builds no images, so the step that asks for an image says so and changes nothing, and the same function goes the compile path.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use ignite_tests::cli::{Said, said};
use ignite_tests::client::ask;
use ignite_tests::platform::Platform;
use ignite_tests::product::binary;
use serde_json::{Value, json};
use tempfile::TempDir;

/// The organisation of the recipe, and its app.
const ORG: &str = "acme-corp";
const APP: &str = "acme-corp:greeter";

const SERVER: &str = "import os\nfrom fastapi import FastAPI\nimport uvicorn\n\napp = FastAPI()\n\n@app.get('/health')\ndef health():\n    \
                      return {'ok': True}\n\n@app.post('/')\nasync def invoke():\n    return {'greeting': 'Hello'}\n\nif __name__ == '__main__':\n    \
                      uvicorn.run(app, host='0.0.0.0', port=int(os.environ.get('PORT', '8080')))\n";
const DOCKERFILE: &str = "FROM python:3.12-slim\nWORKDIR /app\nCOPY requirements.txt .\nRUN pip install --no-cache-dir -r requirements.txt\n\
                          COPY server.py .\nEXPOSE 8080\nUSER 65534\nCMD [\"python\", \"server.py\"]\n";

/// What the server of the recipe answers, as a handler.
fn handler(greeting: &str) -> String {
    format!(
        "import json\n\ndef handler(payload, ctx):\n    name = json.loads(payload or b'{{}}').get('name', 'world')\n    return {{\n        \
         'greeting': f'{greeting}, {{name}}!',\n        'execution_id': ctx.execution_id,\n        'function_id': ctx.function_id,\n        \
         'organization_id': ctx.organization_id,\n    }}\n"
    )
}

/// An author, whose shell knows the command by its other name.
struct Author {
    folder: TempDir,
    dodil: PathBuf,
    /// The token in the environment, where the recipe puts it there.
    token: Option<String>,
}

impl Author {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let dodil = folder.path().join("dodil");
        symlink(binary("ignite").unwrap(), &dodil).unwrap();
        Self { folder, dodil, token: None }
    }

    /// Runs a line of the recipe; words with blanks in them stand in quotes.
    fn run(&self, line: &str) -> Said {
        let mut words = Vec::new();
        for (number, part) in line.split('\'').enumerate() {
            match number % 2 {
                0 => words.extend(part.split_whitespace().map(str::to_owned)),
                _ => words.push(part.to_owned()),
            }
        }
        assert_eq!(words.remove(0), "dodil");
        let mut command = Command::new(&self.dodil);
        command.args(words).current_dir(self.folder.path()).stdin(Stdio::null());
        for name in ["IGNITE_TOKEN", "DODIL_TOKEN", "IGNITE_API_ENDPOINT", "IGNITE_ORG", "PORT"] {
            command.env_remove(name);
        }
        if let Some(token) = &self.token {
            command.env("DODIL_TOKEN", token);
        }
        said(command.env("IGNITE_CONFIG_DIR", self.folder.path().join("config")).output().unwrap())
    }

    /// As [`Author::run`], and it must succeed.
    fn done(&self, line: &str) -> String {
        let said = self.run(line);
        assert_eq!(said.code, 0, "{line}: {}", said.stderr);
        said.text()
    }

    fn json(&self, line: &str) -> Value {
        serde_json::from_str(&self.done(line)).unwrap()
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.folder.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
}

/// A token of the recipe's organisation.
fn token(platform: &Platform) -> String {
    let wanted = json!({ "scopes": ["*"], "organization": ORG });
    let made = platform.call_as(&platform.token, "TokenService", "CreateToken", &wanted).unwrap();
    made["secret"].as_str().unwrap().to_owned()
}

fn start(data: &Path) -> (Platform, Author) {
    let platform = Platform::start(data).unwrap();
    (platform, Author::new())
}

#[test]
fn the_recipe_runs_step_by_step() {
    let data = tempfile::tempdir().unwrap();
    let (platform, mut author) = start(data.path());
    // Prerequisites, in both ways.
    let token = token(&platform);
    author.done(&format!("dodil ignite config set token {token}"));
    author.done(&format!("dodil ignite config set api_endpoint {}", platform.api));
    author.done("dodil ignite app list");
    author.token = Some("ignite_nonsense".to_owned());
    assert_eq!(author.run("dodil ignite app list").code, 3, "DODIL_TOKEN goes before what is configured");
    author.token = Some(token.clone());

    // 1 and 2: the context, as the recipe has it.
    author.write("app/server.py", SERVER);
    author.write("app/requirements.txt", "fastapi==0.115.0\nuvicorn==0.32.0\n");
    author.write("app/Dockerfile", DOCKERFILE);

    // 3: the app.
    author.done("dodil ignite app create greeter --description 'FastAPI greeter built from a Dockerfile'");
    assert_eq!(author.run("dodil ignite app create greeter").code, 6);
    let app = author.json(&format!("dodil ignite app get {APP} -o json"));
    assert_eq!(
        (&app["id"], app["description"].as_str()),
        (&json!("acme-corp/greeter"), Some("FastAPI greeter built from a Dockerfile"))
    );

    // 4: what asks for an image is told that there are none yet, whatever stands beside it; nothing is saved.
    for flags in [
        "--code ./app --dockerfile-path Dockerfile",
        "--code ./app --dockerfile-path Dockerfile --build-arg APP_ENV=prod --build-arg PIP_INDEX_URL=INDEX_URL",
        "--git-url https://example.com/greeter.git",
        "--image-ref example.com/greeter:1",
    ] {
        let said = author.run(&format!("dodil ignite draft save {APP} {flags}"));
        assert!(said.code != 0 && said.stderr.contains("image"), "{flags}: {}", said.stderr);
    }
    // The gotchas: a Dockerfile without its context, and ways that exclude each other.
    for flags in ["--dockerfile-path Dockerfile", "--code ./app/server.py --dockerfile-path Dockerfile"] {
        let said = author.run(&format!("dodil ignite draft save {APP} {flags}"));
        assert_eq!(
            (said.code, said.stderr.contains("--dockerfile-path requires a context")),
            (2, true),
            "{}",
            said.stderr
        );
    }
    let both = author.run(&format!("dodil ignite draft save {APP} --code ./app --git-url https://example.com/g.git"));
    assert_eq!((both.code, both.stderr.contains("exclude each other")), (2, true), "{}", both.stderr);
    let draft = platform.call_as(&token, "ComputeService", "GetDraftInfo", &json!({ "appId": APP })).unwrap();
    assert_eq!(draft, json!({}), "nothing was saved");

    // Without a Dockerfile's flag it is the compile path, which wants a handler, and says so of a server.
    author.done(&format!("dodil ignite draft save {APP} --code ./app"));
    let said = author.run(&format!("dodil ignite draft publish {APP}"));
    assert!(said.code == 1 && said.stderr.contains("handler"), "{}", said.stderr);
    fs::remove_dir_all(author.folder.path().join("app")).unwrap();
    author.write("app/handler.py", &handler("Hello"));
    author.done(&format!("dodil ignite draft save {APP} --code ./app"));

    // 5: published, and where it is.
    author.done(&format!("dodil ignite draft compile-logs {APP}"));
    author.done(&format!("dodil ignite draft publish {APP}"));
    let got = author.json(&format!("dodil ignite app get {APP} -o json"));
    assert_eq!(got["active_version"], 1, "{got}");
    let url = got["public_urls"][0].as_str().unwrap();
    assert!(url.contains("greeter-acme-corp."), "{url}");

    // 6: invoked by the command, and by its name; the ids are those of the request.
    let answer = author.json(&format!("dodil ignite invoke {APP} -p '{{\"name\": \"ada\"}}'"));
    let by_name = {
        let headers = format!("host: greeter-acme-corp.ignite.localhost\r\nauthorization: Bearer {token}\r\n");
        ask(&platform.gateway, "POST", "/", &headers, br#"{"name": "ada"}"#).unwrap().json()
    };
    for answer in [answer, by_name] {
        assert_eq!(answer["greeting"], "Hello, ada!", "{answer}");
        assert_eq!((&answer["function_id"], &answer["organization_id"]), (&json!("acme-corp/greeter"), &json!(ORG)));
        assert_eq!(answer["execution_id"].as_str().map(str::len), Some(26), "{answer}");
    }

    // Iterating: another draft, another version, and back.
    author.write("app/handler.py", &handler("Good day"));
    author.done(&format!("dodil ignite draft save {APP} --code ./app"));
    author.done(&format!("dodil ignite draft publish {APP}"));
    let greet = || author.json(&format!("dodil ignite invoke {APP} -p '{{\"name\": \"ada\"}}'"))["greeting"].clone();
    assert_eq!(greet(), "Good day, ada!");
    author.done(&format!("dodil ignite version rollback {APP} 1"));
    assert_eq!(greet(), "Hello, ada!");
    platform.stop().unwrap();
}
