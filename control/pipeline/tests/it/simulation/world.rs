//! The world around one app: a store, a builder, an agent, a gateway, and a caller with no plan.

use std::collections::{BTreeMap, BTreeSet};

use ignite_control_pipeline::{App, Bounds, CompileOutcome, Effect, Event, JobState, Life};
use ignite_core_model::{
    AppSettings, ArtifactKind, CodeSource, CompileSource, Compiled, Digest, JobId, Runtime, Scaling, Target, Version,
    VersionNumber,
};

use super::check::Before;
use super::random::Random;

pub(crate) const BOUNDS: Bounds =
    Bounds { compile_ms_max: 60_000, start_ms_max: 20_000, settle_ms_max: 5_000, delete_ms_max: 10_000 };

/// Reports that are under way at one time.
const POST_MAX: usize = 24;

/// What happened in a run, so that a simulation that gets nowhere is noticed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) publishes: u64,
    pub(crate) rollbacks: u64,
    pub(crate) failed: u64,
    pub(crate) cancelled: u64,
    pub(crate) refused: u64,
    pub(crate) deleted: u64,
    pub(crate) crashes: u64,
    pub(crate) stale: u64,
}

impl Seen {
    pub(crate) fn add(&mut self, other: &Self) {
        self.publishes += other.publishes;
        self.rollbacks += other.rollbacks;
        self.failed += other.failed;
        self.cancelled += other.cancelled;
        self.refused += other.refused;
        self.deleted += other.deleted;
        self.crashes += other.crashes;
        self.stale += other.stale;
    }

    pub(crate) fn counts(&self) -> [(&'static str, u64); 8] {
        [
            ("a publish", self.publishes),
            ("a rollback", self.rollbacks),
            ("a failure", self.failed),
            ("a cancellation", self.cancelled),
            ("a refusal", self.refused),
            ("a deletion", self.deleted),
            ("a crash", self.crashes),
            ("a report that no longer fits", self.stale),
        ]
    }
}

/// Instances of one start of a version.
#[derive(Debug, Clone)]
pub(crate) struct Fleet {
    pub(crate) version: VersionNumber,
    pub(crate) wanted: u32,
    pub(crate) alive: u32,
    pub(crate) healthy: u32,
    /// Most that were healthy at once.
    pub(crate) healthy_peak: u32,
    /// Whether its code ever starts.
    starts: bool,
}

pub(crate) struct World {
    random: Random,
    pub(crate) now_ms: u64,
    /// The app as it is stored: JSON, as it would be.
    pub(crate) stored: String,
    pub(crate) versions: BTreeMap<VersionNumber, Version>,
    pub(crate) route: Option<(VersionNumber, u64)>,
    /// Rows of what should run, each with the instances and its start.
    pub(crate) desired: BTreeMap<VersionNumber, (u32, u64)>,
    pub(crate) jobs: BTreeMap<JobId, CodeSource>,
    pub(crate) cancelled_jobs: BTreeSet<JobId>,
    /// By start.
    pub(crate) fleets: BTreeMap<u64, Fleet>,
    /// The route the gateway serves, which follows with a delay.
    pub(crate) served: Option<(VersionNumber, u64)>,
    /// When each version's successor went live.
    pub(crate) left_ms: BTreeMap<VersionNumber, u64>,
    /// Reports under way.
    post: Vec<Event>,
    /// Reports of long ago, which may come once more.
    history: Vec<Event>,
    /// Commands of a caller who got no answer and asks again.
    unanswered: Vec<Event>,
    next_id: u64,
    pub(crate) gone: bool,
    pub(crate) seen: Seen,
}

impl World {
    pub(crate) fn new(random: Random) -> Self {
        let scaling = Scaling { max_replicas: 3, reserved: 0, idle_secs: 10 };
        let settings = AppSettings { scaling, ..AppSettings::default() };
        let app = App::new("acme/hello".parse().unwrap(), settings, 0);
        Self {
            random,
            now_ms: 0,
            stored: serde_json::to_string(&app).unwrap(),
            versions: BTreeMap::new(),
            route: None,
            desired: BTreeMap::new(),
            jobs: BTreeMap::new(),
            cancelled_jobs: BTreeSet::new(),
            fleets: BTreeMap::new(),
            served: None,
            left_ms: BTreeMap::new(),
            post: Vec::new(),
            history: Vec::new(),
            unanswered: Vec::new(),
            next_id: 0,
            gone: false,
            seen: Seen::default(),
        }
    }

    pub(crate) fn load(&self) -> App {
        serde_json::from_str(&self.stored).unwrap()
    }

    fn id(&mut self) -> JobId {
        self.next_id += 1;
        JobId::from_parts(self.now_ms, u128::from(self.next_id))
    }

    /// One thing happens.
    pub(crate) fn step(&mut self) {
        self.now_ms += self.random.below(2_000);
        match self.random.below(100) {
            0..14 => {
                let command = self.command();
                self.fold(command);
            }
            14..50 => (0..4).for_each(|_| self.deliver()),
            50..76 => self.agent_round(),
            76..86 => self.builder_round(),
            86..92 => self.gateway_round(),
            92..96 => self.fold(Event::Tick),
            _ => self.break_instances(),
        }
    }

