#![allow(clippy::unwrap_used, reason = "a test")]
//! In every hierarchy of this machine in which groups can be made, whatever it holds: so v2's way to kill is tried also where
//! memory and processes are still held by v1.
use std::process::{Child, Command, Stdio};

use super::*;
use crate::find::Told;
use crate::maker;
use crate::mounts::Mount;
use crate::place::usable;

const TRIES: Tries = Tries { max: 1000, wait: Duration::from_millis(5) };

/// Groups of this process, one in each hierarchy.
fn groups() -> Vec<PathBuf> {
    let told = Told::now();
    let owns: Vec<(String, String)> = told
        .own
        .lines()
        .filter_map(|line| line.split_once(':')?.1.split_once(':'))
        .map(|(controllers, path)| (controllers.to_owned(), path.to_owned()))
        .collect();
    let mut groups = Vec::new();
    for mount in Mount::all(&told.mounts) {
        let own = owns.iter().find(|(controllers, _)| match controllers.as_str() {
            "" => mount.is_unified(),
            controllers => controllers.split(',').all(|controller| mount.has(controller)),
        });
        let Some((_, path)) = own else { continue };
        let folder = mount.folder_of(path);
        // A group for processors and memory nodes has none at first, and takes no process.
        if !mount.has("cpuset") && usable(&folder).is_ok() {
            let group = folder.join(maker::new_name("test"));
            fs::create_dir(&group).unwrap();
            groups.push(group);
        }
    }
    groups
}

/// A process that has started another, each in all groups.
fn family(groups: &[PathBuf]) -> Child {
    let script = "read go; sleep 1000 & echo started; wait";
    let mut child =
        Command::new("sh").args(["-c", script]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    for group in groups {
        fs::write(group.join("cgroup.procs"), child.id().to_string()).unwrap();
    }
    drop(child.stdin.take());
    let mut said = [0; 8];
    std::io::Read::read_exact(child.stdout.as_mut().unwrap(), &mut said).unwrap();
    child
}

fn all_listed(groups: &[PathBuf]) {
    for group in groups {
        assert_eq!(processes(group).len(), 2, "{}", group.display());
    }
}

#[test]
fn a_group_with_processes_is_left_until_they_are_killed() {
    let groups = groups();
    let mut child = family(&groups);
    all_listed(&groups);
    let mut left = groups.clone();
    remove(&mut left, Tries { max: 2, wait: Duration::ZERO });
    assert_eq!(left, groups, "processes are in it");
    kill_and_remove(&mut left, TRIES);
    child.wait().unwrap();
    assert_eq!(left, Vec::<PathBuf>::new());
    assert!(groups.iter().all(|group| !group.exists()));
}

#[test]
fn either_way_to_kill_ends_everything_in_it() {
    let groups = groups();
    for group in groups {
        let alone = std::slice::from_ref(&group);
        let is_unified = group.join("cgroup.kill").exists();
        for as_a_whole in [true, false] {
            let mut child = family(alone);
            match as_a_whole {
                true => assert_eq!(kill_as_a_whole(&group), is_unified, "{}", group.display()),
                false => kill_by_number(&group, 1),
            }
            if as_a_whole && !is_unified {
                kill(&group);
            }
            let status = child.wait().unwrap();
            assert_eq!(std::os::unix::process::ExitStatusExt::signal(&status), Some(9), "{}", group.display());
            wait_until_empty(&group);
            // Where its number is held, nothing can be started in it any more.
            if group.join("pids.max").exists() {
                fs::write(group.join("pids.max"), "max").unwrap();
            }
        }
        remove(&mut vec![group.clone()], TRIES);
        assert!(!group.exists());
    }
}

#[test]
fn groups_in_a_group_go_with_it() {
    for group in groups() {
        let inner = group.join("inner").join("most");
        fs::create_dir_all(&inner).unwrap();
        let mut child = family(std::slice::from_ref(&inner));
        let mut left = vec![group.clone()];
        remove(&mut left, Tries::ONE);
        assert!(inner.exists(), "a process is in it");
        kill_and_remove(&mut left, TRIES);
        child.wait().unwrap();
        assert!(left.is_empty() && !group.exists());
    }
}

#[test]
fn what_is_gone_is_removed_and_what_is_refused_is_left() {
    let folder = tempfile::tempdir().unwrap();
    let full = folder.path().join("full");
    fs::create_dir_all(full.join("no group")).unwrap();
    let mut left = vec![folder.path().join("gone"), full.clone()];
    // Not waited for: it will not change.
    remove(&mut left, Tries { max: u32::MAX, wait: Duration::from_secs(1000) });
    assert_eq!(left, [full]);
}

fn wait_until_empty(group: &Path) {
    let deadline = std::time::Instant::now() + Duration::from_secs(10);
    while !processes(group).is_empty() {
        assert!(std::time::Instant::now() < deadline, "processes are left in {}", group.display());
        thread::yield_now();
    }
}
