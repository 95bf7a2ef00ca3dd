//! Instances as host processes on this machine.

mod admin;
mod instance;
mod output;
mod pool;

use std::collections::HashMap;
use std::future::Future;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ignite_core_model::{Digest, InstanceId};
use tokio_util::sync::CancellationToken;

use crate::{Backend, InstanceSpec, Reports};
use pool::Pool;

/// Where artifacts are had.
pub trait Artifacts: Send + Sync + 'static {
    /// The path of a file with this artifact, whose digest was checked. It stays until the process ends or the call is made
    /// again for many others.
    fn fetch(&self, artifact: Digest) -> Pin<Box<dyn Future<Output = Result<PathBuf, String>> + Send + '_>>;
}

/// How instances are run.
#[derive(Debug, Clone)]
pub struct LocalOptions {
    /// The host's program.
    pub host_program: PathBuf,
    /// A folder of this backend's own, for sockets and unpacked files. It is emptied at the start.
    pub work_dir: PathBuf,
    /// The folder hosts keep in it what is the same at each start, such as machine code.
    pub cache_dir: PathBuf,
    /// Warm hosts kept for each runtime that was used.
    pub warm_per_runtime: usize,
    /// Longest time from the start of a process to its first good probe.
    pub start_max: Duration,
    /// Longest time an instance may take to finish what it has.
    pub drain_max: Duration,
    /// Variables of hosts beside their own, such as `PATH`. They get nothing else of this process's environment.
    pub env: Vec<(String, String)>,
}

/// Runs each instance as a host process, specialised from a warm one where there is one.
///
/// The hosts hold the other end of a pipe from this process, and drain when it ends: nothing outlives it.
pub struct LocalBackend {
    shared: Arc<Shared>,
    running: Mutex<HashMap<InstanceId, CancellationToken>>,
}

struct Shared {
    options: LocalOptions,
    artifacts: Arc<dyn Artifacts>,
    pool: Pool,
}

impl LocalBackend {
    /// A backend in an empty work folder.
    ///
    /// # Errors
    /// When the work folder cannot be made.
    pub fn new(options: LocalOptions, artifacts: Arc<dyn Artifacts>) -> std::io::Result<Self> {
        match std::fs::remove_dir_all(&options.work_dir) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
            _ => std::fs::create_dir_all(&options.work_dir)?,
        }
        let pool = Pool::new(options.clone());
        Ok(Self { shared: Arc::new(Shared { options, artifacts, pool }), running: Mutex::default() })
    }

    /// Starts warm hosts for these runtimes now, in place of when the first app of each is started.
    pub fn warm_up(&self, runtimes: &[&'static str]) {
        for runtime in runtimes {
            self.shared.pool.refill(runtime);
        }
    }

    fn running(&self) -> std::sync::MutexGuard<'_, HashMap<InstanceId, CancellationToken>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Backend for LocalBackend {
    fn start(&self, id: InstanceId, spec: Arc<InstanceSpec>, reports: Reports) {
        let drain = CancellationToken::new();
        let mut running = self.running();
        running.retain(|_, drain| !drain.is_cancelled());
        running.insert(id, drain.clone());
        tokio::spawn(instance::run(Arc::clone(&self.shared), id, spec, reports, drain));
    }

    fn drain(&self, id: InstanceId) {
        if let Some(drain) = self.running().remove(&id) {
            drain.cancel();
        }
    }
}
