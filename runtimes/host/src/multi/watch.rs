//! What changes in the folder while it is served.
//!
//! The system tells that something has changed, not what: the folder is listed anew then, and now and then without being
//! told. Whatever is new or changed is prepared before it is served; what it replaces serves until then, and finishes what
//! it has in hand.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use ignite_core_model::HostLabel;
use rustix::fs::inotify::{CreateFlags, WatchFlags, add_watch, init};
use serde_json::json;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::time::Instant;

use super::app::App;
use super::folder::{self, Entry, Listing, Stamp};
use super::{APPS_MAX, LOOK_EVERY, Multi};

/// How long changes are gathered: who copies many artifacts makes many changes.
const GATHER: Duration = Duration::from_millis(20);
/// Bytes of events read at once. What they say is not looked at.
const EVENTS_BYTES: usize = 16 * 1024;

/// Keeps the apps as the folder has them, until the task is aborted.
pub(super) async fn run(multi: Arc<Multi>) {
    let bell = Bell::new(&multi.dir).inspect_err(|error| {
        let fields = json!({ "error": error.to_string(), "looks_every_ms": LOOK_EVERY.as_millis() as u64 });
        multi.logs.host("warn", "changes of the folder of apps are seen late", &fields);
    });
    let bell = bell.ok();
    let mut seen = Seen::default();
    loop {
        look(&multi, &mut seen).await;
        multi.listed.store(true, Ordering::Release);
        match &bell {
            Some(bell) => drop(tokio::time::timeout(LOOK_EVERY, bell.rings()).await),
            None => tokio::time::sleep(LOOK_EVERY).await,
        }
        tokio::time::sleep(GATHER).await;
        if let Some(bell) = &bell {
            bell.hush();
        }
    }
}

/// What was said about artifacts that are not served, so that it is said once.
#[derive(Default)]
struct Seen {
    /// Artifacts that could not be prepared, as they were then.
    broken: HashMap<HostLabel, Stamp>,
    refused: BTreeMap<String, String>,
    unreadable: bool,
    too_many: bool,
}

async fn look(multi: &Arc<Multi>, seen: &mut Seen) {
    let dir = multi.dir.clone();
    let listing = tokio::task::spawn_blocking(move || folder::list(&dir)).await;
    let listing = match listing.unwrap_or_else(|error| Err(io::Error::other(error.to_string()))) {
        Ok(listing) => listing,
        Err(error) => {
            // What is served goes on: a folder that cannot be read is not one that is empty.
            if !std::mem::replace(&mut seen.unreadable, true) {
                multi.logs.host("error", "the folder of apps cannot be read", &json!({ "error": error.to_string() }));
            }
            return;
        }
    };
    seen.unreadable = false;
    let Listing { mut entries, refused } = listing;
    for (name, reason) in refused.iter().filter(|(name, reason)| seen.refused.get(*name) != Some(*reason)) {
        multi.logs.host("warn", "an entry of the folder is not served", &json!({ "entry": name, "reason": reason }));
    }
    let further = entries.len().saturating_sub(APPS_MAX);
    while entries.len() > APPS_MAX {
        entries.pop_last();
    }
    if further > 0 && !seen.too_many {
        let fields = json!({ "apps_max": APPS_MAX, "further": further });
        multi.logs.host("error", "the folder has too many apps, and the last ones are not served", &fields);
    }
    seen.too_many = further > 0;

    remove(multi, &entries);
    seen.broken.retain(|label, _| entries.contains_key(label));
    let mut changed = false;
    for (label, entry) in entries {
        let known = multi.apps.read().unwrap_or_else(PoisonError::into_inner).get(&label).cloned();
        let same =
            known.as_ref().is_some_and(|app| app.entry == entry) || seen.broken.get(&label) == Some(&entry.stamp);
        if same {
            continue;
        }
        changed = true;
        let stamp = entry.stamp;
        match prepare(multi, &label, entry, known.as_ref()).await {
            Ok(app) => {
                seen.broken.remove(&label);
                put(multi, app, known).await;
            }
            Err(reason) => {
                seen.broken.insert(label.clone(), stamp);
                let before = if known.is_some() { "the one before it goes on" } else { "nothing is served there" };
                let fields = json!({ "label": label.as_str(), "reason": reason, "meanwhile": before });
                multi.logs.host("error", "an artifact is not served", &fields);
            }
        }
    }
    multi.refused.store((refused.len() + seen.broken.len() + further) as u64, Ordering::Relaxed);
    seen.refused = refused;
    if changed {
        let apps = multi.apps.read().unwrap_or_else(PoisonError::into_inner).len();
        multi.logs.host("info", "the folder of apps was read", &json!({ "apps": apps }));
    }
}

