//! Configuration, login, secrets, tokens, settings of apps.

use std::os::unix::fs::PermissionsExt as _;

use ignite_cli::Exit;
use serde_json::json;

use crate::stand_in::{Answer, Api, run};

fn api() -> Api {
    Api::start(|call, _| match call.method.as_str() {
        "ListApps" if call.authorization.as_deref() == Some("Bearer good") => {
            Answer::Json(json!({ "apps": [{ "id": "acme/a", "organizationName": "acme" }] }))
        }
        "ListApps" if call.authorization.as_deref() == Some("Bearer narrow") => {
            Answer::Refused(403, "permission_denied", "no scope")
        }
        "ListApps" => Answer::Refused(401, "unauthenticated", "the token is not valid"),
        "CreateToken" => {
            Answer::Json(json!({ "token": { "id": "T1", "organization": "other" }, "secret": "ignite_fresh" }))
        }
        "CreateSecret" => Answer::Json(json!({ "secret": { "name": "hub", "type": "git_secret" } })),
        "GetApp" => Answer::Json(json!({ "app": {
            "id": "acme/a", "resourceTier": "RESOURCE_TIER_MEDIUM", "env": { "OLD": "", "KEPT": "" }, "activeVersion": 1,
            "limits": { "memoryMb": 512, "cpuMillicores": 500, "timeoutSecs": 60 }
        } })),
        "UpdateAppConfig" => Answer::Json(json!({ "app": { "id": "acme/a" } })),
        "CreateApp" => Answer::Json(json!({ "appId": "acme/a", "url": "http://a-acme.ignite.localhost/" })),
        method => panic!("nobody expected {method}"),
    })
}

#[test]
fn a_login_is_checked_and_kept_from_others() {
    let api = api();
    let login = |token: &str| run(api.home.path(), &[], &["login", "--token", token, "--api-endpoint", &api.address]);
    let file = api.home.path().join("config/config.toml");
    assert_eq!(login("bad").exit, Exit::Unauthenticated);
    assert!(!file.exists());
    let said = login("good");
    assert_eq!(said.exit, Exit::Done, "{}", said.err);
    assert!(!said.all().contains("good"), "{}", said.all());
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let listed = run(api.home.path(), &[], &["app", "list"]);
    assert_eq!(listed.exit, Exit::Done, "{}", listed.err);
    let view = run(api.home.path(), &[], &["config", "view"]);
    assert!(!view.all().contains("good"), "{}", view.all());
    let rows: Vec<String> = view.out.lines().map(|row| row.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
    expect_test::expect![[r#"
        KEY VALUE FROM
        api_endpoint http://HOST configuration
        token (set) configuration
        org acme configuration"#]]
    .assert_eq(&rows.join("\n").replace(&api.address, "HOST"));
    assert_eq!(login("narrow").exit, Exit::Done, "who is let in to do other things is logged in");
}

#[test]
fn the_configuration_is_set_as_the_guides_say() {
    let api = api();
    for pair in [["token", "good"], ["api_endpoint", &api.address], ["org_id", "acme"]] {
        let said = run(api.home.path(), &[], &["config", "set", pair[0], pair[1]]);
        assert_eq!(said.exit, Exit::Done, "{}", said.err);
    }
    assert_eq!(run(api.home.path(), &[], &["app", "get", "a"]).exit, Exit::Done);
    assert_eq!(api.calls_of("GetApp"), [json!({ "appId": "acme/a" })]);
    let slip = run(api.home.path(), &[], &["config", "set", "tokn", "x"]);
    assert_eq!(slip.exit, Exit::InvalidArgument);
    assert!(slip.err.contains("did you mean `token`?"), "{}", slip.err);
    std::fs::write(api.home.path().join("config/config.toml"), "api_endpiont = 1\n").unwrap();
    let broken = run(api.home.path(), &[], &["app", "list"]);
    assert_eq!(broken.exit, Exit::InvalidArgument);
    assert!(broken.err.contains("did you mean `api_endpoint`?"), "{}", broken.err);
}

#[test]
fn a_token_is_printed_alone_and_made_for_whom_was_typed() {
    let api = api();
    let said = api.ignite(&["token", "create", "--org", "other", "--scopes", "GetApp,ListApps", "--expires-in", "90d"]);
    assert_eq!(said.out, "ignite_fresh\n");
    let request = json!({ "scopes": ["GetApp", "ListApps"], "expiresInSecs": "7776000", "organization": "other" });
    assert_eq!(api.calls_of("CreateToken"), [request]);
}

#[test]
fn the_token_of_a_secret_is_not_the_one_that_asks() {
    let api = api();
    let said = api.ignite(&["secret", "create", "hub", "--type", "git", "--username", "u", "--token", "theirs"]);
    assert_eq!(said.exit, Exit::Done, "{}", said.err);
    assert!(!said.all().contains("theirs"));
    assert_eq!(api.calls()[0].authorization.as_deref(), Some("Bearer hunter2"));
    let file = api.home.path().join("value");
    std::fs::write(&file, "filed\n").unwrap();
    api.ignite(&[
        "secret",
        "create",
        "hub",
        "--type",
        "git",
        "--username",
        "u",
        "--value-file",
        file.to_str().unwrap(),
    ]);
    let sent: Vec<_> = api.calls_of("CreateSecret").iter().map(|call| call["gitSecret"]["token"].clone()).collect();
    assert_eq!(sent, ["theirs", "filed"]);
}

#[test]
fn a_change_of_one_limit_keeps_the_others() {
    let api = api();
    let said = api.ignite(&["app", "update", "a", "--memory", "700", "--env", "KEPT=1"]);
    assert_eq!(said.exit, Exit::Done, "{}", said.err);
    assert!(said.err.contains("removed the variables OLD"), "{}", said.err);
    let config = json!({ "limits": { "memoryMb": 700, "timeoutSecs": 60 }, "env": { "values": { "KEPT": "1" } } });
    assert_eq!(api.calls_of("UpdateAppConfig")[0]["config"], config);
    assert_eq!(api.ignite(&["app", "update", "a"]).exit, Exit::InvalidArgument);
}

#[test]
fn flags_of_other_platforms_are_read_and_said_to_do_nothing() {
    let api = api();
    let said =
        api.ignite(&["app", "create", "a", "--runtime", "python", "--storage-mode", "persistent", "--tier", "large"]);
    assert_eq!(said.exit, Exit::Done, "{}", said.err);
    assert!(said.err.contains("warning: this platform makes no use of --storage-mode"), "{}", said.err);
    assert_eq!(api.calls_of("CreateApp")[0]["config"], json!({ "resourceTier": "RESOURCE_TIER_LARGE" }));
}
