use std::time::{Duration, Instant};

use ignite_store_meta::Meta;

pub(crate) async fn a_claim_is_one_holders_until_it_lets_go(meta: &Meta) {
    let held = meta.claim("serve").await.unwrap();
    assert!(held.is_some());
    assert!(meta.claim("serve").await.unwrap().is_none());
    assert!(meta.claim("another").await.unwrap().is_some(), "another claim is another's");
    drop(held);
    // The server notices that the session is gone.
    let began = Instant::now();
    while meta.claim("serve").await.unwrap().is_none() {
        assert!(began.elapsed() < Duration::from_secs(10), "it is not given back");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
