//! The shell around the state machine of an app.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

use ignite_control_pipeline::{App, Bounds, Effect, Event, Refusal};
use ignite_core_model::{AppSettings, Fault, FunctionId, HostLabel, InstanceSpec, JobId, Version, VersionNumber};
use ignite_store_meta::{Change, DesiredSet, Expected, Line, Meta, MetaError, NewJob, VersionRow};
use serde::Serialize;

use crate::{Clock, events};

pub use ignite_core_model::{COMPILE_JOBS, CompileJob};

/// How often a compile may be handed to a builder before it ends as lost.
const COMPILE_ATTEMPTS_MAX: u32 = 3;

/// How often an event is folded anew because the app changed meanwhile.
const RACES_MAX: u32 = 16;

/// Why an app could not be changed or read.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    /// The app refused; nothing has changed.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// There is no such app, or no more.
    #[error("there is no app `{0}`: `ignite app list` shows those there are")]
    Missing(FunctionId),
    /// It was changed by others again and again.
    #[error("app `{0}` is being changed by too many at once: try again")]
    Contended(FunctionId),
    /// What is stored of it cannot be read.
    #[error("the record of app `{app}` cannot be read")]
    Unreadable {
        /// The app.
        app: FunctionId,
        /// Why.
        #[source]
        cause: serde_json::Error,
    },
    /// The store failed.
    #[error("the records of the platform could not be read or written")]
    Store(#[from] MetaError),
}

impl AppError {
    /// Whose fault it is.
    #[must_use]
    pub fn fault(&self) -> Fault {
        match self {
            Self::Refused(refusal) => refusal.fault(),
            Self::Missing(_) => Fault::Missing,
            Self::Contended(_) => Fault::Busy,
            Self::Unreadable { .. } => Fault::Internal,
            Self::Store(error) => error.fault(),
        }
    }
}

/// What is written together with an event.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Attached {
    /// Jobs whose end the event takes in.
    pub jobs_settled: Vec<JobId>,
    /// Objects the app needs from now on.
    pub uses_added: Vec<String>,
    /// Uploads that are used up.
    pub uploads_used: Vec<String>,
}

/// All apps: the one place where they change.
#[derive(Clone)]
pub struct Apps {
    meta: Meta,
    clock: Arc<dyn Clock>,
    bounds: Bounds,
    /// Apps with something under way. A hint: rounds look at these often and at all others seldom.
    busy: Arc<Mutex<HashSet<FunctionId>>>,
    /// Routes that gateways have still to take up: start and number of change.
    routes: Arc<Mutex<HashMap<FunctionId, (u64, u64)>>>,
}

impl Apps {
    /// The apps in a store.
    #[must_use]
    pub fn new(meta: Meta, clock: Arc<dyn Clock>, bounds: Bounds) -> Self {
        Self { meta, clock, bounds, busy: Arc::default(), routes: Arc::default() }
    }

    /// The store they are in.
    #[must_use]
    pub fn meta(&self) -> &Meta {
        &self.meta
    }

    /// The clock they go by.
    #[must_use]
    pub fn clock(&self) -> &dyn Clock {
        self.clock.as_ref()
    }

    pub(crate) fn bounds(&self) -> &Bounds {
        &self.bounds
    }

    /// Makes an app without code.
    ///
    /// # Errors
    /// [`MetaError::Exists`] if its name is taken, or its hostname label; [`MetaError::Missing`] without its organisation.
    pub async fn create(&self, id: &FunctionId, settings: AppSettings) -> Result<App, AppError> {
        let now_ms = self.clock.now_ms();
        let app = App::new(id.clone(), settings, now_ms);
        let mut change = Change { state: to_json(&app), ..Change::default() };
        change.events = self.lines(None, &app, &[], now_ms);
        self.meta.commit(id, &Expected::New(HostLabel::of(id)), &change, now_ms).await?;
        Ok(app)
    }

    /// The app as it is.
    ///
    /// # Errors
    /// [`AppError::Missing`] if there is none, or it is gone.
    pub async fn load(&self, id: &FunctionId) -> Result<App, AppError> {
        self.load_row(id).await.map(|(app, _)| app)
    }

    async fn load_row(&self, id: &FunctionId) -> Result<(App, u64), AppError> {
        let row = self.meta.find_app(id).await?.filter(|row| row.deleted_ms.is_none());
        let row = row.ok_or_else(|| AppError::Missing(id.clone()))?;
        let app = from_json(id, &row.state)?;
        Ok((app, row.revision))
    }

    /// A version as it was made.
    ///
    /// # Errors
    /// [`MetaError::Missing`] if there is none.
    pub async fn load_version(&self, id: &FunctionId, number: VersionNumber) -> Result<Version, AppError> {
        let row = self.meta.load_version(id, number).await?;
        serde_json::from_str(&row.snapshot).map_err(|cause| AppError::Unreadable { app: id.clone(), cause })
    }

