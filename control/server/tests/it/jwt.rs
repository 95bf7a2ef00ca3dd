//! Callers whom an identity provider names.

use ignite_identity::fake::FakeIssuer;
use serde_json::json;

use crate::stage::{ISSUER_SEED, Stage};

/// Far from now.
const LATE: u64 = 9_000_000_000;

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_names_organisation_and_scopes() {
    let stage = Stage::new().await;
    let issuer = FakeIssuer::new(ISSUER_SEED);
    let token = issuer.token("acme", "GetApp CreateApp", LATE);
    let app = stage.done(&token, "GetApp", json!({ "appId": "hello" })).await;
    assert_eq!(app["app"]["id"], "acme/hello", "{app}");
    assert_eq!(stage.code(&token, "DeleteApp", json!({ "appId": "hello" })).await, "permission_denied");
    // Another organisation does not see it, and comes into being with its first caller.
    let other = issuer.token("zeta", "*", LATE);
    assert_eq!(stage.code(&other, "GetApp", json!({ "appId": "acme/hello" })).await, "not_found");
    let made = stage.done(&other, "CreateApp", json!({ "name": "shop" })).await;
    assert_eq!(made["appId"], "zeta/shop");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_is_not_theirs_or_has_ended_lets_nobody_in() {
    let stage = Stage::new().await;
    let issuer = FakeIssuer::new(ISSUER_SEED);
    for (token, why) in [
        (issuer.token("acme", "GetApp", 1_000_000_000), "the token has expired"),
        (FakeIssuer::new([8; 32]).token("acme", "GetApp", LATE), "signature that is not its issuer's"),
        (issuer.sign(&json!({ "iss": "https://id.example/", "aud": "other", "exp": LATE })), "the audience `ignite`"),
        ("a.b.c".to_owned(), "the token is not base64url"),
    ] {
        let answer = stage.call(&token, "GetApp", json!({ "appId": "hello" })).await;
        assert_eq!((answer.status, answer.body["code"].as_str()), (401, Some("unauthenticated")), "{}", answer.text);
        assert!(answer.text.contains(why), "{}", answer.text);
    }
    // No provider makes organisations but its callers' own, or tokens that outlive theirs with more rights.
    let token = issuer.token("acme", "* admin", LATE);
    let request = json!({ "organization": "other", "scopes": ["GetApp"] });
    assert_eq!(stage.code(&token, "ignite.v1.TokenService/CreateToken", request).await, "permission_denied");
}
