//! What the kernel holds a group to.

use std::fs;

use ignite_cgroups::{Controller, MemoryLimit};

use crate::support::{begin, group, run, until};

const MIB: u64 = 1024 * 1024;

#[test]
fn memory_is_held_and_its_end_is_told() {
    for end_together in [false, true] {
        let Some(mut held) = group(Controller::Memory) else { return };
        held.0.hold_memory(MemoryLimit { bytes: 64 * MIB, end_together }).unwrap();
        let modest = run(&mut held.0, "head -c 1000000 /dev/zero | tail | wc -c");
        assert_eq!(String::from_utf8_lossy(&modest.stdout).trim(), "1000000");
        assert!(!held.0.was_out_of_memory());
        // A line of this length is kept in memory to its end.
        let greedy = run(&mut held.0, "head -c 300000000 /dev/zero | tail | wc -c");
        assert!(held.0.was_out_of_memory(), "{greedy:?}");
        assert_ne!(String::from_utf8_lossy(&greedy.stdout).trim(), "300000000");
    }
}

#[test]
fn memory_may_be_held_anew_to_more_and_to_less() {
    let Some(mut held) = group(Controller::Memory) else { return };
    for mebibytes in [64, 128, 32] {
        held.0.hold_memory(MemoryLimit { bytes: mebibytes * MIB, end_together: false }).unwrap();
    }
    let greedy = run(&mut held.0, "head -c 50000000 /dev/zero | tail | wc -c");
    assert!(held.0.was_out_of_memory(), "{greedy:?}");
}

#[test]
fn processes_are_held_and_counted() {
    let Some(mut held) = group(Controller::Pids) else { return };
    held.0.hold_pids(4).unwrap();
    let mut child = begin(&mut held.0, "for i in 1 2 3; do sleep 1000 & done; echo three; sleep 1000 & wait");
    until("three were started, and no fourth", || held.0.processes() == Some(4) || has_ended(&mut child));
    assert!(held.0.processes().is_some_and(|processes| processes <= 4), "{:?}", held.0.processes());
    // The shell gives up when it cannot fork, and leaves those it has.
    let status = child.wait().unwrap();
    assert!(!status.success());
    until("those it started are left", || held.0.processes() == Some(3));
    held.0.kill();
    until("they have ended", || held.0.processes() == Some(0));
}

#[test]
fn the_processor_share_is_held() {
    let Some(mut held) = group(Controller::Cpu) else { return };
    // To less, to more, to less again: a burst above the new share would be refused.
    for millicores in [500, 2000, 100] {
        held.0.hold_cpu(millicores).unwrap();
    }
    let folder = held.0.folders().find(|folder| folder.join("cpu.stat").exists()).unwrap().to_owned();
    let mut child = begin(&mut held.0, "while :; do :; done");
    until("it had to wait", || {
        let stat = fs::read_to_string(folder.join("cpu.stat")).unwrap();
        stat.lines().filter_map(|line| line.strip_prefix("nr_throttled ")).any(|count| count != "0")
    });
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn what_a_group_does_not_hold_cannot_be_bounded() {
    let none = ignite_cgroups::Group::default();
    assert_eq!(none.hold_cpu(100).unwrap_err().to_string(), "the group does not hold cpu");
    assert_eq!(none.hold_pids(100).unwrap_err().kind(), std::io::ErrorKind::Unsupported);
    assert!(none.hold_memory(MemoryLimit { bytes: MIB, end_together: true }).is_err());
    assert!(!none.was_out_of_memory() && none.processes().is_none());
}

fn has_ended(child: &mut std::process::Child) -> bool {
    child.try_wait().unwrap().is_some()
}
