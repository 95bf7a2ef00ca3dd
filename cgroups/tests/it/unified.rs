//! cgroup v2 as a folder that has its files: which folder is found, and what is written where. What the kernel makes of it
//! is tried by the other tests on a machine that boots with v2.

use std::fs;
use std::path::{Path, PathBuf};

use ignite_cgroups::{Controller, Group, MemoryLimit, Places, Told};
use tempfile::TempDir;

use crate::support::PURPOSE;

/// A made-up hierarchy.
struct Tree {
    root: TempDir,
}

impl Tree {
    /// Groups by path, with what is there to be had and what is given to those in them.
    fn new(groups: &[(&str, &str, &str)]) -> Self {
        let tree = Self { root: tempfile::tempdir().unwrap() };
        for (path, controllers, gives) in groups {
            let folder = tree.at(path);
            fs::create_dir_all(&folder).unwrap();
            fs::write(folder.join("cgroup.procs"), "").unwrap();
            fs::write(folder.join("cgroup.controllers"), controllers).unwrap();
            fs::write(folder.join("cgroup.subtree_control"), gives).unwrap();
            if *path != "/" {
                fs::write(folder.join("cgroup.type"), "domain\n").unwrap();
            }
        }
        tree
    }

    fn at(&self, path: &str) -> PathBuf {
        match path.trim_start_matches('/') {
            "" => self.root.path().to_owned(),
            below => self.root.path().join(below),
        }
    }

    fn told(&self, own: &str) -> Told {
        let point = self.root.path().display();
        Told {
            mounts: format!(
                "1 0 0:1 / /proc rw - proc proc rw\n2 1 0:2 / {point} rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n"
            ),
            own: format!("0::{own}\n"),
        }
    }

    fn places(&self, own: &str) -> Places {
        Places::find_told(&self.told(own), &Controller::ALL, PURPOSE)
    }

    fn read(&self, path: &str) -> String {
        fs::read_to_string(self.at(path)).unwrap()
    }
}

fn lacking(places: &Places) -> Vec<String> {
    places.lacking().iter().map(|lacking| lacking.controller.to_string()).collect()
}

fn only_folder(group: &Group) -> &Path {
    let folders: Vec<&Path> = group.folders().collect();
    assert_eq!(folders.len(), 1, "one hierarchy, one folder: {folders:?}");
    folders[0]
}

const ALL: &str = "cpuset cpu io memory pids\n";

#[test]
fn the_nearest_group_that_gives_is_used() {
    let tree = Tree::new(&[
        ("/", ALL, ALL),
        ("/user.slice", ALL, "cpu memory pids\n"),
        ("/user.slice/app.slice", "cpu memory pids\n", "memory pids cpu\n"),
        ("/user.slice/app.slice/shell.scope", "cpu memory pids\n", ""),
    ]);
    let places = tree.places("/user.slice/app.slice/shell.scope");
    assert_eq!(lacking(&places), Vec::<String>::new());
    let group = places.make();
    assert_eq!(only_folder(&group).parent(), Some(tree.at("/user.slice/app.slice").as_path()));
    // One that is not given there is had from further up.
    fs::write(tree.at("/user.slice/app.slice/cgroup.subtree_control"), "memory pids\n").unwrap();
    let parents: Vec<PathBuf> = tree
        .places("/user.slice/app.slice/shell.scope")
        .make()
        .folders()
        .map(|folder| folder.parent().unwrap().to_owned())
        .collect();
    assert_eq!(parents, [tree.at("/user.slice/app.slice"), tree.at("/user.slice")]);
}

#[test]
fn bounds_are_written_to_its_files() {
    let tree = Tree::new(&[("/", ALL, ALL)]);
    let mut group = tree.places("/").make();
    let folder = only_folder(&group).to_owned();
    group.hold_memory(MemoryLimit { bytes: 1 << 30, end_together: true }).unwrap();
    group.hold_cpu(250).unwrap();
    group.hold_pids(77).unwrap();
    group.join(4711).unwrap();
    let written = |file: &str| fs::read_to_string(folder.join(file)).unwrap();
    let files =
        ["memory.max", "memory.swap.max", "memory.oom.group", "cpu.max", "cpu.max.burst", "pids.max", "cgroup.procs"];
    assert_eq!(files.map(written), ["1073741824", "0", "1", "25000 100000", "25000", "77", "4711"]);
    group.kill();
    assert_eq!(fs::read_to_string(folder.join("cgroup.kill")).unwrap(), "1");
    fs::write(folder.join("memory.events"), "oom 1\noom_kill 1\n").unwrap();
    fs::write(folder.join("pids.current"), "3\n").unwrap();
    assert!(group.was_out_of_memory());
    assert_eq!(group.processes(), Some(3));
    // Two of the three are released: it stays, for the third.
    group.release(Controller::Memory);
    group.release(Controller::Pids);
    assert_eq!(only_folder(&group), folder);
}

