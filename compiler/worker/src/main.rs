//! The `ignite-builder` binary.

use std::process::ExitCode;

use ignite_compiler_worker::service;

fn main() -> ExitCode {
    let environment: Vec<_> = std::env::vars_os().collect();
    match service::args::parse(std::env::args_os(), &environment) {
        Ok(config) => service::run_until_signal(config),
        Err(refused) => refused.print(),
    }
}
