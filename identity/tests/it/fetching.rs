//! When keys are fetched.

use std::sync::Arc;
use std::time::Duration;

use ignite_identity::{HttpKeys, IdentityError, IssuerOptions, Issuers, KEY_SET_BYTES_MAX, KeySource as _};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use crate::signers::{NOW, Published, Signer, claims, options};

fn stage(keys: &[serde_json::Value]) -> (Issuers, Arc<Published>) {
    let published = Arc::new(Published::new(keys));
    (Issuers::new(vec![options()], Arc::clone(&published) as _).unwrap(), published)
}

#[tokio::test(start_paused = true)]
async fn they_are_fetched_once_and_again_when_they_are_old() {
    let signer = Signer::p256();
    let (issuers, published) = stage(&[signer.jwk("one")]);
    assert_eq!(published.asked(), 0);
    let many = (0..20).map(|number| {
        let (issuers, mut claims) = (issuers.clone(), claims());
        claims["jti"] = json!(number);
        let token = signer.token("one", &claims);
        tokio::spawn(async move { issuers.identify(&token, NOW).await.map(drop) })
    });
    for one in many.collect::<Vec<_>>() {
        one.await.unwrap().unwrap();
    }
    assert_eq!(published.asked(), 1);
    tokio::time::advance(Duration::from_secs(601)).await;
    issuers.identify(&signer.token("one", &claims()), NOW).await.unwrap();
    while published.asked() < 2 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_key_that_is_new_is_found_and_one_that_is_gone_counts_no_more() {
    let (old, new) = (Signer::p256(), Signer::p256());
    let (issuers, published) = stage(&[old.jwk("old")]);
    let (by_old, by_new) = (old.token("old", &claims()), new.token("new", &claims()));
    issuers.identify(&by_old, NOW).await.unwrap();
    published.keys(&[new.jwk("new")]);
    // Not at once: somebody who makes up ids must not make this machine ask and ask.
    assert!(issuers.identify(&by_new, NOW).await.is_err());
    assert_eq!(published.asked(), 1);
    tokio::time::advance(Duration::from_secs(10)).await;
    issuers.identify(&by_new, NOW).await.unwrap();
    assert_eq!(published.asked(), 2);
    assert!(matches!(issuers.identify(&by_old, NOW).await, Err(IdentityError::Invalid(_))));
}

#[tokio::test(start_paused = true)]
async fn an_issuer_that_is_away_is_done_without_for_a_day() {
    let signer = Signer::p256();
    let (issuers, published) = stage(&[signer.jwk("one")]);
    published.away();
    let token = signer.token("one", &claims());
    assert!(matches!(issuers.identify(&token, NOW).await, Err(IdentityError::Unavailable(_))));
    published.keys(&[signer.jwk("one")]);
    tokio::time::advance(Duration::from_secs(10)).await;
    issuers.identify(&token, NOW).await.unwrap();
    published.away();
    tokio::time::advance(Duration::from_secs(23 * 3600)).await;
    issuers.identify(&token, NOW).await.unwrap();
    tokio::time::advance(Duration::from_secs(3600)).await;
    assert!(matches!(issuers.identify(&token, NOW).await, Err(IdentityError::Unavailable(_))));
}

#[tokio::test(start_paused = true)]
async fn what_was_checked_ends_with_its_time() {
    let signer = Signer::p256();
    let (issuers, _) = stage(&[signer.jwk("one")]);
    let token = signer.token("one", &claims());
    issuers.identify(&token, NOW).await.unwrap();
    issuers.identify(&token, NOW + 599).await.unwrap();
    assert!(issuers.identify(&token, NOW + 661).await.is_err());
}

/// Answers one request with these bytes.
async fn answering(answer: Vec<u8>) -> String {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut request = vec![0; 4096];
        let _ = stream.read(&mut request).await;
        let _ = stream.write_all(&answer).await;
    });
    format!("http://{address}/keys")
}

#[tokio::test(flavor = "multi_thread")]
async fn over_http_with_bounds() {
    let signer = Signer::ed25519();
    let answer = |head: &str, body: &str| {
        format!("HTTP/1.1 {head}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}", body.len()).into_bytes()
    };
    let set = json!({ "keys": [signer.jwk("one")] }).to_string();
    let url = answering(answer("200 OK", &set)).await;
    let issuers =
        Issuers::new(vec![IssuerOptions { jwks_url: url, ..options() }], Arc::new(HttpKeys::default())).unwrap();
    issuers.identify(&signer.token("one", &claims()), NOW).await.unwrap();

    let keys = HttpKeys::default();
    let long = "x".repeat(usize::try_from(KEY_SET_BYTES_MAX).unwrap() + 1);
    assert!(keys.fetch(&answering(answer("200 OK", &long)).await).await.is_err());
    let elsewhere = answering(answer("200 OK", &set)).await;
    let moved = answering(answer(&format!("302 Found\r\nlocation: {elsewhere}"), "")).await;
    assert!(keys.fetch(&moved).await.is_err(), "a redirect is followed");
    assert!(keys.fetch(&answering(answer("500 No", "")).await).await.is_err());
    assert!(keys.fetch("http://127.0.0.1:1/keys").await.is_err());
}
