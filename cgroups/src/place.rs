//! Folders in which groups can be made.

use std::fmt;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use crate::controller::Controller;
use crate::maker;

/// Which files a group has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Version {
    /// A hierarchy for each controller or a few.
    One,
    /// One hierarchy for all.
    Two,
}

/// A folder in which groups can be made, or a group that was made in one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) folder: PathBuf,
    pub(crate) version: Version,
    /// What groups here can hold of what was asked for. In one hierarchy it is the same folder for several.
    pub(crate) controllers: Vec<Controller>,
}

/// A controller that is not to be had, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lacking {
    /// Which.
    pub controller: Controller,
    /// Why.
    pub why: Lack,
}

/// Why a controller is not to be had.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lack {
    /// No hierarchy that has it is mounted here.
    NotMounted,
    /// In v2: neither this process's group, given here, nor one above it gives the controller to the groups in it.
    NotHandedDown(PathBuf),
    /// This user may not make groups there.
    NotAllowed {
        /// Where.
        folder: PathBuf,
        /// What the system said.
        cause: String,
    },
}

impl fmt::Display for Lack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotMounted => f.write_str("no hierarchy that has it is mounted"),
            Self::NotHandedDown(own) => write!(f, "no group from {} up gives it to groups in it", own.display()),
            Self::NotAllowed { folder, cause } => write!(f, "no group can be made in {}: {cause}", folder.display()),
        }
    }
}

/// Makes sure that groups can be made in a folder, by making one.
pub(crate) fn usable(folder: &Path) -> Result<(), Lack> {
    let tried = || {
        // A process is moved by who may write here; in v2, also from here.
        File::options().write(true).open(folder.join("cgroup.procs"))?;
        let probe = folder.join(maker::new_name("probe"));
        fs::create_dir(&probe)?;
        // In v2, below a group that has processes itself and yet gives shares or numbers.
        let takes_none =
            fs::read_to_string(probe.join("cgroup.type")).is_ok_and(|kind| kind.trim() == "domain invalid");
        fs::remove_dir(&probe)?;
        match takes_none {
            true => Err(io::Error::other("processes are in it, so that a group below takes none")),
            false => Ok(()),
        }
    };
    tried().map_err(|error: io::Error| Lack::NotAllowed { folder: folder.to_owned(), cause: error.to_string() })
}
