//! Steps that will not end, and what is left of those that did.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use ignite_compiler_sandbox::{Cancel, Exit, Mount, StepError, run};

use crate::support::{gone, lines, mark, names, runs, shell, wait};

/// Ignores every signal that can be ignored, and leaves its session, and holds on to its output.
fn stubborn(mark: &str) -> String {
    format!(
        "trap '' TERM INT HUP QUIT; (trap '' TERM INT HUP QUIT; setsid sleep {mark} & nohup sleep {mark} >/dev/null &) ; \
         while :; do sleep {mark}; done"
    )
}

#[test]
fn one_that_ignores_signals_ends_in_time() {
    let mark = mark(2);
    let mut step = shell(&stubborn(&mark), Vec::new());
    step.limits.wall_time = Duration::from_millis(500);
    let started = Instant::now();
    assert!(matches!(lines(&step).0, Err(StepError::TimedOut { .. })));
    assert!(started.elapsed() < Duration::from_secs(5));
    gone(&mark);
}

#[test]
fn one_that_is_not_wanted_any_more_ends_within_two_seconds() {
    let mark = mark(3);
    let cancel = Cancel::default();
    let asked = std::cell::Cell::new(None);
    let done = run(&shell(&format!("echo started; {}", stubborn(&mark)), Vec::new()), &cancel, &mut |_, _| {
        asked.set(Some(Instant::now()));
        cancel.cancel();
    });
    assert!(matches!(done, Err(StepError::Cancelled)));
    assert!(asked.get().unwrap().elapsed() < Duration::from_secs(2));
    gone(&mark);
}

#[test]
fn what_it_leaves_in_the_background_is_gone() {
    let mark = mark(4);
    let (exit, said) = lines(&shell(&format!("setsid sleep {mark} & sleep {mark} & echo left; exit 3"), Vec::new()));
    assert_eq!((exit.unwrap(), said), (Exit::Code(3), vec!["left".to_owned()]));
    assert!(!runs(&mark), "it is gone when the end is told");
}

#[test]
fn a_signal_that_ended_it_is_told() {
    assert_eq!(lines(&shell("kill -9 $$", Vec::new())).0.unwrap(), Exit::Signal(9));
    assert_eq!(lines(&shell("kill -ABRT $$", Vec::new())).0.unwrap(), Exit::Signal(6));
}

#[test]
fn nothing_is_left_when_the_compiler_is_killed() {
    const INNER: &str = "IGNITE_TEST_TO_BE_KILLED";
    let mark = mark(5);
    if let Ok(mark) = std::env::var(INNER) {
        let folder = std::env::var("IGNITE_TEST_FOLDER").unwrap();
        let script = format!("echo ready > {folder}/ready; {}", stubborn(&mark));
        let _ = lines(&shell(&script, vec![Mount::read_write(folder)]));
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let mounts_before = mounts();
    let mut inner = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "ends::nothing_is_left_when_the_compiler_is_killed"])
        .env(INNER, &mark)
        .env("IGNITE_TEST_FOLDER", folder.path())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    wait("the step began", || folder.path().join("ready").exists() && runs(&mark));
    inner.kill().unwrap();
    inner.wait().unwrap();
    gone(&mark);
    assert_eq!(mounts(), mounts_before, "mounts are those of the sandbox alone");
    assert_eq!(names(folder.path()), ["ready"]);
}

fn mounts() -> usize {
    std::fs::read_to_string("/proc/self/mountinfo").unwrap().lines().count()
}

#[test]
fn many_at_once_do_not_disturb_each_other() {
    std::thread::scope(|scope| {
        for index in 0..8 {
            scope.spawn(move || {
                for _ in 0..5 {
                    let (exit, said) = lines(&shell(&format!("echo {index} > /tmp/own; cat /tmp/*"), Vec::new()));
                    assert!(exit.unwrap().success());
                    assert_eq!(said, [index.to_string()]);
                }
            });
        }
    });
}
