use ignite_core_model::{Fault, OrganizationId};
use ignite_store_meta::{Meta, SecretMetadata};

use crate::support::NOW;

pub(crate) async fn a_secret_is_written_and_never_listed(meta: &Meta) {
    let (acme, other): (OrganizationId, OrganizationId) = ("acme".parse().unwrap(), "other".parse().unwrap());
    assert_eq!(meta.put_secret(&acme, "registry", "registry", b"1", NOW).await.unwrap_err().fault(), Fault::Missing);
    meta.create_organization(&acme, NOW).await.unwrap();
    meta.put_secret(&acme, "registry", "registry", b"sealed\0one", NOW).await.unwrap();
    meta.put_secret(&acme, "token", "git", b"two", NOW).await.unwrap();
    meta.put_secret(&acme, "registry", "build", b"sealed\0three", NOW + 5).await.unwrap();

    let found = meta.find_secret(&acme, "token").await.unwrap().unwrap();
    assert_eq!((found.kind.as_str(), found.created_ms), ("git", NOW));
    assert_eq!(meta.find_secret(&other, "token").await.unwrap(), None);
    let listed = meta.list_secrets(&acme, "", 10).await.unwrap();
    let first = SecretMetadata { name: "registry".into(), kind: "build".into(), created_ms: NOW, updated_ms: NOW + 5 };
    assert_eq!((listed.len(), &listed[0]), (2, &first));
    assert_eq!(meta.list_secrets(&acme, "registry", 10).await.unwrap().len(), 1);
    assert_eq!(meta.load_sealed(&acme, "registry").await.unwrap(), b"sealed\0three");
    assert_eq!(meta.load_sealed(&other, "registry").await.unwrap_err().fault(), Fault::Missing);
    assert_eq!(meta.delete_secret(&other, "registry").await.unwrap_err().fault(), Fault::Missing);
    meta.delete_secret(&acme, "registry").await.unwrap();
    assert_eq!(meta.load_sealed(&acme, "registry").await.unwrap_err().fault(), Fault::Missing);
}
