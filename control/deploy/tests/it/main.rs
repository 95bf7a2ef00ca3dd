//! The agent on a real store, and backends: one that runs nothing, and one with real hosts.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test")]

mod agent;
mod agent_process;
mod app;
mod confine;
mod contract;
mod local;
mod local_agent;
mod machine;
mod observe;
mod rows;
mod warm;
