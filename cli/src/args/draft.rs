//! `ignite draft` and `ignite version`

use std::path::PathBuf;

use clap::Subcommand;

use super::app::{AppArgs, ListArgs};
use super::platform::{PayloadArgs, SourceArgs, UnusedArgs, WaitArgs};

/// The verbs of drafts.
#[derive(Debug, Subcommand)]
pub enum DraftCommand {
    /// Save code as the draft, in place of what was there
    Save(Box<DraftSaveArgs>),
    /// Show the draft
    #[command(visible_alias = "status")]
    Info(AppArgs),
    /// Compile the draft
    Compile(DraftCompileArgs),
    /// Show what the compiler says, until it is done
    CompileLogs(CompileLogsArgs),
    /// Run the draft once, without a version or a route
    Test(DraftTestArgs),
    /// Make the draft a version and put it live
    Publish(DraftPublishArgs),
}

/// `ignite draft save`
#[derive(Debug, clap::Args)]
pub struct DraftSaveArgs {
    /// The app: org:name, org/name, or name
    pub app: String,
    /// Where the code comes from
    #[command(flatten)]
    pub source: SourceArgs,
    /// Flags of other platforms
    #[command(flatten)]
    pub unused: UnusedArgs,
}

/// `ignite draft compile`
#[derive(Debug, clap::Args)]
pub struct DraftCompileArgs {
    /// The app: org:name, org/name, or name
    pub app: String,
    /// Show what the compiler says, until it is done
    #[arg(short, long)]
    pub follow: bool,
}

/// `ignite draft compile-logs`
#[derive(Debug, clap::Args)]
pub struct CompileLogsArgs {
    /// The app: org:name, org/name, or name
    pub app: String,
    /// Show this compile in place of the draft's
    #[arg(long, value_name = "ID")]
    pub compile: Option<String>,
    /// Follow it to its end, which is what happens anyway
    #[arg(short, long)]
    pub follow: bool,
}

/// `ignite draft test`
#[derive(Debug, clap::Args)]
pub struct DraftTestArgs {
    /// The app: org:name, org/name, or name
    pub app: String,
    /// What it is called with
    #[command(flatten)]
    pub payload: PayloadArgs,
}

/// `ignite draft publish`
#[derive(Debug, clap::Args)]
pub struct DraftPublishArgs {
    /// The app: org:name, org/name, or name
    pub app: String,
    /// Whether it is waited for
    #[command(flatten)]
    pub wait: WaitArgs,
}

/// The verbs of versions.
#[derive(Debug, Subcommand)]
pub enum VersionCommand {
    /// List the versions of an app, newest first
    List(VersionListArgs),
    /// Show a version
    Get(VersionArgs),
    /// Put an earlier version live again
    Rollback(VersionRollbackArgs),
    /// Fetch the source of a version, as it was saved
    Code(VersionCodeArgs),
    /// Run a version once, without a route
    Test(VersionTestArgs),
}

/// `ignite version list`
#[derive(Debug, clap::Args)]
pub struct VersionListArgs {
    /// The app: org:name, org/name, or name
    pub app: String,
    /// How many
    #[command(flatten)]
    pub list: ListArgs,
}

/// Names a version.
#[derive(Debug, clap::Args)]
pub struct VersionArgs {
    /// The app: org:name, org/name, or name
    pub app: String,
    /// The version: 3, or v3
    #[arg(value_name = "VERSION")]
    pub number: String,
}

/// `ignite version rollback`
#[derive(Debug, clap::Args)]
pub struct VersionRollbackArgs {
    /// Which version
    #[command(flatten)]
    pub version: VersionArgs,
    /// Whether it is waited for
    #[command(flatten)]
    pub wait: WaitArgs,
}

/// `ignite version code`
#[derive(Debug, clap::Args)]
#[command(disable_version_flag = true)]
pub struct VersionCodeArgs {
    /// The app: org:name, org/name, or name
    pub app: String,
    /// The version; 0 is the draft [default: the active version, else the draft]
    #[arg(long = "version", value_name = "VERSION")]
    pub number: Option<String>,
    /// Write the archive to this file, or to standard output with `-` [default: APP-VERSION and what archive it is]
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
}

/// `ignite version test`
#[derive(Debug, clap::Args)]
pub struct VersionTestArgs {
    /// Which version
    #[command(flatten)]
    pub version: VersionArgs,
    /// What it is called with
    #[command(flatten)]
    pub payload: PayloadArgs,
}
