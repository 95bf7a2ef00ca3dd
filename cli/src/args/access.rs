//! `ignite config`, `ignite login`, `ignite token`, `ignite secret` and `ignite execution`

use std::path::PathBuf;

use clap::{Subcommand, ValueEnum};

use super::app::ListArgs;

/// The verbs of the configuration.
#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// Write a value into the configuration
    Set(ConfigSetArgs),
    /// Show the configuration, and where each value comes from
    View,
}

/// `ignite config set`
#[derive(Debug, clap::Args)]
pub struct ConfigSetArgs {
    /// What: api_endpoint, token or org
    pub key: String,
    /// The value; `-` reads it from standard input
    pub value: String,
}

/// `ignite login`; endpoint, token and organisation are the flags every verb has
#[derive(Debug, clap::Args)]
pub struct LoginArgs {
    /// Store the token although the platform cannot be asked about it
    #[arg(long)]
    pub no_check: bool,
}

/// The verbs of tokens.
#[derive(Debug, Subcommand)]
pub enum TokenCommand {
    /// Make a token, which is shown once; --org makes it one of another organisation
    Create(TokenCreateArgs),
    /// List the tokens of the organisation
    List(ListArgs),
    /// Revoke a token
    Revoke(TokenRevokeArgs),
}

/// `ignite token create`
#[derive(Debug, clap::Args)]
pub struct TokenCreateArgs {
    /// Allow these methods of the API, such as GetApp, or `*` for all; with commas between, or several times
    #[arg(long, value_name = "SCOPE", value_delimiter = ',', required = true)]
    pub scopes: Vec<String>,
    /// Let it expire after this long, as in 12h or 90d
    #[arg(long, value_name = "DURATION")]
    pub expires_in: Option<String>,
    /// Note what it is for
    #[arg(long, value_name = "TEXT", default_value = "")]
    pub note: String,
}

/// `ignite token revoke`
#[derive(Debug, clap::Args)]
pub struct TokenRevokeArgs {
    /// The token's id, as `ignite token list` shows it
    pub id: String,
}

/// The verbs of secrets.
#[derive(Debug, Subcommand)]
pub enum SecretCommand {
    /// Make a secret, or overwrite it
    Create(SecretCreateArgs),
    /// List the secrets of the organisation; their values are never shown
    List(ListArgs),
    /// Delete a secret
    Delete(SecretDeleteArgs),
}

/// What a secret is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum SecretType {
    /// Variables of apps: `secret://NAME` stands for it
    Value,
    /// A registry of images
    Registry,
    /// A git server
    Git,
}

/// `ignite secret create`
#[derive(Debug, clap::Args)]
pub struct SecretCreateArgs {
    /// How it is called: letters, digits, `-` and `_`
    pub name: String,
    /// What it is for
    #[arg(long = "type", value_enum, default_value_t = SecretType::Value)]
    pub kind: SecretType,
    /// The name to log in with, to a registry or a git server
    #[arg(long, required_if_eq_any([("kind", "registry"), ("kind", "git")]))]
    pub username: Option<String>,
    /// The password of a registry; others see it in the list of processes, so rather use --value-file
    #[arg(long, conflicts_with_all = ["token", "value_file"])]
    pub password: Option<String>,
    /// The token of a git server; the platform's own is then taken from IGNITE_TOKEN or the configuration
    // The id of the flag that every verb has, so that it stands in its place here.
    #[arg(long, conflicts_with = "value_file")]
    pub token: Option<String>,
    /// Read value, password or token from this file, or from standard input with `-`
    #[arg(long, value_name = "FILE")]
    pub value_file: Option<PathBuf>,
    /// The registry's host [default: Docker Hub]
    #[arg(long, value_name = "HOST")]
    pub server_address: Option<String>,
}

/// `ignite secret delete`
#[derive(Debug, clap::Args)]
pub struct SecretDeleteArgs {
    /// Which
    pub name: String,
}

/// The verbs of executions.
#[derive(Debug, Subcommand)]
pub enum ExecutionCommand {
    /// Show an execution
    Get(ExecutionArgs),
    /// List the executions of an app, newest first
    List(ExecutionListArgs),
    /// Show what an execution printed
    Logs(ExecutionArgs),
    /// Follow an execution to its end
    #[command(visible_alias = "stream")]
    Watch(ExecutionArgs),
}

/// Names an execution.
#[derive(Debug, clap::Args)]
pub struct ExecutionArgs {
    /// The execution's id
    pub id: String,
}

/// `ignite execution list`
#[derive(Debug, clap::Args)]
pub struct ExecutionListArgs {
    /// The app: org:name, org/name, or name
    pub app: String,
    /// Show only those in this state
    #[arg(long, value_enum)]
    pub status: Option<ExecutionStatusArg>,
    /// Show at most this many
    #[arg(long, value_name = "COUNT", default_value_t = 50)]
    pub limit: u32,
}

/// States of an execution.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ExecutionStatusArg {
    /// Not begun
    Pending,
    /// Under way
    Running,
    /// Answered
    Succeeded,
    /// Failed
    Failed,
    /// Ran too long
    TimedOut,
    /// Cancelled
    Cancelled,
}
