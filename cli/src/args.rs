//! What may be typed. No logic: doc comments are the help.

pub mod access;
pub mod admin;
pub mod app;
pub mod deploy;
pub mod draft;
pub mod platform;

use std::path::PathBuf;

use clap::{Parser, Subcommand, ValueEnum};

/// Turn a handler into a versioned, auto-scaling HTTP endpoint
#[derive(Debug, Parser)]
#[command(
    name = "ignite",
    version,
    propagate_version = true,
    subcommand_required = true,
    arg_required_else_help = true
)]
pub struct Args {
    /// Print results in this form
    #[arg(short, long, global = true, value_enum, default_value_t = Output::Table)]
    pub output: Output,
    /// Say nothing but results and errors
    #[arg(short, long, global = true)]
    pub quiet: bool,
    /// Where the platform is
    #[command(flatten)]
    pub platform: platform::PlatformArgs,
    /// What to do
    #[command(subcommand)]
    pub command: Command,
}

/// How results are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// For people
    Table,
    /// For people, with every column
    Wide,
    /// For programs
    Json,
    /// For programs, as YAML
    Yaml,
}

/// The verbs.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make a new project from a template
    New(NewArgs),
    /// Compile a project to an artifact
    Compile(CompileArgs),
    /// Compile and serve a project, or serve an artifact
    Run(RunArgs),
    /// Serve a project, and again after each change
    Dev(DevArgs),
    /// Call an app through the platform, or whatever answers at a URL
    Invoke(InvokeArgs),
    /// Compile again what an artifact was made of, and compare
    Verify(VerifyArgs),
    /// Serve the whole platform on this machine
    Serve(ServeArgs),
    /// Deploy a project: make the app, save, compile, publish and follow it, in one step
    Deploy(Box<deploy::DeployFolderArgs>),
    /// Make, show and change apps
    #[command(subcommand, visible_aliases = ["function", "fn"])]
    App(app::AppCommand),
    /// Save, compile and publish the draft of an app
    #[command(subcommand)]
    Draft(draft::DraftCommand),
    /// Show versions, fetch their source, roll back to them
    #[command(subcommand)]
    Version(draft::VersionCommand),
    /// Build images, which this release does not do yet
    #[command(disable_help_flag = true, disable_version_flag = true)]
    Build(BuildImageArgs),
    /// Show and follow executions
    #[command(subcommand, visible_alias = "exec")]
    Execution(access::ExecutionCommand),
    /// Keep credentials of registries and git servers
    #[command(subcommand)]
    Secret(access::SecretCommand),
    /// Make, list and revoke tokens
    #[command(subcommand)]
    Token(access::TokenCommand),
    /// Store where the platform is and who asks there, once it was asked
    Login(access::LoginArgs),
    /// Show and change the configuration
    #[command(subcommand)]
    Config(access::ConfigCommand),
    /// Back a platform of this machine up, and restore it
    #[command(subcommand)]
    Admin(admin::AdminCommand),
    /// Check the toolchains on this machine
    Doctor(DoctorArgs),
    /// Print a completion script for a shell
    Completions(CompletionsArgs),
}

/// `ignite serve`
#[derive(Debug, clap::Args)]
pub struct ServeArgs {
    /// Where everything is kept
    #[command(flatten)]
    pub stores: StoreArgs,
    /// Serve the API on this port of the loopback address; 0 takes any
    #[arg(long, default_value_t = 7070)]
    pub api_port: u16,
    /// Serve apps on this port of the loopback address; 0 takes any
    #[arg(long, default_value_t = 8080)]
    pub gateway_port: u16,
    /// Serve apps below this domain, each at app-org
    #[arg(long, default_value = "ignite.localhost")]
    pub base_domain: String,
    /// Keep this many hosts ready for each runtime in use
    #[arg(long, default_value_t = 1)]
    pub warm: usize,
    /// Compile even where the kernel cannot lock the tools up
    #[arg(long)]
    pub allow_unsandboxed: bool,
}

/// Where a platform keeps what it has.
#[derive(Debug, clap::Args)]
pub struct StoreArgs {
    /// The folder of the platform's data [default: ignite in the data folder]
    #[arg(long, env = "IGNITE_DATA_DIR", value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// The database of the records, instead of a file in that folder: sqlite:FILE or postgres://USER@HOST/DATABASE; an address with a
    /// password is for the environment alone
    #[arg(long, env = "IGNITE_STORE", value_name = "URL", hide_env_values = true)]
    pub store: Option<String>,
    /// The place of sources and artifacts, instead of that folder: file:DIR or
    /// s3://BUCKET/PREFIX?endpoint=URL&public-endpoint=URL&region=NAME
    #[arg(long, env = "IGNITE_OBJECTS", value_name = "URL", hide_env_values = true)]
    pub objects: Option<String>,
}

