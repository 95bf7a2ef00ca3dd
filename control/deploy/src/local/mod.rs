//! Instances as host processes on this machine.

mod admin;
mod group;
mod health;
mod host;
mod instance;
mod order;
mod output;
mod pool;
mod secrets;

use std::collections::HashMap;
use std::future::Future;
use std::io;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, Once, PoisonError};
use std::time::Duration;

use ignite_cgroups::Lacking;
use ignite_core_model::{Digest, InstanceId, InstanceSpec};
use tokio_util::sync::CancellationToken;

use crate::{Backend, Reports};
use pool::Pool;

pub use health::Probing;
pub use secrets::{LoadSecret, SealedSecrets, Secrets};

/// Longest path of the folder that hosts' folders are made in, in bytes: a Unix socket's path has 107 at most.
const WORK_PATH_BYTES_MAX: usize = 80;

/// How long after the drain time of hosts whose agent died their files are kept.
const STALE_KEPT: Duration = Duration::from_secs(5);

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
    /// A folder of this backend's own, for sockets and unpacked files. What an earlier life of it left there is removed once
    /// the hosts of that life have ended.
    pub work_dir: PathBuf,
    /// The folder hosts keep in it what is the same at each start, such as machine code.
    pub cache_dir: PathBuf,
    /// Warm hosts kept for each runtime that was used.
    pub warm_per_runtime: usize,
    /// Longest time from the start of an instance to its first good probe.
    pub start_max: Duration,
    /// Longest time an instance may take to finish what it has.
    pub drain_max: Duration,
    /// How instances are probed.
    pub probing: Probing,
    /// Whether each host is held by the kernel to what its tier gives it, and kept from looking into others.
    pub confine: Confine,
    /// Variables of hosts beside their own, such as `PATH`. They get nothing else of this process's environment.
    pub env: Vec<(String, String)>,
}

/// How hosts are confined.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Confine {
    /// By control groups and a user namespace of their own, as far as this machine and user have them. What is missing is
    /// told once, and by [`LocalBackend::lacking`].
    WherePossible,
    /// Not at all. The hosts' own limits hold.
    Never,
}

/// Runs each instance as a host process, specialised from a warm one where there is one.
///
/// The hosts hold the other end of a pipe from this process, and drain when it ends: nothing outlives it. Dropped, it ends
/// what runs at once.
pub struct LocalBackend {
    shared: Arc<Shared>,
    /// What earlier lives of this backend left.
    stale: Vec<PathBuf>,
    swept: Once,
}

struct Shared {
    options: LocalOptions,
    artifacts: Arc<dyn Artifacts>,
    secrets: Arc<dyn Secrets>,
    pool: Pool,
    running: Mutex<HashMap<InstanceId, Running>>,
    /// The backend is gone.
    gone: CancellationToken,
}

/// An instance, from the order to start it to its end.
struct Running {
    drain: CancellationToken,
    process_id: Option<u32>,
}

impl Shared {
    fn running(&self) -> MutexGuard<'_, HashMap<InstanceId, Running>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl LocalBackend {
    /// A backend with a folder of its own in the work folder.
    ///
    /// # Errors
    /// When that folder cannot be made, or its path is too long for the path of a socket in it.
    pub fn new(options: LocalOptions, artifacts: Arc<dyn Artifacts>, secrets: Arc<dyn Secrets>) -> io::Result<Self> {
        std::fs::create_dir_all(&options.work_dir)?;
        let stale = folders(&options.work_dir)?;
        let life = options.work_dir.join(format!("{:08x}", rand::random::<u32>()));
        if life.as_os_str().len() > WORK_PATH_BYTES_MAX {
            let why = format!(
                "{} is too long for the paths of sockets: use a folder of at most {} bytes",
                options.work_dir.display(),
                WORK_PATH_BYTES_MAX - 9
            );
            return Err(io::Error::new(io::ErrorKind::InvalidInput, why));
        }
        std::fs::create_dir(&life)?;
        if options.confine == Confine::WherePossible {
            for lacking in group::lacking() {
                let (controller, why) = (lacking.controller, &lacking.why);
                tracing::warn!(%controller, %why, "hosts run without this control group: their own watch holds their apps");
            }
        }
        let gone = CancellationToken::new();
        let pool = Pool::new(options.clone(), life);
        let shared = Shared { options, artifacts, secrets, pool, running: Mutex::default(), gone };
        Ok(Self { shared: Arc::new(shared), stale, swept: Once::new() })
    }

    /// Starts warm hosts for these runtimes now, in place of when the first app of each is started.
    pub fn warm_up(&self, runtimes: &[&'static str]) {
        self.sweep();
        for runtime in runtimes {
            self.shared.pool.refill(runtime);
        }
    }

    /// Warm hosts that wait for an app of this runtime.
    #[must_use]
    pub fn warm(&self, runtime: &str) -> usize {
        self.shared.pool.ready(runtime)
    }

    /// What of [`Confine`] this machine does not have, in words; found out at the start, and the user namespace by the first
    /// host.
    #[must_use]
    pub fn lacking(&self) -> Vec<String> {
        if self.shared.options.confine == Confine::Never {
            return vec!["hosts are not confined, as configured".to_owned()];
        }
        let mut lacking: Vec<String> = group::lacking()
            .iter()
            .map(|Lacking { controller, why }| {
                format!("there is no control group for `{controller}`, which the kernel does not hold: {why}")
            })
            .collect();
        if self.shared.pool.lacks_own_user() {
            lacking.push("there is no user namespace for hosts: those of one user can look into each other".to_owned());
        }
        lacking
    }

    /// The process of an instance, once it has one.
    #[must_use]
    pub fn process_id(&self, id: InstanceId) -> Option<u32> {
        self.shared.running().get(&id).and_then(|running| running.process_id)
    }

    /// Removes, once, what earlier lives left. Their hosts may still drain: they were told to when their agent died.
    fn sweep(&self) {
        self.swept.call_once(|| {
            if self.stale.is_empty() {
                return;
            }
            let (stale, kept) = (self.stale.clone(), self.shared.options.drain_max + STALE_KEPT);
            tokio::spawn(async move {
                tokio::time::sleep(kept).await;
                let _ = tokio::task::spawn_blocking(move || {
                    stale.iter().for_each(|folder| remove(folder));
                    group::sweep();
                })
                .await;
            });
        });
    }
}

impl Backend for LocalBackend {
    fn start(&self, id: InstanceId, spec: Arc<InstanceSpec>, reports: Reports) {
        self.sweep();
        let drain = CancellationToken::new();
        self.shared.running().insert(id, Running { drain: drain.clone(), process_id: None });
        tokio::spawn(instance::run(Arc::clone(&self.shared), id, spec, reports, drain));
    }

    fn drain(&self, id: InstanceId) {
        if let Some(running) = self.shared.running().get(&id) {
            running.drain.cancel();
        }
    }
}

impl Drop for LocalBackend {
    fn drop(&mut self) {
        self.shared.gone.cancel();
        self.shared.pool.close();
    }
}

fn folders(dir: &Path) -> io::Result<Vec<PathBuf>> {
    std::fs::read_dir(dir)?.map(|entry| entry.map(|entry| entry.path())).collect()
}

/// What cannot be removed is tried again in the next life.
fn remove(folder: &Path) {
    if let Err(error) = std::fs::remove_dir_all(folder)
        && error.kind() != io::ErrorKind::NotFound
    {
        tracing::warn!(folder = %folder.display(), %error, "a folder of a host could not be removed");
    }
}