    /// No more commands and no more faults: everything under way must end.
    pub(crate) fn come_to_rest(&mut self) {
        for round in 0..200 {
            self.now_ms += 1_000;
            self.agent_round();
            self.builder_round();
            self.gateway_round();
            while !self.post.is_empty() {
                self.deliver();
            }
            for command in std::mem::take(&mut self.unanswered) {
                self.fold(command);
            }
            self.fold(Event::Tick);
            let app = self.load();
            let idle =
                app.trial.is_none() && app.compiles.is_empty() && app.settling.is_empty() && app.landing.is_none();
            let rests = app.rollout.is_none() && idle;
            if rests && round > 5 && !matches!(app.life, Life::Deleting { .. }) {
                break;
            }
        }
        self.check_rest();
    }

    fn command(&mut self) -> Event {
        if !self.unanswered.is_empty() && self.random.chance(50) {
            // It may be old by now, as that of a caller who was cut off for a while.
            let at = self.random.below(self.unanswered.len() as u64) as usize;
            return self.unanswered.swap_remove(at);
        }
        match self.random.below(100) {
            0..20 => Event::SaveDraft(source(self.random.below(6))),
            20..30 => Event::Compile { job: self.id() },
            30..33 => Event::CancelCompile,
            33..65 => Event::Publish { job: self.id(), compile: self.id() },
            65..84 => {
                let versions: Vec<Version> = self.versions.values().cloned().collect();
                if versions.is_empty() {
                    return Event::CancelRollout;
                }
                let to = versions[self.random.below(versions.len() as u64) as usize].clone();
                Event::Rollback { job: self.id(), to: Box::new(to) }
            }
            84..87 => Event::CancelRollout,
            87..93 => Event::Configure(Box::new(AppSettings {
                scaling: Scaling { max_replicas: 3, reserved: self.random.below(2) as u32, idle_secs: 10 },
                ..AppSettings::default()
            })),
            93..95 => Event::Try { compiled: Box::new(compiled(&source(1))), settings: Box::default() },
            95..97 => Event::Tried { generation: self.load().trial.map_or(1, |trial| trial.generation) },
            97..99 => match self.route {
                Some((version, _)) => Event::Scale { version, instances: self.random.below(5) as u32 },
                None => Event::Tick,
            },
            _ if self.random.chance(20) => Event::Delete,
            _ => Event::Tick,
        }
    }

    /// One event through the shell, which may die before or after its transaction.
    fn fold(&mut self, event: Event) {
        if self.random.chance(3) {
            self.seen.crashes += 1;
            if is_command(&event) {
                self.unanswered.push(event);
            }
            return;
        }
        let mut app = self.load();
        let before = Before::of(self, &app);
        match app.step(event.clone(), self.now_ms, &BOUNDS) {
            Ok(effects) => {
                let again = app.clone();
                self.count(&before, &app, &effects);
                self.write(app, effects);
                self.check(&before, &again);
                // The transaction is done but its caller never hears so.
                if is_command(&event) && self.random.chance(5) {
                    self.seen.crashes += 1;
                    self.unanswered.push(event);
                }
            }
            Err(_) => {
                self.seen.refused += 1;
                assert_eq!(app, before.app, "a refusal changed the app");
            }
        }
    }

    fn count(&mut self, before: &Before, app: &App, effects: &[Effect]) {
        for effect in effects {
            match effect {
                Effect::WriteVersion(_) => self.seen.publishes += 1,
                Effect::Forget(_) => self.seen.deleted += 1,
                Effect::Route { version, .. } if before.app.last_version > Some(*version) => self.seen.rollbacks += 1,
                _ => {}
            }
        }
        for record in &app.records {
            let was_running = before.app.find_job(record.id).is_some_and(|old| !old.state.ended());
            match record.state {
                JobState::Failed(_) if was_running => self.seen.failed += 1,
                JobState::Cancelled(_) if was_running => self.seen.cancelled += 1,
                _ => {}
            }
        }
    }

    /// The transaction.
    fn write(&mut self, app: App, effects: Vec<Effect>) {
        self.stored = serde_json::to_string(&app).unwrap();
        for effect in effects {
            match effect {
                Effect::WriteVersion(version) => {
                    let number = version.number;
                    assert!(self.versions.insert(number, *version).is_none(), "version {number} was written twice");
                }
                Effect::Route { version, generation } => {
                    if let Some((old, _)) = self.route.replace((version, generation)) {
                        self.left_ms.insert(old, self.now_ms);
                    }
                }
                Effect::Unroute => self.route = None,
                Effect::Desire { version, instances, generation } => {
                    self.desired.insert(version, (instances, generation));
                    let starts = !self.random.chance(20);
                    let fleet = Fleet { version, wanted: 0, alive: 0, healthy: 0, healthy_peak: 0, starts };
                    self.fleets.entry(generation).or_insert(fleet);
                }
                Effect::DesireTrial { generation, .. } => {
                    assert!(
                        self.desired.insert(VersionNumber::TRIAL, (1, generation)).is_none(),
                        "two are tried at once"
                    );
                    let version = VersionNumber::TRIAL;
                    let fleet = Fleet { version, wanted: 0, alive: 0, healthy: 0, healthy_peak: 0, starts: true };
                    self.fleets.entry(generation).or_insert(fleet);
                }
                Effect::Undesire(version) => {
                    self.desired.remove(&version);
                }
                Effect::Compile { job, source } => {
                    assert!(self.jobs.insert(job, source).is_none(), "compile {job} was queued twice");
                }
                Effect::CancelCompile(job) => {
                    self.cancelled_jobs.insert(job);
                }
                Effect::Forget(_) => {
                    self.gone = true;
                    self.desired.clear();
                    self.route = None;
                }
            }
        }
    }

