//! The `ignite-host` binary.

use std::process::ExitCode;

/// A request makes and frees dozens of small values, often on different threads.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let config = match ignite_runtimes_host::args::parse(std::env::args_os(), std::env::vars_os().collect()) {
        Ok(config) => config,
        Err(refused) => return refused.print(),
    };
    ignite_runtimes_host::run_until_signal(config)
}
