//! What an agent knows: rows that want instances, and the instances there are. No IO.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use ignite_core_model::{
    FunctionId, HostAddress, InstanceDetail, InstanceId, InstanceSpec, InstanceState, VersionNumber,
};
use ignite_store_meta::{Desired, Instance};
use tokio::time::Instant;

use crate::Said;

/// Wait before the second start of a version that failed to start; it doubles.
const BACKOFF_MIN: Duration = Duration::from_millis(250);

/// Longest wait between two starts.
const BACKOFF_MAX: Duration = Duration::from_secs(30);

/// A version whose instances stayed healthy for this long has not failed any more.
const STEADY: Duration = Duration::from_secs(60);

/// How long an instance is kept that was started for a request which waits, while no row wants it yet. The row that does is
/// under way; where it never comes, there was no leave for the instance.
const WOKEN_FOR: Duration = Duration::from_secs(10);

/// What the backend is to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Order {
    Start(InstanceId, Arc<InstanceSpec>),
    Drain(InstanceId),
    /// The instance failed and its row wants it no more: nothing runs, and the report is taken back.
    Forget(InstanceId),
}

type Key = (FunctionId, VersionNumber);

#[derive(Default)]
pub(crate) struct Fleet {
    wanted: BTreeMap<Key, Wanted>,
    units: HashMap<InstanceId, Unit>,
}

/// A row that wants instances.
struct Wanted {
    instances: u32,
    generation: u64,
    /// `None` if it cannot be read: nothing can be started then.
    spec: Option<Arc<InstanceSpec>>,
    /// Instances in a row that did not stay.
    failures: u32,
    /// All that did not stay.
    restarts: u32,
    not_before: Option<Instant>,
    /// A request waits: until then it wants one instance, whatever the row says.
    woken_until: Option<Instant>,
}

impl Wanted {
    fn instances(&self, now: Instant) -> u32 {
        let woken = self.woken_until.is_some_and(|until| now < until);
        self.instances.max(u32::from(woken))
    }
}

/// An instance.
struct Unit {
    key: Key,
    generation: u64,
    state: InstanceState,
    address: Option<HostAddress>,
    reason: Option<String>,
    started_ms: u64,
    healthy_since: Option<Instant>,
    restarts: u32,
    max_concurrency: u32,
}

impl Fleet {
    pub(crate) fn want(&mut self, row: Desired) {
        let key = (row.app, row.version);
        if let Some(wanted) = self.wanted.get_mut(&key)
            && wanted.generation == row.generation
        {
            wanted.instances = row.instances;
            if row.instances > 0 {
                wanted.woken_until = None;
            }
            return;
        }
        let spec = serde_json::from_str(&row.spec);
        if let Err(error) = &spec {
            tracing::error!(app = %key.0, version = %key.1, %error, "a row of desired state cannot be read");
        }
        let spec = spec.ok().map(Arc::new);
        let wanted = Wanted {
            instances: row.instances,
            generation: row.generation,
            spec,
            failures: 0,
            restarts: 0,
            not_before: None,
            woken_until: None,
        };
        self.wanted.insert(key, wanted);
    }

    /// A request waits for a version. Whether that is news: the version may run, and has no instance.
    pub(crate) fn wake(&mut self, app: &FunctionId, version: VersionNumber, now: Instant) -> bool {
        let Some(wanted) = self.wanted.get_mut(&(app.clone(), version)) else { return false };
        if wanted.instances(now) > 0 {
            return false;
        }
        wanted.woken_until = Some(now + WOKEN_FOR);
        true
    }

    pub(crate) fn want_no_more(&mut self, app: &FunctionId, version: VersionNumber) {
        self.wanted.remove(&(app.clone(), version));
    }

    pub(crate) fn want_only(&mut self, rows: Vec<Desired>) {
        let kept: Vec<Key> = rows.iter().map(|row| (row.app.clone(), row.version)).collect();
        self.wanted.retain(|key, _| kept.contains(key));
        for row in rows {
            self.want(row);
        }
    }

