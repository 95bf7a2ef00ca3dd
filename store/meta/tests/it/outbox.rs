use std::collections::HashSet;

use ignite_store_meta::{Change, Expected, Meta, NewEffect};

use crate::support::{NOW, app, make_app, state};

const LEASE: u64 = 10_000;

async fn put(meta: &Meta, effects: &[(&str, u64)]) {
    let hello = app("acme/hello");
    make_app(meta, &hello).await;
    let effects = effects
        .iter()
        .map(|(key, due_ms)| NewEffect { key: (*key).into(), body: format!(r#"{{"do":"{key}"}}"#), due_ms: *due_ms })
        .collect();
    meta.commit(&hello, &Expected::Revision(1), &Change { effects, ..state("{}") }, NOW).await.unwrap();
}

pub(crate) async fn effects_are_leased_in_order_and_done_once(meta: &Meta) {
    put(meta, &[("a", NOW), ("b", NOW), ("later", NOW + 500)]).await;
    assert_eq!(meta.next_effect_due().await.unwrap(), Some(NOW));
    let leased = meta.lease_effects(NOW, NOW + LEASE, 10).await.unwrap();
    assert_eq!(leased.iter().map(|effect| effect.key.as_str()).collect::<Vec<_>>(), ["a", "b"]);
    assert_eq!((leased[0].attempt, leased[0].body.as_str()), (1, r#"{"do":"a"}"#));
    assert_eq!(meta.lease_effects(NOW + 499, NOW + LEASE, 10).await.unwrap(), []);
    assert!(meta.finish_effect(leased[0].id, 1).await.unwrap());
    assert!(!meta.finish_effect(leased[0].id, 1).await.unwrap());

    // The carrier of `b` died: it is due again, and the first attempt no longer counts.
    let again = meta.lease_effects(NOW + LEASE, NOW + 2 * LEASE, 1).await.unwrap();
    assert_eq!((again.len(), again[0].key.as_str()), (1, "later"), "the earlier due comes first");
    let again = meta.lease_effects(NOW + LEASE, NOW + 2 * LEASE, 10).await.unwrap();
    assert_eq!((again[0].key.as_str(), again[0].attempt), ("b", 2));
    assert!(!meta.finish_effect(again[0].id, 1).await.unwrap());
    assert!(meta.finish_effect(again[0].id, 2).await.unwrap());
    assert_eq!(meta.count_effects().await.unwrap(), 1);
}

pub(crate) async fn an_effect_put_off_comes_back_with_its_error(meta: &Meta) {
    put(meta, &[("a", NOW)]).await;
    let leased = meta.lease_effects(NOW, NOW + LEASE, 10).await.unwrap();
    assert!(!meta.retry_effect(leased[0].id, 7, NOW, "not mine").await.unwrap());
    let long = "ä".repeat(5000);
    assert!(meta.retry_effect(leased[0].id, 1, NOW + 100, &long).await.unwrap());
    assert_eq!(meta.next_effect_due().await.unwrap(), Some(NOW + 100));
    assert_eq!(meta.lease_effects(NOW + 99, NOW + LEASE, 10).await.unwrap(), []);
    let again = meta.lease_effects(NOW + 100, NOW + LEASE, 10).await.unwrap();
    assert_eq!((again[0].attempt, again[0].error.as_ref().map(String::len)), (2, Some(4096)));
}

pub(crate) async fn two_carriers_never_hold_one_effect(meta: &Meta) {
    let keys: Vec<String> = (0..100).map(|key| format!("k{key}")).collect();
    put(meta, &keys.iter().map(|key| (key.as_str(), NOW)).collect::<Vec<_>>()).await;
    let carriers = (0..5).map(|_| {
        let meta = meta.clone();
        tokio::spawn(async move {
            let mut mine = Vec::new();
            loop {
                let leased = meta.lease_effects(NOW, NOW + LEASE, 7).await.unwrap();
                if leased.is_empty() {
                    return mine;
                }
                mine.extend(leased.into_iter().map(|effect| effect.id));
            }
        })
    });
    let mut all = Vec::new();
    for carrier in carriers.collect::<Vec<_>>() {
        all.extend(carrier.await.unwrap());
    }
    assert_eq!((all.len(), all.iter().collect::<HashSet<_>>().len()), (100, 100));
}
