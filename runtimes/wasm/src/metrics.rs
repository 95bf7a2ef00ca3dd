//! Figures for the metrics page.

use wasmtime::Engine;

use crate::ready::Ready;

/// Name, help text and value of one figure.
pub(crate) type Gauge = (&'static str, &'static str, f64);

/// What can be told of a loaded component.
#[expect(clippy::cast_precision_loss, reason = "figures for people; exact up to 2^53")]
pub(crate) fn gauges(ready: &Ready) -> Vec<Gauge> {
    let mut gauges = vec![
        ("wasm_executions", "Executions that have an instance.", ready.pulse.running() as f64),
        ("wasm_memory_bytes", "Memory of all instances together.", ready.budget.used() as f64),
        (
            "wasm_moved_executions",
            "Executions that computed for so long that they were moved to threads of their own, since the start.",
            ready.habit.moved() as f64,
        ),
        ("wasm_load_seconds", "Time it took to load the component.", ready.load_time.as_secs_f64()),
        ("wasm_engine_seconds", "Time of it until there was an engine.", ready.engine_time.as_secs_f64()),
        (
            "wasm_compiled_count",
            "1 when the component had to be compiled, 0 when machine code was at hand.",
            f64::from(u8::from(ready.was_compiled)),
        ),
    ];
    gauges.extend(pool_gauges(&ready.engine));
    gauges
}

/// What the pool of `engine` holds; nothing where there is no pool.
fn pool_gauges(engine: &Engine) -> Vec<Gauge> {
    let Some(pool) = engine.pooling_allocator_metrics() else { return Vec::new() };
    #[expect(clippy::cast_precision_loss, reason = "figures for people; exact up to 2^53")]
    let figures = [
        ("wasm_pool_instances", "Component instances in use.", pool.component_instances() as f64),
        ("wasm_pool_memories", "Memories in use.", pool.memories() as f64),
        ("wasm_pool_stacks", "Stacks in use.", pool.stacks() as f64),
        (
            "wasm_pool_warm_memories",
            "Memories not in use that are kept mapped for the next instance.",
            f64::from(pool.unused_warm_memories()),
        ),
        (
            "wasm_pool_kept_bytes",
            "Bytes kept mapped in memories and tables not in use.",
            (pool.unused_memory_bytes_resident() + pool.unused_table_bytes_resident()) as f64,
        ),
    ];
    figures.to_vec()
}
