//! Two organisations of one platform. One tries to reach what is the other's by every id, hostname, upload key and log stream
//! there is. It is answered as somebody is who asks for what nobody has, and nothing of the other has changed.

mod ask;
mod estate;

use std::collections::BTreeSet;

use ignite_tests::client::ask as send;
use ignite_tests::platform::ORGANIZATION;
use serde_json::{Value, json};

use ask::{Follow, Method, Pair, alike, call, code, methods, request};
use estate::{Estate, Stranger, inline, packed, sha256, text, until};

fn uploaded(key: &str) -> Value {
    json!({ "compile": { "uploadKey": key } })
}

/// Puts bytes where an upload's URL says; status and words.
fn put(url: &str, body: &[u8]) -> (u16, String) {
    exchange("PUT", url, body)
}

fn exchange(method: &str, url: &str, body: &[u8]) -> (u16, String) {
    let (address, path) = url.strip_prefix("http://").unwrap().split_once('/').unwrap();
    let answer = send(address, method, &format!("/{path}"), "", body).unwrap();
    (answer.status, answer.text())
}

fn find<'a>(methods: &'a [Method], name: &str) -> &'a Method {
    methods.iter().find(|method| method.name == name).unwrap()
}

/// Every method that takes an app, of an app of the other organisation, by each way to write its name.
fn by_app(estate: &Estate, stranger: &Stranger, methods: &[Method], tried: &mut BTreeSet<String>) {
    for method in methods.iter().filter(|method| method.fields.contains("app_id")) {
        for app in [format!("{ORGANIZATION}/vault"), format!("{ORGANIZATION}:vault"), "vault".to_owned()] {
            // By its bare name it is an app of one's own, which a deploy or an upload may begin with.
            if app == "vault" && ["Deploy", "CreateUpload"].contains(&method.name.as_str()) {
                continue;
            }
            let pair = Pair::of(&app);
            let answer =
                alike(&estate.platform, &stranger.token, method, &pair, |id| request(method, id, &estate.known));
            // What one does not have oneself is deleted already.
            let expected = if method.name == "DeleteApp" && app == "vault" { "" } else { "not_found" };
            assert_eq!(code(method, &answer), expected, "{} {app}: {}", method.name, answer.text());
        }
        tried.insert(format!("{}.app_id", method.name));
    }
}

