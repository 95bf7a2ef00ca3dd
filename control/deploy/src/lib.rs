//! Brings what runs in line with what should run.
//!
//! The control plane writes rows of desired state; an [`Agent`] follows them, lets its [`Backend`] start and end instances,
//! and reports each instance back. Rows and reports are in the words of `core/model`: `InstanceSpec`, `InstanceState`,
//! `InstanceDetail`.
//!
//! [`local`] runs each instance as a host process on this machine, from a pool of warm ones where it can; [`fake`] runs
//! nothing and does what a test says. Both pass one contract suite, `tests/it/contract.rs`.

mod agent;
mod backend;
pub mod fake;
pub mod local;

pub use agent::{Agent, AgentOptions, AgentStatus, Hears, Wakes};
pub use backend::{Backend, LogLine, Report, Reports, Said, logs_stream};
