//! Routes and instances: what a request is led by.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, RwLock};

use arc_swap::ArcSwap;
use ignite_core_model::{
    FunctionId, HostLabel, InstanceDetail, InstanceId, InstanceSpec, InstanceState, VersionNumber,
};
use ignite_store_meta::{ChangeItem, Desired, Instance, Route, Snapshot};

use crate::app::{App, Traffic};
use crate::endpoint::Endpoint;

/// Executions an instance takes at once, where its agent does not say.
const PLACES_DEFAULT: u32 = 16;

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
        let mut rows = self.rows.write().unwrap_or_else(std::sync::PoisonError::into_inner);
        *rows = Rows {
            routes: snapshot.routes.into_iter().map(|route| (route.label.clone(), route)).collect(),
            desired: snapshot.desired.into_iter().map(|row| ((row.app.clone(), row.version), row)).collect(),
            instances: snapshot.instances.into_iter().map(|instance| (instance.id, instance)).collect(),
        };
        let old = self.apps.load_full();
        let apps =
            rows.routes.iter().filter_map(|(label, route)| Some((label.clone(), rows.app(route, old.get(label))?)));
        self.replace(&old, apps.collect());
    }

    /// Takes changes.
    pub(crate) fn change(&self, items: Vec<ChangeItem>) {
        let mut rows = self.rows.write().unwrap_or_else(std::sync::PoisonError::into_inner);
        let mut touched: Vec<FunctionId> = Vec::new();
        for item in items {
            touched.extend(rows.apply(item));
        }
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
                self.instances.insert(instance.id, instance);
                Some(app)
            }
            ChangeItem::InstanceRemoved(id) => self.instances.remove(&id).map(|instance| instance.app),
        }
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
        for instance in self.instances.values() {
            let mine =
                instance.app == route.app && instance.version == route.version && instance.generation == row.generation;
            let address = instance.address.as_deref().and_then(|address| address.parse().ok());
            let healthy = instance.state == InstanceState::Healthy.as_str();
            let (true, true, Some(address)) = (mine, healthy, address) else { continue };
            let detail: InstanceDetail = serde_json::from_str(&instance.detail).unwrap_or_default();
            let places = if detail.max_concurrency == 0 { PLACES_DEFAULT } else { detail.max_concurrency };
            let same = old.iter().find(|endpoint| endpoint.is_same(instance.id, address, places));
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
