//! How an event changes an app.

use ignite_core_model::{AppSettings, CodeSource, Compiled, Failure, JobId, Scaling, Step, Version, VersionNumber};

use crate::{
    Active, App, Bounds, CompileOutcome, CompileRun, Draft, DraftState, Effect, Event, JobKind, JobState, Landing,
    Life, RECORDS_MAX, Refusal, Rollout, RolloutStage, Trial,
};

/// Longest execution where an app sets none, in seconds: the host's own default.
const TIMEOUT_SECS_DEFAULT: u32 = 30;

impl App {
    /// Folds one event into the state and returns what the shell must do next.
    ///
    /// A report that no longer fits changes nothing and is no error.
    ///
    /// # Errors
    ///
    /// A [`Refusal`] of a command; the state is as before then.
    pub fn step(&mut self, event: Event, now_ms: u64, bounds: &Bounds) -> Result<Vec<Effect>, Refusal> {
        let command = !matches!(
            event,
            Event::CompileEnded { .. }
                | Event::Instances { .. }
                | Event::Tried { .. }
                | Event::Served { .. }
                | Event::Scale { .. }
                | Event::Tick
        );
        if command && self.life != Life::Alive {
            // Who deletes twice wants it gone, and it is going.
            return if event == Event::Delete { Ok(Vec::new()) } else { Err(Refusal::Deleted) };
        }
        let mut turn = Turn { app: self, now_ms, bounds, effects: Vec::new() };
        match event {
            Event::Configure(settings) => turn.app.settings = *settings,
            Event::SaveDraft(source) => turn.save(source),
            Event::Compile { job } => turn.compile_draft(job)?,
            Event::CancelCompile => turn.cancel_compile()?,
            Event::Publish { job, compile } => turn.publish(job, compile)?,
            Event::Rollback { job, to } => turn.roll_back(job, &to)?,
            Event::CancelRollout => turn.cancel_rollout()?,
            Event::Try { compiled, settings } => turn.try_out(compiled, settings)?,
            Event::Tried { generation } => turn.tried(generation),
            Event::Delete => turn.delete(),
            Event::CompileEnded { job, outcome } => turn.compile_ended(job, outcome),
            Event::Instances { version, generation, healthy, alive, failure } => {
                turn.instances(version, generation, healthy, alive, failure.as_deref());
            }
            Event::Served { generation } => turn.served(generation),
            Event::Scale { version, instances } => turn.scale(version, instances),
            Event::Tick => turn.tick(),
        }
        Ok(turn.effects)
    }
}

/// One event being folded.
struct Turn<'a> {
    app: &'a mut App,
    now_ms: u64,
    bounds: &'a Bounds,
    effects: Vec<Effect>,
}

