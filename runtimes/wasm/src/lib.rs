//! Executor on wasmtime; the one door to it.
