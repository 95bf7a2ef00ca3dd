use ignite_core_model::{Fault, OrganizationId, TokenId};
use ignite_store_meta::{Meta, MetaError, Token};

use crate::support::NOW;

pub(crate) async fn an_organization_is_made_once(meta: &Meta) {
    let acme: OrganizationId = "acme".parse().unwrap();
    assert!(!meta.has_organization(&acme).await.unwrap());
    assert!(meta.create_organization(&acme, NOW).await.unwrap());
    assert!(!meta.create_organization(&acme, NOW + 1).await.unwrap());
    meta.create_organization(&"zeta".parse().unwrap(), NOW).await.unwrap();
    let all = meta.list_organizations(None, 10).await.unwrap();
    assert_eq!(all.iter().map(OrganizationId::as_str).collect::<Vec<_>>(), ["acme", "zeta"]);
    assert_eq!(meta.list_organizations(Some(&acme), 10).await.unwrap().len(), 1);
}

pub(crate) async fn a_token_is_found_by_its_hash_until_it_is_revoked(meta: &Meta) {
    let acme: OrganizationId = "acme".parse().unwrap();
    let token = Token {
        id: TokenId::from_parts(NOW, 1),
        organization: acme.clone(),
        hash: [7; 32],
        scopes: vec!["apps:read".into(), "apps:write".into()],
        note: "for the build server".into(),
        created_ms: NOW,
        expires_ms: Some(NOW + 1000),
        revoked_ms: None,
    };
    let without = meta.create_token(&token).await.unwrap_err();
    assert_eq!((without.fault(), without.to_string().as_str()), (Fault::Missing, "there is no organisation `acme`"));
    meta.create_organization(&acme, NOW).await.unwrap();
    meta.create_token(&token).await.unwrap();
    assert!(matches!(meta.create_token(&token).await, Err(MetaError::Exists { .. })));

    assert_eq!(meta.find_token(&[7; 32]).await.unwrap().unwrap(), token);
    assert_eq!(meta.find_token(&[8; 32]).await.unwrap(), None);
    assert!(token.is_valid(NOW + 999) && !token.is_valid(NOW + 1000));

    let other: OrganizationId = "other".parse().unwrap();
    assert!(matches!(meta.revoke_token(&other, token.id, NOW).await, Err(MetaError::Missing { .. })));
    meta.revoke_token(&acme, token.id, NOW + 5).await.unwrap();
    meta.revoke_token(&acme, token.id, NOW + 6).await.unwrap();
    let revoked = meta.find_token(&[7; 32]).await.unwrap().unwrap();
    assert_eq!(revoked.revoked_ms, Some(NOW + 5));
    assert!(!revoked.is_valid(NOW));

    let next = Token { id: TokenId::from_parts(NOW + 1, 1), hash: [9; 32], expires_ms: None, ..token.clone() };
    meta.create_token(&next).await.unwrap();
    assert_eq!(meta.list_tokens(&acme, None, 10).await.unwrap(), [revoked, next.clone()]);
    assert_eq!(meta.list_tokens(&acme, Some(token.id), 10).await.unwrap(), [next]);
    assert_eq!(meta.list_tokens(&other, None, 10).await.unwrap(), []);
}