/// Ids of what the other organisation has, in requests that are about one's own app, or about none.
fn by_id(estate: &Estate, stranger: &Stranger, methods: &[Method], tried: &mut BTreeSet<String>) {
    let tokens = estate.platform.call_as(&estate.platform.token, "TokenService", "ListTokens", &json!({})).unwrap();
    let token = Pair::of(tokens["tokens"][0]["id"].as_str().unwrap());
    let upload = Pair::of(&estate.upload.0);
    let (execution, rollout) = (estate.id("execution_id"), estate.id("rollout_id"));
    let (compile, instance) = (estate.id("compile_id"), estate.id("instance_id"));
    let app = Pair::of(&format!("{ORGANIZATION}/vault"));
    let (secret, organization) = (Pair::of("db"), Pair::of(ORGANIZATION));
    let mine = |field: &'static str| move |id: &str| json!({ "appId": "mine", field: id });
    let alone = |field: &'static str| move |id: &str| json!({ field: id });
    type Request = Box<dyn Fn(&str) -> Value>;
    let cases: Vec<(&str, &str, &Pair, &str, Request)> = vec![
        ("StreamCompileLogs", "compile_id", &compile, "not_found", Box::new(mine("compileId"))),
        ("WatchRollout", "rollout_id", &rollout, "not_found", Box::new(mine("rolloutId"))),
        ("WatchDeployment", "rollout_id", &rollout, "not_found", Box::new(mine("rolloutId"))),
        ("GetExecution", "execution_id", &execution, "not_found", Box::new(alone("executionId"))),
        ("WatchExecution", "execution_id", &execution, "not_found", Box::new(alone("executionId"))),
        ("CancelExecution", "execution_id", &execution, "not_found", Box::new(alone("executionId"))),
        ("GetAppLogs", "instance_id", &instance, "", Box::new(mine("instanceId"))),
        ("GetAppLogs", "execution_id", &execution, "", Box::new(mine("executionId"))),
        ("ListExecutions", "cursor", &execution, "", Box::new(mine("cursor"))),
        ("ListApps", "cursor", &app, "", Box::new(alone("cursor"))),
        ("ListTokens", "cursor", &token, "", Box::new(alone("cursor"))),
        ("ListSecrets", "cursor", &secret, "", Box::new(alone("cursor"))),
        ("RevokeToken", "id", &token, "not_found", Box::new(alone("id"))),
        ("DeleteSecret", "name", &secret, "", Box::new(alone("name"))),
        ("CreateApp", "name", &app, "permission_denied", Box::new(alone("name"))),
        (
            "CreateToken",
            "organization",
            &organization,
            "permission_denied",
            Box::new(|id| json!({ "scopes": ["*"], "organization": id })),
        ),
        (
            "SaveDraft",
            "code.compile.upload_key",
            &upload,
            "not_found",
            Box::new(|id| json!({ "appId": "mine", "code": uploaded(id) })),
        ),
        (
            "Deploy",
            "code.compile.upload_key",
            &upload,
            "not_found",
            Box::new(|id| json!({ "appId": "mine", "code": uploaded(id) })),
        ),
    ];
    for (name, field, pair, expected, request) in cases {
        let method = find(methods, name);
        let answer = alike(&estate.platform, &stranger.token, method, pair, request);
        assert_eq!(code(method, &answer), expected, "{name} {field}: {}", answer.text());
        for theirs in ["vault", "hunter2", &estate.held] {
            assert!(!answer.text().replace(&pair.theirs, "").contains(theirs), "{name} {field}: {}", answer.text());
        }
        tried.insert(format!("{name}.{field}"));
    }
    let held = json!({ "executionId": estate.held });
    let answer = call(&estate.platform, &stranger.token, find(methods, "CancelExecution"), &held);
    assert_eq!(code(find(methods, "CancelExecution"), &answer), "not_found");
}

/// Ids that a caller may choose: the other organisation's are as good as any.
fn by_chosen_id(estate: &Estate, stranger: &Stranger, methods: &[Method], tried: &mut BTreeSet<String>) {
    let (rollout, compile) = (text(&estate.known["rollout_id"]), text(&estate.known["compile_id"]));
    let deploy = json!({ "appId": "mine", "code": inline(&packed(&stranger.folder, "def handler(payload, ctx):\n    print('mine was asked')\n    return 'again'\n")) });
    for (name, id, mut request) in [
        ("PublishDraft", &rollout, json!({ "appId": "mine" })),
        ("RollbackApp", &compile, json!({ "appId": "mine", "version": 1 })),
        ("Deploy", &estate.held, deploy),
    ] {
        request["idempotencyId"] = json!(id);
        let method = find(methods, name);
        let answer = call(&estate.platform, &stranger.token, method, &request);
        assert_eq!((answer.status, &answer.json()["rollout"]["id"]), (200, &json!(id)), "{}", answer.text());
        let ended = stranger.ended(estate);
        assert_eq!((&ended["id"], &ended["status"]), (&json!(id), &json!("COMPILE_STATUS_SUCCEEDED")), "{ended}");
        tried.insert(format!("{name}.idempotency_id"));
    }
    // Ids of executions are unique on the platform. One that is taken is refused in the same words whoever has it: here the
    // other organisation, there an app of one's own.
    let method = find(methods, "InvokeAsync");
    let accepted = stranger.done(estate, "InvokeAsync", json!({ "appId": "mine" }));
    stranger.done(estate, "CreateApp", json!({ "name": "second" }));
    let own = text(&accepted["executionId"]);
    let pair = Pair { theirs: estate.held.clone(), none: own };
    let choose = |id: &str| json!({ "appId": "second", "idempotencyId": id });
    let answer = alike(&estate.platform, &stranger.token, method, &pair, choose);
    assert_eq!(code(method, &answer), "already_exists", "{}", answer.text());
    tried.insert("InvokeAsync.idempotency_id".to_owned());
    // A name of one's own that the other has, too.
    let secret = json!({ "name": "db", "valueSecret": { "value": "mine" } });
    let answer = call(&estate.platform, &stranger.token, find(methods, "CreateSecret"), &secret);
    assert_eq!(answer.status, 200, "{}", answer.text());
    tried.insert("CreateSecret.name".to_owned());
}

