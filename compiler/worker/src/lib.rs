//! The compile worker: takes jobs from a queue, compiles so many at once, tells of it, and is the builder of a platform.
//!
//! - A [`Queue`] is where jobs come from: [`MemoryQueue`] in a program that asks and compiles itself, [`StoreQueue`] in the
//!   store of a platform, where any number of builders pull.
//! - A [`Worker`] leases jobs, keeps the leases, writes the log of each as it comes, and stops what is cancelled or lost.
//! - [`service`] is the program `ignite-builder` around one worker: settings, probes, signals.
//!
//! # What holds
//!
//! - A lease that cannot be renewed stops its compile **before** another builder may take the job over.
//! - An attempt is over when nothing of it runs and its folder is gone; only then its end is told.
//! - Lines are numbered from where the log stood, and a lost lease writes none: across attempts there is no gap and no repeat.
//! - What a killed builder left in its cache is removed when the next one starts on it; its processes die with it.
//!
//! It does not know control, nor what becomes of an artifact. Begin with [`Worker`] and [`Queue`].

mod attempt;
mod compiler;
mod keep;
mod lines;
mod log;
mod memory;
mod metrics;
mod queue;
pub mod service;
mod status;
mod store;
mod words;
mod worker;

pub use compiler::Compiler;
pub use memory::{MemoryEnd, MemoryJob, MemoryQueue};
pub use metrics::Metrics;
pub use queue::{
    Clock, LINE_TEXT_BYTES_MAX, Lease, LeasedJob, OBJECT_BYTES_MAX, Pending, Queue, QueueError, SaidLine, Standing,
    Wake, system_clock,
};
pub use status::{Part, Status};
pub use store::StoreQueue;
pub use worker::{Worker, WorkerOptions};
