//! What is known of one app.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use ignite_core_model::{
    AppSettings, CodeSource, Compiled, Failure, FunctionId, JobId, Scaling, Version, VersionNumber,
};
use serde::{Deserialize, Serialize};

use crate::{JobKind, JobRecord, JobState};

/// Ended jobs and failed versions an app remembers; the oldest are forgotten.
pub const RECORDS_MAX: usize = 50;

/// One app. Stored as JSON between events.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct App {
    /// Its id.
    pub id: FunctionId,
    /// When it was created, in milliseconds since 1970.
    pub created_ms: u64,
    /// Whether it is on its way out.
    pub life: Life,
    /// Its settings, for the next publish.
    pub settings: AppSettings,
    /// The one mutable slot of code.
    pub draft: Option<Draft>,
    /// Compiles under way: that of the draft, and that of a publish whose draft was overwritten meanwhile.
    pub compiles: BTreeMap<JobId, CompileRun>,
    /// The publish or rollback under way.
    pub rollout: Option<Rollout>,
    /// The version that requests are led to.
    pub active: Option<Active>,
    /// The publish or rollback that put it live, until every gateway has taken up its route.
    #[serde(default)]
    pub landing: Option<Landing>,
    /// The number of the newest version.
    pub last_version: Option<VersionNumber>,
    /// Code that is run once, to be tried.
    #[serde(default)]
    pub trial: Option<Trial>,
    /// How many times a version was started; see [`Effect::Desire`](crate::Effect::Desire).
    pub generation: u64,
    /// Versions that were active until a moment ago, each with the time at which they go at the latest.
    pub settling: BTreeMap<VersionNumber, u64>,
    /// Versions that never went live, with the reason.
    pub failed: BTreeMap<VersionNumber, Failure>,
    /// Jobs, oldest first.
    pub records: VecDeque<JobRecord>,
}

/// Whether an app is on its way out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "life", rename_all = "snake_case")]
pub enum Life {
    /// It is there.
    Alive,
    /// Its instances drain.
    Deleting {
        /// Versions that have instances.
        draining: BTreeSet<VersionNumber>,
        /// When it goes at the latest.
        until_ms: u64,
    },
    /// It is gone.
    Gone,
}

/// The mutable slot of code.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Draft {
    /// The code.
    pub source: CodeSource,
    /// When it was saved, in milliseconds since 1970.
    pub saved_ms: u64,
    /// How far it is.
    pub state: DraftState,
}

/// How far a draft is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum DraftState {
    /// Saved, not compiled.
    Saved,
    /// Being compiled.
    Compiling {
        /// By this compile.
        job: JobId,
    },
    /// Compiled.
    Compiled(Compiled),
    /// Its compile failed.
    Failed(Failure),
}

/// A compile under way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CompileRun {
    /// What is compiled.
    pub source: CodeSource,
    /// When it ends as failed.
    pub deadline_ms: u64,
}

/// The version that requests are led to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Active {
    /// The version.
    pub version: VersionNumber,
    /// Instances wanted of it.
    pub instances: u32,
    /// Its start; see [`Effect::Desire`](crate::Effect::Desire).
    pub generation: u64,
    /// How many instances it may have.
    pub scaling: Scaling,
    /// When it went live, in milliseconds since 1970.
    pub since_ms: u64,
}

/// A publish or rollback whose version is live, and which ends when every gateway leads requests to it: who is told of its
/// end can rely on it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Landing {
    /// Its id.
    pub job: JobId,
    /// When it ends at the latest, whatever gateways say.
    pub until_ms: u64,
}

/// Code that is run once, to be tried: in an instance of its own, without a number or a route.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trial {
    /// Its start; see [`Effect::Desire`](crate::Effect::Desire).
    pub generation: u64,
    /// When it ends at the latest.
    pub until_ms: u64,
}

/// A publish or rollback under way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rollout {
    /// Its id.
    pub job: JobId,
    /// Which of the two.
    pub kind: JobKind,
    /// How far it is.
    #[serde(flatten)]
    pub stage: RolloutStage,
}

/// How far a publish or rollback is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "stage", rename_all = "snake_case")]
pub enum RolloutStage {
    /// Its code is being compiled. The settings are those of the moment it was asked for.
    Compiling {
        /// By this compile.
        compile: JobId,
        /// The settings of the version to be.
        settings: Box<AppSettings>,
    },
    /// Its instances are being started.
    Starting {
        /// The version.
        version: VersionNumber,
        /// Healthy instances it needs before it goes live.
        instances: u32,
        /// Its start; see [`Effect::Desire`](crate::Effect::Desire).
        generation: u64,
        /// How many instances it may have.
        scaling: Scaling,
        /// When it ends as failed.
        deadline_ms: u64,
    },
}

