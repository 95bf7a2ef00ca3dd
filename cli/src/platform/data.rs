//! The folder of everything that is kept, and what lies where in it.

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};

use crate::exit::{CliError, Exit};
use crate::settings::Settings;

/// The data of a platform on this machine.
#[derive(Debug, Clone)]
pub(crate) struct Data(PathBuf);

impl Data {
    /// The folder that is named, else `XDG_DATA_HOME/ignite`, else `~/.local/share/ignite`.
    pub(crate) fn of(named: Option<&Path>, settings: &Settings) -> Result<Self, CliError> {
        let set = |name: &str| (settings.env)(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let folder = named
            .map(Path::to_owned)
            .or_else(|| set("XDG_DATA_HOME").map(|dir| dir.join("ignite")))
            .or_else(|| set("HOME").map(|dir| dir.join(".local/share/ignite")))
            .ok_or_else(|| {
                CliError::new(Exit::InvalidArgument, "could not find a place for the platform's data")
                    .hint("name a folder with --data")
            })?;
        // The parts need a path that means the same in every folder.
        std::path::absolute(&folder).map(Self).map_err(|error| {
            CliError::new(Exit::InvalidArgument, format!("could not use {}", folder.display())).caused_by(&error)
        })
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.0
    }

    /// The records.
    pub(crate) fn records(&self) -> PathBuf {
        self.0.join("ignite.db")
    }

    /// Sources and artifacts.
    pub(crate) fn objects(&self) -> PathBuf {
        self.0.join("objects")
    }

    /// Makes the folder, and makes sure that no other platform has it: two would each think the other's hosts their own.
    /// The system gives it back however the process ends.
    pub(crate) fn lock(&self) -> Result<File, CliError> {
        std::fs::create_dir_all(&self.0).map_err(|error| {
            CliError::new(Exit::InvalidArgument, format!("could not make {}", self.0.display())).caused_by(&error)
        })?;
        let path = self.0.join("lock");
        let file = File::create(&path).map_err(|error| {
            CliError::new(Exit::InvalidArgument, format!("could not make {}", path.display())).caused_by(&error)
        })?;
        match file.try_lock() {
            Ok(()) => Ok(file),
            Err(error) => {
                let what = format!("could not take {} for this platform", self.0.display());
                Err(CliError::new(Exit::Unavailable, what)
                    .because(match error {
                        TryLockError::WouldBlock => "another `ignite serve` has it".to_owned(),
                        TryLockError::Error(error) => error.to_string(),
                    })
                    .hint("stop the other one, or name another folder with --data"))
            }
        }
    }
}