impl Turn<'_> {
    fn failure(&self, step: Step, reason: &str) -> Failure {
        Failure::new(step, reason, self.now_ms)
    }

    // The draft.

    fn save(&mut self, source: CodeSource) {
        if let Some(draft) = &self.app.draft
            && draft.source == source
            && !matches!(draft.state, DraftState::Failed(_))
        {
            return;
        }
        // A compile of the old source that only the draft waits for is of no use any more.
        if let Some(Draft { state: DraftState::Compiling { job }, .. }) = self.app.draft
            && !self.rollout_waits_for(job)
        {
            self.drop_compile(job, "the draft was saved anew");
        }
        self.app.draft = Some(Draft { source, saved_ms: self.now_ms, state: DraftState::Saved });
    }

    fn compile_draft(&mut self, job: JobId) -> Result<(), Refusal> {
        let known = self.app.find_job(job).is_some();
        match &self.app.draft {
            None => Err(Refusal::NoDraft),
            Some(_) if known => Ok(()),
            Some(Draft { state: DraftState::Compiling { job }, .. }) => Err(Refusal::Compiling(*job)),
            Some(Draft { state: DraftState::Compiled(_), .. }) => {
                self.app.begin_record(job, JobKind::Compile, None, self.now_ms);
                self.app.end_record(job, JobState::Succeeded, self.now_ms);
                Ok(())
            }
            Some(draft) => {
                let source = draft.source.clone();
                self.start_compile(job, source);
                Ok(())
            }
        }
    }

    /// Queues a compile of the draft's source.
    fn start_compile(&mut self, job: JobId, source: CodeSource) {
        let deadline_ms = self.now_ms.saturating_add(self.bounds.compile_ms_max);
        self.app.begin_record(job, JobKind::Compile, None, self.now_ms);
        self.app.compiles.insert(job, CompileRun { source: source.clone(), deadline_ms });
        if let Some(draft) = &mut self.app.draft {
            draft.state = DraftState::Compiling { job };
        }
        self.effects.push(Effect::Compile { job, source });
    }

    fn cancel_compile(&mut self) -> Result<(), Refusal> {
        let Some(Draft { state: DraftState::Compiling { job }, .. }) = self.app.draft else {
            return Err(Refusal::NothingToCancel);
        };
        self.drop_compile(job, "cancelled");
        Ok(())
    }

    /// Ends a compile before it has ended by itself, and a publish that waits for it.
    fn drop_compile(&mut self, job: JobId, reason: &str) {
        let failure = self.failure(Step::Cancelled, reason);
        self.effects.push(Effect::CancelCompile(job));
        self.end_compile(job, Err(JobState::Cancelled(failure)));
    }

    fn compile_ended(&mut self, job: JobId, outcome: CompileOutcome) {
        let result = match outcome {
            CompileOutcome::Succeeded(compiled) => Ok(compiled),
            CompileOutcome::Failed(reason) => Err(JobState::Failed(self.failure(Step::Compile, &reason))),
            CompileOutcome::Cancelled => Err(JobState::Cancelled(self.failure(Step::Cancelled, "cancelled"))),
        };
        self.end_compile(job, result);
    }

    fn end_compile(&mut self, job: JobId, result: Result<Compiled, JobState>) {
        let Some(run) = self.app.compiles.remove(&job) else { return };
        let state = result.as_ref().err().cloned().unwrap_or(JobState::Succeeded);
        self.app.end_record(job, state, self.now_ms);
        if let Some(draft) = &mut self.app.draft
            && draft.state == (DraftState::Compiling { job })
        {
            draft.state = match &result {
                Ok(compiled) => DraftState::Compiled(compiled.clone()),
                Err(JobState::Failed(failure) | JobState::Cancelled(failure)) => DraftState::Failed(failure.clone()),
                Err(_) => DraftState::Saved,
            };
        }
        if !self.rollout_waits_for(job) {
            return;
        }
        let Some(Rollout { job: publish, stage: RolloutStage::Compiling { settings, .. }, .. }) =
            self.app.rollout.take()
        else {
            return;
        };
        match result {
            Ok(compiled) => self.make_and_start(publish, run.source, compiled, *settings),
            Err(state) => self.app.end_record(publish, state, self.now_ms),
        }
    }

    fn rollout_waits_for(&self, job: JobId) -> bool {
        matches!(&self.app.rollout, Some(Rollout { stage: RolloutStage::Compiling { compile, .. }, .. }) if *compile == job)
    }

    // Going live.

    fn publish(&mut self, job: JobId, compile: JobId) -> Result<(), Refusal> {
        if self.app.find_job(job).is_some() {
            return Ok(());
        }
        if let Some(rollout) = &self.app.rollout {
            return Err(Refusal::RollingOut { kind: word(rollout.kind), job: rollout.job });
        }
        let draft = self.app.draft.clone().ok_or(Refusal::NoDraft)?;
        self.app.begin_record(job, JobKind::Publish, None, self.now_ms);
        let settings = self.app.settings.clone();
        let compile = match draft.state {
            DraftState::Compiled(compiled) => {
                self.make_and_start(job, draft.source, compiled, settings);
                return Ok(());
            }
            DraftState::Compiling { job } => job,
            DraftState::Saved | DraftState::Failed(_) => {
                self.start_compile(compile, draft.source);
                compile
            }
        };
        let stage = RolloutStage::Compiling { compile, settings: Box::new(settings) };
        self.app.rollout = Some(Rollout { job, kind: JobKind::Publish, stage });
        Ok(())
    }

    fn make_and_start(&mut self, job: JobId, source: CodeSource, compiled: Compiled, settings: AppSettings) {
        let version = self.app.make_version(source, compiled, settings, self.now_ms);
        self.app.name_version(job, version.number);
        let (number, scaling) = (version.number, version.settings.scaling);
        self.effects.push(Effect::WriteVersion(Box::new(version)));
        self.start(job, JobKind::Publish, number, scaling);
    }

    /// Wants as many instances as the load of the version that is live needs, and at least one to see it healthy.
    fn start(&mut self, job: JobId, kind: JobKind, version: VersionNumber, scaling: Scaling) {
        self.app.generation += 1;
        let generation = self.app.generation;
        let live = self.app.active.as_ref().map_or(0, |active| active.instances);
        let instances = live.max(scaling.reserved).clamp(1, scaling.max_replicas.max(1));
        let deadline_ms = self.now_ms.saturating_add(self.bounds.start_ms_max);
        // It may be on its way out: then it stays.
        self.app.settling.remove(&version);
        self.effects.push(Effect::Desire { version, instances, generation });
        let stage = RolloutStage::Starting { version, instances, generation, scaling, deadline_ms };
        self.app.rollout = Some(Rollout { job, kind, stage });
    }

    fn roll_back(&mut self, job: JobId, to: &Version) -> Result<(), Refusal> {
        if self.app.find_job(job).is_some() {
            return Ok(());
        }
        let version = to.number;
        if let Some(failure) = self.app.failed.get(&version) {
            return Err(Refusal::NeverLive { version, reason: failure.reason.clone() });
        }
        let under_way = self.app.rollout.as_ref().map(|rollout| &rollout.stage);
        if let Some(RolloutStage::Starting { version: starting, .. }) = under_way
            && *starting == version
        {
            return Err(Refusal::NeverLive { version, reason: "it is being started now".to_owned() });
        }
        let live = self.app.active.as_ref().is_some_and(|active| active.version == version);
        if live && self.app.rollout.is_none() {
            return Err(Refusal::AlreadyLive(version));
        }
        // Who rolls back is in a hurry: it takes precedence over what is under way.
        self.end_rollout(|turn| {
            JobState::Cancelled(turn.failure(Step::Cancelled, &format!("rolled back to version {version}")))
        });
        self.app.begin_record(job, JobKind::Rollback, Some(version), self.now_ms);
        if live {
            self.app.end_record(job, JobState::Succeeded, self.now_ms);
        } else {
            self.start(job, JobKind::Rollback, version, to.settings.scaling);
        }
        Ok(())
    }

    fn cancel_rollout(&mut self) -> Result<(), Refusal> {
        if self.app.rollout.is_none() {
            return Err(Refusal::NothingToCancel);
        }
        self.end_rollout(|turn| JobState::Cancelled(turn.failure(Step::Cancelled, "cancelled")));
        Ok(())
    }

    /// Ends the publish or rollback under way without success. What is live stays.
    fn end_rollout(&mut self, state: impl FnOnce(&Self) -> JobState) {
        let Some(rollout) = self.app.rollout.take() else { return };
        let state = state(self);
        if let RolloutStage::Starting { version, .. } = rollout.stage {
            if rollout.kind == JobKind::Rollback {
                // It was live before, maybe a moment ago: a gateway may still lead requests to it.
                self.app.settling.insert(version, self.now_ms.saturating_add(self.bounds.settle_ms_max));
            } else {
                self.effects.push(Effect::Undesire(version));
            }
            if let (JobKind::Publish, JobState::Failed(failure) | JobState::Cancelled(failure)) = (rollout.kind, &state)
            {
                self.app.failed.insert(version, failure.clone());
                while self.app.failed.len() > RECORDS_MAX {
                    self.app.failed.pop_first();
                }
            }
        } else if let RolloutStage::Compiling { compile, .. } = rollout.stage {
            // The draft goes on waiting for its compile; nobody waits for that of a draft that was overwritten.
            let drafted =
                matches!(&self.app.draft, Some(draft) if draft.state == (DraftState::Compiling { job: compile }));
            if !drafted {
                self.drop_compile(compile, "nothing waits for it any more");
            }
        }
        self.app.end_record(rollout.job, state, self.now_ms);
    }

    fn instances(&mut self, version: VersionNumber, generation: u64, healthy: u32, alive: u32, failure: Option<&str>) {
        if let Life::Deleting { draining, .. } = &mut self.app.life {
            if alive == 0 {
                draining.remove(&version);
            }
            if draining.is_empty() {
                self.forget();
            }
            return;
        }
        let Some(Rollout {
            job,
            stage: RolloutStage::Starting { version: starting, instances, generation: started, scaling, .. },
            ..
        }) = self.app.rollout
        else {
            return;
        };
        // A report of an earlier start says nothing about this one.
        if starting != version || started != generation {
            return;
        }
        if healthy >= instances {
            self.app.rollout = None;
            self.land();
            let until_ms = self.now_ms.saturating_add(self.bounds.settle_ms_max);
            self.app.landing = Some(Landing { job, until_ms });
            self.go_live(Active { version, instances, generation, scaling, since_ms: self.now_ms });
        } else if let Some(reason) = failure {
            self.end_rollout(|turn| JobState::Failed(turn.failure(Step::Start, reason)));
        }
    }

    fn go_live(&mut self, active: Active) {
        let (version, generation) = (active.version, active.generation);
        if let Some(old) = self.app.active.replace(active) {
            let until_ms = self.now_ms.saturating_add(self.bounds.settle_ms_max);
            self.app.settling.insert(old.version, until_ms);
        }
        self.effects.push(Effect::Route { version, generation });
    }

    /// The old versions are let go when no gateway leads a request to them any more.
    fn served(&mut self, generation: u64) {
        if self.app.active.as_ref().is_some_and(|active| active.generation == generation) {
            self.release(|_| true);
            self.land();
        }
    }

    /// Ends what put the active version live.
    fn land(&mut self) {
        if let Some(landing) = self.app.landing.take() {
            self.app.end_record(landing.job, JobState::Succeeded, self.now_ms);
        }
    }

    fn release(&mut self, which: impl Fn(u64) -> bool) {
        let gone: Vec<VersionNumber> =
            self.app.settling.iter().filter(|(_, until)| which(**until)).map(|(version, _)| *version).collect();
        for version in gone {
            self.app.settling.remove(&version);
            self.effects.push(Effect::Undesire(version));
        }
    }

    fn scale(&mut self, version: VersionNumber, instances: u32) {
        let Some(active) = &mut self.app.active else { return };
        let instances = instances.max(active.scaling.reserved).min(active.scaling.max_replicas);
        if active.version == version && active.instances != instances {
            active.instances = instances;
            let generation = active.generation;
            self.effects.push(Effect::Desire { version, instances, generation });
        }
    }

    // What is tried. It shares nothing with what is live but the app's name.

    fn try_out(&mut self, compiled: Box<Compiled>, settings: Box<AppSettings>) -> Result<(), Refusal> {
        if self.app.trial.is_some() {
            return Err(Refusal::Trying);
        }
        self.app.generation += 1;
        let generation = self.app.generation;
        let timeout_ms = u64::from(settings.timeout_secs.unwrap_or(TIMEOUT_SECS_DEFAULT)) * 1000;
        let until_ms = self.now_ms.saturating_add(self.bounds.start_ms_max).saturating_add(2 * timeout_ms);
        self.app.trial = Some(Trial { generation, until_ms });
        self.effects.push(Effect::DesireTrial { compiled, settings, generation });
        Ok(())
    }

    fn tried(&mut self, generation: u64) {
        if self.app.trial.as_ref().is_some_and(|trial| trial.generation == generation) {
            self.end_trial();
        }
    }

    fn end_trial(&mut self) {
        if self.app.trial.take().is_some() {
            self.effects.push(Effect::Undesire(VersionNumber::TRIAL));
        }
    }

    // The end.

    fn delete(&mut self) {
        let cancelled = |turn: &Self| JobState::Cancelled(turn.failure(Step::Cancelled, "the app was deleted"));
        let mut draining: std::collections::BTreeSet<VersionNumber> = self.app.desired().into_keys().collect();
        self.end_rollout(cancelled);
        self.land();
        self.end_trial();
        for job in self.app.compiles.keys().copied().collect::<Vec<_>>() {
            self.drop_compile(job, "the app was deleted");
        }
        if let Some(active) = self.app.active.take() {
            self.effects.push(Effect::Unroute);
            self.effects.push(Effect::Undesire(active.version));
            draining.insert(active.version);
        }
        self.release(|_| true);
        let until_ms = self.now_ms.saturating_add(self.bounds.delete_ms_max);
        let nothing_runs = draining.is_empty();
        self.app.life = Life::Deleting { draining, until_ms };
        if nothing_runs {
            self.forget();
        }
    }

    fn forget(&mut self) {
        self.app.life = Life::Gone;
        self.effects.push(Effect::Forget(self.app.id.clone()));
    }

    fn tick(&mut self) {
        let now_ms = self.now_ms;
        if let Life::Deleting { until_ms, .. } = self.app.life
            && now_ms >= until_ms
        {
            self.forget();
        }
        let late: Vec<JobId> =
            self.app.compiles.iter().filter(|(_, run)| now_ms >= run.deadline_ms).map(|(job, _)| *job).collect();
        for job in late {
            let reason = format!("the compile did not end within {} s", self.bounds.compile_ms_max / 1000);
            self.effects.push(Effect::CancelCompile(job));
            self.end_compile(job, Err(JobState::Failed(self.failure(Step::Compile, &reason))));
        }
        if let Some(Rollout { stage: RolloutStage::Starting { deadline_ms, instances, .. }, .. }) = self.app.rollout
            && now_ms >= deadline_ms
        {
            let secs = self.bounds.start_ms_max / 1000;
            let reason = format!("{instances} instance(s) were not healthy within {secs} s: see `ignite app logs`");
            self.end_rollout(|turn| JobState::Failed(turn.failure(Step::Start, &reason)));
        }
        if self.app.trial.as_ref().is_some_and(|trial| now_ms >= trial.until_ms) {
            self.end_trial();
        }
        if self.app.landing.as_ref().is_some_and(|landing| now_ms >= landing.until_ms) {
            self.land();
        }
        self.release(|until_ms| now_ms >= until_ms);
    }
}

fn word(kind: JobKind) -> &'static str {
    match kind {
        JobKind::Compile => "compile",
        JobKind::Publish => "publish",
        JobKind::Rollback => "rollback",
    }
}
