//! `ignite admin`

use std::path::PathBuf;

use clap::Subcommand;

use super::StoreArgs;

/// `ignite admin`
#[derive(Debug, Subcommand)]
pub enum AdminCommand {
    /// Copy all records and objects to a folder, while the platform serves
    Backup(BackupArgs),
    /// Fill an empty platform from a backup
    Restore(RestoreArgs),
}

/// `ignite admin backup`
#[derive(Debug, clap::Args)]
pub struct BackupArgs {
    /// Write the backup to this folder; one that was broken off there goes on
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// Where the platform keeps everything
    #[command(flatten)]
    pub stores: StoreArgs,
}

/// `ignite admin restore`
#[derive(Debug, clap::Args)]
pub struct RestoreArgs {
    /// Read the backup in this folder
    #[arg(long, value_name = "DIR")]
    pub from: PathBuf,
    /// Where the platform to be keeps everything; there must be no records yet
    #[command(flatten)]
    pub stores: StoreArgs,
}
