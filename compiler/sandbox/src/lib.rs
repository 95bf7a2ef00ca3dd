//! Runs one step of a compile: a process with a scrubbed environment, bounds on time and output, and, in a sandbox,
//! nothing else of this machine than its tools and its folders.
//!
//! A sandbox is made of namespaces (user, mount, pid, network, IPC, UTS, cgroup), a file system put together for the step,
//! no capability, no new privileges, a filter of system calls, resource limits and a watch over what the step uses. What
//! it promises stands in `docs/reference/sandbox.md`.
//!
//! This crate knows processes, namespaces and limits. It does not know what a step is for, nor any language.
//! Begin with [`Step`] and [`run`]; the sandbox itself begins in `contained.rs`.

mod cgroup;
mod child;
mod contained;
mod disk;
mod features;
mod layout;
mod lines;
mod open;
mod own_user;
mod processes;
mod run;
mod seccomp;
mod step;
mod sys;
mod watch;

pub use cgroup::sweep_all as sweep;
pub use features::{Features, Missing};
pub use lines::clean;
pub use run::run;
pub use step::{
    Access, Bound, Cancel, Exit, Finished, Mount, Phase, Place, Protection, Sandbox, Step, StepError, StepLimits,
    Stream, ToolRoot,
};
