//! `ignite app`

use clap::Subcommand;

use super::deploy::DeployArgs;
use super::platform::{ConfigArgs, RuntimeArgs};

/// The verbs of apps.
#[derive(Debug, Subcommand)]
pub enum AppCommand {
    /// Make an app, which has no code yet
    Create(AppCreateArgs),
    /// Show an app
    Get(AppArgs),
    /// List the apps of the organisation
    List(ListArgs),
    /// Change settings of an app; they take effect with the next publish
    Update(AppUpdateArgs),
    /// Delete an app with all its versions
    Delete(AppDeleteArgs),
    /// Show what an app does now
    State(AppStateArgs),
    /// Show what the instances of an app print
    Logs(AppLogsArgs),
    /// Show what happened to an app
    Events(AppEventsArgs),
    /// List the instances of an app
    Instances(AppArgs),
    /// Deploy an app in one step: the same as `ignite deploy`
    Deploy(Box<AppDeployArgs>),
}

/// Names an app.
#[derive(Debug, clap::Args)]
pub struct AppArgs {
    /// The app: org:name, org/name, or name
    pub app: String,
}

/// `ignite app state`
#[derive(Debug, clap::Args)]
pub struct AppStateArgs {
    /// The app: org:name, org/name, or name
    pub app: String,
    /// Follow the publish or rollback under way to its end
    #[arg(short, long)]
    pub follow: bool,
}

/// `ignite app create`
#[derive(Debug, clap::Args)]
pub struct AppCreateArgs {
    /// The app: name, org:name, or org/name
    pub name: String,
    /// Its settings
    #[command(flatten)]
    pub config: ConfigArgs,
    /// What its code will be compiled to
    #[command(flatten)]
    pub runtime: RuntimeArgs,
}

/// `ignite app list`, and lists like it
#[derive(Debug, clap::Args)]
pub struct ListArgs {
    /// Show at most this many
    #[arg(long, value_name = "COUNT", default_value_t = 1000)]
    pub limit: u32,
}

/// `ignite app update`
#[derive(Debug, clap::Args)]
pub struct AppUpdateArgs {
    /// The app: org:name, org/name, or name
    pub app: String,
    /// What is to change
    #[command(flatten)]
    pub config: ConfigArgs,
}

/// `ignite app delete`
#[derive(Debug, clap::Args)]
pub struct AppDeleteArgs {
    /// The app: org:name, org/name, or name
    pub app: String,
    /// Do not ask first
    #[arg(short, long)]
    pub yes: bool,
    /// Wait until it is gone
    #[arg(short, long)]
    pub follow: bool,
}

/// `ignite app logs`
#[derive(Debug, clap::Args)]
pub struct AppLogsArgs {
    /// The app: org:name, org/name, or name
    pub app: String,
    /// Go on with what comes, until Ctrl-C
    #[arg(short, long)]
    pub follow: bool,
    /// Begin with this many lines
    #[arg(short = 'n', long, value_name = "LINES", default_value_t = 100)]
    pub tail: u32,
    /// Show only what this instance printed
    #[arg(long, value_name = "ID")]
    pub instance: Option<String>,
    /// Show only what this execution printed
    #[arg(long, value_name = "ID")]
    pub execution: Option<String>,
}

/// `ignite app events`
#[derive(Debug, clap::Args)]
pub struct AppEventsArgs {
    /// The app: org:name, org/name, or name
    pub app: String,
    /// Go on with what comes, until Ctrl-C
    #[arg(short, long)]
    pub follow: bool,
    /// Begin with this many events
    #[arg(short = 'n', long, value_name = "COUNT", default_value_t = 50)]
    pub tail: u32,
}

/// `ignite app deploy`
#[derive(Debug, clap::Args)]
pub struct AppDeployArgs {
    /// The app: org:name, org/name, or name
    pub app: String,
    /// What is deployed, and how
    #[command(flatten)]
    pub deploy: DeployArgs,
}