    /// What brings the instances in line with the rows.
    pub(crate) fn orders(&mut self, now: Instant, now_ms: u64) -> Vec<Order> {
        let mut orders = Vec::new();
        let mut by_key: HashMap<&Key, Vec<InstanceId>> = HashMap::new();
        let mut leave = Vec::new();
        for (id, unit) in &self.units {
            let current = self.wanted.get(&unit.key).is_some_and(|wanted| wanted.generation == unit.generation);
            match unit.state {
                InstanceState::Failed if current => {}
                InstanceState::Failed => leave.push((*id, Order::Forget(*id))),
                InstanceState::Draining => {}
                _ if current => by_key.entry(&unit.key).or_default().push(*id),
                _ => leave.push((*id, Order::Drain(*id))),
            }
        }
        let mut start = Vec::new();
        for (key, wanted) in &self.wanted {
            let mut have = by_key.remove(key).unwrap_or_default();
            // The youngest go first: they have the least in their caches.
            have.sort_unstable();
            let instances = wanted.instances(now);
            while have.len() > instances as usize {
                if let Some(id) = have.pop() {
                    leave.push((id, Order::Drain(id)));
                }
            }
            let missing = instances.saturating_sub(u32::try_from(have.len()).unwrap_or(u32::MAX));
            if missing == 0 || wanted.not_before.is_some_and(|at| now < at) {
                continue;
            }
            if let Some(spec) = &wanted.spec {
                start.extend((0..missing).map(|_| (key.clone(), Arc::clone(spec), wanted.generation, wanted.restarts)));
            }
        }
        for (id, order) in leave {
            match order {
                Order::Forget(_) => {
                    self.units.remove(&id);
                }
                _ => {
                    if let Some(unit) = self.units.get_mut(&id) {
                        unit.state = InstanceState::Draining;
                    }
                }
            }
            orders.push(order);
        }
        for (key, spec, generation, restarts) in start {
            // What failed before is replaced by this attempt.
            let failed = |unit: &Unit| unit.key == key && unit.state == InstanceState::Failed;
            let old: Vec<InstanceId> = self.units.iter().filter(|(_, unit)| failed(unit)).map(|(id, _)| *id).collect();
            for id in old {
                self.units.remove(&id);
                orders.push(Order::Forget(id));
            }
            let id = InstanceId::from_parts(now_ms, rand::random::<u128>() >> 48);
            let unit = Unit {
                key,
                generation,
                state: InstanceState::Starting,
                address: None,
                reason: None,
                started_ms: now_ms,
                healthy_since: None,
                restarts,
                max_concurrency: spec.settings.max_concurrency.unwrap_or_default(),
            };
            self.units.insert(id, unit);
            orders.push(Order::Start(id, spec));
        }
        orders
    }

    /// When something that failed is started again, or something that was woken and that no row wants is ended.
    pub(crate) fn next_turn(&self, now: Instant) -> Option<Instant> {
        // What is past was done in the last round, or wants nothing.
        let turns = self.wanted.values().flat_map(|wanted| [wanted.not_before, wanted.woken_until]);
        turns.flatten().filter(|at| *at > now).min()
    }

    /// Whether the report of an instance that has ended is kept, because its row should know why.
    pub(crate) fn stays(&self, id: InstanceId, said: &Said) -> bool {
        let failed = matches!(said, Said::Ended { failed: Some(_) });
        failed && self.units.get(&id).is_some_and(|unit| unit.state != InstanceState::Draining)
    }