/// What is known of the other's bytes is no way to them: not their digest, and not their upload.
fn by_upload(estate: &Estate, stranger: &Stranger, methods: &[Method], tried: &mut BTreeSet<String>) {
    let platform = &estate.platform;
    let ask = |name: &str, request: &Value| call(platform, &stranger.token, find(methods, name), request);
    let create = |digest: &str| {
        let size = estate.source.len().to_string();
        let answer = ask("CreateUpload", &json!({ "appId": "mine", "sizeBytes": size, "sha256": digest }));
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.json()
    };
    let (theirs, none) = (create(&sha256(&estate.source)), create(&sha256(b"nothing")));
    let shape = |made: &Value| made.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    assert_eq!(shape(&theirs), shape(&none), "that it is stored is told");
    let save = |made: &Value| {
        let (key, method) = (text(&made["uploadKey"]), find(methods, "SaveDraft"));
        let answer = ask("SaveDraft", &json!({ "appId": "mine", "code": uploaded(&key) }));
        assert_eq!(code(method, &answer), "not_found", "bytes that were never sent became a draft: {}", answer.text());
        ask::told(&answer, &key)
    };
    assert_eq!(save(&theirs), save(&none));
    tried.insert("CreateUpload.sha256".to_owned());

    // The upload's URL is for one key, size and digest, and for putting.
    let (key, url) = &estate.upload;
    let bytes = b"nobody else has these bytes".as_slice();
    let foreign = text(&theirs["url"]);
    let query = foreign.split_once('?').unwrap().1;
    let (bare, signed) = url.split_once('?').unwrap();
    for changed in [
        url.replace(key.as_str(), &key.replace("local", "other")),
        url.replace(key.as_str(), theirs["uploadKey"].as_str().unwrap()),
        url.replace(&format!("size={}", bytes.len()), &format!("size={}", bytes.len() + 1)),
        format!("{bare}?{query}"),
        bare.to_owned(),
        format!("{bare}?{}", signed.replace(|digit: char| digit.is_ascii_digit(), "7")),
    ] {
        assert_ne!(&changed, url);
        assert_eq!(put(&changed, bytes).0, 403, "{changed}");
    }
    assert_eq!(put(url, b"another has other bytes now").0, 400);
    assert_eq!(put(url, b"longer than what was promised, by much").0, 400);
    // What is stored is read by nobody who was not given a URL to read it, be it there or not.
    let stored = |digest: &str| url.replace(key.as_str(), &format!("sources/{}", digest.trim_start_matches("sha256:")));
    let (there, nowhere) = (stored(&sha256(&estate.source)), stored(&sha256(b"nothing")));
    let unsigned = |url: &str| url.split_once('?').unwrap().0.to_owned();
    assert_eq!(exchange("GET", url, b"").0, 403);
    assert_eq!(exchange("GET", &there, b""), exchange("GET", &nowhere, b""));
    assert_eq!(exchange("GET", &unsigned(&there), b""), exchange("GET", &unsigned(&nowhere), b""));
    assert_eq!(exchange("GET", &there, b"").0, 403);
    assert_eq!(put(&there, bytes), put(&nowhere, bytes));
    assert_eq!(put(url, bytes).0, 200);
    // Once more it is the same bytes, and no others.
    assert_eq!((put(url, bytes).0, put(url, b"another has other bytes now").0), (200, 400));
    // It is there now, and still not the stranger's.
    let pair = Pair::of(key);
    let save = |id: &str| json!({ "appId": "mine", "code": uploaded(id) });
    let answer = alike(platform, &stranger.token, find(methods, "SaveDraft"), &pair, save);
    assert_eq!(code(find(methods, "SaveDraft"), &answer), "not_found");
}

