//! A component that is loaded and can be instantiated.

use std::sync::Arc;
use std::time::{Duration, Instant};

use ignite_core_model::Digest;
use ignite_runtimes_executor::LogSource;
use tokio::sync::Semaphore;
use wasmtime::component::Component;
use wasmtime::{Engine, Store};

use crate::aot::{Cache, Found};
use crate::config::{WasmConfig, WasmError};
use crate::crowd::{Habit, Slice};
use crate::engine::PoolSize;
use crate::execution::Head;
use crate::failure::{Bounds, Stage, explain};
use crate::lines::ExecutionLog;
use crate::load::{self, Handler};
use crate::memory::MemoryBudget;
use crate::pulse::Pulse;
use crate::state::{State, StateSource};
use crate::warm::{SharedCode, WarmWasm};

/// Bytes a guest may hand over in one call, at least: the same as one frame of a process's worker. An answer may be as
/// long as the app's limit says.
const HANDED_OVER_BYTES_MIN: usize = 32 * 1024 * 1024;

/// Bytes of an answer around its body: headers, and the names and lengths of all.
const ANSWER_HEAD_BYTES_MAX: usize = 1024 * 1024;

/// Memories and tables an engine's pool is made for at most; a component that needs more is refused by the engine.
const PARTS_MAX: u32 = 64;

/// Bytes of a page of memory.
const PAGE_BYTES: u64 = 64 * 1024;

/// A loaded component and what its instances need.
pub(crate) struct Ready {
    pub(crate) handler: Handler,
    pub(crate) engine: Engine,
    pub(crate) pulse: Arc<Pulse>,
    /// One for each execution that may have an instance. Never more than the pool has places, and never so many that
    /// their memories as they begin exceed the limit.
    pub(crate) permits: Arc<Semaphore>,
    pub(crate) permits_max: u32,
    pub(crate) budget: Arc<MemoryBudget>,
    pub(crate) habit: Arc<Habit>,
    pub(crate) bounds: Bounds,
    /// Whether machine code was at hand.
    pub(crate) was_compiled: bool,
    pub(crate) load_time: Duration,
    /// Of it, until there was an engine with its pool.
    pub(crate) engine_time: Duration,
    handed_over_bytes_max: usize,
    source: Arc<StateSource>,
}

impl Ready {
    /// Loads the component, from machine code if there is any. Takes long where there is none, and blocks.
    pub(crate) fn load(config: &WasmConfig, warm: Option<WarmWasm>) -> Result<Self, WasmError> {
        let began = Instant::now();
        let log = ExecutionLog::new(&config.logs, None);
        let size = PoolSize::usual(config.limits.max_concurrency, config.limits.memory_mb);
        let warm = match warm {
            Some(warm) if warm.shared.is_some() || warm.size.covers(size) => warm,
            _ => WarmWasm::of_size(size)?,
        };
        let engine_time = began.elapsed();
        let WarmWasm { mut engine, mut pooled, size, mut linker, mut pulse, shared } = warm;
        let mut loader = Loader { config, log: &log, wasm: None, was_compiled: false, shared: shared.as_ref() };
        let mut component = loader.load(&engine)?;
        let larger = needs(&component).and_then(|needs| size.enlarged(needs.memories, needs.tables));
        if let (Some(larger), None) = (larger, &shared) {
            WarmWasm { engine, pooled, linker, pulse, .. } = WarmWasm::of_size(larger)?;
            component = loader.load(&engine)?;
        }
        if !pooled {
            let message =
                "instances are allocated one by one, and slower: this machine has too little address space for a pool";
            log.line(LogSource::Host, "warn", message, "");
        }
        let was_compiled = loader.was_compiled;
        let memory_bytes = needs(&component).map_or(0, |needs| needs.memory_bytes);
        let permits_max = permits(memory_bytes, config)?;
        let handler = load::link(&component, &linker)?;
        // Otherwise done by the first execution.
        component
            .initialize_copy_on_write_image()
            .map_err(|error| WasmError::Engine { reason: format!("{error:#}") })?;
        let budget = MemoryBudget::new(config.limits.memory_mb);
        let response_bytes_max = config.limits.response_bytes_max;
        Ok(Self {
            handler,
            engine,
            pulse,
            permits: Arc::new(Semaphore::new(permits_max as usize)),
            permits_max,
            budget: Arc::clone(&budget),
            habit: Arc::default(),
            bounds: Bounds { memory_mb: config.limits.memory_mb, response_bytes_max },
            was_compiled,
            load_time: began.elapsed(),
            engine_time,
            handed_over_bytes_max: response_bytes_max.max(HANDED_OVER_BYTES_MIN).saturating_add(ANSWER_HEAD_BYTES_MAX),
            source: Arc::new(StateSource {
                env: config.env.clone(),
                line_bytes_max: config.limits.log_line_bytes_max,
                budget,
            }),
        })
    }