/// `ignite new`
#[derive(Debug, clap::Args)]
pub struct NewArgs {
    /// Name the app and its folder
    pub name: String,
    /// Choose the language
    #[arg(short, long, value_enum)]
    pub runtime: TemplateRuntime,
    /// Put the project into this folder instead of one named like the app
    #[arg(long)]
    pub dir: Option<PathBuf>,
}

/// The languages there are templates for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum TemplateRuntime {
    /// Python 3.12
    Python,
    /// Go
    Go,
    /// TypeScript on Deno
    Deno,
    /// Rust, native or Wasm
    Rust,
}

/// What shapes an artifact; shared by `compile`, `run` and `dev`.
#[derive(Debug, Clone, clap::Args)]
pub struct BuildArgs {
    /// Choose the machine to compile for: native or wasm
    #[arg(long, value_name = "TARGET")]
    pub target: Option<String>,
    /// Choose the form of a Deno artifact: bundle or binary
    #[arg(long, value_name = "KIND")]
    pub kind: Option<String>,
    /// Compile everything anew
    #[arg(long)]
    pub no_cache: bool,
    /// Go on where this machine cannot hold in the code it compiles; only for code you trust with everything you have
    #[arg(long)]
    pub allow_unsandboxed: bool,
}

/// `ignite compile`
#[derive(Debug, clap::Args)]
pub struct CompileArgs {
    /// Compile the project in this folder or archive, or pack this component
    #[arg(default_value = ".")]
    pub dir: PathBuf,
    /// Write the artifact to this file [default: DIR/.ignite/NAME.tar.zst]
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// Choose the archive's compression
    #[arg(long, value_enum, default_value_t = Format::TarZst)]
    pub format: Format,
    /// Write the bill of materials to this file, in CycloneDX 1.6
    #[arg(long, value_name = "FILE")]
    pub sbom: Option<PathBuf>,
    /// What to build
    #[command(flatten)]
    pub build: BuildArgs,
}

/// How an artifact is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Small and quick to unpack
    #[value(name = "tar.zst")]
    TarZst,
    /// For tools that know nothing else
    #[value(name = "tar.gz")]
    TarGz,
}

/// `ignite run`
#[derive(Debug, clap::Args)]
pub struct RunArgs {
    /// Serve the project in this folder, or this artifact
    #[arg(default_value = ".")]
    pub source: PathBuf,
    /// Listen on this port of the loopback address; 0 takes any
    #[arg(short, long, env = "PORT", default_value_t = 8080)]
    pub port: u16,
    /// What to build
    #[command(flatten)]
    pub build: BuildArgs,
}

/// `ignite dev`
#[derive(Debug, clap::Args)]
pub struct DevArgs {
    /// Serve the project in this folder
    #[arg(default_value = ".")]
    pub dir: PathBuf,
    /// Listen on this port of the loopback address; 0 takes any
    #[arg(short, long, env = "PORT", default_value_t = 8080)]
    pub port: u16,
    /// What to build
    #[command(flatten)]
    pub build: BuildArgs,
}

/// `ignite invoke`
#[derive(Debug, clap::Args)]
pub struct InvokeArgs {
    /// Call this app: org:name, org/name, or name
    #[arg(conflicts_with = "url")]
    pub app: Option<String>,
    /// Call the function at this address [default: http://127.0.0.1:8080/]
    #[arg(long)]
    pub url: Option<String>,
    /// Call the app at this path, with its query
    #[arg(long, default_value = "/", conflicts_with = "url")]
    pub path: String,
    /// What it is called with
    #[command(flatten)]
    pub payload: platform::PayloadArgs,
    /// Do not wait for the answer: the call is kept, and runs at least once
    #[arg(long = "async", requires = "app")]
    pub later: bool,
    /// With --async, wait for the end after all, and print the answer
    #[arg(short, long, requires = "later")]
    pub follow: bool,
    /// Give up after this many seconds
    #[arg(long, default_value_t = 300)]
    pub timeout_secs: u64,
}

/// `ignite build`: read as a whole, so that what is said about it is what it is about.
#[derive(Debug, clap::Args)]
pub struct BuildImageArgs {
    /// Whatever is typed
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, hide = true)]
    pub words: Vec<String>,
}

/// `ignite verify`
#[derive(Debug, clap::Args)]
pub struct VerifyArgs {
    /// Verify this artifact
    pub artifact: PathBuf,
    /// Compile the source in this folder
    #[arg(default_value = ".")]
    pub dir: PathBuf,
    /// Go on where this machine cannot hold in the code it compiles; only for code you trust with everything you have
    #[arg(long)]
    pub allow_unsandboxed: bool,
}

/// `ignite doctor`
#[derive(Debug, clap::Args)]
pub struct DoctorArgs {
    /// Check only what this language needs
    #[arg(long, value_enum)]
    pub runtime: Option<TemplateRuntime>,
}

/// `ignite completions`
#[derive(Debug, clap::Args)]
pub struct CompletionsArgs {
    /// The shell to complete for
    #[arg(value_enum)]
    pub shell: clap_complete::Shell,
}
