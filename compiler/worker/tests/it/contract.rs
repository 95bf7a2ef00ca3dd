//! What every queue keeps.

use std::collections::HashSet;
use std::time::Duration;

use ignite_compiler_worker::{QueueError, SaidLine, Standing};
use ignite_core_model::{ArtifactKind, Compiled, Digest, LogLine, Runtime, Target};

use crate::stage::{End, Stage, work};

const LEASE: Duration = Duration::from_secs(30);

fn compiled() -> Compiled {
    Compiled {
        artifact: Digest::of(b"artifact"),
        artifact_bytes: 8,
        runtime: Runtime::Python,
        target: Target::Native,
        artifact_kind: ArtifactKind::Packed,
    }
}

fn said(texts: &[&str]) -> Vec<SaidLine> {
    let line = |text: &&str| LogLine { stream: "stdout".into(), text: (*text).into(), ..LogLine::default() };
    texts.iter().map(|text| SaidLine { at_ms: 1, line: line(text) }).collect()
}

async fn texts(stage: &Stage, id: ignite_core_model::JobId) -> Vec<(u64, String)> {
    stage.lines(id).await.into_iter().map(|(number, line)| (number, line.text)).collect()
}

pub(crate) async fn a_job_is_leased_by_one_and_ended(stage: &Stage) {
    let queue = &stage.queue;
    queue.check().await.unwrap();
    assert_eq!(queue.lease("a", LEASE).await.unwrap(), None);
    let (first, second) = (stage.submit(b"one").await, stage.submit(b"two").await);
    let one = queue.lease("a", LEASE).await.unwrap().unwrap();
    assert_eq!((one.lease.job, one.lease.attempt, one.attempts_max, one.next_line), (first, 1, 3, 1));
    assert_eq!(one.work, work(b"one"));
    assert!(one.waited.is_some() && one.time_left > Duration::from_secs(3000));
    let two = queue.lease("b", LEASE).await.unwrap().unwrap();
    assert_eq!(two.lease.job, second);
    assert_eq!(queue.lease("c", LEASE).await.unwrap(), None);

    assert_eq!(queue.look(&one.lease).await.unwrap(), Standing::Held);
    stage.pass(LEASE - Duration::from_secs(1));
    assert_eq!(queue.renew(&one.lease, LEASE).await.unwrap(), Standing::Held);
    stage.pass(Duration::from_secs(2));
    let taken = queue.lease("c", LEASE).await.unwrap().unwrap();
    assert_eq!((taken.lease.job, taken.lease.attempt), (second, 2), "the one that was not renewed");

    assert!(queue.finish(&one.lease, &Ok(compiled())).await.unwrap());
    assert_eq!(stage.end(first).await, Some(End::Succeeded(compiled())));
    assert!(queue.finish(&one.lease, &Ok(compiled())).await.unwrap(), "said again after a doubtful answer");
    assert!(!queue.finish(&one.lease, &Err("no".into())).await.unwrap());
    assert_eq!(queue.look(&one.lease).await.unwrap(), Standing::Lost);
    assert!(queue.finish(&taken.lease, &Err("does not compile".into())).await.unwrap());
    assert_eq!(stage.end(second).await, Some(End::Failed("does not compile".into())));
}

pub(crate) async fn a_lapsed_lease_is_taken_over_and_its_first_holder_is_not_heard(stage: &Stage) {
    let queue = &stage.queue;
    let id = stage.submit(b"x").await;
    let first = queue.lease("a", LEASE).await.unwrap().unwrap();
    assert_eq!(queue.append(&first.lease, 1, &said(&["a1"])).await.unwrap(), Some(2));
    stage.pass(LEASE);
    let second = queue.lease("b", LEASE).await.unwrap().unwrap();
    assert_eq!((second.lease.attempt, second.next_line, second.waited), (2, 2, None));
    // It is back from its pause.
    assert_eq!(queue.look(&first.lease).await.unwrap(), Standing::Lost);
    assert_eq!(queue.renew(&first.lease, LEASE).await.unwrap(), Standing::Lost);
    assert_eq!(queue.append(&first.lease, 2, &said(&["late"])).await.unwrap(), None);
    assert!(!queue.finish(&first.lease, &Ok(compiled())).await.unwrap());
    assert!(!queue.give_back(&first.lease, Duration::ZERO).await.unwrap());
    assert_eq!(queue.append(&second.lease, 2, &said(&["b1"])).await.unwrap(), Some(3));
    assert!(queue.finish(&second.lease, &Ok(compiled())).await.unwrap());
    assert_eq!(queue.append(&second.lease, 3, &said(&["after"])).await.unwrap(), None);
    assert_eq!(texts(stage, id).await, [(1, "a1".into()), (2, "b1".into())]);
}

