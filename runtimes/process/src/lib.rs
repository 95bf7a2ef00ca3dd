//! Runs a function in language workers: processes that speak worker frames over an inherited socket.
//!
//! This crate starts the workers, hands them invocations, and watches them: what they print, how much memory they use,
//! whether they answer a cancel in time, how they end. What a worker says is checked frame by frame; one that breaks the
//! protocol is replaced. It knows neither HTTP nor artifacts, and no language beyond how its worker is started.
//!
//! Begin with [`ProcessExecutor`]; `supervisor.rs` keeps the processes there should be, `worker.rs` is one of them and
//! its executions, `pool.rs` chooses among them.

mod ahead;
mod backoff;
#[cfg(test)]
mod chaos;
mod child;
mod config;
mod deno_worker;
mod dispatch;
mod executor;
mod launch;
mod life;
mod memory;
mod oom;
mod orphans;
mod output;
mod pool;
mod process;
mod python_worker;
mod reply;
mod shared;
mod starter;
mod stream;
mod stuck;
mod supervisor;
mod table;
mod warm;
mod worker;
mod zygote;

pub use config::{AppDir, ProcessConfig, ProcessRuntime};
pub use executor::{ProcessExecutor, StartError};
pub use python_worker::install_python_worker;
pub use warm::{WarmError, WarmWorker};
