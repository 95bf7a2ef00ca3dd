//! `ignite admin`

use std::path::PathBuf;

use clap::Subcommand;

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
    /// The platform's data [default: ignite in the data folder]
    #[arg(long, env = "IGNITE_DATA_DIR", value_name = "DIR")]
    pub data: Option<PathBuf>,
}

/// `ignite admin restore`
#[derive(Debug, clap::Args)]
pub struct RestoreArgs {
    /// Read the backup in this folder
    #[arg(long, value_name = "DIR")]
    pub from: PathBuf,
    /// The data of the platform to be; it must have none yet [default: ignite in the data folder]
    #[arg(long, env = "IGNITE_DATA_DIR", value_name = "DIR")]
    pub data: Option<PathBuf>,
}
