use std::collections::HashSet;

use ignite_core_model::{ExecutionId, Fault};
use ignite_store_meta::{
    Execution, ExecutionEnd, ExecutionStatus, INLINE_BYTES_MAX, KNOWN_MAX, Meta, NewExecution, Payload, Renewed, Swept,
};

use crate::support::{NOW, app, number};

const LEASE: u64 = 10_000;

fn id(number: u32) -> ExecutionId {
    ExecutionId::from_parts(NOW + u64::from(number), 1)
}

fn new(number: u32, input: Payload) -> NewExecution {
    NewExecution { id: id(number), app: app("acme/hello"), request: r#"{"method":"POST"}"#.into(), input, due_ms: NOW }
}

fn end(status: ExecutionStatus, output: Payload) -> ExecutionEnd {
    ExecutionEnd { status, version: Some(number(3)), response: Some(r#"{"status":200}"#.into()), output, error: None }
}

pub(crate) async fn an_accepted_execution_is_carried_out(meta: &Meta) {
    let hello = app("acme/hello");
    meta.insert_execution(&new(1, Payload::Inline(b"in\0\xff".to_vec())), NOW).await.unwrap();
    let twice = meta.insert_execution(&new(1, Payload::None), NOW).await.unwrap_err();
    assert_eq!(twice.fault(), Fault::Conflict);
    let large = meta.insert_execution(&new(2, Payload::Inline(vec![0; INLINE_BYTES_MAX + 1])), NOW).await.unwrap_err();
    assert_eq!(large.fault(), Fault::Caller);
    assert_eq!(meta.next_execution_due().await.unwrap(), Some(NOW));

    let leased = meta.lease_executions("gw", NOW, NOW + LEASE, 10, &[]).await.unwrap();
    assert_eq!(leased.len(), 1);
    assert_eq!(leased[0].input, Payload::Inline(b"in\0\xff".to_vec()));
    assert_eq!((leased[0].execution.status, leased[0].execution.attempt), (ExecutionStatus::Running, 1));
    assert_eq!(meta.lease_executions("gw", NOW, NOW + LEASE, 10, &[]).await.unwrap(), []);
    assert_eq!(meta.renew_execution(id(1), 1, NOW + 2 * LEASE).await.unwrap(), Renewed::Until(NOW + 2 * LEASE));
    assert_eq!(meta.lease_executions("gw", NOW + LEASE, NOW + 3 * LEASE, 10, &[]).await.unwrap(), []);
    let ended = end(ExecutionStatus::Succeeded, Payload::Inline(b"out".to_vec()));
    assert!(meta.finish_execution(id(1), 1, &ended, NOW + 9).await.unwrap());
    assert!(!meta.finish_execution(id(1), 1, &ended, NOW + 9).await.unwrap());

    let stored = meta.load_execution(&hello, id(1)).await.unwrap();
    assert_eq!((stored.input, stored.output), (Payload::None, Payload::Inline(b"out".to_vec())));
    assert_eq!((stored.execution.version, stored.execution.ended_ms), (Some(number(3)), Some(NOW + 9)));
    assert_eq!(meta.load_execution(&app("acme/other"), id(1)).await.unwrap_err().fault(), Fault::Missing);
    assert_eq!(meta.next_execution_due().await.unwrap(), None);
}

pub(crate) async fn an_execution_is_put_off_and_leased_again(meta: &Meta) {
    meta.insert_execution(&new(1, Payload::Object("inputs/1".into())), NOW).await.unwrap();
    meta.lease_executions("gw", NOW, NOW + LEASE, 10, &[]).await.unwrap();
    assert!(meta.retry_execution(id(1), 1, NOW + 50, r#"{"error":"lost"}"#).await.unwrap());
    assert_eq!(meta.lease_executions("gw", NOW + 49, NOW + LEASE, 10, &[]).await.unwrap(), []);
    let again = meta.lease_executions("other", NOW + 50, NOW + 100, 10, &[]).await.unwrap();
    assert_eq!((again[0].execution.attempt, again[0].input.clone()), (2, Payload::Object("inputs/1".into())));
    // The other died; a third takes it over, and the second may write nothing.
    let third = meta.lease_executions("gw", NOW + 100, NOW + LEASE, 10, &[]).await.unwrap();
    assert_eq!((third[0].execution.attempt, third[0].execution.owner.as_deref()), (3, Some("gw")));
    assert_eq!(meta.renew_execution(id(1), 2, NOW + LEASE).await.unwrap(), Renewed::Lost);
    assert!(!meta.finish_execution(id(1), 2, &end(ExecutionStatus::Failed, Payload::None), NOW).await.unwrap());
    assert!(!meta.retry_execution(id(1), 2, NOW, "{}").await.unwrap());
}

pub(crate) async fn who_begins_anew_takes_up_what_it_had(meta: &Meta) {
    for number in 1..=3 {
        meta.insert_execution(&new(number, Payload::None), NOW).await.unwrap();
    }
    meta.lease_executions("mine", NOW, NOW + LEASE, 2, &[]).await.unwrap();
    meta.lease_executions("other", NOW, NOW + LEASE, 1, &[]).await.unwrap();
    assert_eq!(meta.release_executions("mine", NOW + 1).await.unwrap(), 2);
    let again = meta.lease_executions("mine", NOW + 1, NOW + LEASE, 9, &[]).await.unwrap();
    let attempts: Vec<_> = again.iter().map(|whole| (whole.execution.id, whole.execution.attempt)).collect();
    assert_eq!(attempts, [(id(1), 2), (id(2), 2)]);
}

pub(crate) async fn a_cancelled_execution_stays_so(meta: &Meta) {
    let hello = app("acme/hello");
    for number in 1..=2 {
        meta.insert_execution(&new(number, Payload::None), NOW).await.unwrap();
    }
    assert!(!meta.cancel_execution(&app("acme/other"), id(1), NOW).await.unwrap());
    meta.lease_executions("gw", NOW, NOW + LEASE, 1, &[]).await.unwrap();
    assert!(meta.cancel_execution(&hello, id(1), NOW).await.unwrap());
    assert!(meta.cancel_execution(&hello, id(2), NOW).await.unwrap());
    assert_eq!(meta.renew_execution(id(1), 1, NOW + LEASE).await.unwrap(), Renewed::Cancelled);
    assert!(!meta.finish_execution(id(1), 1, &end(ExecutionStatus::Succeeded, Payload::None), NOW).await.unwrap());
    assert_eq!(meta.lease_executions("gw", NOW + 9 * LEASE, NOW + 10 * LEASE, 1, &[]).await.unwrap(), []);
    let stored = meta.load_execution(&hello, id(1)).await.unwrap();
    assert_eq!(stored.execution.status, ExecutionStatus::Cancelled);
}

fn waited_for(number: u32, status: ExecutionStatus) -> Execution {
    Execution {
        id: id(number),
        app: app("acme/hello"),
        version: Some(crate::support::number(1)),
        status,
        attempt: 0,
        owner: None,
        due_ms: None,
        request: "{}".into(),
        response: None,
        error: (status == ExecutionStatus::Failed).then(|| r#"{"error":"boom"}"#.into()),
        created_ms: NOW + u64::from(number),
        started_ms: Some(NOW),
        ended_ms: Some(NOW + u64::from(number)),
    }
}

pub(crate) async fn executions_are_listed_and_counted(meta: &Meta) {
    let hello = app("acme/hello");
    let batch: Vec<_> = (1..=6)
        .map(|number| {
            let status = if number % 3 == 0 { ExecutionStatus::Failed } else { ExecutionStatus::Succeeded };
            waited_for(number, status)
        })
        .collect();
    meta.record_executions(&batch).await.unwrap();
    meta.record_executions(&batch).await.unwrap();
    let ids = |list: Vec<Execution>| list.into_iter().map(|execution| execution.id).collect::<Vec<_>>();
    assert_eq!(ids(meta.list_executions(&hello, None, None, 3).await.unwrap()), [id(6), id(5), id(4)]);
    assert_eq!(ids(meta.list_executions(&hello, None, Some(id(4)), 9).await.unwrap()), [id(3), id(2), id(1)]);
    let failed = meta.list_executions(&hello, Some(ExecutionStatus::Failed), None, 9).await.unwrap();
    assert_eq!(failed, [batch[5].clone(), batch[2].clone()]);
    let counts = meta.count_executions(&hello, NOW).await.unwrap();
    assert_eq!(counts, [(ExecutionStatus::Failed, 2), (ExecutionStatus::Succeeded, 4)]);
    let counts = meta.count_executions(&hello, NOW + 6).await.unwrap();
    assert_eq!(counts, [(ExecutionStatus::Failed, 1)]);
    assert_eq!(meta.list_executions(&app("acme/other"), None, None, 9).await.unwrap(), []);
}

pub(crate) async fn ended_executions_are_swept(meta: &Meta) {
    meta.insert_execution(&new(1, Payload::Object("inputs/1".into())), NOW).await.unwrap();
    meta.lease_executions("gw", NOW, NOW + LEASE, 1, &[]).await.unwrap();
    let with = end(ExecutionStatus::Succeeded, Payload::Object("outputs/1".into()));
    meta.finish_execution(id(1), 1, &with, NOW + 5).await.unwrap();
    meta.insert_execution(&new(2, Payload::Object("inputs/2".into())), NOW).await.unwrap();
    meta.record_executions(&[waited_for(7, ExecutionStatus::Succeeded)]).await.unwrap();

    let swept = meta.sweep_executions(NOW + 6, 10).await.unwrap();
    assert_eq!(swept, Swept { executions: 1, objects: vec!["inputs/1".into(), "outputs/1".into()] });
    assert_eq!(meta.sweep_executions(NOW + 6, 10).await.unwrap(), Swept::default());
    let rest = meta.sweep_app_executions(&app("acme/hello"), 10).await.unwrap();
    assert_eq!(rest, Swept { executions: 2, objects: vec!["inputs/2".into()] });
}

pub(crate) async fn an_app_with_a_long_queue_does_not_stand_in_the_way(meta: &Meta) {
    for number in 0..9 {
        meta.insert_execution(&new(number, Payload::None), NOW).await.unwrap();
    }
    meta.insert_execution(&NewExecution { app: app("acme/other"), ..new(20, Payload::None) }, NOW).await.unwrap();
    assert_eq!(meta.count_pending_executions(&app("acme/hello"), 100).await.unwrap(), 9);
    assert_eq!(meta.count_pending_executions(&app("acme/hello"), 5).await.unwrap(), 5);
    assert_eq!(meta.count_waiting_executions(100).await.unwrap(), 10);
    assert_eq!(meta.count_waiting_executions(3).await.unwrap(), 3);
    let full = [app("acme/hello"), app("acme/none")];
    let leased = meta.lease_executions("gw", NOW, NOW + LEASE, 4, &full).await.unwrap();
    assert_eq!(leased.iter().map(|whole| whole.execution.id).collect::<Vec<_>>(), [id(20)]);
    assert_eq!(meta.lease_executions("gw", NOW, NOW + LEASE, 4, &[]).await.unwrap().len(), 4);
    assert_eq!(meta.count_pending_executions(&app("acme/hello"), 100).await.unwrap(), 5);
    assert_eq!(meta.count_waiting_executions(100).await.unwrap(), 5);
}

pub(crate) async fn an_execution_is_found_by_its_id_alone(meta: &Meta) {
    meta.insert_execution(&new(1, Payload::Inline(b"in".to_vec())), NOW).await.unwrap();
    let found = meta.find_execution(id(1)).await.unwrap().unwrap();
    assert_eq!((found.execution.app, found.input), (app("acme/hello"), Payload::Inline(b"in".to_vec())));
    assert_eq!(meta.find_execution(id(2)).await.unwrap(), None);
    assert_eq!(meta.known_executions(&[id(1), id(2)]).await.unwrap(), HashSet::from([id(1)]));
    assert_eq!(meta.known_executions(&[]).await.unwrap(), HashSet::new());
    let many = vec![id(1); KNOWN_MAX + 1];
    assert_eq!(meta.known_executions(&many).await.unwrap_err().fault(), Fault::Caller);
}

pub(crate) async fn the_newest_ended_executions_are_kept(meta: &Meta) {
    let hello = app("acme/hello");
    let batch: Vec<_> = (1..=6).map(|number| waited_for(number, ExecutionStatus::Succeeded)).collect();
    meta.record_executions(&batch).await.unwrap();
    meta.insert_execution(&new(0, Payload::Object("inputs/0".into())), NOW).await.unwrap();
    assert_eq!(meta.trim_executions(&hello, 2, 3).await.unwrap().executions, 3);
    assert_eq!(meta.trim_executions(&hello, 2, 3).await.unwrap().executions, 1);
    assert_eq!(meta.trim_executions(&hello, 2, 3).await.unwrap(), Swept::default());
    let left = meta.list_executions(&hello, None, None, 9).await.unwrap();
    // What waits is no part of what is kept, however old it is.
    assert_eq!(left.iter().map(|one| one.id).collect::<Vec<_>>(), [id(6), id(5), id(0)]);
}

pub(crate) async fn two_leasers_never_hold_one_execution(meta: &Meta) {
    for number in 0..60 {
        meta.insert_execution(&new(number, Payload::None), NOW).await.unwrap();
    }
    let leasers = (0..5).map(|leaser| {
        let meta = meta.clone();
        tokio::spawn(async move {
            let mut mine = Vec::new();
            loop {
                let leased = meta.lease_executions(&format!("gw{leaser}"), NOW, NOW + LEASE, 4, &[]).await.unwrap();
                if leased.is_empty() {
                    return mine;
                }
                mine.extend(leased.into_iter().map(|whole| whole.execution.id));
            }
        })
    });
    let mut all = Vec::new();
    for leaser in leasers.collect::<Vec<_>>() {
        all.extend(leaser.await.unwrap());
    }
    assert_eq!((all.len(), all.iter().collect::<HashSet<_>>().len()), (60, 60));
}
