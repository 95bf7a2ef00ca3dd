//! What the verbs of the platform have in common.

use std::path::PathBuf;

use clap::ValueEnum;

/// Where the platform is and who asks there. Every verb takes it; those that stay on this machine do not look at it.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct PlatformArgs {
    /// Ask the API at this address [env: IGNITE_API_ENDPOINT]
    #[arg(long, global = true, value_name = "ENDPOINT", help_heading = "Platform")]
    pub api_endpoint: Option<String>,
    /// Ask with this token; others see it in the list of processes, so rather set IGNITE_TOKEN
    #[arg(long, global = true, value_name = "TOKEN", help_heading = "Platform")]
    pub token: Option<String>,
    /// Mean this organisation where an app is named without one [env: IGNITE_ORG]
    #[arg(long, global = true, value_name = "ORG", help_heading = "Platform")]
    pub org: Option<String>,
    /// Give up on a call after this long, as in 30s or 5m [default: 5m]
    #[arg(long, global = true, value_name = "DURATION", help_heading = "Platform")]
    pub timeout: Option<String>,
}

/// Settings of an app.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct ConfigArgs {
    /// Say what the app does, for people
    #[arg(long, value_name = "TEXT")]
    pub description: Option<String>,
    /// Choose the size of an instance
    #[arg(short, long, value_enum)]
    pub tier: Option<TierArg>,
    /// Give an instance this much memory in MiB, in place of the tier's; 0 goes back to it
    #[arg(long, value_name = "MIB")]
    pub memory: Option<u32>,
    /// Give an instance this share of a core in thousandths, in place of the tier's; 0 goes back to it
    #[arg(long, value_name = "MILLICORES")]
    pub cpu: Option<u32>,
    /// End an execution after this many seconds; 0 goes back to 30
    #[arg(long, value_name = "SECONDS")]
    pub timeout_secs: Option<u32>,
    /// Run at most this many instances
    #[arg(long, value_name = "COUNT")]
    pub max_replicas: Option<u32>,
    /// Keep this many instances warm without traffic
    #[arg(long, value_name = "COUNT")]
    pub reserved: Option<u32>,
    /// End the last instance after this many seconds without an execution
    #[arg(long, value_name = "SECONDS")]
    pub idle_secs: Option<u32>,
    /// Run at most this many executions at once in an instance; 0 is the default
    #[arg(long, value_name = "COUNT")]
    pub max_concurrency: Option<u32>,
    /// Let the app be called without a token
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub allow_unauthenticated: Option<bool>,
    /// Send tracebacks to whoever calls
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub expose_errors: Option<bool>,
    /// Set a variable of the handler; all that are given replace all there were
    #[arg(short, long = "env", value_name = "NAME=VALUE")]
    pub env: Vec<String>,
    /// Read variables from this file, one NAME=VALUE a line
    #[arg(long, value_name = "FILE")]
    pub env_file: Option<PathBuf>,
    /// Remove all variables
    #[arg(long, conflicts_with_all = ["env", "env_file"])]
    pub clear_env: bool,
    /// Flags of other platforms
    #[command(flatten)]
    pub unused: UnusedArgs,
}

/// Flags that scripts for other platforms carry. They are read so that such a script runs, and said to do nothing.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct UnusedArgs {
    /// Not used
    #[arg(long, hide = true)]
    pub storage_mode: Option<String>,
    /// Not used
    #[arg(long, hide = true)]
    pub ttl: Option<String>,
    /// Not used
    #[arg(long, hide = true)]
    pub auto_mode: Option<String>,
    /// Not used
    #[arg(long, hide = true)]
    pub input_schema: Option<String>,
    /// Not used
    #[arg(long, hide = true)]
    pub output_schema: Option<String>,
    /// Not used
    #[arg(long, hide = true, num_args = 0..=1, default_missing_value = "true")]
    pub mcp_enabled: Option<String>,
    /// Not used
    #[arg(long, hide = true)]
    pub toolchain: Option<String>,
    /// Not used
    #[arg(short, long, hide = true)]
    pub dependency: Vec<String>,
}

