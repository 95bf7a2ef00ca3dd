//! The compile worker: reads an author's folder, plans, runs the tools, packs the artifact and reports.
//!
//! It does not know who asked, and writes nowhere but to the output path and its cache. An author's folder is read once;
//! tools work on a copy of it. Begin with [`Builder`] and [`CompileRequest`].

mod attest;
mod cache;
mod compile;
mod depot;
mod digest;
mod error;
mod identity;
mod language;
mod origin;
mod pack;
mod packages;
mod request;
mod sandbox;
mod scan;
mod sdk;
mod session;
mod settings;
mod source;
mod stage;
mod tools;
mod workspace;

pub use cache::{Bound, CacheLimits};
pub use compile::{Builder, BuilderConfig, Env, Inspected};
pub use error::CompileError;
pub use ignite_compiler_sandbox::{Bound as StepBound, Cancel, Features, Missing, StepLimits, Stream};
pub use ignite_core_source::{ArchiveLimits, Packed, ReadSource};
pub use origin::{Origin, Part, Whence};
pub use request::{CompileEvent, CompileRequest, Compiled, TENANT_LOCAL};
pub use sandbox::SandboxOptions;
pub use scan::SourceLimits;
pub use source::{PackSourceError, UnpackError, pack_source, unpack_source};
pub use tools::{FoundTool, ToolError};
pub use workspace::Workspace;
