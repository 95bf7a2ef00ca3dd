use std::collections::HashSet;

use ignite_core_model::Fault;
use ignite_store_meta::{Change, Expected, JobOutcome, JobState, Meta, Renewed};

use crate::support::{NOW, app, job, job_id, make_app, state};

const LEASE: u64 = 10_000;

pub(crate) async fn a_job_is_leased_renewed_and_finished(meta: &Meta) {
    meta.insert_job(&job(1, "compile"), NOW).await.unwrap();
    assert_eq!(meta.insert_job(&job(1, "compile"), NOW).await.unwrap_err().fault(), Fault::Conflict);
    assert_eq!(meta.lease_job("build", "b1", NOW, NOW + LEASE).await.unwrap(), None);
    assert_eq!(meta.lease_job("compile", "b1", NOW - 1, NOW + LEASE).await.unwrap(), None, "not due yet");
    let leased = meta.lease_job("compile", "b1", NOW, NOW + LEASE).await.unwrap().unwrap();
    assert_eq!((leased.id, leased.attempt, leased.state), (job_id(1), 1, JobState::Leased));
    assert_eq!((leased.owner.as_deref(), leased.payload.as_str()), (Some("b1"), r#"{"job":1}"#));
    assert_eq!(meta.lease_job("compile", "b2", NOW + 1, NOW + LEASE).await.unwrap(), None);

    let until = NOW + 2 * LEASE;
    assert_eq!(meta.renew_job(leased.id, 1, NOW + LEASE - 1, until).await.unwrap(), Renewed::Until(until));
    assert_eq!(meta.lease_job("compile", "b2", NOW + LEASE, until).await.unwrap(), None, "it was renewed");
    let end = meta.finish_job(leased.id, 1, true, r#"{"ok":1}"#, NOW + 500).await.unwrap();
    assert_eq!(end, Some(JobOutcome::Succeeded));
    assert_eq!(meta.finish_job(leased.id, 1, false, "{}", NOW + 501).await.unwrap(), None, "once");
    let stored = meta.load_job(leased.id).await.unwrap();
    assert_eq!(stored.state, JobState::Ended(JobOutcome::Succeeded));
    assert_eq!((stored.result.as_deref(), stored.ended_ms), (Some(r#"{"ok":1}"#), Some(NOW + 500)));
    assert_eq!(meta.renew_job(leased.id, 1, NOW, until).await.unwrap(), Renewed::Lost);
}

pub(crate) async fn a_lapsed_lease_goes_to_another(meta: &Meta) {
    meta.insert_job(&job(1, "compile"), NOW).await.unwrap();
    meta.lease_job("compile", "b1", NOW, NOW + LEASE).await.unwrap().unwrap();
    // Late, and nobody has taken it: the lease comes back.
    let late = NOW + LEASE + 5;
    assert_eq!(meta.renew_job(job_id(1), 1, late, late + 5).await.unwrap(), Renewed::Until(late + 5));
    let second = meta.lease_job("compile", "b2", late + 5, late + LEASE).await.unwrap().unwrap();
    assert_eq!((second.attempt, second.started_ms), (2, Some(NOW)));
    // The first is back from its pause: it may neither renew nor write.
    assert_eq!(meta.renew_job(job_id(1), 1, late + 6, late + LEASE).await.unwrap(), Renewed::Lost);
    assert_eq!(meta.finish_job(job_id(1), 1, true, "{}", late + 6).await.unwrap(), None);
    assert!(!meta.release_job(job_id(1), 1, NOW).await.unwrap());
    assert_eq!(meta.finish_job(job_id(1), 2, false, "{}", late + 7).await.unwrap(), Some(JobOutcome::Failed));
}

pub(crate) async fn who_starts_again_gives_back_what_it_had(meta: &Meta) {
    for number in 1..=3 {
        meta.insert_job(&job(number, "compile"), NOW).await.unwrap();
        let owner = if number == 3 { "b2" } else { "b1" };
        meta.lease_job("compile", owner, NOW, NOW + LEASE).await.unwrap().unwrap();
    }
    assert_eq!(meta.release_jobs_of("build", "b1", NOW).await.unwrap(), 0);
    assert_eq!(meta.release_jobs_of("compile", "b1", NOW).await.unwrap(), 2);
    assert_eq!(meta.renew_job(job_id(1), 1, NOW, NOW + LEASE).await.unwrap(), Renewed::Lost);
    for expected in [job_id(1), job_id(2)] {
        let again = meta.lease_job("compile", "b1", NOW, NOW + LEASE).await.unwrap().unwrap();
        assert_eq!((again.id, again.attempt), (expected, 2));
    }
    assert_eq!(meta.lease_job("compile", "b1", NOW, NOW + LEASE).await.unwrap(), None, "another's stays its own");
}

pub(crate) async fn a_job_that_is_lost_too_often_ends(meta: &Meta) {
    meta.insert_job(&job(1, "compile"), NOW).await.unwrap();
    let mut now = NOW;
    for attempt in 1..=3 {
        let leased = meta.lease_job("compile", "b1", now, now + LEASE).await.unwrap().unwrap();
        assert_eq!(leased.attempt, attempt);
        now += LEASE;
    }
    assert_eq!(meta.lease_job("compile", "b1", now, now + LEASE).await.unwrap(), None);
    assert_eq!(meta.load_job(job_id(1)).await.unwrap().state, JobState::Ended(JobOutcome::Lost));
    assert_eq!(meta.unsettled_jobs(10).await.unwrap().len(), 1);
}

pub(crate) async fn a_job_ends_in_time(meta: &Meta) {
    let mut short = job(1, "compile");
    short.ends_by_ms = NOW + 100;
    meta.insert_job(&short, NOW).await.unwrap();
    short.id = job_id(2);
    meta.insert_job(&short, NOW).await.unwrap();
    let leased = meta.lease_job("compile", "b1", NOW, NOW + LEASE).await.unwrap().unwrap();
    assert_eq!(leased.due_ms, NOW + 100, "no lease is longer than the job");
    assert_eq!(meta.renew_job(leased.id, 1, NOW + 50, NOW + LEASE).await.unwrap(), Renewed::Until(NOW + 100));
    assert_eq!(meta.end_overdue_jobs(NOW + 99).await.unwrap(), 0);
    assert_eq!(meta.renew_job(leased.id, 1, NOW + 100, NOW + LEASE).await.unwrap(), Renewed::Lost);
    // Neither the one that nobody leased nor the one whose builder goes on waits for ever.
    assert_eq!(meta.end_overdue_jobs(NOW + 100).await.unwrap(), 2);
    for id in [job_id(1), job_id(2)] {
        assert_eq!(meta.load_job(id).await.unwrap().state, JobState::Ended(JobOutcome::TimedOut));
    }
}

pub(crate) async fn cancel_wins(meta: &Meta) {
    meta.insert_job(&job(1, "compile"), NOW).await.unwrap();
    assert!(meta.cancel_job(job_id(1), NOW + 1).await.unwrap());
    let ended = meta.load_job(job_id(1)).await.unwrap();
    assert_eq!((ended.state, ended.ended_ms), (JobState::Ended(JobOutcome::Cancelled), Some(NOW + 1)));
    assert_eq!(meta.lease_job("compile", "b1", NOW, NOW + LEASE).await.unwrap(), None);
    assert!(!meta.cancel_job(job_id(1), NOW + 2).await.unwrap());

    // While it is worked on: the builder hears of it, and its result no longer counts.
    meta.insert_job(&job(2, "compile"), NOW).await.unwrap();
    meta.lease_job("compile", "b1", NOW, NOW + LEASE).await.unwrap().unwrap();
    assert!(meta.cancel_job(job_id(2), NOW + 1).await.unwrap());
    assert_eq!(meta.renew_job(job_id(2), 1, NOW + 2, NOW + LEASE).await.unwrap(), Renewed::Cancelled);
    let end = meta.finish_job(job_id(2), 1, true, "{}", NOW + 3).await.unwrap();
    assert_eq!(end, Some(JobOutcome::Cancelled));

    // And if its builder dies, nobody takes it over.
    meta.insert_job(&job(3, "compile"), NOW).await.unwrap();
    meta.lease_job("compile", "b1", NOW, NOW + LEASE).await.unwrap().unwrap();
    meta.cancel_job(job_id(3), NOW + 1).await.unwrap();
    assert_eq!(meta.lease_job("compile", "b2", NOW + LEASE, NOW + 2 * LEASE).await.unwrap(), None);
    assert_eq!(meta.load_job(job_id(3)).await.unwrap().state, JobState::Ended(JobOutcome::Cancelled));

    // An ended one stays as it ended, also by way of a change.
    let hello = app("acme/hello");
    make_app(meta, &hello).await;
    meta.insert_job(&job(4, "compile"), NOW).await.unwrap();
    meta.lease_job("compile", "b1", NOW, NOW + LEASE).await.unwrap().unwrap();
    meta.finish_job(job_id(4), 1, true, "{}", NOW).await.unwrap();
    let change = Change { jobs_cancelled: vec![job_id(4)], ..state("{}") };
    meta.commit(&hello, &Expected::Revision(1), &change, NOW).await.unwrap();
    assert_eq!(meta.load_job(job_id(4)).await.unwrap().state, JobState::Ended(JobOutcome::Succeeded));
}

pub(crate) async fn the_end_of_a_job_is_told_until_settled(meta: &Meta) {
    let hello = app("acme/hello");
    make_app(meta, &hello).await;
    let mut first = job(1, "compile");
    first.app = Some(hello.clone());
    let change = Change { jobs: vec![first], ..state("{}") };
    meta.commit(&hello, &Expected::Revision(1), &change, NOW).await.unwrap();
    assert_eq!(meta.unsettled_jobs(10).await.unwrap(), []);
    meta.lease_job("compile", "b1", NOW, NOW + LEASE).await.unwrap().unwrap();
    meta.finish_job(job_id(1), 1, true, "{}", NOW).await.unwrap();
    for _ in 0..2 {
        let ends = meta.unsettled_jobs(10).await.unwrap();
        assert_eq!((ends.len(), ends[0].app.as_ref()), (1, Some(&hello)));
    }
    assert_eq!(meta.sweep_jobs(NOW + 1, 10).await.unwrap(), [], "not while it is unsettled");
    let change = Change { jobs_settled: vec![job_id(1)], ..state("{}") };
    meta.commit(&hello, &Expected::Revision(2), &change, NOW).await.unwrap();
    assert_eq!(meta.unsettled_jobs(10).await.unwrap(), []);
    assert_eq!(meta.list_jobs(&hello, None, 10).await.unwrap().len(), 1);
    assert_eq!(meta.list_jobs(&hello, Some(job_id(1)), 10).await.unwrap(), []);
    assert_eq!(meta.sweep_jobs(NOW + 1, 10).await.unwrap(), [job_id(1)]);
}

pub(crate) async fn two_leasers_never_hold_one_job(meta: &Meta) {
    const JOBS: u32 = 60;
    for id in 0..JOBS {
        meta.insert_job(&job(id, "compile"), NOW).await.unwrap();
    }
    let leasers = (0..6).map(|leaser| {
        let meta = meta.clone();
        tokio::spawn(async move {
            let mut mine = Vec::new();
            while let Some(job) = meta.lease_job("compile", &format!("b{leaser}"), NOW, NOW + LEASE).await.unwrap() {
                mine.push(job.id);
            }
            mine
        })
    });
    let mut all = Vec::new();
    for leaser in leasers.collect::<Vec<_>>() {
        all.extend(leaser.await.unwrap());
    }
    assert_eq!(all.len(), JOBS as usize);
    assert_eq!(all.iter().collect::<HashSet<_>>().len(), JOBS as usize);
}

pub(crate) async fn a_released_job_waits_again(meta: &Meta) {
    meta.insert_job(&job(1, "compile"), NOW).await.unwrap();
    meta.lease_job("compile", "b1", NOW, NOW + LEASE).await.unwrap().unwrap();
    assert!(meta.release_job(job_id(1), 1, NOW + 50).await.unwrap());
    assert_eq!(meta.lease_job("compile", "b2", NOW + 49, NOW + LEASE).await.unwrap(), None);
    assert_eq!(meta.lease_job("compile", "b2", NOW + 50, NOW + LEASE).await.unwrap().unwrap().attempt, 2);
}
