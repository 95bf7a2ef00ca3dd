//! What does not depend on a component: the engine with its pool, the linker, the clock.
//!
//! One engine may also serve many components: [`WarmWasm::shared`].

use std::path::Path;
use std::sync::Arc;

use ignite_core_model::{Digest, Limits};
use wasmtime::Engine;
use wasmtime::component::Linker;

use crate::aot::{Cache, Whole, keep_compiled};
use crate::config::WasmError;
use crate::engine::{PoolSize, pooling_engine};
use crate::load;
use crate::pulse::Pulse;
use crate::state::State;

/// Instances beyond those that execute, where many apps share an engine: each app that is being loaded makes one.
pub const SHARED_LOADS_MAX: u32 = 8;

/// Memories of one component where many apps share an engine; one that is composed of more parts is refused.
const SHARED_MEMORIES: u32 = 2;
/// Tables of one component there.
const SHARED_TABLES: u32 = 4;
/// Memory that idle places of a shared pool may keep together, in MiB, times four; see [`PoolSize`].
const SHARED_KEPT_MB: u32 = 128;

/// An engine that is up and has no component yet. Nothing of an app is in it. A clone is the same engine.
#[derive(Clone)]
pub struct WarmWasm {
    pub(crate) engine: Engine,
    /// Whether it has a pool; else instances are allocated one by one.
    pub(crate) pooled: bool,
    pub(crate) size: PoolSize,
    pub(crate) linker: Arc<Linker<State>>,
    pub(crate) pulse: Arc<Pulse>,
    /// What apps share beyond that, where many do; then no app gets an engine of its own.
    pub(crate) shared: Option<SharedCode>,
}

/// The machine code of many apps.
#[derive(Clone)]
pub(crate) struct SharedCode {
    /// Files there may be.
    pub(crate) files_max: usize,
    pub(crate) whole: Arc<Whole>,
}

impl SharedCode {
    pub(crate) fn cache(&self, cache: Cache) -> Cache {
        cache.with_files_max(self.files_max).with_known(Some(Arc::clone(&self.whole)))
    }
}

impl WarmWasm {
    /// An engine for apps that may use as much as `limits` say. Blocks, for about a millisecond.
    ///
    /// # Errors
    /// When the engine cannot be set up on this machine.
    pub fn start(limits: &Limits) -> Result<Self, WasmError> {
        Self::of_size(PoolSize::usual(limits.max_concurrency, limits.memory_mb))
    }

    /// An engine for `apps_max` apps, of which `instances_max` executions may run at once, over all of them together, and of
    /// which [`SHARED_LOADS_MAX`] may be loaded at once. Whoever starts executors with clones of it sees to that. Blocks.
    ///
    /// # Errors
    /// When the engine cannot be set up on this machine.
    pub fn shared(apps_max: usize, instances_max: u32) -> Result<Self, WasmError> {
        let size = PoolSize {
            instances: instances_max.saturating_add(SHARED_LOADS_MAX),
            memories: SHARED_MEMORIES,
            tables: SHARED_TABLES,
            memory_mb: SHARED_KEPT_MB,
        };
        let shared = SharedCode { files_max: apps_max, whole: Arc::default() };
        Ok(Self { shared: Some(shared), ..Self::of_size(size)? })
    }

    /// Whether machine code of the component `digest` lies in `aot_cache`. A look at a file's name: whether it is whole is
    /// known when it is loaded.
    #[must_use]
    pub fn has_code(&self, digest: &Digest, aot_cache: &Path) -> bool {
        self.cache(aot_cache).is_ok_and(|cache| cache.path(&self.engine, digest).is_file())
    }

    /// As [`crate::precompile`], for this engine.
    ///
    /// # Errors
    /// As [`crate::precompile`].
    pub fn precompile(&self, wasm: &[u8], aot_cache: &Path) -> Result<(), WasmError> {
        keep_compiled(&self.engine, wasm, &self.cache(aot_cache)?).map(drop)
    }

    fn cache(&self, dir: &Path) -> Result<Cache, WasmError> {
        let cache = Cache::open(dir)?;
        Ok(match &self.shared {
            Some(shared) => shared.cache(cache),
            None => cache,
        })
    }

    pub(crate) fn of_size(size: PoolSize) -> Result<Self, WasmError> {
        let (engine, pooled) = pooling_engine(size)?;
        let linker = Arc::new(load::linker(&engine)?);
        let pulse = Pulse::new(&engine)
            .ok_or_else(|| WasmError::Engine { reason: "the thread of its clock could not be started".into() })?;
        Ok(Self { engine, pooled, size, linker, pulse, shared: None })
    }
}