    /// Folds an event into an app and writes what came of it. When this returns, it is durable.
    ///
    /// # Errors
    /// [`AppError::Refused`] if the app does not take the command; nothing has changed then.
    pub async fn send(&self, id: &FunctionId, event: Event, attached: Attached) -> Result<App, AppError> {
        for _ in 0..RACES_MAX {
            let (before, revision) = self.load_row(id).await?;
            let mut app = before.clone();
            let now_ms = self.clock.now_ms();
            let effects = app.step(event.clone(), now_ms, &self.bounds)?;
            if app == before && effects.is_empty() && attached == Attached::default() {
                return Ok(app);
            }
            let change = self.change(&before, &app, &effects, &attached, now_ms).await?;
            match self.meta.commit(id, &Expected::Revision(revision), &change, now_ms).await {
                Ok(_) => {
                    self.note_busy(&app);
                    return Ok(app);
                }
                Err(MetaError::Stale { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(AppError::Contended(id.clone()))
    }

    /// The rows that effects are.
    async fn change(
        &self,
        before: &App,
        app: &App,
        effects: &[Effect],
        attached: &Attached,
        now_ms: u64,
    ) -> Result<Change, AppError> {
        let id = &app.id;
        let label = HostLabel::of(id);
        let mut change = Change {
            state: to_json(app),
            events: self.lines(Some(before), app, effects, now_ms),
            jobs_settled: attached.jobs_settled.clone(),
            uses_added: attached.uses_added.clone(),
            uploads_used: attached.uploads_used.clone(),
            ..Change::default()
        };
        for effect in effects {
            match effect {
                Effect::WriteVersion(version) => change.versions.push(VersionRow {
                    app: id.clone(),
                    number: version.number,
                    created_ms: version.created_ms,
                    artifact: Some(version.compiled.artifact),
                    snapshot: to_json(version),
                }),
                Effect::Route { version, .. } => change.routes_set.push((label.clone(), *version)),
                Effect::Unroute => change.routes_removed.push(label.clone()),
                Effect::Desire { version, instances, generation } => {
                    let written = effects.iter().find_map(|effect| match effect {
                        Effect::WriteVersion(new) if new.number == *version => Some((**new).clone()),
                        _ => None,
                    });
                    let row = match written {
                        Some(version) => version,
                        None => self.load_version(id, *version).await?,
                    };
                    let spec = to_json(&InstanceSpec::new(id.clone(), &row, *generation));
                    change.desired_set.push(DesiredSet { version: *version, instances: *instances, spec });
                }
                Effect::DesireTrial { compiled, settings, generation } => {
                    let (app, version, start) = (id.clone(), VersionNumber::TRIAL, *generation);
                    let (compiled, settings) = ((**compiled).clone(), (**settings).clone());
                    let spec = to_json(&InstanceSpec { app, version, start, compiled, settings });
                    change.desired_set.push(DesiredSet { version, instances: 1, spec });
                }
                Effect::Undesire(version) => change.desired_removed.push(*version),
                Effect::Compile { job, source } => change.jobs.push(NewJob {
                    id: *job,
                    kind: COMPILE_JOBS.to_owned(),
                    app: Some(id.clone()),
                    payload: to_json(&CompileJob { app: id.clone(), source: source.clone() }),
                    attempts_max: COMPILE_ATTEMPTS_MAX,
                    due_ms: now_ms,
                    ends_by_ms: now_ms.saturating_add(self.bounds.compile_ms_max),
                }),
                Effect::CancelCompile(job) => change.jobs_cancelled.push(*job),
                Effect::Forget(_) => {
                    change.deleted_ms = Some(now_ms);
                    change.erase = true;
                }
            }
        }
        Ok(change)
    }

    fn lines(&self, before: Option<&App>, app: &App, effects: &[Effect], now_ms: u64) -> Vec<Line> {
        events::between(before, app, effects).iter().map(|event| Line { at_ms: now_ms, body: to_json(event) }).collect()
    }

    /// Apps that have something under way, as far as this process knows.
    #[must_use]
    pub fn busy(&self) -> Vec<FunctionId> {
        self.busy.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }

    pub(crate) fn note_busy(&self, app: &App) {
        let mut busy = self.busy.lock().unwrap_or_else(PoisonError::into_inner);
        if app.due_ms().is_some() {
            busy.insert(app.id.clone());
        } else {
            busy.remove(&app.id);
            self.routes.lock().unwrap_or_else(PoisonError::into_inner).remove(&app.id);
        }
    }

    /// The number of the change by which the route of this start was written for sure: `last` when it is first asked.
    pub(crate) fn route_seen(&self, id: &FunctionId, start: u64, last: u64) -> u64 {
        let mut routes = self.routes.lock().unwrap_or_else(PoisonError::into_inner);
        match routes.get(id) {
            Some((known, sequence)) if *known == start => *sequence,
            _ => {
                routes.insert(id.clone(), (start, last));
                last
            }
        }
    }

    pub(crate) fn forget_busy(&self, id: &FunctionId) {
        self.busy.lock().unwrap_or_else(PoisonError::into_inner).remove(id);
    }
}

fn to_json(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("the words of the product have text keys and no failing serializer")
}

pub(crate) fn from_json(id: &FunctionId, state: &str) -> Result<App, AppError> {
    serde_json::from_str(state).map_err(|cause| AppError::Unreadable { app: id.clone(), cause })
}
