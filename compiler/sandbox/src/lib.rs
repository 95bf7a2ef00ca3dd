//! Runs one step of a compile: a process with a scrubbed environment, its own process group, a wall time limit and
//! bounded output, either on this machine or inside an unpacked root file system with namespaces of its own.
//!
//! This crate knows processes, pipes and namespaces. It does not know what a step is for, nor any language.
//! Begin with [`Step`] and [`run`].

mod lines;
mod open;
mod rootfs;
mod run;
mod step;

pub use lines::clean;
pub use rootfs::probe;
pub use run::run;
pub use step::{Access, Cancel, Exit, Finished, Mount, Place, Step, StepError, StepLimits, Stream};
