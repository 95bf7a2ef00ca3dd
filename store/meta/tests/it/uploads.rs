use ignite_core_model::{Digest, Fault, OrganizationId};
use ignite_store_meta::{Change, Expected, Meta, MetaError, Upload};

use crate::support::{NOW, app, make_app, state};

fn upload(object: &str) -> Upload {
    Upload {
        object: object.into(),
        organization: "acme".parse().unwrap(),
        app: Some(app("acme/hello")),
        size: 12,
        digest: Digest::of(b"abc"),
        expires_ms: NOW + 1000,
        used_ms: None,
    }
}

pub(crate) async fn an_upload_is_used_once(meta: &Meta) {
    let (acme, other): (OrganizationId, OrganizationId) = ("acme".parse().unwrap(), "other".parse().unwrap());
    meta.create_upload(&upload("u/1")).await.unwrap();
    assert_eq!(meta.create_upload(&upload("u/1")).await.unwrap_err().fault(), Fault::Conflict);
    assert_eq!(meta.load_upload("u/1", &acme).await.unwrap(), upload("u/1"));
    assert_eq!(meta.load_upload("u/1", &other).await.unwrap_err().fault(), Fault::Missing);
    assert_eq!(meta.use_upload("u/1", &other, NOW).await.unwrap_err().fault(), Fault::Missing);
    let late = meta.use_upload("u/1", &acme, NOW + 1000).await.unwrap_err();
    assert!(matches!(late, MetaError::UploadSpent(_)), "{late}");
    meta.use_upload("u/1", &acme, NOW + 999).await.unwrap();
    let twice = meta.use_upload("u/1", &acme, NOW + 999).await.unwrap_err();
    assert_eq!(
        (twice.fault(), twice.to_string().as_str()),
        (Fault::Conflict, "upload `u/1` was used before or has expired")
    );

    // In a change, and only if the change happens.
    let hello = app("acme/hello");
    make_app(meta, &hello).await;
    meta.create_upload(&upload("u/2")).await.unwrap();
    let change = Change { uploads_used: vec!["u/2".into()], ..state("{}") };
    assert!(meta.commit(&hello, &Expected::Revision(9), &change, NOW).await.is_err());
    meta.commit(&hello, &Expected::Revision(1), &change, NOW).await.unwrap();
    let again = meta.commit(&hello, &Expected::Revision(2), &change, NOW).await.unwrap_err();
    assert!(matches!(again, MetaError::UploadSpent(_)), "{again}");
    assert_eq!(meta.load_app(&hello).await.unwrap().revision, 2);
}

pub(crate) async fn unused_uploads_are_swept(meta: &Meta) {
    for object in ["u/1", "u/2", "u/3"] {
        let expires_ms = if object == "u/3" { NOW + 9000 } else { NOW + 1000 };
        meta.create_upload(&Upload { expires_ms, ..upload(object) }).await.unwrap();
    }
    meta.use_upload("u/1", &"acme".parse().unwrap(), NOW).await.unwrap();
    assert_eq!(meta.sweep_uploads(NOW + 2000, 10).await.unwrap(), ["u/2"]);
    assert_eq!(meta.sweep_uploads(NOW + 2000, 10).await.unwrap(), Vec::<String>::new());
    assert!(meta.load_upload("u/3", &"acme".parse().unwrap()).await.is_ok());
}