    pub(crate) fn take(&mut self, id: InstanceId, said: Said, now: Instant) {
        let stays = self.stays(id, &said);
        let Some(unit) = self.units.get_mut(&id) else { return };
        match said {
            Said::Line(_) => {}
            Said::Healthy(address) => {
                unit.address = Some(address);
                unit.reason = None;
                unit.healthy_since.get_or_insert(now);
                if unit.state != InstanceState::Draining {
                    unit.state = InstanceState::Healthy;
                }
            }
            Said::Unhealthy(reason) => {
                unit.reason = Some(reason);
                if unit.state == InstanceState::Healthy {
                    unit.state = InstanceState::Unhealthy;
                }
            }
            Said::Ended { failed } => {
                let drained = unit.state == InstanceState::Draining;
                let steady = unit.healthy_since.is_some_and(|since| now.duration_since(since) >= STEADY);
                if let Some(wanted) = self.wanted.get_mut(&unit.key)
                    && wanted.generation == unit.generation
                    && !drained
                {
                    wanted.failures = if steady { 1 } else { wanted.failures.saturating_add(1) };
                    wanted.restarts = wanted.restarts.saturating_add(1);
                    // One that never came up is told as failed for a moment; one that served is started again at once.
                    let wait = if failed.is_some() { BACKOFF_MIN } else { Duration::ZERO };
                    wanted.not_before = Some(now + backoff(wanted.failures).max(wait));
                }
                if stays {
                    unit.state = InstanceState::Failed;
                    unit.address = None;
                    unit.reason = failed;
                } else {
                    self.units.remove(&id);
                }
            }
        }
    }

    pub(crate) fn has(&self, id: InstanceId) -> bool {
        self.units.contains_key(&id)
    }

    pub(crate) fn app_of(&self, id: InstanceId) -> Option<&FunctionId> {
        self.units.get(&id).map(|unit| &unit.key.0)
    }

    /// All that runs.
    pub(crate) fn all(&self) -> Vec<InstanceId> {
        let runs = |unit: &&Unit| unit.state != InstanceState::Failed;
        self.units.iter().filter(|(_, unit)| runs(unit)).map(|(id, _)| *id).collect()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.all().is_empty()
    }

    /// The report of an instance.
    pub(crate) fn row(&self, id: InstanceId, agent: &str, now_ms: u64) -> Option<Instance> {
        let unit = self.units.get(&id)?;
        let detail = InstanceDetail {
            reason: unit.reason.clone(),
            started_ms: unit.started_ms,
            restarts: unit.restarts,
            max_concurrency: unit.max_concurrency,
        };
        Some(Instance {
            id,
            agent: agent.to_owned(),
            app: unit.key.0.clone(),
            version: unit.key.1,
            generation: unit.generation,
            state: unit.state.as_str().to_owned(),
            address: unit.address.as_ref().map(ToString::to_string),
            detail: serde_json::to_string(&detail).expect("numbers and text have a form in JSON"),
            updated_ms: now_ms,
        })
    }
}

/// The wait after that many failures in a row. The first is started again at once: most are a machine's hiccup.
fn backoff(failures: u32) -> Duration {
    match failures {
        0 | 1 => Duration::ZERO,
        more => BACKOFF_MIN.saturating_mul(1 << (more - 2).min(16)).min(BACKOFF_MAX),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test")]
    use super::*;

    fn row(instances: u32) -> Desired {
        // Its text is no specification: nothing is started, and what is wanted is what is looked at.
        let version = VersionNumber::new(1).unwrap();
        Desired { app: "acme/hello".parse().unwrap(), version, instances, spec: String::new(), generation: 7 }
    }

    #[test]
    fn what_was_woken_is_wanted_until_a_row_says_so_or_for_a_time() {
        let (app, version) = (row(0).app, row(0).version);
        let (mut fleet, now) = (Fleet::default(), Instant::now());
        let wanted = |fleet: &Fleet, at: Instant| fleet.wanted.values().map(|one| one.instances(at)).sum::<u32>();
        assert!(!fleet.wake(&app, version, now), "no row knows it");
        fleet.want(row(0));
        assert!(fleet.wake(&app, version, now));
        assert!(!fleet.wake(&app, version, now), "once is enough");
        assert_eq!(fleet.next_turn(now), Some(now + WOKEN_FOR));
        // The row of a moment ago, by which it slept.
        fleet.want(row(0));
        assert_eq!((wanted(&fleet, now), wanted(&fleet, now + WOKEN_FOR)), (1, 0));
        assert!(fleet.wake(&app, version, now + WOKEN_FOR));
        fleet.want(row(1));
        fleet.want(row(0));
        assert_eq!(wanted(&fleet, now + WOKEN_FOR), 0, "the last row counts");
    }
}
