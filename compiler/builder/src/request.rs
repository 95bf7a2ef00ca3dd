//! What is asked of the builder, what it tells on the way, what it gives back.

use std::path::PathBuf;
use std::time::Duration;

use ignite_compiler_sandbox::{Cancel, Stream};
use ignite_core_artifact::{Compression, Manifest};
use ignite_core_model::{ArtifactKind, Digest, Runtime, Target};

use crate::origin::Origin;

/// The tenant of who compiles on their own machine.
pub const TENANT_LOCAL: &str = "local";

/// One compile. What is `None` is decided by the author's `ignite.toml` or by the language.
#[derive(Debug, Clone)]
pub struct CompileRequest {
    /// The author's folder, or one `.wasm` component.
    pub source: PathBuf,
    /// Where the artifact goes; its folder exists. A file that is there is replaced in one step.
    pub out: PathBuf,
    /// The language.
    pub runtime: Option<Runtime>,
    /// The machine.
    pub target: Option<Target>,
    /// The form of the payload.
    pub kind: Option<ArtifactKind>,
    /// How the artifact is compressed.
    pub compression: Compression,
    /// Whether to compile everything anew although nothing changed, dependencies too. What was downloaded before and is
    /// proved by a digest is used all the same.
    pub no_cache: bool,
    /// Whether to compile sooner rather than smaller and faster code, for work in progress: Rust then optimises little and
    /// compiles only what changed. The artifact is another one than without.
    pub quick: bool,
    /// The organization it is for. What cannot be proved to be the same for everyone is kept for it alone.
    pub tenant: String,
    /// The app, where the same app may come from different folders, as on a platform: its compiles work in one copy of
    /// it, so that a changed line is compiled and not everything. By default the folder tells.
    pub app: Option<String>,
    /// Files that may lie in the folder and are no part of the source, such as a bill of materials or another artifact.
    pub beside: Vec<PathBuf>,
    /// Longest time the whole compile may take.
    pub time_max: Duration,
    /// Stops the compile when it is asked to.
    pub cancel: Cancel,
}

impl CompileRequest {
    /// A compile of `source` to `out` with nothing else asked for, and fifteen minutes for it.
    #[must_use]
    pub fn new(source: impl Into<PathBuf>, out: impl Into<PathBuf>) -> Self {
        Self {
            source: source.into(),
            out: out.into(),
            runtime: None,
            target: None,
            kind: None,
            compression: Compression::Zstd,
            no_cache: false,
            quick: false,
            tenant: TENANT_LOCAL.to_owned(),
            app: None,
            beside: Vec::new(),
            time_max: Duration::from_secs(15 * 60),
            cancel: Cancel::default(),
        }
    }
}

/// What happens while a compile runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CompileEvent<'a> {
    /// A step begins.
    Started {
        /// Its name, such as `go build`.
        step: &'a str,
    },
    /// A tool wrote a line. It has no escape codes, and the folder of the copy is taken out of paths.
    Line {
        /// The step.
        step: &'a str,
        /// Where it wrote to.
        stream: Stream,
        /// The line, without its end.
        line: &'a str,
    },
    /// A step ended well.
    Finished {
        /// The step.
        step: &'a str,
        /// How long it took.
        elapsed: Duration,
        /// Whether nothing had to be done, since the result was at hand.
        cached: bool,
    },
}

/// A compile that went well.
#[derive(Debug, Clone)]
pub struct Compiled {
    /// Where the artifact is.
    pub artifact: PathBuf,
    /// Of the whole file.
    pub digest: Digest,
    /// Its size.
    pub bytes: u64,
    /// What it says about itself.
    pub manifest: Manifest,
    /// How long the compile took.
    pub elapsed: Duration,
    /// The steps whose results were at hand; `["everything"]` when nothing had changed.
    pub cached: Vec<String>,
    /// Which parts came from where.
    pub origins: Vec<Origin>,
    /// What the tools wrote, kept. When nothing had changed, what they wrote then.
    pub log: PathBuf,
}