/// The other's apps by their hostnames. That there is such a hostname is no secret; that is all there is to learn.
fn by_hostname(estate: &Estate, stranger: &Stranger) {
    let platform = &estate.platform;
    let knock = |app: &str, token: &str, more: &str, path: &str| {
        let host = platform.host(app);
        let authorization = if token.is_empty() { String::new() } else { format!("authorization: Bearer {token}\r\n") };
        let headers = format!("host: {host}\r\n{authorization}{more}");
        let answer = send(&platform.gateway, "POST", path, &headers, b"knock").unwrap();
        let body = answer.json();
        let words = answer.text().replace(body["execution_id"].as_str().unwrap_or("none"), "ID").replace(app, "APP");
        (answer.status, body["type"].as_str().unwrap_or_default().to_owned(), words)
    };
    let awake = knock("vault", &stranger.token, "", "/");
    assert_eq!((awake.0, awake.1.as_str()), (403, "forbidden"), "{}", awake.2);
    let forged = format!(
        "x-ignite-organization-id: {ORGANIZATION}\r\nx-ignite-platform-key: {}\r\nx-ignite-execution-id: {}\r\n",
        "k".repeat(64),
        estate.held
    );
    for (app, more, path) in
        [("asleep", "", "/"), ("vault", "", "/any?way"), ("vault", &forged, "/"), ("asleep", &forged, "/")]
    {
        assert_eq!(knock(app, &stranger.token, more, path), awake, "{app} {path}");
    }
    for token in ["", "nonsense"] {
        let (there, status) = (knock("vault", token, &forged, "/"), knock("asleep", token, "", "/"));
        assert_eq!((there.0, &there), (401, &status));
    }
    // An app that was never published has no hostname yet.
    assert_eq!(knock("draft", &stranger.token, "", "/").0, 404);
    let upper = send(
        &platform.gateway,
        "GET",
        "/",
        &format!("host: {}\r\nauthorization: Bearer {}\r\n", platform.host("vault").to_uppercase(), stranger.token),
        b"",
    );
    assert_eq!(upper.unwrap().status, 403);
}

/// A secret of the other's name is not the other's secret.
fn by_reference(estate: &Estate, stranger: &Stranger) {
    let value = json!({ "name": "db" });
    estate.platform.call_as(&stranger.token, "SecretService", "DeleteSecret", &value).unwrap();
    let fails = |name: &str| {
        let env = json!({ "values": { "DB": format!("secret://{name}") } });
        stranger.done(estate, "UpdateAppConfig", json!({ "appId": "mine", "config": { "env": env } }));
        stranger.done(estate, "PublishDraft", json!({ "appId": "mine" }));
        let ended = stranger.ended(estate);
        assert_eq!(ended["status"], "COMPILE_STATUS_FAILED", "{ended}");
        text(&ended["failure"]["reason"]).replace(name, "NAME")
    };
    let pair = Pair::of("db");
    assert_eq!(fails(&pair.theirs), fails(&pair.none));
    stranger.done(estate, "UpdateAppConfig", json!({ "appId": "mine", "config": { "env": { "values": {} } } }));
}

