//! A group, from its making to its end.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::controller::Controller;
use crate::end::{self, Tries};
use crate::place::{Place, Version};

/// A group of processes: one folder for each hierarchy that holds something of it.
///
/// It is not removed when this is dropped: only who made it knows when its processes have ended, and whether to wait for that.
/// The default is one that holds nothing.
#[derive(Debug, Default)]
pub struct Group {
    pub(crate) made: Vec<Place>,
}

impl Group {
    /// Whether the kernel holds this.
    #[must_use]
    pub fn has(&self, controller: Controller) -> bool {
        self.place(controller).is_some()
    }

    /// Its folders.
    pub fn folders(&self) -> impl Iterator<Item = &Path> {
        self.made.iter().map(|place| place.folder.as_path())
    }

    /// Moves a process in; what it starts from then on is in the group too.
    ///
    /// A user may be allowed to make a group and not to move a process into it. Such folders are removed, and what they would
    /// have held is not held.
    ///
    /// # Errors
    /// The first refusal. The process is in the folders that are left.
    pub fn join(&mut self, pid: u32) -> io::Result<()> {
        let pid = pid.to_string();
        let mut refused = None;
        self.made.retain(|place| {
            let joined = fs::write(place.folder.join("cgroup.procs"), &pid);
            let is_in = joined.is_ok();
            if let Err(error) = joined {
                let _ = fs::remove_dir(&place.folder);
                refused.get_or_insert(error);
            }
            is_in
        });
        refused.map_or(Ok(()), Err)
    }

    /// No longer holds this. A folder that holds nothing else is removed, unless a process is in it.
    pub fn release(&mut self, controller: Controller) {
        self.made.retain_mut(|place| {
            place.controllers.retain(|held| *held != controller);
            let is_empty = place.controllers.is_empty();
            if is_empty {
                let _ = fs::remove_dir(&place.folder);
            }
            !is_empty
        });
    }

    /// Kills every process in it, once: a process that was just being started may be left where the kernel cannot kill a group
    /// as a whole. No new ones can be started in it afterwards where it holds [`Controller::Pids`].
    pub fn kill(&self) {
        for folder in self.folders() {
            end::kill(folder);
        }
    }

    /// Removes its folders, once no process is in them. This blocks for `tries`.
    ///
    /// # Errors
    /// The folders that are left, because processes are in them or because the system refused.
    pub fn remove(self, tries: Tries) -> Result<(), Self> {
        self.removed(tries, end::remove)
    }

    /// Kills what is in it before each try, and removes its folders. This blocks for `tries`.
    ///
    /// # Errors
    /// The folders that are left.
    pub fn kill_and_remove(self, tries: Tries) -> Result<(), Self> {
        self.removed(tries, end::kill_and_remove)
    }

    fn removed(mut self, tries: Tries, remove: fn(&mut Vec<PathBuf>, Tries)) -> Result<(), Self> {
        let mut folders: Vec<PathBuf> = self.folders().map(Path::to_owned).collect();
        remove(&mut folders, tries);
        self.made.retain(|place| folders.contains(&place.folder));
        if self.made.is_empty() { Ok(()) } else { Err(self) }
    }

    pub(crate) fn place(&self, controller: Controller) -> Option<(&Path, Version)> {
        let place = self.made.iter().find(|place| place.controllers.contains(&controller))?;
        Some((&place.folder, place.version))
    }
}