    /// A store for one execution.
    pub(crate) fn store(
        &self,
        log: ExecutionLog,
        head: Option<tokio::sync::oneshot::Sender<Head>>,
        slice: Arc<Slice>,
    ) -> Store<State> {
        let mut store = Store::new(&self.engine, State::new(&self.source, log, head, slice.born()));
        store.limiter(|state| &mut state.memory);
        store.set_hostcall_fuel(self.handed_over_bytes_max);
        store.set_epoch_deadline(1);
        store.epoch_deadline_callback(move |_| Ok(slice.on_beat()));
        store
    }

    /// Makes one instance and throws it away, so that what cannot be instantiated is known before the first request, and
    /// so that the first request finds everything warm.
    pub(crate) async fn first_instance(&self, log: ExecutionLog) -> Result<(), WasmError> {
        let _beat = self.pulse.begin();
        let mut store = self.store(log, None, Slice::new());
        let made = match &self.handler {
            Handler::Function(function) => function.instantiate_async(&mut store).await.map(drop),
            Handler::Http(proxy) => proxy.instantiate_async(&mut store).await.map(drop),
        };
        made.map_err(|error| {
            let reason = explain(error, Stage::Begin, store.data(), self.bounds).to_string();
            WasmError::FirstInstance { reason }
        })
    }
}

/// Loads a component for an engine, and reads its file once at most.
struct Loader<'a> {
    config: &'a WasmConfig,
    log: &'a ExecutionLog,
    wasm: Option<Vec<u8>>,
    was_compiled: bool,
    shared: Option<&'a SharedCode>,
}

impl Loader<'_> {
    fn load(&mut self, engine: &Engine) -> Result<Component, WasmError> {
        let cache = self.cache();
        let digest = &self.config.digest;
        if let Some(cache) = &cache {
            match cache.find(engine, digest) {
                Found::Code(component) => return Ok(component),
                Found::Nothing => {}
                Found::Unusable(why) => self.warn(&format!(
                    "machine code kept in {} is not used, the component is compiled anew: {why}",
                    cache.path(engine, digest).display()
                )),
            }
        }
        let wasm = match self.wasm.take() {
            Some(wasm) => wasm,
            None => self.read()?,
        };
        let component = load::compile(engine, &wasm)?;
        self.was_compiled = true;
        self.wasm = Some(wasm);
        if let Some(Err(error)) = cache.map(|cache| cache.keep(&component, digest)) {
            self.warn(&error.to_line());
        }
        Ok(component)
    }

    /// The folder of machine code, if it can be used.
    fn cache(&self) -> Option<Cache> {
        match Cache::open(self.config.aot_cache.as_deref()?) {
            Ok(cache) => Some(match self.shared {
                Some(shared) => shared.cache(cache),
                None => cache,
            }),
            Err(error) => {
                self.warn(&error.to_line());
                None
            }
        }
    }

    fn read(&self) -> Result<Vec<u8>, WasmError> {
        let path = &self.config.component;
        let wasm = std::fs::read(path).map_err(|cause| WasmError::Read { path: path.clone(), cause })?;
        let found = Digest::of(&wasm);
        if found == self.config.digest {
            Ok(wasm)
        } else {
            Err(WasmError::Changed { expected: self.config.digest, found })
        }
    }

    fn warn(&self, message: &str) {
        self.log.line(LogSource::Host, "warn", message, "");
    }
}

struct Needs {
    memories: u32,
    tables: u32,
    /// Of all memories as they begin.
    memory_bytes: u64,
}

/// What one instance of `component` needs, where that can be told.
fn needs(component: &Component) -> Option<Needs> {
    let needs = component.resources_required()?;
    // The engine tells the largest only, in pages; nearly every component has one.
    let memory_bytes = needs.max_initial_memory_size.unwrap_or(0).saturating_mul(PAGE_BYTES);
    Some(Needs { memories: needs.num_memories.min(PARTS_MAX), tables: needs.num_tables.min(PARTS_MAX), memory_bytes })
}

/// Executions that may have an instance at once.
fn permits(memory_bytes: u64, config: &WasmConfig) -> Result<u32, WasmError> {
    let memory_mb = config.limits.memory_mb;
    let limit = u64::from(memory_mb) * 1024 * 1024;
    if memory_bytes > limit {
        return Err(WasmError::Memory { needed_mb: memory_bytes.div_ceil(1024 * 1024), memory_mb });
    }
    let fitting = limit.checked_div(memory_bytes).unwrap_or(u64::MAX).try_into().unwrap_or(u32::MAX);
    Ok(config.limits.max_concurrency.clamp(1, fitting.max(1)))
}
