//! What goes wrong, in words and exit codes; and what is tried again.

use expect_test::expect;
use ignite_cli::Exit;
use serde_json::json;

use crate::stand_in::{Answer, Api, run};

#[test]
fn a_failure_says_what_why_and_what_next() {
    let api = Api::start(|call, _| match call.method.as_str() {
        "GetApp" => {
            Answer::Refused(404, "not_found", "there is no app `acme/x`: `ignite app list` shows those there are")
        }
        "ListApps" => Answer::Refused(401, "unauthenticated", "the token is not valid: it has expired"),
        "CreateApp" => {
            Answer::Refused(400, "invalid_argument", "`config.limits.memory_mb` is 1: it must be from 64 to 32768")
        }
        "PublishDraft" => {
            Answer::Refused(412, "failed_precondition", "the app has no draft: save one with `ignite draft save`")
        }
        "RevokeToken" => Answer::Refused(403, "permission_denied", "the token does not have the scope `RevokeToken`"),
        "TestDraft" => Answer::Refused(501, "unimplemented", "this release does not serve this method"),
        _ => Answer::Other(404, "<html>not here</html>"),
    });
    let lines: [&[&str]; 7] = [
        &["app", "get", "acme:x"],
        &["app", "list"],
        &["app", "create", "x", "--memory", "1"],
        &["draft", "publish", "x"],
        &["token", "revoke", "01HYZX00000000000000ABCDEF"],
        &["draft", "test", "x"],
        &["secret", "list"],
    ];
    let said: Vec<String> = lines.iter().map(|line| api.ignite(line).all().replace(&api.address, "HOST")).collect();
    expect![[r#"
        --- exit 5
        error: could not find the app `acme/x`
          cause: there is no app `acme/x`: `ignite app list` shows those there are
        --- exit 3
        error: could not list the apps
          cause: the token is not valid: it has expired
        hint: `ignite login` stores a token; IGNITE_TOKEN and --token take one too
        --- exit 2
        error: could not make the app `x`
          cause: `config.limits.memory_mb` is 1: it must be from 64 to 32768
        --- exit 2
        error: could not publish `x`
          cause: the app has no draft: save one with `ignite draft save`
        --- exit 4
        error: could not revoke the token `01HYZX00000000000000ABCDEF`
          cause: the token does not have the scope `RevokeToken`
        hint: use another token, or let its organisation make one: `ignite token create --scopes …`
        --- exit 9
        error: could not test the draft of `x`
          cause: this release does not serve this method
        hint: the platform there does not have this yet
        --- exit 9
        error: could not list the secrets
          cause: http://HOST answers with status 404 and does not speak the API of Ignite
        hint: `ignite config view` shows where the platform is looked for; `ignite serve` starts one here
    "#]]
    .assert_eq(&said.concat());
}

#[test]
fn nobody_is_asked_without_a_token_and_nobody_may_be_there() {
    let home = tempfile::tempdir().unwrap();
    let none = run(home.path(), &[("IGNITE_API_ENDPOINT", "127.0.0.1:1")], &["app", "list"]);
    expect![[r#"
        --- exit 3
        error: could not ask http://127.0.0.1:1
          cause: there is no token
        hint: `ignite login` stores one, IGNITE_TOKEN gives one, and the first start of `ignite serve` prints one
    "#]]
    .assert_eq(&none.all());
    let env = [("IGNITE_API_ENDPOINT", "127.0.0.1:1"), ("DODIL_TOKEN", "hunter2")];
    let away = run(home.path(), &env, &["app", "list"]);
    assert_eq!(away.exit, Exit::Unavailable);
    assert!(away.err.contains("nothing answers at http://127.0.0.1:1"), "{}", away.err);
    assert!(!away.err.contains("hunter2"));
}

#[test]
fn only_what_may_be_done_twice_is_tried_again() {
    let api = Api::start(|call, before| match call.method.as_str() {
        "ListApps" if before < 2 => Answer::Refused(503, "unavailable", "the store of records is away"),
        "ListApps" => Answer::Json(json!({})),
        "GetAppState" if before == 0 => Answer::Nothing,
        "GetAppState" => Answer::Json(json!({ "deploymentState": "DEPLOYMENT_STATE_IDLE" })),
        "GetApp" => Answer::Other(502, "bad gateway"),
        _ => Answer::Refused(503, "unavailable", "away"),
    });
    assert_eq!(api.ignite(&["app", "list"]).exit, Exit::Done);
    assert_eq!(api.calls_of("ListApps").len(), 3);
    let state = api.ignite(&["app", "state", "x"]);
    assert_eq!((state.exit, api.calls_of("GetAppState").len()), (Exit::Done, 2), "{}", state.err);
    assert_eq!(api.ignite(&["app", "get", "x"]).exit, Exit::Unavailable);
    assert_eq!(api.calls_of("GetApp").len(), 4, "the number of tries is bounded");
    assert_eq!(api.ignite(&["app", "create", "x"]).exit, Exit::Unavailable);
    assert_eq!(api.calls_of("CreateApp").len(), 1, "an app is made once");
    assert_eq!(api.ignite(&["draft", "publish", "x"]).exit, Exit::Unavailable);
    let ids: Vec<_> = api.calls_of("PublishDraft").iter().map(|call| call["idempotencyId"].clone()).collect();
    assert!(ids.len() == 4 && ids.iter().all(|id| *id == ids[0] && id.is_string()), "{ids:?}");
}

#[test]
fn a_slip_is_told_before_anybody_is_asked() {
    let api = Api::start(|_, _| Answer::Nothing);
    for (line, exit, words) in [
        (&["app", "get", "Not_A_Name"][..], 2, "could not take `Not_A_Name` for an app"),
        (&["version", "rollback", "x", "zero"], 2, "could not take `zero` for a version"),
        (&["draft", "save", "x", "--dockerfile-path", "Dockerfile"], 2, "--dockerfile-path requires a context"),
        (&["draft", "save", "x"], 2, "could not take the source"),
        (&["draft", "save", "x", "--image-ref", "nginx"], 9, "this release compiles code only"),
        (&["build", "create", "x", "--context", "."], 9, "builds no images"),
        (&["invoke", "x", "-p", "{oops"], 2, "the payload is not JSON"),
        (
            &["secret", "create", "x", "--type", "git", "--username", "u", "--password", "p"],
            2,
            "a git server takes a token",
        ),
        (&["token", "create", "--scopes", "GetApp", "--expires-in", "soon"], 2, "`soon` is not a time"),
        (&["app", "list", "--timeout", "never"], 2, "could not use --timeout"),
    ] {
        let said = api.ignite(line);
        assert_eq!((said.exit.code(), said.err.contains(words)), (exit, true), "{line:?}: {}", said.err);
    }
    assert!(api.calls().is_empty(), "{:?}", api.calls());
}
