//! Routes and instances: what a request is led by.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, PoisonError, RwLock, RwLockWriteGuard};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use ignite_core_model::{
    FunctionId, HostAddress, HostLabel, InstanceDetail, InstanceId, InstanceSpec, InstanceState, VersionNumber,
};
use ignite_store_meta::{ChangeItem, Desired, Instance, Route, Snapshot};

use crate::app::{App, Traffic};
use crate::endpoint::Endpoint;

/// Executions an instance takes at once, where its agent does not say.
const PLACES_DEFAULT: u32 = 16;

/// How long what was heard of an instance is believed before the store says the same or better.
const HEARD_FOR: Duration = Duration::from_secs(5);

/// Routes and instances. Read by every request without a lock, written by the one who follows the store.
#[derive(Default)]
pub struct Table {
    apps: ArcSwap<HashMap<HostLabel, Arc<App>>>,
    rows: RwLock<Rows>,
}

/// The rows the table is made of.
#[derive(Default)]
struct Rows {
    routes: BTreeMap<HostLabel, Route>,
    desired: HashMap<(FunctionId, VersionNumber), Desired>,
    instances: HashMap<InstanceId, Instance>,
    /// What was heard of instances and not read yet.
    heard: HashMap<InstanceId, Heard>,
}

/// What was heard of an instance, ahead of the store.
struct Heard {
    app: FunctionId,
    /// `None` when it is gone.
    instance: Option<Instance>,
    until: Instant,
}

impl Table {
    /// The app at a label.
    pub(crate) fn find(&self, label: &HostLabel) -> Option<Arc<App>> {
        self.apps.load().get(label).cloned()
    }

    pub(crate) fn all(&self) -> Vec<Arc<App>> {
        self.apps.load().values().cloned().collect()
    }

    /// How many apps are served.
    #[must_use]
    pub fn len(&self) -> usize {
        self.apps.load().len()
    }

    /// Whether no app is served.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Takes a snapshot in place of all there was.
    pub(crate) fn reset(&self, snapshot: Snapshot) {
        let mut rows = self.rows();
        rows.routes = snapshot.routes.into_iter().map(|route| (route.label.clone(), route)).collect();
        rows.desired = snapshot.desired.into_iter().map(|row| ((row.app.clone(), row.version), row)).collect();
        rows.instances.clear();
        for instance in snapshot.instances {
            rows.apply(ChangeItem::InstanceSet(instance));
        }
        let old = self.apps.load_full();
        let apps =
            rows.routes.iter().filter_map(|(label, route)| Some((label.clone(), rows.app(route, old.get(label))?)));
        self.replace(&old, apps.collect());
    }

    /// Takes changes.
    pub(crate) fn change(&self, items: Vec<ChangeItem>) {
        let mut rows = self.rows();
        let touched = items.into_iter().filter_map(|item| rows.apply(item)).collect();
        self.show(&rows, touched);
    }

    /// Takes what is said of an instance in this process, ahead of the store: who waits for a place does not wait for what was
    /// seen to be written down. What the store says later counts, and what it never says is forgotten.
    pub(crate) fn hear(&self, item: ChangeItem) {
        let mut rows = self.rows();
        let touched = rows.hear(item, Instant::now());
        self.show(&rows, touched.into_iter().collect());
    }

    /// Forgets what was heard and did not come true in time. Not while the store is away, or what runs would be lost sight of.
    pub(crate) fn forget_heard(&self) {
        let mut rows = self.rows();
        if rows.heard.is_empty() {
            return;
        }
        let now = Instant::now();
        let late = rows.heard.extract_if(|_, heard| heard.until <= now).map(|(_, heard)| heard.app).collect();
        self.show(&rows, late);
    }

    fn rows(&self) -> RwLockWriteGuard<'_, Rows> {
        self.rows.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Shows what is different of some apps.
    fn show(&self, rows: &Rows, mut touched: Vec<FunctionId>) {
        touched.sort();
        touched.dedup();
        let old = self.apps.load_full();
        let mut labels: HashMap<HostLabel, Arc<App>> = HashMap::clone(&old);
        labels.retain(|label, app| rows.routes.get(label).is_some_and(|route| route.app == app.id));
        let routes = rows.routes.values().filter(|route| touched.binary_search(&route.app).is_ok());
        let mut structural = labels.len() != old.len();
        for route in routes {
            let before = old.get(&route.label);
            if let Some(app) = rows.app(route, before) {
                structural |= before.is_none_or(|before| !Arc::ptr_eq(before, &app));
                labels.insert(route.label.clone(), app);
            }
        }
        if structural {
            self.replace(&old, labels);
        }
    }

    /// Shows other apps, and sends on who waits at one that is no more.
    fn replace(&self, old: &HashMap<HostLabel, Arc<App>>, new: HashMap<HostLabel, Arc<App>>) {
        let new = Arc::new(new);
        self.apps.store(Arc::clone(&new));
        for (label, app) in old {
            if !new.get(label).is_some_and(|same| Arc::ptr_eq(same, app)) {
                app.supersede();
            }
        }
    }
}

