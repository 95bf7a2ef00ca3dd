//! Control groups, where this user may make them: the kernel then holds memory and processes of a step together, however
//! they come about. Where it may not, the watch in `watch.rs` stands in.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

/// Whether a process could not be moved into a group.
static REFUSED: AtomicBool = AtomicBool::new(false);
/// What every name of ours begins with.
const PREFIX: &str = "ignite-";
/// How often an empty group is tried to be removed; its last process may be about to go.
const REMOVE_TRIES_MAX: u32 = 50;

/// The folders new groups are made in.
#[derive(Debug, Default, PartialEq, Eq)]
struct Places {
    memory: Option<Place>,
    processes: Option<Place>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Place {
    folder: PathBuf,
    /// Of cgroup v2, rather than a hierarchy of v1.
    unified: bool,
}

/// The groups of one step. They are removed when this is dropped, which is after its last process.
#[derive(Debug)]
pub(crate) struct Group {
    memory: Option<Place>,
    processes: Option<Place>,
}

impl Group {
    /// Makes groups for these bounds, as far as this user may.
    pub(crate) fn make(memory_bytes_max: u64, processes_max: u64) -> Self {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        if REFUSED.load(Ordering::Relaxed) {
            return Self { memory: None, processes: None };
        }
        let places = places();
        let name = format!("{PREFIX}{}-{}", own_name(), COUNT.fetch_add(1, Ordering::Relaxed));
        let mut group = Self { memory: None, processes: None };
        group.memory = made(places.memory.as_ref(), &name).filter(|place| {
            let (limit, swap) = match place.unified {
                true => ("memory.max", "memory.swap.max"),
                false => ("memory.limit_in_bytes", "memory.memsw.limit_in_bytes"),
            };
            let set = fs::write(place.folder.join(limit), memory_bytes_max.to_string()).is_ok();
            // Not every kernel counts swap.
            let swap_max = if place.unified { 0 } else { memory_bytes_max };
            let _ = fs::write(place.folder.join(swap), swap_max.to_string());
            if place.unified {
                let _ = fs::write(place.folder.join("memory.oom.group"), "1");
            }
            set || remove(&place.folder)
        });
        // In one hierarchy it is the same folder.
        group.processes = made(places.processes.as_ref(), &name).filter(|place| {
            let set = fs::write(place.folder.join("pids.max"), processes_max.to_string()).is_ok();
            set || remove(&place.folder)
        });
        group
    }

    /// The groups with a process in them, before it starts others. A user may be allowed to make a group and not to move
    /// a process into it; that is found out once, and from then on there are none.
    pub(crate) fn joined_by(self, pid: u32) -> Self {
        let joined = self.places().all(|place| fs::write(place.folder.join("cgroup.procs"), pid.to_string()).is_ok());
        if joined {
            return self;
        }
        REFUSED.store(true, Ordering::Relaxed);
        Self { memory: None, processes: None }
    }

    /// Whether the kernel holds memory.
    pub(crate) fn holds_memory(&self) -> bool {
        self.memory.is_some()
    }

    /// Whether the kernel holds the number of processes.
    pub(crate) fn holds_processes(&self) -> bool {
        self.processes.is_some()
    }

    /// Whether a process was killed because memory was used up.
    pub(crate) fn was_out_of_memory(&self) -> bool {
        let Some(place) = &self.memory else { return false };
        let file = if place.unified { "memory.events" } else { "memory.oom_control" };
        let text = fs::read_to_string(place.folder.join(file)).unwrap_or_default();
        text.lines().any(|line| line.strip_prefix("oom_kill ").is_some_and(|count| count != "0"))
    }

    /// Processes and threads that there are now.
    pub(crate) fn processes(&self) -> Option<u64> {
        let place = self.processes.as_ref()?;
        fs::read_to_string(place.folder.join("pids.current")).ok()?.trim().parse().ok()
    }

    fn places(&self) -> impl Iterator<Item = &Place> {
        self.memory.iter().chain(self.processes.iter().filter(|place| Some(*place) != self.memory.as_ref()))
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        for place in self.places() {
            remove(&place.folder);
        }
    }
}

fn made(place: Option<&Place>, name: &str) -> Option<Place> {
    let place = place?;
    let folder = place.folder.join(name);
    match fs::create_dir(&folder) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(_) => return None,
    }
    Some(Place { folder, unified: place.unified })
}

/// Answers false, for the use above.
fn remove(folder: &Path) -> bool {
    for _ in 0..REMOVE_TRIES_MAX {
        match fs::remove_dir(folder) {
            Err(error) if error.kind() == io::ErrorKind::ResourceBusy => thread::sleep(Duration::from_millis(1)),
            _ => break,
        }
    }
    false
}

/// Number and start of this process: together they never come again.
fn own_name() -> String {
    format!("{}-{}", std::process::id(), started("self").unwrap_or_default())
}

fn started(pid: &str) -> Option<String> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit(')').next()?.split_whitespace().nth(19).map(str::to_owned)
}

/// Removes the groups that killed compilers have left.
pub fn sweep_all() {
    let places = places();
    for place in [&places.memory, &places.processes].into_iter().flatten() {
        sweep(&place.folder);
    }
}