/// One who follows hears of what is their own, whatever goes on beside it.
fn by_stream(estate: &Estate, stranger: &Stranger, tried: &mut BTreeSet<String>) {
    let platform = &estate.platform;
    let (instance, none) = (estate.known["instance_id"].clone(), estate.id("instance_id").none);
    let follow = |request: Value| Follow::begin(platform, &stranger.token, "StreamAppLogs", &request);
    let mut lines = follow(json!({ "appId": "mine", "fromSequence": "1" }));
    let mut theirs = follow(json!({ "appId": "mine", "instanceId": instance, "fromSequence": "1" }));
    let mut nobodys = follow(json!({ "appId": "mine", "instanceId": none, "fromSequence": "1" }));
    let mut events =
        Follow::begin(platform, &stranger.token, "StreamAppEvents", &json!({ "appId": "mine", "fromSequence": "1" }));
    let own = format!("host: mine-other.ignite.localhost\r\nauthorization: Bearer {}\r\n", stranger.token);
    for number in 0..3 {
        assert_eq!(platform.ask("vault", format!("round {number}").as_bytes()).unwrap().text(), "hunter2");
        assert_eq!(send(&platform.gateway, "POST", "/", &own, b"").unwrap().status, 200);
    }
    until("the other's lines are kept", || {
        let logs = platform.call("GetAppLogs", &json!({ "appId": "vault" })).unwrap();
        logs.to_string().contains("round 2").then_some(())
    });
    let heard = lines.until("mine was asked") + &events.until("live");
    assert!(!heard.contains("vault") && !heard.contains(instance.as_str().unwrap()), "{heard}");
    for stream in [&mut theirs, &mut nobodys] {
        assert!(stream.quiet(), "a stream of an instance that is not one's own says something");
    }
    tried.insert("StreamAppLogs.instance_id".to_owned());
}

#[test]
fn an_organisation_cannot_reach_another_by_anything_it_has_a_name_for() {
    let estate = Estate::new();
    estate.platform.call("CreateApp", &json!({ "name": "draft" })).unwrap();
    let (stranger, methods) = (estate.stranger(), methods());
    let before = estate.settled();
    let mut tried = BTreeSet::new();
    by_app(&estate, &stranger, &methods, &mut tried);
    by_id(&estate, &stranger, &methods, &mut tried);
    by_chosen_id(&estate, &stranger, &methods, &mut tried);
    by_upload(&estate, &stranger, &methods, &mut tried);
    by_hostname(&estate, &stranger);
    by_reference(&estate, &stranger);
    assert_eq!(estate.settled(), before, "something of the other organisation has changed");
    by_stream(&estate, &stranger, &mut tried);

    // No field that names something was forgotten. A page of versions goes on from a number of one's own.
    tried.insert("ListAppVersions.cursor".to_owned());
    let all: BTreeSet<String> = methods.iter().flat_map(Method::ids).collect();
    assert_eq!(all.difference(&tried).collect::<Vec<_>>(), Vec::<&String>::new());

    // What was the first organisation's still is, and does what it did.
    let platform = &estate.platform;
    let held = platform.call("CancelExecution", &json!({ "executionId": estate.held })).unwrap();
    assert_eq!(held["execution"]["status"], "EXECUTION_STATUS_CANCELLED");
    assert_eq!(platform.ask("asleep", b"wake").unwrap().text(), "here");
    let save = json!({ "appId": "vault", "code": uploaded(&estate.upload.0) });
    platform.call("SaveDraft", &save).unwrap();
    let again = platform.call("SaveDraft", &save).unwrap_err().to_string();
    assert!(again.contains("failed_precondition"), "an upload was used twice: {again}");
    let pair = Pair::of(&estate.upload.0);
    let answer = alike(
        platform,
        &stranger.token,
        find(&methods, "SaveDraft"),
        &pair,
        |id| json!({ "appId": "mine", "code": uploaded(id) }),
    );
    assert_eq!(code(find(&methods, "SaveDraft"), &answer), "not_found");
}
