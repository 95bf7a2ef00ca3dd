//! Runs functions that are WebAssembly components, on wasmtime. No other crate names wasmtime.
//!
//! Two kinds of component are served, told apart by what they export: the world `ignite:function` that the SDK makes, and
//! `wasi:http/incoming-handler` (WASI 0.2), which other toolchains make. Each execution gets an instance of its own, made
//! from a pool in some microseconds and gone afterwards, so nothing one caller leaves behind meets the next.
//!
//! A component may compute, read clocks and randomness, print, log and answer; files, sockets and outgoing requests are
//! denied. This crate knows neither HTTP connections nor queues, and enforces no limit of the host's own.
//!
//! Begin with [`WasmExecutor::start`]; [`precompile`] makes the machine code ahead of time.

mod aot;
mod config;
mod contract;
mod crowd;
mod engine;
mod execution;
mod executor;
mod failure;
mod function;
mod lines;
mod load;
mod memory;
mod metrics;
mod offers;
mod pace;
mod pulse;
mod pump;
mod ready;
mod state;
mod warm;
mod wasi_http;

pub use aot::precompile;
pub use config::{WasmConfig, WasmError};
pub use executor::WasmExecutor;
pub use warm::{SHARED_LOADS_MAX, WarmWasm};
