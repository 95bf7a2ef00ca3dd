//! What always holds.

use std::collections::{BTreeMap, BTreeSet};

use ignite_control_pipeline::{App, JobState, Life};
use ignite_core_model::{Version, VersionNumber};

use super::world::{BOUNDS, World, compiled};

/// The world before an event.
pub(crate) struct Before {
    pub(crate) app: App,
    versions: BTreeMap<VersionNumber, Version>,
    route: Option<(VersionNumber, u64)>,
    desired: BTreeMap<VersionNumber, (u32, u64)>,
}

impl Before {
    pub(crate) fn of(world: &World, app: &App) -> Self {
        Self { app: app.clone(), versions: world.versions.clone(), route: world.route, desired: world.desired.clone() }
    }
}

impl World {
    pub(crate) fn check(&self, before: &Before, app: &App) {
        self.versions_never_change(before);
        self.one_version_is_active(app);
        self.it_was_healthy_when_it_went_live(before, app);
        self.a_failed_step_changes_nothing_live(before, app);
        self.what_has_landed_is_served(app);
        self.what_is_served_runs();
        self.ids_are_unique(app);
        assert!(app.compiles.len() <= 2, "more compiles than the draft's and the publish's: {:?}", app.compiles);
    }

    fn versions_never_change(&self, before: &Before) {
        for (number, version) in &before.versions {
            assert_eq!(self.versions.get(number), Some(version), "version {number} changed");
        }
        for (number, version) in &self.versions {
            assert_eq!(version.compiled, compiled(&version.source), "version {number} has another draft's artifact");
        }
        let numbers: Vec<u32> = self.versions.keys().map(|number| number.get()).collect();
        assert_eq!(numbers, (1..=numbers.len() as u32).collect::<Vec<_>>(), "a number is missing");
    }

    fn one_version_is_active(&self, app: &App) {
        let active = app.active.as_ref().map(|active| active.version);
        if !self.gone {
            assert_eq!(self.route.map(|(version, _)| version), active, "route and active version differ");
            let expected: BTreeSet<VersionNumber> = app.desired().into_keys().collect();
            let rows: BTreeSet<VersionNumber> = self.desired.keys().copied().collect();
            if app.life == Life::Alive {
                assert_eq!(rows, expected, "the rows of what should run are not what the app wants");
            }
        }
        if let Some(active) = active {
            assert!(self.versions.contains_key(&active), "a version without a row is live");
            assert!(!app.failed.contains_key(&active), "a failed version is live");
        }
    }

    fn it_was_healthy_when_it_went_live(&self, before: &Before, app: &App) {
        let Some(active) = &app.active else { return };
        if before.app.active.as_ref().is_some_and(|old| old.generation == active.generation) {
            return;
        }
        let fleet = &self.fleets[&active.generation];
        assert_eq!(fleet.version, active.version);
        assert!(
            fleet.healthy_peak >= active.instances,
            "version {} went live with {} of {} instances ever healthy",
            active.version,
            fleet.healthy_peak,
            active.instances
        );
    }

    fn a_failed_step_changes_nothing_live(&self, before: &Before, app: &App) {
        let lost = app.records.iter().any(|record| {
            let was_running = before.app.find_job(record.id).is_some_and(|old| !old.state.ended());
            was_running && matches!(record.state, JobState::Failed(_) | JobState::Cancelled(_))
        });
        if lost && app.life == Life::Alive {
            assert_eq!(self.route, before.route, "a failed step moved the route");
            if let Some((live, _)) = self.route {
                assert_eq!(
                    self.desired.get(&live),
                    before.desired.get(&live),
                    "a failed step changed the live instances"
                );
            }
        }
    }

    /// The version a gateway leads requests to keeps its row until the gateway has let go of it, or had its time.
    fn what_is_served_runs(&self) {
        let (Some((served, _)), Some(_)) = (self.served, self.route) else { return };
        let had_its_time = self.left_ms.get(&served).is_some_and(|left| self.now_ms >= left + BOUNDS.settle_ms_max);
        if !had_its_time {
            assert!(self.desired.contains_key(&served), "version {served} is served but no longer wanted");
        }
    }

    /// Who is told that a publish has ended is answered by its version, unless gateways took longer than they may.
    fn what_has_landed_is_served(&self, app: &App) {
        let Some(active) = app.active.as_ref().filter(|_| app.landing.is_none()) else { return };
        if self.now_ms < active.since_ms + BOUNDS.settle_ms_max {
            assert_eq!(self.served, Some((active.version, active.generation)), "it has ended and is not served");
        }
    }

    fn ids_are_unique(&self, app: &App) {
        let ids: BTreeSet<_> = app.records.iter().map(|record| record.id).collect();
        assert_eq!(ids.len(), app.records.len(), "two jobs have one id");
    }

    /// After a quiet time every job has ended and nothing runs that should not.
    pub(crate) fn check_rest(&self) {
        let app = self.load();
        for record in &app.records {
            assert!(record.state.ended(), "{record:?} never ended");
        }
        assert!(app.rollout.is_none() && app.compiles.is_empty(), "something is under way for ever: {app:?}");
        assert!(!matches!(app.life, Life::Deleting { .. }), "the app is being deleted for ever");
        let wanted: BTreeSet<VersionNumber> = self.desired.keys().copied().collect();
        assert_eq!(
            wanted,
            app.active.iter().map(|active| active.version).collect(),
            "more than the live version is wanted"
        );
    }
}
