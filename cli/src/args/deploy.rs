//! `ignite deploy`

use std::path::PathBuf;

use super::platform::{ConfigArgs, SourceArgs, WaitArgs};

/// `ignite deploy`
#[derive(Debug, clap::Args)]
pub struct DeployFolderArgs {
    /// Deploy the project in this folder
    pub dir: Option<PathBuf>,
    /// Deploy to this app in place of the one ignite.toml names, or the folder
    #[arg(short, long)]
    pub app: Option<String>,
    /// What is deployed, and how
    #[command(flatten)]
    pub deploy: DeployArgs,
}

/// What a deploy does beside naming its app.
#[derive(Debug, clap::Args)]
pub struct DeployArgs {
    /// Where the code comes from
    #[command(flatten)]
    pub source: SourceArgs,
    /// Settings, in place of those in ignite.toml
    #[command(flatten)]
    pub config: ConfigArgs,
    /// Whether it is waited for
    #[command(flatten)]
    pub wait: WaitArgs,
}
