//! Finds the folder for a controller from what the kernel tells.

use std::fs;
use std::path::{Path, PathBuf};

use crate::controller::Controller;
use crate::hand_down;
use crate::mounts::Mount;
use crate::place::{Lack, Lacking, Place, Version, usable};

/// Groups that are looked at from a process's own one upwards, at most.
const LEVELS_MAX: usize = 64;

/// What the kernel tells of this process's groups.
#[derive(Debug, Clone, Default)]
pub struct Told {
    /// The text of `/proc/self/mountinfo`.
    pub mounts: String,
    /// The text of `/proc/self/cgroup`.
    pub own: String,
}

impl Told {
    /// What it tells now. Nothing, where there is no `/proc`.
    #[must_use]
    pub fn now() -> Self {
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
        Self { mounts: read("/proc/self/mountinfo"), own: read("/proc/self/cgroup") }
    }

    /// The path of this process's group in the hierarchy of v1 that has a controller.
    fn own_in_v1(&self, controller: &str) -> Option<&str> {
        self.own.lines().find_map(|line| {
            let mut parts = line.splitn(3, ':');
            let (_, controllers, path) = (parts.next()?, parts.next()?, parts.next()?);
            controllers.split(',').any(|name| name == controller).then_some(path)
        })
    }

    /// The path of this process's group in v2.
    fn own_in_v2(&self) -> Option<&str> {
        self.own.lines().find_map(|line| line.strip_prefix("0::"))
    }
}

/// Finds a place for each controller; those of one folder become one place.
pub(crate) fn find(told: &Told, asked: &[Controller]) -> (Vec<Place>, Vec<Lacking>) {
    let (mut found, mut lacking): (Vec<Place>, Vec<Lacking>) = (Vec::new(), Vec::new());
    for &controller in asked {
        match find_one(told, controller) {
            Err(why) => lacking.push(Lacking { controller, why }),
            Ok((folder, version)) => match found.iter_mut().find(|place| place.folder == folder) {
                Some(place) => place.controllers.push(controller),
                None => found.push(Place { folder, version, controllers: vec![controller] }),
            },
        }
    }
    (found, lacking)
}

fn find_one(told: &Told, controller: Controller) -> Result<(PathBuf, Version), Lack> {
    // The kernel has a controller in one hierarchy only.
    match told.own_in_v1(controller.as_str()) {
        Some(own) => find_v1(told, own, controller).map(|folder| (folder, Version::One)),
        None => find_v2(told, controller).map(|folder| (folder, Version::Two)),
    }
}

/// Groups are made in the own group.
fn find_v1(told: &Told, own: &str, controller: Controller) -> Result<PathBuf, Lack> {
    let mounts = Mount::all(&told.mounts).filter(|mount| mount.has(controller.as_str()));
    first(mounts.map(|mount| mount.folder_of(own))).unwrap_or(Err(Lack::NotMounted))
}

/// Groups are made in the own group or the nearest one above it that gives the controller to groups in it. Where none does, one
/// that nobody else uses is told to.
fn find_v2(told: &Told, controller: Controller) -> Result<PathBuf, Lack> {
    let own = told.own_in_v2().ok_or(Lack::NotMounted)?;
    let mount = Mount::all(&told.mounts).find(Mount::is_unified).ok_or(Lack::NotMounted)?;
    let own = mount.folder_of(own);
    let upwards = || own.ancestors().take_while(|folder| folder.starts_with(&mount.point)).take(LEVELS_MAX);
    let giving = upwards().filter(|folder| hand_down::gives(folder, controller)).map(Path::to_owned);
    match first(giving) {
        Some(Ok(folder)) => Ok(folder),
        // One that was given to this user is below one that was not.
        refused => hand_down::begin(upwards(), controller)
            .ok_or_else(|| refused.and_then(Result::err).unwrap_or_else(|| Lack::NotHandedDown(own.clone()))),
    }
}

/// The first of these folders in which groups can be made, or why the first of all is none. `None` for no folders.
fn first(folders: impl Iterator<Item = PathBuf>) -> Option<Result<PathBuf, Lack>> {
    let mut refused = None;
    for folder in folders {
        match usable(&folder) {
            Ok(()) => return Some(Ok(folder)),
            Err(why) => refused = refused.or(Some(Err(why))),
        }
    }
    refused
}
