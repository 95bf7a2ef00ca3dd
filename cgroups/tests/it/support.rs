//! What every test here needs.

use std::fs;
use std::io::Write as _;
use std::process::{Child, Command, Output, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use ignite_cgroups::{Controller, Group, Left, Places, Purpose, Tries};

/// Ample for a killed process to go.
pub(crate) const TRIES: Tries = Tries { max: 2000, wait: Duration::from_millis(5) };

pub(crate) const PURPOSE: Purpose = Purpose { word: "test", left: Left::Killed };

/// What this machine has.
pub(crate) fn places() -> &'static Places {
    static PLACES: OnceLock<Places> = OnceLock::new();
    PLACES.get_or_init(|| Places::find(&Controller::ALL, PURPOSE))
}

/// A group that has this controller. `None` where the machine has none, which is then told, with the reason.
pub(crate) fn group(controller: Controller) -> Option<Held> {
    let held = Held(places().make());
    let lacking = places().lacking().iter().find(|lacking| lacking.controller == controller);
    assert_eq!(held.0.has(controller), lacking.is_none(), "either it is had or it is said why not");
    if let Some(lacking) = lacking {
        eprintln!("not tried: {controller} is not to be had here: {}", lacking.why);
        assert!(!is_root(), "root may make groups: {}", lacking.why);
        return None;
    }
    Some(held)
}

/// Whether groups of every kind are to be expected.
pub(crate) fn is_root() -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    status.lines().any(|line| line.starts_with("Uid:\t0\t"))
}

/// A group that goes with its processes when a test ends, however it does.
pub(crate) struct Held(pub(crate) Group);

impl Drop for Held {
    fn drop(&mut self) {
        let gone = std::mem::take(&mut self.0).kill_and_remove(TRIES);
        if !std::thread::panicking() {
            gone.unwrap();
        }
    }
}

/// A shell script that begins once it is in the group.
pub(crate) fn begin(group: &mut Group, script: &str) -> Child {
    let mut child = Command::new("sh")
        .args(["-c", &format!("read go; {script}")])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    group.join(child.id()).unwrap();
    child.stdin.take().unwrap().write_all(b"go\n").unwrap();
    child
}

/// The same to its end.
pub(crate) fn run(group: &mut Group, script: &str) -> Output {
    begin(group, script).wait_with_output().unwrap()
}

/// Waits, with a bound, until something is so.
pub(crate) fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !is_so() {
        assert!(Instant::now() < deadline, "not so: {what}");
        std::thread::yield_now();
    }
}