pub(crate) async fn a_job_that_is_lost_too_often_ends(stage: &Stage) {
    let id = stage.submit_with(b"x", 2, Duration::from_secs(3600)).await;
    for attempt in 1..=2 {
        let job = stage.queue.lease("a", LEASE).await.unwrap().unwrap();
        assert_eq!(job.lease.attempt, attempt);
        assert_eq!(stage.end(id).await, None);
        stage.pass(LEASE);
    }
    assert_eq!(stage.queue.lease("a", LEASE).await.unwrap(), None);
    assert_eq!(stage.end(id).await, Some(End::Lost));
}

pub(crate) async fn a_job_is_over_in_time(stage: &Stage) {
    let (waits, worked) = (
        stage.submit_with(b"x", 3, Duration::from_secs(5)).await,
        stage.submit_with(b"y", 3, Duration::from_secs(9)).await,
    );
    let job = stage.queue.lease("a", LEASE).await.unwrap().unwrap();
    assert_eq!(job.lease.job, waits, "the older one");
    assert!(job.time_left <= Duration::from_secs(5));
    stage.pass(Duration::from_secs(5));
    assert_eq!(stage.queue.look(&job.lease).await.unwrap(), Standing::Lost);
    assert_eq!(stage.queue.renew(&job.lease, LEASE).await.unwrap(), Standing::Lost);
    assert!(!stage.queue.finish(&job.lease, &Ok(compiled())).await.unwrap());
    assert_eq!(stage.end(waits).await, Some(End::TimedOut));
    stage.pass(Duration::from_secs(5));
    assert_eq!(stage.queue.lease("a", LEASE).await.unwrap(), None);
    assert_eq!(stage.end(worked).await, Some(End::TimedOut));
}

pub(crate) async fn a_cancel_is_heard_of_and_wins(stage: &Stage) {
    let queue = &stage.queue;
    let waits = stage.submit(b"x").await;
    assert!(stage.cancel(waits).await);
    assert_eq!(stage.end(waits).await, Some(End::Cancelled));
    assert_eq!(queue.lease("a", LEASE).await.unwrap(), None);

    let worked = stage.submit(b"y").await;
    let job = queue.lease("a", LEASE).await.unwrap().unwrap();
    assert!(stage.cancel(worked).await);
    assert_eq!(stage.end(worked).await, None, "until whoever works on it says so");
    assert_eq!(queue.look(&job.lease).await.unwrap(), Standing::Cancelled);
    assert_eq!(queue.renew(&job.lease, LEASE).await.unwrap(), Standing::Cancelled);
    assert_eq!(queue.append(&job.lease, 1, &said(&["stopped"])).await.unwrap(), Some(2), "its last words");
    assert!(queue.finish(&job.lease, &Ok(compiled())).await.unwrap());
    assert_eq!(stage.end(worked).await, Some(End::Cancelled), "whatever came of it");
    assert!(!stage.cancel(worked).await);

    let killed = stage.submit(b"z").await;
    queue.lease("a", LEASE).await.unwrap().unwrap();
    assert!(stage.cancel(killed).await);
    stage.pass(LEASE);
    assert_eq!(queue.lease("b", LEASE).await.unwrap(), None, "nobody takes it over");
    assert_eq!(stage.end(killed).await, Some(End::Cancelled));
}