/// What a version is to its app.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum VersionState {
    /// Being started for the first time.
    Starting,
    /// Requests are led to it.
    Active,
    /// It was active once.
    Superseded,
    /// It never went live; the reason is absent if it was too long ago.
    Failed(Option<Failure>),
}

impl App {
    /// A new app without code.
    #[must_use]
    pub fn new(id: FunctionId, settings: AppSettings, now_ms: u64) -> Self {
        Self {
            id,
            created_ms: now_ms,
            life: Life::Alive,
            settings,
            draft: None,
            compiles: BTreeMap::new(),
            rollout: None,
            active: None,
            landing: None,
            trial: None,
            last_version: None,
            generation: 0,
            settling: BTreeMap::new(),
            failed: BTreeMap::new(),
            records: VecDeque::new(),
        }
    }

    /// What a version is to this app.
    #[must_use]
    pub fn version_state(&self, version: VersionNumber) -> VersionState {
        if self.active.as_ref().is_some_and(|active| active.version == version) {
            return VersionState::Active;
        }
        if let Some(failure) = self.failed.get(&version) {
            return VersionState::Failed(Some(failure.clone()));
        }
        match &self.rollout {
            Some(Rollout {
                kind: JobKind::Publish, stage: RolloutStage::Starting { version: starting, .. }, ..
            }) if *starting == version => VersionState::Starting,
            _ => VersionState::Superseded,
        }
    }

    /// A job of this app, if it is not too long ago.
    #[must_use]
    pub fn find_job(&self, id: JobId) -> Option<&JobRecord> {
        self.records.iter().rev().find(|record| record.id == id)
    }

    /// When the next step is over at the latest, if one is under way: a [`Tick`](crate::Event::Tick) is due then.
    #[must_use]
    pub fn due_ms(&self) -> Option<u64> {
        let compile = self.compiles.values().map(|run| run.deadline_ms);
        let start = self.rollout.iter().filter_map(|rollout| match rollout.stage {
            RolloutStage::Starting { deadline_ms, .. } => Some(deadline_ms),
            RolloutStage::Compiling { .. } => None,
        });
        let delete = match self.life {
            Life::Deleting { until_ms, .. } => Some(until_ms),
            Life::Alive | Life::Gone => None,
        };
        let trial = self.trial.as_ref().map(|trial| trial.until_ms);
        let landing = self.landing.as_ref().map(|landing| landing.until_ms);
        let settling = self.settling.values().copied();
        compile.chain(start).chain(delete).chain(trial).chain(landing).chain(settling).min()
    }

    /// Instances wanted now, of every version that has any.
    #[must_use]
    pub fn desired(&self) -> BTreeMap<VersionNumber, u32> {
        let mut desired: BTreeMap<VersionNumber, u32> = self.settling.keys().map(|version| (*version, 1)).collect();
        if let Some(Rollout { stage: RolloutStage::Starting { version, instances, .. }, .. }) = &self.rollout {
            desired.insert(*version, *instances);
        }
        if let Some(active) = &self.active {
            desired.insert(active.version, active.instances);
        }
        if self.trial.is_some() {
            desired.insert(VersionNumber::TRIAL, 1);
        }
        desired
    }

    pub(crate) fn begin_record(&mut self, id: JobId, kind: JobKind, version: Option<VersionNumber>, now_ms: u64) {
        while self.records.len() >= RECORDS_MAX {
            // What runs is few: a rollout, and two compiles.
            let Some(oldest) = self.records.iter().position(|record| record.state.ended()) else { break };
            self.records.remove(oldest);
        }
        self.records.push_back(JobRecord {
            id,
            kind,
            version,
            state: JobState::Running,
            began_ms: now_ms,
            ended_ms: None,
        });
    }

    pub(crate) fn end_record(&mut self, id: JobId, state: JobState, now_ms: u64) {
        let running = self.records.iter_mut().find(|record| record.id == id && !record.state.ended());
        if let Some(record) = running {
            record.state = state;
            record.ended_ms = Some(now_ms);
        }
    }

    pub(crate) fn name_version(&mut self, id: JobId, version: VersionNumber) {
        if let Some(record) = self.records.iter_mut().find(|record| record.id == id) {
            record.version = Some(version);
        }
    }

    /// The next version, made of `compiled` code.
    pub(crate) fn make_version(
        &mut self,
        source: CodeSource,
        compiled: Compiled,
        settings: AppSettings,
        now_ms: u64,
    ) -> Version {
        let number = self.last_version.map_or(VersionNumber::FIRST, VersionNumber::next);
        self.last_version = Some(number);
        Version { number, created_ms: now_ms, source, compiled, settings }
    }
}