impl Rows {
    /// The apps that a change is about.
    fn apply(&mut self, item: ChangeItem) -> Option<FunctionId> {
        match item {
            ChangeItem::RouteSet(route) => {
                let app = route.app.clone();
                self.routes.insert(route.label.clone(), route);
                Some(app)
            }
            ChangeItem::RouteRemoved(label) => self.routes.remove(&label).map(|route| route.app),
            ChangeItem::DesiredSet(row) => {
                let app = row.app.clone();
                self.desired.insert((row.app.clone(), row.version), row);
                Some(app)
            }
            ChangeItem::DesiredRemoved(app, version) => {
                self.desired.remove(&(app.clone(), version));
                Some(app)
            }
            ChangeItem::InstanceSet(instance) => {
                let app = instance.app.clone();
                // What was heard may be ahead of this. Both are by the clock of the agent.
                let heard = self.heard.get(&instance.id).and_then(|heard| heard.instance.as_ref());
                if heard.is_some_and(|heard| heard.updated_ms <= instance.updated_ms) {
                    self.heard.remove(&instance.id);
                }
                self.instances.insert(instance.id, instance);
                Some(app)
            }
            ChangeItem::InstanceRemoved(id) => {
                let heard = self.heard.remove(&id).map(|heard| heard.app);
                self.instances.remove(&id).map(|instance| instance.app).or(heard)
            }
        }
    }

    /// The app that is heard of.
    fn hear(&mut self, item: ChangeItem, now: Instant) -> Option<FunctionId> {
        let until = now + HEARD_FOR;
        let (id, heard) = match item {
            ChangeItem::InstanceSet(instance) => {
                (instance.id, Heard { app: instance.app.clone(), instance: Some(instance), until })
            }
            ChangeItem::InstanceRemoved(id) => {
                let heard = self.heard.get(&id).map(|heard| heard.app.clone());
                let app = heard.or_else(|| self.instances.get(&id).map(|instance| instance.app.clone()))?;
                (id, Heard { app, instance: None, until })
            }
            // Of routes and of what should run the store alone tells.
            _ => return None,
        };
        let app = heard.app.clone();
        self.heard.insert(id, heard);
        Some(app)
    }

    /// Instances as they are, as far as is known.
    fn instances(&self) -> impl Iterator<Item = &Instance> {
        let read = self.instances.values().filter(|instance| !self.heard.contains_key(&instance.id));
        read.chain(self.heard.values().filter_map(|heard| heard.instance.as_ref()))
    }

    /// The app of a route. The one there was stays the same value if only its instances differ: who waits for a place at it is
    /// woken, and its counts go on.
    fn app(&self, route: &Route, before: Option<&Arc<App>>) -> Option<Arc<App>> {
        let row = self.desired.get(&(route.app.clone(), route.version))?;
        let settings = match serde_json::from_str::<InstanceSpec>(&row.spec) {
            Ok(spec) => spec.settings,
            Err(error) => {
                tracing::error!(app = %route.app, version = %route.version, %error, "a row of desired state cannot be read");
                return before.cloned();
            }
        };
        let known =
            before.filter(|app| app.id == route.app && app.version == route.version && app.settings == settings);
        let old = known.map(|app| app.endpoints.load_full()).unwrap_or_default();
        let mut endpoints: Vec<Arc<Endpoint>> = Vec::new();
        for instance in self.instances() {
            let mine =
                instance.app == route.app && instance.version == route.version && instance.generation == row.generation;
            let address: Option<HostAddress> = instance.address.as_deref().and_then(|address| address.parse().ok());
            let healthy = instance.state == InstanceState::Healthy.as_str();
            let (true, true, Some(address)) = (mine, healthy, address) else { continue };
            let detail: InstanceDetail = serde_json::from_str(&instance.detail).unwrap_or_default();
            let places = if detail.max_concurrency == 0 { PLACES_DEFAULT } else { detail.max_concurrency };
            let same = old.iter().find(|endpoint| endpoint.is_same(instance.id, &address, places));
            endpoints.push(same.map_or_else(|| Arc::new(Endpoint::new(instance.id, address, places)), Arc::clone));
        }
        endpoints.sort_by_key(|endpoint| endpoint.id);
        if let Some(app) = known {
            if !same_endpoints(&old, &endpoints) {
                app.endpoints.store(Arc::new(endpoints));
                app.places.changed();
            }
            return Some(Arc::clone(app));
        }
        let traffic = before.filter(|app| app.id == route.app).map(|app| Arc::clone(&app.traffic));
        let traffic = traffic.unwrap_or_else(|| Arc::new(Traffic::new()));
        Some(Arc::new(App::new(route.app.clone(), route.version, settings, endpoints, traffic)))
    }
}

fn same_endpoints(one: &[Arc<Endpoint>], other: &[Arc<Endpoint>]) -> bool {
    one.len() == other.len() && one.iter().zip(other).all(|(one, other)| Arc::ptr_eq(one, other))
}
