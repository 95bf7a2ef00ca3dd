use std::time::Duration;

use ignite_core_model::{HostLabel, InstanceId};
use ignite_store_meta::{
    CHANGES_KEPT, Change, ChangeItem, Changes, DesiredSet, Expected, Instance, Meta, Route, Topic,
};

use crate::support::{NOW, app, make_app, number, state};

fn instance(id: u128, app_id: &str, state: &str) -> Instance {
    Instance {
        id: InstanceId::from_parts(NOW, id),
        agent: "local".into(),
        app: app(app_id),
        version: number(1),
        generation: 1,
        state: state.into(),
        address: Some("127.0.0.1:4000".into()),
        detail: "{}".into(),
        updated_ms: NOW,
    }
}

async fn since(meta: &Meta, after: u64) -> (u64, Vec<ChangeItem>) {
    match meta.changes_since(after, 1000).await.unwrap() {
        Changes::Since { upto, items } => (upto, items),
        Changes::TooOld => panic!("too old"),
    }
}

pub(crate) async fn a_follower_sees_every_change_in_order(meta: &Meta) {
    let hello = app("acme/hello");
    let label = HostLabel::of(&hello);
    let made = make_app(meta, &hello).await;
    assert_eq!(since(meta, 0).await, (made.sequence, vec![]));

    let desired = DesiredSet { version: number(1), instances: 2, spec: r#"{"a":1}"#.into() };
    let change =
        Change { routes_set: vec![(label.clone(), number(1))], desired_set: vec![desired.clone()], ..state("{}") };
    let first = meta.commit(&hello, &Expected::Revision(1), &change, NOW).await.unwrap();
    let change = Change {
        routes_set: vec![(label.clone(), number(2))],
        desired_removed: vec![number(1), number(7)],
        ..state("{}")
    };
    let second = meta.commit(&hello, &Expected::Revision(2), &change, NOW).await.unwrap();

    let (upto, items) = since(meta, made.sequence).await;
    assert_eq!(upto, second.sequence);
    let route =
        |version| ChangeItem::RouteSet(Route { label: label.clone(), app: hello.clone(), version: number(version) });
    let stored = ignite_store_meta::Desired {
        app: hello.clone(),
        version: number(1),
        instances: 2,
        spec: desired.spec.clone(),
        generation: first.sequence,
    };
    let removed = ChangeItem::DesiredRemoved(hello.clone(), number(1));
    assert_eq!(items, [route(1), ChangeItem::DesiredSet(stored), route(2), removed]);
    assert_eq!(since(meta, second.sequence).await, (second.sequence, vec![]));

    // A sequence is not cut: one item is asked for, the two of the first change come.
    match meta.changes_since(made.sequence, 1).await.unwrap() {
        Changes::Since { upto, items } => assert_eq!((upto, items.len()), (first.sequence, 2)),
        Changes::TooOld => panic!("too old"),
    }
    let snapshot = meta.snapshot().await.unwrap();
    assert_eq!(snapshot.sequence, second.sequence);
    assert_eq!(snapshot.routes, [Route { label, app: hello, version: number(2) }]);
    assert_eq!((snapshot.desired.len(), snapshot.instances.len()), (0, 0));

    // From a later database: the caller has to begin anew.
    assert_eq!(meta.changes_since(second.sequence + 1, 10).await.unwrap(), Changes::TooOld);
}

pub(crate) async fn one_who_is_far_behind_reads_a_snapshot(meta: &Meta) {
    let hello = app("acme/hello");
    make_app(meta, &hello).await;
    let mut last = 0;
    // Enough changes for the oldest to be trimmed.
    for round in 0..CHANGES_KEPT + 300 {
        let report = instance(1, "acme/hello", ["starting", "healthy"][(round % 2) as usize]);
        last = meta.report_instances("local", &[report], &[]).await.unwrap().unwrap();
    }
    assert_eq!(meta.changes_since(1, 10).await.unwrap(), Changes::TooOld);
    assert!(matches!(meta.changes_since(last - 100, 10).await.unwrap(), Changes::Since { .. }));
}

pub(crate) async fn concurrent_changes_leave_no_hole(meta: &Meta) {
    let writers = (0..6_u32).map(|writer| {
        let meta = meta.clone();
        tokio::spawn(async move {
            let app = app(&format!("acme/app{writer}"));
            make_app(&meta, &app).await;
            for revision in 1..20 {
                let route = (HostLabel::of(&app), number(u32::try_from(revision).unwrap()));
                let change = Change { routes_set: vec![route], ..state("{}") };
                meta.commit(&app, &Expected::Revision(revision), &change, NOW).await.unwrap();
            }
        })
    });
    let writers: Vec<_> = writers.collect();
    // Follows while they write: what it gathers must be what a snapshot shows in the end.
    let mut signal = meta.subscribe(Topic::Changes);
    let (mut at, mut seen) = (0, 0);
    while seen < 6 * 19 {
        let (upto, items) = since(meta, at).await;
        seen += items.len();
        at = upto;
        if items.is_empty() {
            signal.wait(Duration::from_millis(500)).await;
        }
    }
    for writer in writers {
        writer.await.unwrap();
    }
    assert_eq!(at, meta.last_change().await.unwrap());
    assert_eq!(at, 6 * 20);
    assert_eq!(seen, 6 * 19);
}

pub(crate) async fn an_agents_report_changes_only_what_differs(meta: &Meta) {
    let (one, two) = (instance(1, "acme/hello", "starting"), instance(2, "acme/hello", "starting"));
    let first = meta.report_instances("local", &[one.clone(), two.clone()], &[]).await.unwrap().unwrap();
    let later = Instance { updated_ms: NOW + 1000, ..one.clone() };
    assert_eq!(meta.report_instances("local", &[later], &[]).await.unwrap(), None);
    let healthy = Instance { state: "healthy".into(), ..one.clone() };
    meta.report_instances("local", &[healthy.clone(), two.clone()], &[]).await.unwrap().unwrap();
    assert_eq!(since(meta, first).await.1, [ChangeItem::InstanceSet(healthy.clone())]);
    // Another agent neither changes nor removes them.
    assert_eq!(meta.report_instances("other", std::slice::from_ref(&one), &[two.id]).await.unwrap(), None);
    assert_eq!(meta.list_agent_instances("local").await.unwrap(), [healthy.clone(), two.clone()]);
    assert_eq!(meta.list_agent_instances("other").await.unwrap(), []);

    let before = meta.last_change().await.unwrap();
    meta.report_instances("local", &[], &[two.id, two.id]).await.unwrap().unwrap();
    assert_eq!(since(meta, before).await.1, [ChangeItem::InstanceRemoved(two.id)]);
    assert_eq!(meta.list_instances(&app("acme/hello")).await.unwrap(), [healthy]);
}

pub(crate) async fn scaling_keeps_the_generation(meta: &Meta) {
    let hello = app("acme/hello");
    let made = make_app(meta, &hello).await;
    assert!(!meta.scale(&hello, number(1), 1).await.unwrap());
    let set = |instances, spec: &str| Change {
        desired_set: vec![DesiredSet { version: number(1), instances, spec: spec.into() }],
        ..state("{}")
    };
    let first = meta.commit(&hello, &Expected::Revision(1), &set(0, "{}"), NOW).await.unwrap();
    assert!(first.sequence > made.sequence);
    assert!(meta.scale(&hello, number(1), 3).await.unwrap());
    let scaled = meta.last_change().await.unwrap();
    assert!(meta.scale(&hello, number(1), 3).await.unwrap());
    assert_eq!(meta.last_change().await.unwrap(), scaled, "the same again is no change");
    let rows = meta.list_desired(&hello).await.unwrap();
    assert_eq!((rows[0].instances, rows[0].generation), (3, first.sequence));

    meta.commit(&hello, &Expected::Revision(2), &set(5, "{}"), NOW).await.unwrap();
    assert_eq!(meta.list_desired(&hello).await.unwrap()[0].generation, first.sequence);
    let other = meta.commit(&hello, &Expected::Revision(3), &set(5, r#"{"x":1}"#), NOW).await.unwrap();
    assert_eq!(meta.list_desired(&hello).await.unwrap()[0].generation, other.sequence);
}

pub(crate) async fn a_change_wakes_who_waits(meta: &Meta) {
    let mut signal = meta.subscribe(Topic::Changes);
    let writer = meta.clone();
    let report = tokio::spawn(async move {
        writer.report_instances("local", &[instance(1, "acme/hello", "healthy")], &[]).await.unwrap();
    });
    let began = std::time::Instant::now();
    signal.wait(Duration::from_secs(60)).await;
    assert!(began.elapsed() < Duration::from_secs(30), "woken by the change, not by time");
    report.await.unwrap();
    assert_eq!(since(meta, 0).await.1.len(), 1);
}

pub(crate) async fn watchers_are_remembered_while_they_are_heard_of(meta: &Meta) {
    meta.acknowledge("gateway-a", 5, NOW).await.unwrap();
    meta.acknowledge("gateway-b", 3, NOW + 10).await.unwrap();
    meta.acknowledge("gateway-a", 7, NOW + 20).await.unwrap();
    let all = meta.list_watchers(NOW).await.unwrap();
    assert_eq!(
        all.iter().map(|w| (w.name.as_str(), w.sequence)).collect::<Vec<_>>(),
        [("gateway-a", 7), ("gateway-b", 3)]
    );
    let recent = meta.list_watchers(NOW + 15).await.unwrap();
    assert_eq!(recent.iter().map(|w| w.name.as_str()).collect::<Vec<_>>(), ["gateway-a"]);
}