pub(crate) async fn lines_have_no_gap_across_attempts(stage: &Stage) {
    let queue = &stage.queue;
    let id = stage.submit(b"x").await;
    let mut expected = Vec::new();
    for attempt in 1..=3 {
        let job = queue.lease("a", LEASE).await.unwrap().unwrap();
        assert_eq!(job.next_line, expected.len() as u64 + 1);
        let mut next = job.next_line;
        for batch in 0..3 {
            let text = format!("{attempt}.{batch}");
            let lines = said(&[&text, &text]);
            let after = queue.append(&job.lease, next, &lines).await.unwrap();
            assert_eq!(after, Some(next + 2));
            // Sent again, alone and with more.
            assert_eq!(queue.append(&job.lease, next, &lines).await.unwrap(), after);
            next += 2;
            expected.extend([text.clone(), text]);
        }
        stage.pass(LEASE);
    }
    let numbered: Vec<(u64, String)> = (1..).zip(expected).collect();
    assert_eq!(texts(stage, id).await, numbered);
}

pub(crate) async fn a_job_that_is_given_back_waits(stage: &Stage) {
    let queue = &stage.queue;
    let id = stage.submit(b"x").await;
    let job = queue.lease("a", LEASE).await.unwrap().unwrap();
    assert!(queue.give_back(&job.lease, Duration::from_secs(10)).await.unwrap());
    assert_eq!(queue.look(&job.lease).await.unwrap(), Standing::Lost);
    assert_eq!(queue.lease("a", LEASE).await.unwrap(), None);
    stage.pass(Duration::from_secs(10));
    let job = queue.lease("b", LEASE).await.unwrap().unwrap();
    assert_eq!((job.lease.job, job.lease.attempt), (id, 2));
}

pub(crate) async fn a_source_is_whole_or_not_there(stage: &Stage) {
    let folder = tempfile::tempdir().unwrap();
    let archive = b"an archive of a source".repeat(50_000);
    stage.submit(&archive).await;
    let (digest, bytes) = (Digest::of(&archive), archive.len() as u64);
    let into = folder.path().join("source");
    stage.queue.fetch(&digest, bytes, &into).await.unwrap();
    assert_eq!(std::fs::read(&into).unwrap(), archive);
    let gone = stage.queue.fetch(&Digest::of(b"none"), 4, &folder.path().join("none")).await.unwrap_err();
    assert!(matches!(gone, QueueError::SourceGone(_)), "{gone}");
    let other = stage.queue.fetch(&digest, bytes - 1, &folder.path().join("other")).await.unwrap_err();
    assert!(matches!(other, QueueError::SourceDamaged(_)), "{other}");
}

pub(crate) async fn an_artifact_is_stored(stage: &Stage) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("artifact");
    let bytes = b"0123456789".repeat(100_000);
    std::fs::write(&file, &bytes).unwrap();
    let wrong = stage.queue.store(&file, &Digest::of(b"other"), bytes.len() as u64).await;
    assert!(wrong.is_err(), "only what it was said to be");
    let digest = Digest::of(&bytes);
    stage.queue.store(&file, &digest, bytes.len() as u64).await.unwrap();
    stage.queue.store(&file, &digest, bytes.len() as u64).await.unwrap();
    assert_eq!(stage.artifact(&digest).await.unwrap(), bytes);
}

pub(crate) async fn many_who_lease_never_hold_one_job(stage: &Stage) {
    let mut expected = HashSet::new();
    for number in 0..24_u8 {
        expected.insert(stage.submit(&[number]).await);
    }
    let mut leasers = tokio::task::JoinSet::new();
    for leaser in 0..6 {
        let queue = stage.queue.clone();
        leasers.spawn(async move {
            let mut found = Vec::new();
            while let Some(job) = queue.lease(&leaser.to_string(), LEASE).await.unwrap() {
                found.push(job.lease.job);
            }
            found
        });
    }
    let found: Vec<_> = leasers.join_all().await.into_iter().flatten().collect();
    assert_eq!(found.len(), expected.len());
    assert_eq!(found.into_iter().collect::<HashSet<_>>(), expected);
}

pub(crate) async fn who_waits_is_woken(stage: &Stage) {
    let mut wake = stage.queue.wake();
    let began = std::time::Instant::now();
    let (_, ()) = tokio::join!(stage.submit(b"x"), wake.wait(crate::stage::WAIT_MAX));
    assert!(began.elapsed() < crate::stage::WAIT_MAX);
}
