//! What every backend promises, on each of them.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use ignite_control_deploy::fake::{Behaviour, FakeBackend};
use ignite_control_deploy::{Backend, LogLine, Report, Reports, Said};
use ignite_core_model::{AppSettings, Digest, HostAddress, InstanceId, InstanceSpec};
use tokio::sync::mpsc;

use crate::local::LocalStage;
use crate::rows::{SOON, spec};

/// What an instance is to do.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Kind {
    /// Become healthy.
    Good,
    /// Fail to start, because no colour was given.
    Broken,
    /// Never become healthy, and never fail.
    Stuck,
}

/// A backend with what a test does to its instances.
trait Stage {
    fn backend(&self) -> &dyn Backend;
    /// What to start next.
    fn spec(&self, kind: Kind) -> Arc<InstanceSpec>;
    /// Ends an instance as a fault would.
    fn crash(&self, id: InstanceId);
    /// Lets its probes fail from now on, or hold again.
    fn probe(&self, id: InstanceId, holds: bool);
    /// Lets it write the lines `line 0` and so on.
    fn write(&self, id: InstanceId, address: HostAddress, lines: usize) -> Pin<Box<dyn Future<Output = ()> + '_>>;
}

/// Reports, by instance.
pub(crate) struct Watch {
    sender: Reports,
    reports: mpsc::Receiver<Report>,
    waiting: Vec<Report>,
}

impl Watch {
    pub(crate) fn new() -> Self {
        let (sender, reports) = mpsc::channel(1024);
        Self { sender, reports, waiting: Vec::new() }
    }

    pub(crate) fn start(&self, backend: &dyn Backend, number: u64, spec: Arc<InstanceSpec>) -> InstanceId {
        let id = InstanceId::from_parts(1_700_000_000_000, number.into());
        backend.start(id, spec, self.sender.clone());
        id
    }

    /// The next thing told of an instance.
    pub(crate) async fn next(&mut self, id: InstanceId) -> Said {
        if let Some(at) = self.waiting.iter().position(|report| report.id == id) {
            return self.waiting.remove(at).said;
        }
        loop {
            let report = tokio::time::timeout(SOON, self.reports.recv()).await.expect("a report comes").unwrap();
            if report.id == id {
                return report.said;
            }
            self.waiting.push(report);
        }
    }

    /// The next thing that is no line.
    pub(crate) async fn state(&mut self, id: InstanceId) -> Said {
        loop {
            match self.next(id).await {
                Said::Line(line) => assert_eq!(line.instance_id, id.to_string(), "{line:?}"),
                said => return said,
            }
        }
    }

    pub(crate) async fn healthy(&mut self, id: InstanceId) -> HostAddress {
        match self.state(id).await {
            Said::Healthy(address) => address,
            said => panic!("not healthy, but {said:?}"),
        }
    }

    /// The next line that holds.
    pub(crate) async fn line(&mut self, id: InstanceId, holds: impl Fn(&LogLine) -> bool) -> LogLine {
        loop {
            match self.next(id).await {
                Said::Line(line) if holds(&line) => return line,
                Said::Line(_) => {}
                said => panic!("no line, but {said:?}"),
            }
        }
    }

    pub(crate) async fn ended(&mut self, id: InstanceId) {
        assert_eq!(self.state(id).await, Said::Ended { failed: None });
        self.quiet(id).await;
    }

    /// Nothing but lines came of one that goes on.
    async fn unchanged(&mut self, id: InstanceId) {
        tokio::task::yield_now().await;
        while let Ok(report) = self.reports.try_recv() {
            self.waiting.push(report);
        }
        let changed = |report: &&Report| report.id == id && !matches!(report.said, Said::Line(_));
        assert_eq!(self.waiting.iter().find(changed), None);
    }

    /// Nothing comes after an end.
    pub(crate) async fn quiet(&mut self, id: InstanceId) {
        tokio::task::yield_now().await;
        while let Ok(report) = self.reports.try_recv() {
            self.waiting.push(report);
        }
        assert!(!self.waiting.iter().any(|report| report.id == id), "{:?}", self.waiting);
    }
}

async fn it_becomes_healthy_and_is_drained(stage: &dyn Stage) {
    let mut watch = Watch::new();
    let id = watch.start(stage.backend(), 1, stage.spec(Kind::Good));
    watch.healthy(id).await;
    stage.backend().drain(id);
    // Once more changes nothing.
    stage.backend().drain(id);
    watch.ended(id).await;
    stage.backend().drain(id);
    watch.quiet(id).await;
}

async fn one_that_is_not_known_is_left_alone(stage: &dyn Stage) {
    stage.backend().drain(InstanceId::from_parts(1, 1));
}

async fn one_that_cannot_start_says_why(stage: &dyn Stage) {
    let mut watch = Watch::new();
    let id = watch.start(stage.backend(), 1, stage.spec(Kind::Broken));
    let Said::Ended { failed: Some(reason) } = watch.state(id).await else { panic!("it did not fail") };
    assert!(reason.contains("no colour was given"), "{reason}");
    watch.quiet(id).await;
}

