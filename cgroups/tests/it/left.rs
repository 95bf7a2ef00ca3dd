//! What killed makers left.

use std::path::PathBuf;

use ignite_cgroups::{Controller, Group, Left, Places, Purpose};

use crate::support::{Held, TRIES, begin, group, until};

/// Folders as a maker would have left them that has ended, with a process in them.
struct Abandoned {
    folders: Vec<PathBuf>,
    child: std::process::Child,
    /// Removes what a failed test leaves.
    _held: Held,
}

/// A process number that no process can have.
const NOBODY: &str = "4194305";

fn abandoned() -> Option<Abandoned> {
    let mut held = group(Controller::Pids)?;
    let own = format!("ignite-{}-", std::process::id());
    // The name is all that tells who made a group.
    let folders: Vec<PathBuf> = held
        .0
        .folders()
        .map(|folder| {
            let name = folder.file_name().unwrap().to_str().unwrap();
            folder.with_file_name(format!("ignite-{NOBODY}-{}", name.strip_prefix(&own).unwrap()))
        })
        .collect();
    let child = begin(&mut held.0, "exec sleep 1000");
    for folder in &folders {
        std::fs::create_dir(folder).unwrap();
        std::fs::write(folder.join("cgroup.procs"), child.id().to_string()).unwrap();
    }
    Some(Abandoned { folders, child, _held: held })
}

fn sweep(word: &'static str, left: Left) -> Group {
    let places = Places::find(&Controller::ALL, Purpose { word, left });
    places.sweep();
    places.make()
}

#[test]
fn a_sweep_ends_what_is_to_be_ended_and_nothing_else() {
    // One test, since each would sweep what the other has made.
    let Some(mut abandoned) = abandoned() else { return };
    let alive = |abandoned: &mut Abandoned| abandoned.child.try_wait().unwrap().is_none();
    let folders = abandoned.folders.clone();
    let exist = || folders.iter().filter(|folder| folder.exists()).count();

    // Groups of another purpose, or whose processes end by themselves.
    for (word, left) in [("other", Left::Killed), ("test", Left::Ending)] {
        let own = Held(sweep(word, left));
        assert_eq!(exist(), folders.len(), "a process is in it");
        assert!(alive(&mut abandoned));
        assert!(own.0.folders().all(|folder| folder.exists()), "its maker lives");
    }

    drop(Held(sweep("test", Left::Killed)));
    assert!(!abandoned.child.wait().unwrap().success());
    until("its group is gone", || {
        drop(Held(sweep("test", Left::Killed)));
        exist() == 0
    });

    // Empty ones go with any sweep.
    for folder in &folders {
        std::fs::create_dir(folder).unwrap();
    }
    let other = sweep("other", Left::Ending);
    assert_eq!(exist(), 0);
    other.remove(TRIES).unwrap();
}
