//! What does not depend on a component: the engine with its pool, the linker, the clock.

use std::sync::Arc;

use ignite_core_model::Limits;
use wasmtime::Engine;
use wasmtime::component::Linker;

use crate::config::WasmError;
use crate::engine::{PoolSize, pooling_engine};
use crate::load;
use crate::pulse::Pulse;
use crate::state::State;

/// An engine that is up and has no component yet. Nothing of an app is in it.
pub struct WarmWasm {
    pub(crate) engine: Engine,
    /// Whether it has a pool; else instances are allocated one by one.
    pub(crate) pooled: bool,
    pub(crate) size: PoolSize,
    pub(crate) linker: Linker<State>,
    pub(crate) pulse: Arc<Pulse>,
}

impl WarmWasm {
    /// An engine for apps that may use as much as `limits` say. Blocks, for about a millisecond.
    ///
    /// # Errors
    /// When the engine cannot be set up on this machine.
    pub fn start(limits: &Limits) -> Result<Self, WasmError> {
        Self::of_size(PoolSize::usual(limits.max_concurrency, limits.memory_mb))
    }

    pub(crate) fn of_size(size: PoolSize) -> Result<Self, WasmError> {
        let (engine, pooled) = pooling_engine(size)?;
        let linker = load::linker(&engine)?;
        let pulse = Pulse::new(&engine)
            .ok_or_else(|| WasmError::Engine { reason: "the thread of its clock could not be started".into() })?;
        Ok(Self { engine, pooled, size, linker, pulse })
    }
}
