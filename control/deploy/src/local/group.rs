//! Control groups of hosts, where this user may make them: the kernel then holds memory, processor share and number of
//! processes of a host and of all that it starts, and ends them together.
//!
//! The compiler has groups of its own, for steps that begin and end with their bounds; these live as long as a host, which
//! is given its bounds when it is given its app.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use ignite_core_model::Resources;

/// What the kernel may hold, in the order of [`Places::found`].
const CONTROLLERS: [&str; 3] = ["memory", "cpu", "pids"];

/// What every name of ours begins with.
const PREFIX: &str = "ignite-";

/// Memory of the host itself, beside that of the app. The host watches the app's own: this is the second line.
const HOST_MEMORY_MB: u64 = 128;

/// Processes and threads of one host and its app.
const PROCESSES_MAX: u32 = 2048;

/// The time over which processor shares are counted, in microseconds.
const PERIOD_US: u64 = 100_000;

/// How often an empty group is tried to be removed; its last process may be about to go.
const REMOVE_TRIES_MAX: u32 = 200;

/// Where groups can be made, and which are not to be had.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Places {
    found: [Option<Place>; 3],
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Place {
    folder: PathBuf,
    /// Of cgroup v2, rather than a hierarchy of v1.
    unified: bool,
}

impl Places {
    /// Looks, once in this process. What killed agents left is removed.
    pub(super) fn find() -> &'static Self {
        static PLACES: OnceLock<Places> = OnceLock::new();
        PLACES.get_or_init(|| {
            let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
            let found = find(&read("/proc/self/mountinfo"), &read("/proc/self/cgroup"), &may_be_made_in);
            found.sweep();
            found
        })
    }

    /// Controllers that are not to be had.
    pub(super) fn lacking(&self) -> Vec<&'static str> {
        CONTROLLERS.into_iter().zip(&self.found).filter(|(_, place)| place.is_none()).map(|(name, _)| name).collect()
    }

    /// Removes groups of processes that have ended; only empty ones can be.
    pub(super) fn sweep(&self) {
        for place in self.found.iter().flatten() {
            sweep(&place.folder);
        }
    }
}

/// The groups of one host. Dropped, what is in them is killed, and they are removed.
#[derive(Debug)]
pub(super) struct Group {
    made: [Option<Place>; 3],
}

impl Group {
    /// Groups for the process `pid`, which has just been started, and for all it starts from now on.
    pub(super) fn around(pid: u32, places: &Places) -> Self {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let name = format!("{PREFIX}{}-{}", own_name(), COUNT.fetch_add(1, Ordering::Relaxed));
        let made = places.found.clone().map(|place| {
            let folder = place.as_ref()?.folder.join(&name);
            // In one hierarchy it is the same folder.
            match fs::create_dir(&folder) {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return None,
                _ => {}
            }
            let joined = fs::write(folder.join("cgroup.procs"), pid.to_string()).is_ok();
            let made = Place { folder, unified: place?.unified };
            joined.then_some(made.clone()).or_else(|| {
                let _ = fs::remove_dir(made.folder);
                None
            })
        });
        let group = Self { made };
        if let Some(place) = &group.made[2] {
            let _ = fs::write(place.folder.join("pids.max"), PROCESSES_MAX.to_string());
        }
        group
    }

    /// Holds memory to what an app may use. Which part was refused, if one was.
    pub(super) fn hold_memory(&self, resources: Resources) -> bool {
        let Some(Place { folder, unified }) = &self.made[0] else { return false };
        let bytes = (u64::from(resources.memory_mb) + HOST_MEMORY_MB) << 20;
        let (limit, swap, swap_max) = match unified {
            true => ("memory.max", "memory.swap.max", 0),
            false => ("memory.limit_in_bytes", "memory.memsw.limit_in_bytes", bytes),
        };
        let held = fs::write(folder.join(limit), bytes.to_string()).is_ok();
        // Not every kernel counts swap.
        let _ = fs::write(folder.join(swap), swap_max.to_string());
        held
    }

    /// Holds the processor share, with bursts of what was left unused.
    pub(super) fn hold_cpu(&self, resources: Resources) -> bool {
        let Some(Place { folder, unified }) = &self.made[1] else { return false };
        let quota = (u64::from(resources.cpu_millicores) * PERIOD_US / 1000).to_string();
        let burst = match unified {
            true => "cpu.max.burst",
            false => "cpu.cfs_burst_us",
        };
        let held = match unified {
            true => fs::write(folder.join("cpu.max"), format!("{quota} {PERIOD_US}")).is_ok(),
            false => {
                let period = fs::write(folder.join("cpu.cfs_period_us"), PERIOD_US.to_string()).is_ok();
                period && fs::write(folder.join("cpu.cfs_quota_us"), &quota).is_ok()
            }
        };
        // Kernels before 5.14 have none.
        let _ = fs::write(folder.join(burst), &quota);
        held
    }

