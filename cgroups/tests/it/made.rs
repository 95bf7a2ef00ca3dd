//! Groups are made, joined and removed.

use std::path::PathBuf;

use ignite_cgroups::{Controller, Told};

use crate::support::{TRIES, begin, group, places, until};

#[test]
fn what_a_process_starts_is_in_its_group_and_ends_with_it() {
    let Some(mut held) = group(Controller::Pids) else { return };
    let folders: Vec<PathBuf> = held.0.folders().map(PathBuf::from).collect();
    // Also what leaves its session.
    let mut child = begin(&mut held.0, "setsid sleep 1000 & sleep 1000 & wait");
    until("all are started", || held.0.processes() == Some(3));
    let left = std::mem::take(&mut held.0).remove(ignite_cgroups::Tries::ONE);
    held.0 = left.unwrap_err();
    assert!(folders.iter().all(|folder| folder.exists()), "processes are in it");
    std::mem::take(&mut held.0).kill_and_remove(TRIES).unwrap();
    assert!(folders.iter().all(|folder| !folder.exists()));
    assert!(!child.wait().unwrap().success());
}

#[test]
fn one_that_has_ended_is_refused_and_nothing_is_left() {
    let mut ended = std::process::Command::new("true").spawn().unwrap();
    ended.wait().unwrap();
    let mut group = places().make();
    let folders: Vec<PathBuf> = group.folders().map(PathBuf::from).collect();
    if folders.is_empty() {
        // Every test here says so, and why.
        return;
    }
    assert!(group.join(ended.id()).is_err());
    assert!(Controller::ALL.into_iter().all(|controller| !group.has(controller)));
    assert!(folders.iter().all(|folder| !folder.exists()), "{folders:?}");
}

#[test]
fn what_is_released_is_not_held() {
    let Some(mut held) = group(Controller::Memory) else { return };
    let others: Vec<bool> = [Controller::Cpu, Controller::Pids].map(|other| held.0.has(other)).into();
    held.0.release(Controller::Memory);
    assert!(!held.0.has(Controller::Memory));
    assert_eq!([Controller::Cpu, Controller::Pids].map(|other| held.0.has(other)).to_vec(), others);
}

#[test]
fn a_machine_without_groups_says_so() {
    let none = ignite_cgroups::Places::find_told(&Told::default(), &Controller::ALL, crate::support::PURPOSE);
    let lacking: Vec<String> =
        none.lacking().iter().map(|lacking| format!("{}: {}", lacking.controller, lacking.why)).collect();
    assert_eq!(
        lacking,
        [
            "memory: no hierarchy that has it is mounted",
            "cpu: no hierarchy that has it is mounted",
            "pids: no hierarchy that has it is mounted"
        ]
    );
    assert_eq!(none.make().folders().count(), 0);
}
