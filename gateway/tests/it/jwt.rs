//! Callers whom an identity provider names.

use ignite_core_model::AppSettings;
use ignite_identity::fake::FakeIssuer;

use crate::instance::FakeInstance;
use crate::stage::{ISSUER_SEED, Stage};

/// Far from now.
const LATE: u64 = 9_000_000_000;

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_lets_callers_of_its_organisation_in() {
    let stage = Stage::new(AppSettings::default()).await;
    let mut instance = FakeInstance::start("hello").await;
    stage.instances(1, &[(instance.address, 4)]).await;
    let issuer = FakeIssuer::new(ISSUER_SEED);
    let call = async |token: String| {
        let authorization = format!("authorization: Bearer {token}");
        stage.call(&["GET / HTTP/1.1", "host: hello-acme.ignite.localhost", &authorization], "").await
    };
    for scope in ["Invoke", "GetApp Invoke", "*"] {
        assert_eq!(call(issuer.token("acme", scope, LATE)).await.status, 200, "{scope}");
        let asked = instance.asked.recv().await.unwrap();
        assert!(!asked.head.headers.contains_key("authorization"), "the token was passed on");
    }
    for (token, status, kind) in [
        (issuer.token("other", "Invoke", LATE), 403, "forbidden"),
        (issuer.token("acme", "GetApp", LATE), 403, "forbidden"),
        (issuer.token("acme", "Invoke", 1_000_000_000), 401, "invalid_token"),
        (FakeIssuer::new([8; 32]).token("acme", "Invoke", LATE), 401, "invalid_token"),
        ("a.b.c".to_owned(), 401, "invalid_token"),
    ] {
        let answer = call(token).await;
        assert_eq!((answer.status, answer.kind().as_str()), (status, kind));
    }
    assert!(instance.asked.try_recv().is_err(), "a refused request reached the app");
}
