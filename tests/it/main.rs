//! Journeys over several rooms, with the product's own binaries and real sockets.
#![allow(clippy::unwrap_used, reason = "tests")]

mod app;
mod behaviour;
mod bench;
mod cli_platform;
mod clocks;
mod components;
mod dev;
mod examples;
mod faults;
mod faults_clients;
mod faults_machine;
mod faults_workers;
mod invoke;
mod journeys;
mod limits;
mod multi;
mod platform;
mod platform_executions;
mod platform_kills;
mod platform_load;
mod platform_sealing;
mod platform_stores;
mod platform_tenants;
mod recipe;
mod soak;
mod url;
mod warm;
mod words;
