//! How the engine is set up: once for compiling, so that machine code fits wherever it is loaded, and once with a pool.

use std::path::Path;

use wasmtime::{
    Config, Enabled, Engine, InstanceAllocationStrategy, OptLevel, PoolingAllocationConfig, WasmBacktraceDetails,
};

use crate::config::WasmError;

/// Longest native stack of a guest, in bytes. Its own stack of values lies in its memory and is not meant here.
const GUEST_STACK_BYTES_MAX: usize = 1024 * 1024;

/// Stack of a fiber, in bytes: the guest's, and what calls into the host need on top.
const FIBER_STACK_BYTES: usize = 2 * 1024 * 1024;

/// Memory of a used place that stays mapped for the next instance, in bytes, at most. An instance that dirtied less is reset
/// by copying, without page faults, which cost more than anything else in a short call.
const MEMORY_KEPT_BYTES_MAX: usize = 16 * 1024 * 1024;

/// All places together keep at most this part of the app's memory.
const MEMORY_KEPT_PART: usize = 4;

/// The same as the first, for tables.
const TABLE_KEPT_BYTES: usize = 512 * 1024;

/// Most elements of one table. Interpreters compiled to WebAssembly have tables of tens of thousands.
pub(crate) const TABLE_ELEMENTS_MAX: usize = 100_000;

/// Instances beyond the app's concurrency: the first one, made before any request, and those on their way out.
const SLACK: u32 = 2;

/// Core instances are counted, not reserved, so this bound costs nothing; a component of a usual toolchain has three or
/// four, one composed of many parts has some tens.
const CORE_INSTANCES_PER_COMPONENT_MAX: u32 = 256;

/// What a component needs of a pool, and how often.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PoolSize {
    /// Instances at once.
    pub(crate) instances: u32,
    /// Memories of one instance.
    pub(crate) memories: u32,
    /// Tables of one instance.
    pub(crate) tables: u32,
    /// Memory of the app, in MiB.
    pub(crate) memory_mb: u32,
}

impl PoolSize {
    /// For `max_concurrency` executions of a component of the usual shape: one memory, and two tables (its own and that of
    /// the adapter between it and its imports).
    pub(crate) fn usual(max_concurrency: u32, memory_mb: u32) -> Self {
        Self { instances: max_concurrency.saturating_add(SLACK), memories: 1, tables: 2, memory_mb }
    }

    /// Bytes of each memory that stay mapped while no instance uses it.
    fn memory_kept_bytes(self) -> usize {
        let app = self.memory_mb as usize * 1024 * 1024;
        let places = (self.instances as usize).saturating_mul(self.memories as usize).max(1);
        (app / MEMORY_KEPT_PART / places).min(MEMORY_KEPT_BYTES_MAX)
    }

    /// Whether a pool of this size does for `needed`, and keeps no more memory for itself than one made for it.
    pub(crate) fn covers(self, needed: Self) -> bool {
        self.instances >= needed.instances
            && self.memories >= needed.memories
            && self.tables >= needed.tables
            && self.memory_mb <= needed.memory_mb
    }

    /// The same for a component that needs other numbers; `None` when this size does.
    pub(crate) fn enlarged(self, memories: u32, tables: u32) -> Option<Self> {
        let needed = Self { memories: self.memories.max(memories), tables: self.tables.max(tables), ..self };
        (needed != self).then_some(needed)
    }
}

/// Everything that decides what machine code looks like. Nothing here may depend on the app, the machine's load or the
/// place it runs in: code made by one process is loaded by another.
fn engine_config() -> Config {
    let mut config = Config::new();
    config
        .cranelift_opt_level(OptLevel::Speed)
        .epoch_interruption(true)
        // Both worlds served here are of WASI 0.2, which has no concurrent calls; without them each call is cheaper.
        .concurrency_support(false)
        .max_wasm_stack(GUEST_STACK_BYTES_MAX)
        .async_stack_size(FIBER_STACK_BYTES)
        // Read from an environment variable by default, which must not decide anything here.
        .wasm_backtrace_details(WasmBacktraceDetails::Disable);
    config
}

/// An engine that compiles, and runs nothing.
pub(crate) fn compiling_engine() -> Result<Engine, WasmError> {
    Engine::new(&engine_config()).map_err(|error| WasmError::Engine { reason: format!("{error:#}") })
}

/// An engine with a pool of `size`, and whether it has one: where the machine's address space is too small for a pool
/// (each memory reserves over 4 GiB of it), instances are allocated one by one.
pub(crate) fn pooling_engine(size: PoolSize) -> Result<(Engine, bool), WasmError> {
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(size.instances)
        .total_core_instances(size.instances.saturating_mul(CORE_INSTANCES_PER_COMPONENT_MAX))
        .total_memories(size.instances.saturating_mul(size.memories))
        .total_tables(size.instances.saturating_mul(size.tables))
        .total_stacks(size.instances)
        .max_unused_warm_slots(size.instances)
        .max_memories_per_component(size.memories)
        .max_tables_per_component(size.tables)
        .max_memories_per_module(size.memories)
        .max_tables_per_module(size.tables)
        .table_elements(TABLE_ELEMENTS_MAX)
        .max_component_instance_size(16 * 1024 * 1024)
        .max_core_instance_size(16 * 1024 * 1024)
        .linear_memory_keep_resident(size.memory_kept_bytes())
        .table_keep_resident(TABLE_KEPT_BYTES)
        .pagemap_scan(if swap_is_off(Path::new("/proc/swaps")) { Enabled::Auto } else { Enabled::No });
    let mut config = engine_config();
    config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
    match Engine::new(&config) {
        Ok(engine) => Ok((engine, true)),
        Err(_) => Ok((compiling_engine()?, false)),
    }
}

/// Whether the machine has no swap. The kernel's list of a memory's dirty pages leaves out those that are swapped out, so
/// resetting an instance by that list would let the next one see them.
fn swap_is_off(list: &Path) -> bool {
    // One line of headings, then one per swap area.
    std::fs::read_to_string(list).is_ok_and(|text| text.lines().skip(1).all(|line| line.trim().is_empty()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test")]
    use super::*;

    #[test]
    fn swap_counts_as_on_unless_the_list_is_there_and_empty() {
        let dir = tempfile::tempdir().unwrap();
        let list = dir.path().join("swaps");
        assert!(!swap_is_off(&list));
        std::fs::write(&list, "Filename\tType\tSize\tUsed\tPriority\n").unwrap();
        assert!(swap_is_off(&list));
        std::fs::write(&list, "Filename\tType\tSize\tUsed\tPriority\n/swapfile\tfile\t1\t0\t-2\n").unwrap();
        assert!(!swap_is_off(&list));
    }

    #[test]
    fn idle_places_keep_a_part_of_the_apps_memory_at_most() {
        assert_eq!(PoolSize::usual(16, 512).memory_kept_bytes(), 128 * 1024 * 1024 / 18);
        assert_eq!(PoolSize::usual(1, 2048).memory_kept_bytes(), 16 * 1024 * 1024);
        let many = PoolSize::usual(1000, 256);
        assert!(many.memory_kept_bytes() * many.instances as usize <= 64 * 1024 * 1024);
    }

    #[test]
    fn a_pool_that_cannot_be_reserved_is_done_without() {
        let size = PoolSize { instances: u32::MAX, memories: 1, tables: 2, memory_mb: 512 };
        let (_, pooled) = pooling_engine(size).unwrap();
        assert!(!pooled);
    }
}