async fn prepare(
    multi: &Arc<Multi>,
    label: &HostLabel,
    entry: Entry,
    known: Option<&Arc<App>>,
) -> Result<Arc<App>, String> {
    let counts = known.map(|app| Arc::clone(&app.counts)).unwrap_or_default();
    let (workshop, label) = (multi.workshop.clone(), label.clone());
    let made = tokio::task::spawn_blocking(move || workshop.app(label, entry, counts)).await;
    match made {
        Ok(Ok(app)) => Ok(Arc::new(app)),
        Ok(Err(error)) => Err(error.in_full()),
        Err(error) => Err(error.to_string()),
    }
}

/// Serves `app` from now on, in place of `known`. Where that is loaded the new one is loaded first, so nobody waits.
async fn put(multi: &Arc<Multi>, app: Arc<App>, known: Option<Arc<App>>) {
    if known.as_ref().is_some_and(|known| known.is_loaded())
        && let super::Entered::Load(done) = app.enter()
    {
        app.used.store(multi.clock.fetch_add(1, Ordering::Relaxed), Ordering::Relaxed);
        multi.load(&app).await;
        drop(done);
        multi.evict().await;
        if !app.is_loaded() {
            multi.logs.host(
                "error",
                "an artifact is served although its code does not load",
                &json!({ "label": app.label.as_str() }),
            );
        }
    }
    let before = multi.apps.write().unwrap_or_else(PoisonError::into_inner).insert(app.label.clone(), app);
    if let Some(before) = before {
        retire(multi, &before);
    }
}

fn remove(multi: &Arc<Multi>, entries: &BTreeMap<HostLabel, Entry>) {
    let gone: Vec<Arc<App>> = {
        let mut apps = multi.apps.write().unwrap_or_else(PoisonError::into_inner);
        let gone: Vec<HostLabel> = apps.keys().filter(|label| !entries.contains_key(*label)).cloned().collect();
        gone.iter().filter_map(|label| apps.remove(label)).collect()
    };
    for app in gone {
        multi.logs.host("info", "an app was removed", &json!({ "app": app.function.as_str() }));
        retire(multi, &app);
    }
}

/// Lets a version that is not served any more finish what it has in hand.
fn retire(multi: &Arc<Multi>, app: &Arc<App>) {
    if let Some(serving) = app.retire() {
        let deadline = Instant::now() + serving.limits.drain_timeout;
        // Bounded by the drain limit.
        tokio::spawn(async move { serving.drain(deadline).await });
    }
    multi.loaded.lock().unwrap_or_else(PoisonError::into_inner).retain(|known| !Arc::ptr_eq(known, app));
}

/// Rings when something has changed in a folder.
struct Bell(AsyncFd<OwnedFd>);

impl Bell {
    fn new(dir: &Path) -> io::Result<Self> {
        let fd = init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC)?;
        let changes = WatchFlags::CREATE
            | WatchFlags::CLOSE_WRITE
            | WatchFlags::MOVED_FROM
            | WatchFlags::MOVED_TO
            | WatchFlags::DELETE
            | WatchFlags::ONLYDIR;
        add_watch(&fd, dir, changes)?;
        #[expect(deprecated, reason = "the safe successor does not exist yet; an OwnedFd keeps its descriptor open")]
        let fd = AsyncFd::with_interest(fd, Interest::READABLE)?;
        Ok(Self(fd))
    }

    async fn rings(&self) {
        // An error means that the reactor is gone, and with it everybody who waits here.
        let _ = self.0.readable().await;
    }

    /// Takes what has come: one look at the folder answers all of it.
    fn hush(&self) {
        let mut events = vec![0; EVENTS_BYTES];
        while rustix::io::read(self.0.get_ref(), &mut events[..]).is_ok_and(|count| count > 0) {}
    }
}