async fn one_that_is_starting_can_be_drained(stage: &dyn Stage) {
    let mut watch = Watch::new();
    let id = watch.start(stage.backend(), 1, stage.spec(Kind::Stuck));
    stage.backend().drain(id);
    watch.ended(id).await;
}

async fn a_crash_after_health_is_no_failure_to_start(stage: &dyn Stage) {
    let mut watch = Watch::new();
    let id = watch.start(stage.backend(), 1, stage.spec(Kind::Good));
    watch.healthy(id).await;
    stage.crash(id);
    watch.ended(id).await;
}

async fn it_is_unhealthy_and_healthy_again(stage: &dyn Stage) {
    let mut watch = Watch::new();
    let id = watch.start(stage.backend(), 1, stage.spec(Kind::Good));
    let address = watch.healthy(id).await;
    stage.probe(id, false);
    let Said::Unhealthy(reason) = watch.state(id).await else { panic!("it is healthy") };
    assert!(!reason.is_empty());
    stage.probe(id, true);
    assert_eq!(watch.healthy(id).await, address);
    stage.backend().drain(id);
    watch.ended(id).await;
}

async fn two_at_once_are_two(stage: &dyn Stage) {
    let mut watch = Watch::new();
    let one = watch.start(stage.backend(), 1, stage.spec(Kind::Good));
    let other = watch.start(stage.backend(), 2, stage.spec(Kind::Good));
    watch.healthy(one).await;
    watch.healthy(other).await;
    stage.crash(one);
    watch.ended(one).await;
    watch.unchanged(other).await;
    stage.backend().drain(other);
    watch.ended(other).await;
}

async fn lines_come_in_order_and_before_the_end(stage: &dyn Stage) {
    const LINES: usize = 300;
    let mut watch = Watch::new();
    let id = watch.start(stage.backend(), 1, stage.spec(Kind::Good));
    let address = watch.healthy(id).await;
    stage.write(id, address, LINES).await;
    stage.backend().drain(id);
    let mut next = 0;
    loop {
        match watch.next(id).await {
            Said::Line(line) if line.stream == "stdout" && line.text.starts_with("line ") => {
                assert_eq!(line.text, format!("line {next}"));
                assert_eq!(line.instance_id, id.to_string());
                next += 1;
            }
            Said::Line(_) => {}
            Said::Ended { failed: None } => break,
            said => panic!("{said:?}"),
        }
    }
    assert_eq!(next, LINES);
}

struct FakeStage(FakeBackend);

impl FakeStage {
    async fn new() -> Self {
        Self(FakeBackend::default())
    }
}

impl Stage for FakeStage {
    fn backend(&self) -> &dyn Backend {
        &self.0
    }

    fn spec(&self, kind: Kind) -> Arc<InstanceSpec> {
        self.0.set(match kind {
            Kind::Good => Behaviour::Healthy,
            Kind::Broken => Behaviour::Fails("no colour was given".to_owned()),
            Kind::Stuck => Behaviour::Hangs,
        });
        Arc::new(spec(Digest::of(b"artifact"), 1, 1, AppSettings::default()))
    }

    fn crash(&self, id: InstanceId) {
        self.0.kill(id);
    }

    fn probe(&self, id: InstanceId, holds: bool) {
        self.0.probe(id, if holds { Ok(()) } else { Err("it is tired".to_owned()) });
    }

    fn write(&self, id: InstanceId, _: HostAddress, lines: usize) -> Pin<Box<dyn Future<Output = ()> + '_>> {
        for at in 0..lines {
            self.0.write(id, &format!("line {at}"));
        }
        Box::pin(std::future::ready(()))
    }
}

impl Stage for LocalStage {
    fn backend(&self) -> &dyn Backend {
        &*self.backend
    }

    fn spec(&self, kind: Kind) -> Arc<InstanceSpec> {
        LocalStage::spec(self, kind, AppSettings::default())
    }

    fn crash(&self, id: InstanceId) {
        self.signal(id, rustix::process::Signal::KILL);
    }

    fn probe(&self, id: InstanceId, holds: bool) {
        use rustix::process::Signal;
        self.signal(id, if holds { Signal::CONT } else { Signal::STOP });
    }

    fn write(&self, _: InstanceId, address: HostAddress, lines: usize) -> Pin<Box<dyn Future<Output = ()> + '_>> {
        Box::pin(async move {
            crate::machine::call(&address, "/lines", &lines.to_string()).await.unwrap();
        })
    }
}

macro_rules! contract {
    ($($promise:ident)*) => {
        mod fake {
            $(
                #[tokio::test(flavor = "multi_thread")]
                async fn $promise() {
                    super::$promise(&super::FakeStage::new().await).await;
                }
            )*
        }

        mod local {
            $(
                #[tokio::test(flavor = "multi_thread")]
                async fn $promise() {
                    super::$promise(&super::LocalStage::new(super::Duration::from_secs(600))).await;
                }
            )*
        }
    };
}

contract! {
    it_becomes_healthy_and_is_drained
    one_that_is_not_known_is_left_alone
    one_that_cannot_start_says_why
    one_that_is_starting_can_be_drained
    a_crash_after_health_is_no_failure_to_start
    it_is_unhealthy_and_healthy_again
    two_at_once_are_two
    lines_come_in_order_and_before_the_end
}
