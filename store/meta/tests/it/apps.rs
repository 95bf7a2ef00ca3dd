use ignite_core_model::{Digest, Fault, HostLabel};
use ignite_store_meta::{
    CHANGE_ROWS_MAX, Change, DesiredSet, Expected, Line, Meta, MetaError, NewEffect, RECORD_BYTES_MAX, VersionRow,
    events_stream,
};

use crate::support::{NOW, app, job, job_id, make_app, number, state, version};

pub(crate) async fn an_app_is_made_once(meta: &Meta) {
    let hello = app("acme/hello");
    let label = HostLabel::of(&hello);
    let new = Expected::New(label.clone());
    let without = meta.commit(&hello, &new, &state("{}"), NOW).await.unwrap_err();
    assert_eq!(without.fault(), Fault::Missing, "{without}");
    let made = make_app(meta, &hello).await;
    assert_eq!(made.revision, 1);
    let again = meta.commit(&hello, &new, &state("{}"), NOW).await.unwrap_err();
    assert_eq!((again.fault(), again.to_string().as_str()), (Fault::Conflict, "app `acme/hello` exists already"));

    let stored = meta.load_app(&hello).await.unwrap();
    assert_eq!((stored.revision, stored.state.as_str(), stored.label), (1, r#"{"made":true}"#, label));
    let next = meta.commit(&hello, &Expected::Revision(1), &state(r#"{"n":2}"#), NOW + 9).await.unwrap();
    assert_eq!(next.revision, 2);
    assert!(next.sequence > made.sequence);
    let stored = meta.load_app(&hello).await.unwrap();
    assert_eq!((stored.revision, stored.created_ms, stored.updated_ms), (2, NOW, NOW + 9));
    assert_eq!(meta.load_app(&app("acme/nothing")).await.unwrap_err().fault(), Fault::Missing);
    let nothing = meta.commit(&app("acme/nothing"), &Expected::Revision(1), &state("{}"), NOW).await.unwrap_err();
    assert_eq!(nothing.fault(), Fault::Missing);
}

pub(crate) async fn two_apps_do_not_share_a_label(meta: &Meta) {
    // `a-b` of `c` and `a` of `b-c` would both be `a-b-c`.
    make_app(meta, &app("c/a-b")).await;
    meta.create_organization(&"b-c".parse().unwrap(), NOW).await.unwrap();
    let second = app("b-c/a");
    let refused = meta.commit(&second, &Expected::New(HostLabel::of(&second)), &state("{}"), NOW).await.unwrap_err();
    assert_eq!(refused.to_string(), "hostname label `a-b-c` exists already");
    assert_eq!(meta.find_app(&second).await.unwrap(), None);
}

pub(crate) async fn a_stale_change_writes_nothing(meta: &Meta) {
    let hello = app("acme/hello");
    make_app(meta, &hello).await;
    meta.commit(&hello, &Expected::Revision(1), &state(r#"{"winner":1}"#), NOW).await.unwrap();
    let before = meta.last_change().await.unwrap();
    let change = Change {
        state: r#"{"loser":1}"#.into(),
        versions: vec![version(&hello, 1)],
        jobs: vec![job(1, "compile")],
        effects: vec![NewEffect { key: "k".into(), body: "{}".into(), due_ms: NOW }],
        events: vec![Line { at_ms: NOW, body: "{}".into() }],
        desired_set: vec![DesiredSet { version: number(1), instances: 1, spec: "{}".into() }],
        routes_set: vec![(HostLabel::of(&hello), number(1))],
        ..Change::default()
    };
    let stale = meta.commit(&hello, &Expected::Revision(1), &change, NOW).await.unwrap_err();
    assert!(matches!(stale, MetaError::Stale { .. }), "{stale}");
    assert_eq!(stale.fault(), Fault::Conflict);

    assert_eq!(meta.load_app(&hello).await.unwrap().state, r#"{"winner":1}"#);
    assert_eq!(meta.list_versions(&hello, None, 10).await.unwrap(), []);
    assert_eq!(meta.load_job(job_id(1)).await.unwrap_err().fault(), Fault::Missing);
    assert_eq!(meta.count_effects().await.unwrap(), 0);
    assert_eq!(meta.find_log(&events_stream(&hello)).await.unwrap(), None);
    assert_eq!(meta.last_change().await.unwrap(), before);

    // Nor does a change that fails in its middle.
    let twice = Change { versions: vec![version(&hello, 1), version(&hello, 1)], ..state(r#"{"half":1}"#) };
    assert!(matches!(
        meta.commit(&hello, &Expected::Revision(2), &twice, NOW).await,
        Err(MetaError::Exists { what: "version", .. })
    ));
    assert_eq!(meta.load_app(&hello).await.unwrap().revision, 2);
    assert_eq!(meta.list_versions(&hello, None, 10).await.unwrap(), []);
}

pub(crate) async fn a_race_has_one_winner(meta: &Meta) {
    let hello = app("acme/hello");
    make_app(meta, &hello).await;
    for revision in 1..6 {
        let race = (0..8).map(|racer| {
            let (meta, hello) = (meta.clone(), hello.clone());
            tokio::spawn(async move {
                let change = state(&format!(r#"{{"racer":{racer}}}"#));
                meta.commit(&hello, &Expected::Revision(revision), &change, NOW).await
            })
        });
        let mut won = 0;
        for racer in race.collect::<Vec<_>>() {
            match racer.await.unwrap() {
                Ok(committed) => {
                    assert_eq!(committed.revision, revision + 1);
                    won += 1;
                }
                Err(MetaError::Stale { .. }) => {}
                Err(error) => panic!("{error:?}"),
            }
        }
        assert_eq!(won, 1);
    }
}

pub(crate) async fn a_version_never_changes(meta: &Meta) {
    let hello = app("acme/hello");
    make_app(meta, &hello).await;
    let first = version(&hello, 1);
    let change = Change { versions: vec![first.clone()], ..state("{}") };
    meta.commit(&hello, &Expected::Revision(1), &change, NOW).await.unwrap();
    let other = VersionRow { snapshot: r#"{"other":1}"#.into(), ..first.clone() };
    let refused = meta
        .commit(&hello, &Expected::Revision(2), &Change { versions: vec![other], ..state("{}") }, NOW)
        .await
        .unwrap_err();
    assert_eq!(refused.to_string(), "version `acme/hello v1` exists already");
    assert_eq!(meta.load_version(&hello, number(1)).await.unwrap(), first);
    assert_eq!(meta.load_version(&hello, number(2)).await.unwrap_err().fault(), Fault::Missing);
    assert!(meta.is_artifact_used(&Digest::of(&1_u32.to_be_bytes())).await.unwrap());
    assert!(!meta.is_artifact_used(&Digest::of(b"none")).await.unwrap());
}

pub(crate) async fn an_erased_app_leaves_nothing(meta: &Meta) {
    let hello = app("acme/hello");
    let label = HostLabel::of(&hello);
    make_app(meta, &hello).await;
    let mut job = job(1, "compile");
    job.app = Some(hello.clone());
    let change = Change {
        versions: vec![version(&hello, 1)],
        routes_set: vec![(label.clone(), number(1))],
        desired_set: vec![DesiredSet { version: number(1), instances: 1, spec: "{}".into() }],
        jobs: vec![job],
        effects: vec![NewEffect { key: "k".into(), body: "{}".into(), due_ms: NOW }],
        events: vec![Line { at_ms: NOW, body: "{}".into() }],
        uses_added: vec!["sources/a".into()],
        ..state("{}")
    };
    meta.commit(&hello, &Expected::Revision(1), &change, NOW).await.unwrap();
    assert!(meta.find_route(&label).await.unwrap().is_some());

    let deleted = Change { deleted_ms: Some(NOW + 1), ..state("{}") };
    meta.commit(&hello, &Expected::Revision(2), &deleted, NOW + 1).await.unwrap();
    assert_eq!(meta.list_apps(&hello.organization(), None, 10).await.unwrap(), []);
    assert_eq!(meta.sweep_apps(None, 10).await.unwrap()[0].deleted_ms, Some(NOW + 1));

    let erase = Change { erase: true, ..state("{}") };
    meta.commit(&hello, &Expected::Revision(3), &erase, NOW + 2).await.unwrap();
    assert_eq!(meta.find_app(&hello).await.unwrap(), None);
    assert_eq!(meta.find_route(&label).await.unwrap(), None);
    assert_eq!(meta.list_desired(&hello).await.unwrap(), []);
    assert_eq!(meta.list_versions(&hello, None, 10).await.unwrap(), []);
    assert_eq!(meta.count_effects().await.unwrap(), 0);
    assert_eq!(meta.find_log(&events_stream(&hello)).await.unwrap(), None);
    assert!(!meta.is_object_used("sources/a").await.unwrap());
    assert_eq!(meta.load_job(job_id(1)).await.unwrap_err().fault(), Fault::Missing);
    // The name is free again, and versions begin anew.
    make_app(meta, &hello).await;
    meta.commit(&hello, &Expected::Revision(1), &change, NOW + 3).await.unwrap();
}

pub(crate) async fn lists_are_pages(meta: &Meta) {
    for name in ["acme/a", "acme/b", "acme/c-d", "acme/c", "acme-b/x", "zeta/a"] {
        make_app(meta, &app(name)).await;
    }
    let organization = "acme".parse().unwrap();
    let names = |apps: Vec<ignite_store_meta::App>| apps.into_iter().map(|app| app.id.to_string()).collect::<Vec<_>>();
    let first = names(meta.list_apps(&organization, None, 3).await.unwrap());
    assert_eq!(first, ["acme/a", "acme/b", "acme/c"]);
    let second = names(meta.list_apps(&organization, Some(&app("acme/c")), 3).await.unwrap());
    assert_eq!(second, ["acme/c-d"]);
    assert_eq!(meta.sweep_apps(Some(&app("acme/b")), 10).await.unwrap().len(), 3);

    let hello = app("acme/a");
    let versions = (1..=5).map(|number| version(&hello, number)).collect();
    meta.commit(&hello, &Expected::Revision(1), &Change { versions, ..state("{}") }, NOW).await.unwrap();
    let numbers = |rows: Vec<VersionRow>| rows.iter().map(|row| row.number.get()).collect::<Vec<_>>();
    assert_eq!(numbers(meta.list_versions(&hello, None, 3).await.unwrap()), [5, 4, 3]);
    assert_eq!(numbers(meta.list_versions(&hello, Some(number(3)), 3).await.unwrap()), [2, 1]);
}

pub(crate) async fn objects_in_use_are_known(meta: &Meta) {
    let (one, two) = (app("acme/one"), app("acme/two"));
    make_app(meta, &one).await;
    make_app(meta, &two).await;
    let with = Change { uses_added: vec!["sources/a".into()], ..state("{}") };
    let without = Change { uses_removed: vec!["sources/a".into()], ..state("{}") };
    meta.commit(&one, &Expected::Revision(1), &with, NOW).await.unwrap();
    meta.commit(&two, &Expected::Revision(1), &with, NOW).await.unwrap();
    meta.commit(&one, &Expected::Revision(2), &without, NOW).await.unwrap();
    assert!(meta.is_object_used("sources/a").await.unwrap());
    for (organization, uses) in [("acme", true), ("acm", false), ("zeta", false)] {
        let used = meta.is_object_used_by("sources/a", &organization.parse().unwrap()).await.unwrap();
        assert_eq!(used, uses, "{organization}");
    }
    meta.commit(&two, &Expected::Revision(2), &without, NOW).await.unwrap();
    assert!(!meta.is_object_used("sources/a").await.unwrap());
}

pub(crate) async fn what_is_too_large_is_refused(meta: &Meta) {
    let hello = app("acme/hello");
    make_app(meta, &hello).await;
    let large = state(&"x".repeat(RECORD_BYTES_MAX + 1));
    let refused = meta.commit(&hello, &Expected::Revision(1), &large, NOW).await.unwrap_err();
    assert_eq!(
        (refused.fault(), refused.to_string().as_str()),
        (Fault::Caller, "the state of an app has 1048577 bytes, and at most 1048576 are stored")
    );
    let many = Change { uses_added: vec!["o".into(); CHANGE_ROWS_MAX + 1], ..state("{}") };
    let refused = meta.commit(&hello, &Expected::Revision(1), &many, NOW).await.unwrap_err();
    assert_eq!(refused.fault(), Fault::Caller);
    let whole = state(&"x".repeat(RECORD_BYTES_MAX));
    meta.commit(&hello, &Expected::Revision(1), &whole, NOW).await.unwrap();
}