#[test]
fn a_service_in_a_group_of_its_own_is_given_what_was_delegated() {
    // As with `DelegateSubgroup=main`: nobody is in the service's group itself.
    let tree = Tree::new(&[
        ("/", ALL, ALL),
        ("/system.slice", ALL, ""),
        ("/system.slice/other.service", "", ""),
        ("/system.slice/ignite.service", "cpu memory pids\n", ""),
        ("/system.slice/ignite.service/main", "", ""),
    ]);
    // What is above gives nothing to this user; here it gives nothing to anyone.
    fs::write(tree.at("/cgroup.subtree_control"), "").unwrap();
    let places = tree.places("/system.slice/ignite.service/main");
    assert_eq!(lacking(&places), Vec::<String>::new());
    let asked = tree.read("/system.slice/ignite.service/cgroup.subtree_control");
    assert!(asked.starts_with('+'), "{asked}");
    assert_eq!(tree.read("/system.slice/cgroup.subtree_control"), "", "others have groups in it");
    for folder in places.make().folders() {
        assert_eq!(folder.parent(), Some(tree.at("/system.slice/ignite.service").as_path()));
    }
}

#[test]
fn where_processes_of_others_are_nothing_is_given() {
    // The kernel would take it for the share and the number, and then no process into a group below.
    let tree = Tree::new(&[("/", ALL, ""), ("/own", ALL, "")]);
    fs::write(tree.at("/cgroup.type"), "domain\n").unwrap();
    fs::write(tree.at("/own/cgroup.procs"), format!("{}\n1\n", std::process::id())).unwrap();
    fs::write(tree.at("/cgroup.procs"), "1\n").unwrap();
    assert_eq!(lacking(&tree.places("/own")), ["memory", "cpu", "pids"]);
    assert_eq!(tree.read("/own/cgroup.subtree_control") + &tree.read("/cgroup.subtree_control"), "");
}

#[test]
fn a_process_that_is_alone_steps_aside() {
    let tree = Tree::new(&[("/", "", ""), ("/own", ALL, "")]);
    let own = std::process::id().to_string();
    fs::write(tree.at("/own/cgroup.procs"), format!("{own}\n")).unwrap();
    let places = tree.places("/own");
    assert_eq!(lacking(&places), Vec::<String>::new());
    let group = places.make();
    assert!(group.folders().all(|folder| folder.parent() == Some(tree.at("/own").as_path())));
    let aside: Vec<PathBuf> = fs::read_dir(tree.at("/own"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.file_name().unwrap().to_str().unwrap().contains("-self-"))
        .collect();
    assert!(!aside.is_empty());
    assert_eq!(fs::read_to_string(aside[0].join("cgroup.procs")).unwrap(), own);
}

#[test]
fn groups_of_others_are_left_as_they_are() {
    let tree = Tree::new(&[("/", ALL, ""), ("/other", "", ""), ("/own", "", "")]);
    let places = tree.places("/own");
    assert_eq!(lacking(&places), ["memory", "cpu", "pids"]);
    assert_eq!(tree.read("/cgroup.subtree_control"), "");
    let why = places.lacking()[0].why.to_string();
    assert_eq!(why, format!("no group from {} up gives it to groups in it", tree.at("/own").display()));
    assert_eq!(places.make().folders().count(), 0);
}

#[test]
fn a_group_that_does_not_have_it_cannot_give_it() {
    let tree = Tree::new(&[("/", "memory pids\n", "")]);
    let places = tree.places("/");
    assert_eq!(lacking(&places), ["cpu"]);
    assert!(places.make().has(Controller::Memory));
}

#[test]
fn where_groups_cannot_be_made_the_reason_is_told() {
    let tree = Tree::new(&[("/", ALL, ALL), ("/other", "", "")]);
    fs::remove_file(tree.at("/cgroup.procs")).unwrap();
    let places = tree.places("/");
    let why = places.lacking()[0].why.to_string();
    let start = format!("no group can be made in {}: ", tree.at("/").display());
    assert!(why.starts_with(&start) && why.len() > start.len(), "{why}");
}

#[test]
fn v1_holds_what_it_has_and_v2_the_rest() {
    // As systemd boots with its hybrid hierarchy.
    let tree = Tree::new(&[("/unified", "pids\n", "pids\n"), ("/memory/own", "", ""), ("/cpu,cpuacct", "", "")]);
    let point = tree.root.path().display();
    let told = Told {
        mounts: format!(
            "2 1 0:2 / {point}/unified rw - cgroup2 cgroup2 rw\n\
             3 1 0:3 /box {point}/memory rw - cgroup cgroup rw,memory\n\
             4 1 0:4 / {point}/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n"
        ),
        own: "4:memory:/box/own\n3:cpu,cpuacct:/\n0::/\n".to_owned(),
    };
    let places = Places::find_told(&told, &Controller::ALL, PURPOSE);
    assert_eq!(lacking(&places), Vec::<String>::new());
    let group = places.make();
    let parents: Vec<PathBuf> = group.folders().map(|folder| folder.parent().unwrap().to_owned()).collect();
    assert_eq!(parents, [tree.at("/memory/own"), tree.at("/cpu,cpuacct"), tree.at("/unified")]);
    group.hold_memory(MemoryLimit { bytes: 4096, end_together: true }).unwrap();
    group.hold_cpu(1500).unwrap();
    let folders: Vec<&Path> = group.folders().collect();
    let written = |place: usize, file: &str| fs::read_to_string(folders[place].join(file)).unwrap();
    assert_eq!(written(0, "memory.limit_in_bytes"), "4096");
    assert_eq!(written(0, "memory.memsw.limit_in_bytes"), "4096");
    assert!(!folders[0].join("memory.max").exists());
    assert_eq!(written(1, "cpu.cfs_period_us"), "100000");
    assert_eq!(written(1, "cpu.cfs_quota_us"), "150000");
    assert_eq!(written(1, "cpu.cfs_burst_us"), "150000");
}