impl UnusedArgs {
    /// The flags that were given.
    #[must_use]
    pub fn given(&self) -> Vec<&'static str> {
        [
            ("--storage-mode", self.storage_mode.is_some()),
            ("--ttl", self.ttl.is_some()),
            ("--auto-mode", self.auto_mode.is_some()),
            ("--input-schema", self.input_schema.is_some()),
            ("--output-schema", self.output_schema.is_some()),
            ("--mcp-enabled", self.mcp_enabled.is_some()),
            ("--toolchain", self.toolchain.is_some()),
            ("--dependency", !self.dependency.is_empty()),
        ]
        .into_iter()
        .filter_map(|(flag, given)| given.then_some(flag))
        .collect()
    }
}

/// Sizes of instances.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum TierArg {
    /// 256 MiB and a quarter of a core
    Small,
    /// 512 MiB and half a core
    Medium,
    /// 1 GiB and one core
    Large,
    /// 2 GiB and two cores
    Xlarge,
}

/// Languages of handlers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum RuntimeArg {
    /// Python 3.12
    Python,
    /// Go
    Go,
    /// TypeScript or JavaScript on Deno
    #[value(alias = "typescript", alias = "ts")]
    Deno,
    /// Rust
    Rust,
    /// A component that exports wasi:http/incoming-handler
    Component,
}

/// What the code is compiled to.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct RuntimeArgs {
    /// Say what language the code is in; found from its files otherwise
    #[arg(long, value_enum)]
    pub runtime: Option<RuntimeArg>,
    /// Compile Rust for this machine
    #[arg(long, visible_alias = "target", value_enum, value_name = "TARGET")]
    pub rust_target: Option<TargetArg>,
    /// Choose the form of a Deno artifact
    #[arg(long, value_enum)]
    pub kind: Option<KindArg>,
}

/// Machines that Rust is compiled for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum TargetArg {
    /// A program for Linux
    Native,
    /// A WebAssembly component
    Wasm,
}

/// Forms of a Deno artifact.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum KindArg {
    /// One module for the platform's Deno
    Bundle,
    /// One program with a Deno of its own
    Binary,
}

/// Where code comes from: one of a folder or archive, a git repository, an image.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct SourceArgs {
    /// Take the code in this folder, archive or file
    #[arg(short, long, value_name = "PATH")]
    pub code: Option<PathBuf>,
    /// Build an image from the code with the Dockerfile at this path in it
    #[arg(long, value_name = "PATH")]
    pub dockerfile_path: Option<String>,
    /// Set an argument of the Dockerfile; may be given several times
    #[arg(long, value_name = "NAME=VALUE")]
    pub build_arg: Vec<String>,
    /// Build an image from this git repository
    #[arg(long, value_name = "URL")]
    pub git_url: Option<String>,
    /// Take this branch, tag or commit
    #[arg(long, value_name = "REF")]
    pub git_ref: Option<String>,
    /// Take this folder of the repository
    #[arg(long, value_name = "PATH")]
    pub git_sub_path: Option<String>,
    /// Run this image
    #[arg(long, value_name = "IMAGE")]
    pub image_ref: Option<String>,
    /// Fetch the image with the credentials in this secret
    #[arg(long, value_name = "SECRET")]
    pub registry_secret_ref: Option<String>,
    /// Ask an image at this path whether it is ready
    #[arg(long, value_name = "PATH")]
    pub health_path: Option<String>,
    /// What the code is compiled to
    #[command(flatten)]
    pub runtime: RuntimeArgs,
}

/// The body and headers of a call.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct PayloadArgs {
    /// Send this JSON
    #[arg(short, long, value_name = "JSON", conflicts_with = "payload_file")]
    pub payload: Option<String>,
    /// Send the content of this file, or of standard input with `-`
    #[arg(long, value_name = "FILE")]
    pub payload_file: Option<PathBuf>,
    /// Use this HTTP method
    #[arg(short = 'X', long, default_value = "POST")]
    pub method: String,
    /// Send this header; may be given several times
    #[arg(short = 'H', long = "header", value_name = "NAME: VALUE")]
    pub headers: Vec<String>,
}

/// Whether something that takes long is waited for.
#[derive(Debug, Clone, Copy, Default, clap::Args)]
pub struct WaitArgs {
    /// Follow it to its end, which is what happens anyway
    #[arg(short, long, overrides_with = "detach")]
    pub follow: bool,
    /// Return at once; it goes on without you
    #[arg(long, overrides_with = "follow")]
    pub detach: bool,
}
