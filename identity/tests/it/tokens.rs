//! Which tokens let somebody in.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ignite_identity::{IdentityError, IssuerOptions, Issuers};
use serde_json::{Value, json};

use crate::signers::{NOW, Published, Signer, claims, options};

fn issuers(options: IssuerOptions, keys: &[Value]) -> Issuers {
    Issuers::new(vec![options], Arc::new(Published::new(keys))).unwrap()
}

async fn refused(issuers: &Issuers, token: &str) -> String {
    match issuers.identify(token, NOW).await {
        Err(IdentityError::Invalid(why)) => why,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn every_kind_of_key_is_known() {
    for signer in [Signer::p256(), Signer::ed25519(), Signer::rsa()] {
        let issuers = issuers(options(), &[signer.jwk("one")]);
        let identity = issuers.identify(&signer.token("one", &claims()), NOW).await.unwrap();
        assert_eq!(identity.organization.as_str(), "acme");
        assert_eq!(identity.scopes, ["Invoke", "GetApp"]);
        assert_eq!((identity.subject.as_str(), identity.expires_s), ("ada", NOW + 600));
        // Without an id, any key of the kind may have signed.
        let header = json!({ "alg": signer.algorithm() });
        assert!(issuers.identify(&signer.sign(&header, &claims()), NOW).await.is_ok());
    }
}

#[tokio::test]
async fn claims_decide() {
    let signer = Signer::p256();
    let issuers = issuers(options(), &[signer.jwk("one")]);
    let with = |name: &str, value: Value| {
        let mut claims = claims();
        match value {
            Value::Null => drop(claims.as_object_mut().unwrap().remove(name)),
            value => claims[name] = value,
        }
        signer.token("one", &claims)
    };
    for (name, value, why) in [
        ("iss", json!("https://other.example/"), "is from an issuer that is not known here"),
        ("iss", json!("https://id.example"), "is from an issuer that is not known here"),
        ("iss", Value::Null, "has no `iss`"),
        ("aud", json!("other"), "is not for the audience `ignite`"),
        ("aud", json!(["other"]), "is not for the audience `ignite`"),
        ("aud", Value::Null, "is not for the audience `ignite`"),
        ("exp", json!(NOW - 61), "has expired"),
        ("exp", Value::Null, "has no `exp`"),
        ("exp", json!((NOW + 600).to_string()), "has a claim `exp` that is no time"),
        ("exp", json!(-1), "has a claim `exp` that is no time"),
        ("nbf", json!(NOW + 61), "is not valid yet"),
        ("nbf", json!("later"), "has a claim `nbf` that is no time"),
        ("nbf", json!([NOW + 500]), "has a claim `nbf` that is no time"),
        ("org", Value::Null, "has no claim `org` with an organisation"),
        ("org", json!(["acme"]), "has no claim `org` with an organisation"),
        ("org", json!("Not A Name"), "has a claim `org` that is not the name of an organisation"),
        ("org", json!("../acme"), "has a claim `org` that is not the name of an organisation"),
        ("scope", json!(7), "has a claim `scope` that is neither text nor a list of texts"),
        ("scope", json!(["Invoke", 7]), "has a claim `scope` that is neither text nor a list of texts"),
    ] {
        assert_eq!(refused(&issuers, &with(name, value.clone())).await, why, "{name} = {value}");
    }
    for (name, value) in [
        ("aud", json!(["other", "ignite"])),
        ("exp", json!(NOW - 59)),
        ("exp", json!(NOW as f64 + 0.5)),
        ("nbf", json!(NOW + 59)),
        ("nbf", Value::Null),
        ("sub", Value::Null),
    ] {
        assert!(issuers.identify(&with(name, value.clone()), NOW).await.is_ok(), "{name} = {value}");
    }
    let none = issuers.identify(&with("scope", Value::Null), NOW).await.unwrap();
    assert!(none.scopes.is_empty(), "nothing said is nothing allowed");
}

#[tokio::test]
async fn claims_have_the_names_that_were_chosen() {
    let signer = Signer::ed25519();
    let chosen = IssuerOptions {
        organization_claim: "https://id.example/org".to_owned(),
        scopes_claim: "permissions".to_owned(),
        scope_prefix: "ignite:".to_owned(),
        ..options()
    };
    let issuers = issuers(chosen, &[signer.jwk("one")]);
    let mut claims = claims();
    claims["https://id.example/org"] = json!("zeta");
    claims["permissions"] = json!(["ignite:Invoke", "other:DeleteApp", "DeleteApp"]);
    let identity = issuers.identify(&signer.token("one", &claims), NOW).await.unwrap();
    assert_eq!((identity.organization.as_str(), identity.scopes), ("zeta", vec!["Invoke".to_owned()]));
}

#[tokio::test]
async fn forgeries_are_refused() {
    let (signer, other, rsa) = (Signer::p256(), Signer::p256(), Signer::rsa());
    let issuers = issuers(options(), &[signer.jwk("one"), rsa.jwk("two")]);
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let good = signer.token("one", &claims());
    let mut more = claims();
    more["scope"] = json!("*");
    let (head, rest) = good.split_once('.').unwrap();
    let signature = rest.split_once('.').unwrap().1;

    let not_allowed = "is signed with an algorithm that is not allowed";
    let not_theirs = "has a signature that is not its issuer's";
    for (token, why) in [
        // Another's key under the same id; the claims changed; the signature cut, or from another token.
        (other.token("one", &claims()), not_theirs),
        (format!("{head}.{}.{signature}", part(&more)), not_theirs),
        (good[..good.len() - 2].to_owned(), not_theirs),
        (format!("{head}.{rest}").replace(signature, ""), not_theirs),
        // No signature at all, and a shared secret in place of a key.
        (format!("{}.{}.", part(&json!({ "alg": "none" })), part(&claims())), not_allowed),
        (format!("{}.{}.{signature}", part(&json!({ "alg": "None" })), part(&claims())), not_allowed),
        (signer.sign(&json!({ "alg": "HS256", "kid": "two" }), &claims()), not_allowed),
        // Known here, and not allowed for this issuer.
        (signer.sign(&json!({ "alg": "ES384", "kid": "one" }), &claims()), not_allowed),
        // The kind of one key with the id of another.
        (
            signer.sign(&json!({ "alg": "RS256", "kid": "one" }), &claims()),
            "is signed with a key that its issuer does not publish",
        ),
        (signer.sign(&json!({ "alg": "RS256", "kid": "two" }), &claims()), not_theirs),
        (signer.token("three", &claims()), "is signed with a key that its issuer does not publish"),
        // Extensions and other types.
        (
            signer.sign(&json!({ "alg": "ES256", "kid": "one", "crit": ["exp"] }), &claims()),
            "asks for an extension that is not known",
        ),
        (
            signer.sign(&json!({ "alg": "ES256", "kid": "one", "b64": false }), &claims()),
            "asks for an extension that is not known",
        ),
        (
            signer.sign(&json!({ "alg": "ES256", "kid": "one", "typ": "logout+jwt" }), &claims()),
            "is of another type than `JWT`",
        ),
        // No tokens.
        (format!("{good}.x"), "does not have three parts"),
        ("a.b".to_owned(), "does not have three parts"),
        ("!.!.!".to_owned(), "is not base64url"),
        (format!("{good}="), "is not base64url"),
        (format!("{}.{}.", part(&json!([])), part(&claims())), "has a header that is none"),
        (signer.sign(&json!({ "alg": "ES256" }), &json!(["a"])), "has claims that are no object"),
        (format!("{good}{}", "x".repeat(9000)), "is longer than 8 KiB"),
    ] {
        assert_eq!(refused(&issuers, &token).await, why, "{token}");
    }
    assert!(issuers.identify(&good, NOW).await.is_ok());
}

#[tokio::test]
async fn keys_for_something_else_are_none() {
    let signer = Signer::p256();
    let jwk = |change: Value| {
        let mut jwk = signer.jwk("one");
        jwk.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        jwk
    };
    for change in [
        json!({ "use": "enc" }),
        json!({ "key_ops": ["encrypt"] }),
        json!({ "alg": "ES384" }),
        json!({ "crv": "P-384" }),
    ] {
        // One that is known stands beside it: a set of nothing is another fault.
        let issuers = issuers(options(), &[jwk(change.clone()), Signer::ed25519().jwk("two")]);
        let why = refused(&issuers, &signer.token("one", &claims())).await;
        assert_eq!(why, "is signed with a key that its issuer does not publish", "{change}");
    }
}

#[test]
fn faults_of_issuers_are_told_together() {
    let wrong = IssuerOptions { audience: String::new(), jwks_url: "http://id.example/".to_owned(), ..options() };
    let faults = Issuers::new(vec![options(), wrong], Arc::new(Published::new(&[]))).err().unwrap();
    assert_eq!(faults.len(), 3, "{faults:?}");
    assert!(!Issuers::none().are_meant_by("a.b.c"));
}
