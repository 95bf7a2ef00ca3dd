//! How long executions are kept, and what belongs to nobody.

use std::collections::HashSet;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ignite_core_model::{ExecutionId, FunctionId};
use ignite_store_meta::Swept;
use ignite_store_objects::ObjectKey;
use tokio_util::sync::CancellationToken;

use super::limits::ms;
use super::payload::{PAYLOADS_PREFIX, parse_key};
use super::{ExecutionError, Executions};

/// Time between two sweeps of records.
const SWEEP_EVERY: Duration = Duration::from_secs(60);

/// Of so many sweeps one looks through the objects, too, beginning with the first.
const OBJECTS_EVERY: u32 = 60;

/// Executions deleted by one statement.
const PAGE: u32 = 500;

/// Statements of one sweep; the rest is for the next.
const PAGES_MAX: u32 = 20;

/// An object younger than this may belong to a record that is being written.
const OBJECT_YOUNG: Duration = Duration::from_secs(3600);

/// Apps of which an execution has ended since the last sweep.
#[derive(Clone, Default)]
pub(crate) struct Ended(Arc<Mutex<HashSet<FunctionId>>>);

impl Ended {
    pub(crate) fn note(&self, app: FunctionId) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(app);
    }

    fn take(&self) -> HashSet<FunctionId> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Begins to sweep until `stop`. The future ends when it has.
pub(crate) fn start(executions: Executions, stop: CancellationToken) -> (Ended, impl Future<Output = ()>) {
    let ended = Ended::default();
    let noted = ended.clone();
    let sweeping = tokio::spawn(async move {
        for number in 0_u32.. {
            if let Err(error) = executions.sweep(&noted.take(), number % OBJECTS_EVERY == 0).await {
                let error = &error as &dyn std::error::Error;
                tracing::warn!(error, "executions could not be swept; it is tried again");
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(SWEEP_EVERY) => {}
            }
        }
    });
    (ended, async move {
        let _ = sweeping.await;
    })
}

impl Executions {
    /// Deletes executions that were kept for long enough, those of `apps` that are too many, and, if `objects`, payloads that no
    /// execution refers to.
    ///
    /// # Errors
    /// Of the store. What was not deleted is found by the next sweep.
    pub(crate) async fn sweep(&self, apps: &HashSet<FunctionId>, objects: bool) -> Result<(), ExecutionError> {
        let before_ms = self.apps.clock().now_ms().saturating_sub(ms(self.limits.kept_max));
        for _ in 0..PAGES_MAX {
            let swept = self.apps.meta().sweep_executions(before_ms, PAGE).await?;
            if !self.delete_objects(swept).await? {
                break;
            }
        }
        for app in apps {
            for _ in 0..PAGES_MAX {
                let swept = self.apps.meta().trim_executions(app, self.limits.kept_per_app_max, PAGE).await?;
                if !self.delete_objects(swept).await? {
                    break;
                }
            }
        }
        if objects { self.sweep_objects().await } else { Ok(()) }
    }

    /// Tells whether there may be more to sweep.
    async fn delete_objects(&self, swept: Swept) -> Result<bool, ExecutionError> {
        for key in &swept.objects {
            if let Ok(key) = key.parse() {
                self.objects.delete(&key).await?;
            }
        }
        Ok(swept.executions == u64::from(PAGE))
    }

    /// Deletes payloads of executions that there are not: of apps that were erased, and of what a crash left half-made.
    pub(crate) async fn sweep_objects(&self) -> Result<(), ExecutionError> {
        let made_before_ms = self.apps.clock().now_ms().saturating_sub(ms(OBJECT_YOUNG));
        let mut after: Option<ObjectKey> = None;
        loop {
            let page = self.objects.list(PAYLOADS_PREFIX, after.as_ref(), PAGE as usize).await?;
            let old: Vec<(ExecutionId, &ObjectKey)> = page
                .iter()
                .filter_map(|object| {
                    let (id, made_ms) = parse_key(&object.key)?;
                    (made_ms < made_before_ms).then_some((id, &object.key))
                })
                .collect();
            let ids: Vec<ExecutionId> = old.iter().map(|(id, _)| *id).collect();
            let known = self.apps.meta().known_executions(&ids).await?;
            for (_, key) in old.iter().filter(|(id, _)| !known.contains(id)) {
                self.objects.delete(key).await?;
            }
            match page.last() {
                Some(last) if page.len() >= PAGE as usize => after = Some(last.key.clone()),
                _ => return Ok(()),
            }
        }
    }
}