    /// Whether the kernel ended a process because memory was used up.
    pub(super) fn was_out_of_memory(&self) -> bool {
        let Some(Place { folder, unified }) = &self.made[0] else { return false };
        let file = if *unified { "memory.events" } else { "memory.oom_control" };
        let text = fs::read_to_string(folder.join(file)).unwrap_or_default();
        text.lines().any(|line| line.strip_prefix("oom_kill ").is_some_and(|count| count.trim() != "0"))
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let mut folders: Vec<PathBuf> = self.made.iter().flatten().map(|place| place.folder.clone()).collect();
        folders.dedup();
        folders.retain(|folder| !removed(folder));
        if folders.is_empty() {
            return;
        }
        // Killed processes take a moment to go; nobody has to wait for that.
        let removing = move || {
            for _ in 0..REMOVE_TRIES_MAX {
                folders.retain(|folder| {
                    kill_all(folder);
                    !removed(folder)
                });
                if folders.is_empty() {
                    return;
                }
                thread::sleep(Duration::from_millis(5));
            }
            tracing::warn!(?folders, "control groups of a host could not be removed");
        };
        let _ = thread::Builder::new().name("group-removal".into()).spawn(removing);
    }
}

/// Whether there is no such group any more.
fn removed(folder: &Path) -> bool {
    match fs::remove_dir(folder) {
        Ok(()) => true,
        Err(error) => error.kind() == io::ErrorKind::NotFound,
    }
}

fn kill_all(folder: &Path) {
    let listed = fs::read_to_string(folder.join("cgroup.procs")).unwrap_or_default();
    for pid in listed.lines().filter_map(|line| line.parse().ok()).filter_map(Pid::from_raw) {
        let _ = kill_process(pid, Signal::KILL);
    }
}

/// Number and start of this process: together they never come again.
fn own_name() -> String {
    format!("{}-{}", std::process::id(), started("self").unwrap_or_default())
}

fn started(pid: &str) -> Option<String> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit(')').next()?.split_whitespace().nth(19).map(str::to_owned)
}

/// Whether groups can be made in a folder that has the files of a controller.
fn may_be_made_in(folder: &Path) -> bool {
    let probe = folder.join(format!("{PREFIX}{}-place", own_name()));
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
            let _ = fs::remove_dir(entry.path());
        }
    }
}

/// Finds the places from the texts of `/proc/self/mountinfo` and `/proc/self/cgroup`.
fn find(mounts: &str, own: &str, usable: &dyn Fn(&Path) -> bool) -> Places {
    let found = CONTROLLERS.map(|controller| {
        find_v1(mounts, own, controller).or_else(|| find_v2(mounts, own, controller)).filter(|at| usable(&at.folder))
    });
    Places { found }
}

fn find_v1(mounts: &str, own: &str, controller: &str) -> Option<Place> {
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
    Some(Place { folder, unified: false })
}

/// The own group or the nearest one above it that hands the controller down to the groups in it.
fn find_v2(mounts: &str, own: &str, controller: &str) -> Option<Place> {
    let group = own.lines().find_map(|line| line.strip_prefix("0::"))?;
    let mount = mounts.lines().filter_map(MountLine::parse).find(|mount| mount.kind == "cgroup2")?;
    let top = Path::new(mount.point);
    let own = mount.folder_of(group);
    let hands_down = |folder: &Path| {
        let text = fs::read_to_string(folder.join("cgroup.subtree_control")).unwrap_or_default();
        text.split_whitespace().any(|name| name == controller)
    };
    let folder = own.ancestors().take_while(|folder| folder.starts_with(top)).find(|folder| hands_down(folder))?;
    Some(Place { folder: folder.to_owned(), unified: true })
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
                      43 30 0:33 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n\
                      42 30 0:32 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n";
        let own = "8:pids:/a/b\n4:memory:/box/c\n2:cpu,cpuacct:/\n0::/\n";
        let places = find(mounts, own, &|_| true);
        let folders = places.found.clone().map(|place| place.map(|place| (place.folder, place.unified)));
        let v1 = |folder: &str| Some((PathBuf::from(folder), false));
        assert_eq!(
            folders,
            [v1("/sys/fs/cgroup/memory/c"), v1("/sys/fs/cgroup/cpu,cpuacct/"), v1("/sys/fs/cgroup/pids/a/b")]
        );
        assert!(places.lacking().is_empty());
        assert_eq!(find(mounts, own, &|folder| !folder.ends_with("b")).lacking(), ["pids"]);
        assert_eq!(find("", "", &|_| true).lacking(), CONTROLLERS);
    }
}
