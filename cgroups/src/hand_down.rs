//! Makes a group of v2 give a controller to the groups in it.
//!
//! A service manager that delegates a group (`Delegate=yes`) puts the service into it and leaves the rest to the service:
//! nothing is given on, and the kernel refuses to while processes are in the group itself. So this process, if it is the only
//! one, first moves into a group of its own below. Where the manager has done that already (`DelegateSubgroup=`), and where a
//! machine boots without a manager, it is enough to ask.
//!
//! Groups in which others have groups are left as they are: what is given on there changes how theirs share.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::controller::Controller;
use crate::maker;
use crate::place::usable;

/// Whether a group gives this controller to those in it.
pub(crate) fn gives(folder: &Path, controller: Controller) -> bool {
    lists(folder, "cgroup.subtree_control", controller)
}

/// The first of these folders, the own group and those above it, that could be made to give a controller.
pub(crate) fn begin<'a>(upwards: impl Iterator<Item = &'a Path>, controller: Controller) -> Option<PathBuf> {
    let mut below: Option<&Path> = None;
    for folder in upwards {
        // Above a group of others everything is theirs.
        if !is_only_for(folder, below) {
            return None;
        }
        let has = lists(folder, "cgroup.controllers", controller) && usable(folder).is_ok();
        let given = || match may_have_processes(folder) || is_empty(folder) {
            true => give(folder, controller),
            false if below.is_none() => step_aside(folder, controller),
            false => Err(io::ErrorKind::ResourceBusy.into()),
        };
        if has && given().is_ok() {
            return Some(folder.to_owned());
        }
        below = Some(folder);
    }
    None
}

fn give(folder: &Path, controller: Controller) -> io::Result<()> {
    fs::write(folder.join("cgroup.subtree_control"), format!("+{controller}"))
}

/// Moves this process, which must be alone, into a group below, and gives the controller to it.
fn step_aside(folder: &Path, controller: Controller) -> io::Result<()> {
    let own = std::process::id().to_string();
    if fs::read_to_string(folder.join("cgroup.procs"))?.trim() != own {
        return Err(io::Error::new(io::ErrorKind::ResourceBusy, "other processes are in it"));
    }
    let aside = folder.join(maker::new_name("self"));
    fs::create_dir(&aside)?;
    let given = fs::write(aside.join("cgroup.procs"), &own).and_then(|()| give(folder, controller));
    if given.is_err() {
        let _ = fs::write(folder.join("cgroup.procs"), &own);
        let _ = fs::remove_dir(&aside);
    }
    given
}

/// Whether it is the topmost group of all, where processes and groups with controllers may be side by side.
///
/// Elsewhere the kernel would give shares and numbers all the same, which it can count by threads, but then takes no process into a
/// group below.
fn may_have_processes(folder: &Path) -> bool {
    !folder.join("cgroup.type").exists()
}

fn is_empty(folder: &Path) -> bool {
    fs::read_to_string(folder.join("cgroup.procs")).is_ok_and(|processes| processes.trim().is_empty())
}

/// Whether no other groups are in it than `below` and ours.
fn is_only_for(folder: &Path, below: Option<&Path>) -> bool {
    let Ok(entries) = fs::read_dir(folder) else { return false };
    let mut groups = entries.flatten().filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
    groups.all(|entry| {
        below.is_some_and(|below| below == entry.path()) || entry.file_name().to_str().is_some_and(maker::is_ours)
    })
}

fn lists(folder: &Path, file: &str, controller: Controller) -> bool {
    let text = fs::read_to_string(folder.join(file)).unwrap_or_default();
    text.split_whitespace().any(|name| name == controller.as_str())
}