/// Where groups can be made; looked for once. What a killed compiler left there is removed.
fn places() -> &'static Places {
    static PLACES: OnceLock<Places> = OnceLock::new();
    PLACES.get_or_init(|| {
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let found = find(&read("/proc/self/mountinfo"), &read("/proc/self/cgroup"), &may_be_made_in);
        for place in [&found.memory, &found.processes].into_iter().flatten() {
            sweep(&place.folder);
        }
        found
    })
}

/// Whether groups can be made in a folder that has the files of a controller.
fn may_be_made_in(folder: &Path) -> bool {
    let probe = folder.join(format!("{PREFIX}{}-probe", own_name()));
    let writable = File::options().write(true).open(folder.join("cgroup.procs")).is_ok();
    let made = writable && fs::create_dir(&probe).is_ok();
    made && fs::remove_dir(&probe).is_ok()
}

fn sweep(folder: &Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let Some(rest) = name.to_str().and_then(|name| name.strip_prefix(PREFIX)) else { continue };
        let mut parts = rest.split('-');
        let (Some(pid), Some(start)) = (parts.next(), parts.next()) else { continue };
        if started(pid).as_deref() != Some(start) {
            // Its processes die with their compiler, which may have been a moment ago; where the kernel can, it is told again.
            let _ = fs::write(entry.path().join("cgroup.kill"), "1");
            remove(&entry.path());
        }
    }
}

/// Finds the places from the texts of `/proc/self/mountinfo` and `/proc/self/cgroup`.
fn find(mounts: &str, own: &str, usable: &dyn Fn(&Path) -> bool) -> Places {
    let mut places = Places::default();
    for controller in ["memory", "pids"] {
        let found = find_v1(mounts, own, controller, usable).or_else(|| find_v2(mounts, own, controller, usable));
        match controller {
            "memory" => places.memory = found,
            _ => places.processes = found,
        }
    }
    places
}

fn find_v1(mounts: &str, own: &str, controller: &str, usable: &dyn Fn(&Path) -> bool) -> Option<Place> {
    let group = own.lines().find_map(|line| {
        let mut parts = line.splitn(3, ':');
        let (_, controllers, path) = (parts.next()?, parts.next()?, parts.next()?);
        controllers.split(',').any(|name| name == controller).then_some(path)
    })?;
    let folder = mounts.lines().find_map(|line| {
        let mount = MountLine::parse(line)?;
        let has = mount.kind == "cgroup" && mount.options.split(',').any(|option| option == controller);
        has.then(|| mount.folder_of(group))
    })?;
    usable(&folder).then_some(Place { folder, unified: false })
}

/// The own group or the nearest one above it in which this user may make groups that have the controller.
fn find_v2(mounts: &str, own: &str, controller: &str, usable: &dyn Fn(&Path) -> bool) -> Option<Place> {
    let group = own.lines().find_map(|line| line.strip_prefix("0::"))?;
    let mount = mounts.lines().filter_map(MountLine::parse).find(|mount| mount.kind == "cgroup2")?;
    let top = Path::new(mount.point);
    let own = mount.folder_of(group);
    let hands_down = |folder: &Path| {
        let text = fs::read_to_string(folder.join("cgroup.subtree_control")).unwrap_or_default();
        text.split_whitespace().any(|name| name == controller)
    };
    let folder = own.ancestors().take_while(|folder| folder.starts_with(top)).find(|folder| hands_down(folder))?;
    usable(folder).then(|| Place { folder: folder.to_owned(), unified: true })
}

/// What counts of a line of mountinfo.
struct MountLine<'a> {
    root: &'a str,
    point: &'a str,
    kind: &'a str,
    options: &'a str,
}

impl<'a> MountLine<'a> {
    fn parse(line: &'a str) -> Option<Self> {
        let (before, after) = line.split_once(" - ")?;
        let mut before = before.split(' ').skip(3);
        let mut after = after.split(' ');
        Some(Self { root: before.next()?, point: before.next()?, kind: after.next()?, options: after.nth(1)? })
    }

    fn folder_of(&self, group: &str) -> PathBuf {
        let below = group.strip_prefix(self.root).unwrap_or(group).trim_start_matches('/');
        Path::new(self.point).join(below)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_read_from_the_kernels_words() {
        let mounts = "40 30 0:30 / /sys/fs/cgroup/pids rw,relatime shared:9 - cgroup cgroup rw,pids\n\
                      41 30 0:31 /box /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n\
                      42 30 0:32 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n";
        let own = "8:pids:/a/b\n4:memory:/box/c\n0::/\n";
        let places = find(mounts, own, &|_| true);
        let folder = |place: Option<Place>| place.map(|place| (place.folder, place.unified));
        assert_eq!(folder(places.processes), Some(("/sys/fs/cgroup/pids/a/b".into(), false)));
        assert_eq!(folder(places.memory), Some(("/sys/fs/cgroup/memory/c".into(), false)));
        assert_eq!(find(mounts, own, &|_| false), Places::default());
        assert_eq!(find("", "", &|_| true), Places::default());
    }
}