    fn send(&mut self, event: Event) {
        if self.post.len() >= POST_MAX {
            // What a dead connection held is lost.
            self.post.remove(0);
        }
        if self.random.chance(30) {
            self.history.push(event.clone());
        }
        self.post.push(event);
    }

    /// Post arrives in any order, sometimes twice, sometimes never.
    fn deliver(&mut self) {
        if !self.history.is_empty() && self.random.chance(10) {
            let at = self.random.below(self.history.len() as u64) as usize;
            let event = self.history[at].clone();
            self.fold(event);
        }
        if self.post.is_empty() {
            return;
        }
        let at = self.random.below(self.post.len() as u64) as usize;
        let event = if self.random.chance(15) { self.post[at].clone() } else { self.post.swap_remove(at) };
        if self.random.chance(90) {
            let before = self.stored.clone();
            self.fold(event);
            self.seen.stale += u64::from(before == self.stored);
        }
    }

    /// Converges towards the rows, one instance at a time, and reports every start it knows.
    fn agent_round(&mut self) {
        let mut sent = Vec::new();
        let wanted: BTreeMap<u64, u32> = self.desired.values().map(|(instances, start)| (*start, *instances)).collect();
        for (start, fleet) in &mut self.fleets {
            fleet.wanted = wanted.get(start).copied().unwrap_or(0);
            if fleet.alive < fleet.wanted {
                fleet.alive += 1;
            } else if fleet.alive > fleet.wanted {
                fleet.alive -= 1;
                fleet.healthy = fleet.healthy.min(fleet.alive);
            } else if fleet.starts && fleet.healthy < fleet.alive && self.random.chance(70) {
                fleet.healthy += 1;
            }
            fleet.healthy_peak = fleet.healthy_peak.max(fleet.healthy);
            let known = fleet.wanted > 0 || fleet.alive > 0;
            if !known && !self.random.chance(5) {
                continue;
            }
            let fails = !fleet.starts && fleet.alive > 0 && self.random.chance(30);
            sent.push(Event::Instances {
                version: fleet.version,
                generation: *start,
                healthy: fleet.healthy,
                alive: fleet.alive,
                failure: fails.then(|| "the handler could not be loaded".to_owned()),
            });
        }
        sent.into_iter().for_each(|event| self.send(event));
    }

    /// Ends some compiles: with an artifact, with an error, or after having been cancelled; some it never ends.
    fn builder_round(&mut self) {
        let under_way = self.load().compiles;
        let mut sent = Vec::new();
        for (job, source) in &self.jobs {
            // What was ended long ago is reported again now and then.
            if !under_way.contains_key(job) && !self.random.chance(5) {
                continue;
            }
            let roll = self.random.below(100);
            let outcome = match roll {
                _ if self.cancelled_jobs.contains(job) && roll < 50 => CompileOutcome::Cancelled,
                0..40 => CompileOutcome::Succeeded(compiled(source)),
                40..55 => CompileOutcome::Failed("handler.py:1: there is no `handler`".to_owned()),
                _ => continue,
            };
            sent.push(Event::CompileEnded { job: *job, outcome });
        }
        sent.into_iter().for_each(|event| self.send(event));
    }

    fn gateway_round(&mut self) {
        self.served = self.route;
        if let Some((_, generation)) = self.served {
            self.send(Event::Served { generation });
        }
    }

    fn break_instances(&mut self) {
        for fleet in self.fleets.values_mut() {
            if self.random.chance(50) {
                fleet.healthy = 0;
            }
        }
    }
}

fn is_command(event: &Event) -> bool {
    matches!(event, Event::Publish { .. } | Event::Rollback { .. } | Event::Delete | Event::Compile { .. })
}

fn source(number: u64) -> CodeSource {
    CodeSource::Compile(CompileSource {
        archive: Digest::of(&number.to_le_bytes()),
        archive_bytes: 10,
        runtime: None,
        target: None,
        artifact_kind: None,
    })
}

/// What the source is compiled to: the same each time, so that a version made of another's artifact is noticed.
pub(crate) fn compiled(source: &CodeSource) -> Compiled {
    let CodeSource::Compile(source) = source else { unreachable!("the world has no other source") };
    Compiled {
        artifact: Digest::of(source.archive.as_bytes()),
        artifact_bytes: 20,
        runtime: Runtime::Python,
        target: Target::Native,
        artifact_kind: ArtifactKind::Packed,
    }
}
