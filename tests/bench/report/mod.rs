//! Figures as text and pictures.

pub(crate) mod chart;
pub(crate) mod deadlines;
pub(crate) mod host;
pub(crate) mod page;
pub(crate) mod table;

use std::process::Command;
use std::time::SystemTime;

use ignite_tests::product::repository;

/// Date, machine and commit of a run: no names of machines or people.
pub(crate) fn circumstances() -> String {
    let day = humantime::format_rfc3339_seconds(SystemTime::now()).to_string();
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    format!("{}, {cores} cores{}, Linux {}, commit {}", &day[..10], processor(), kernel(), commit())
}

fn processor() -> String {
    let text = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = text.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':'));
    model.map(|(_, name)| format!(" ({})", name.trim())).unwrap_or_default()
}

fn kernel() -> String {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    release.split('-').next().unwrap_or_default().trim().to_owned()
}

fn commit() -> String {
    let git = |arguments: &[&str]| {
        let output = Command::new("git").arg("-C").arg(repository()).args(arguments).output().ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let commit = git(&["rev-parse", "--short=10", "HEAD"]).unwrap_or_else(|| "unknown".into());
    let changed = git(&["status", "--porcelain", "--untracked-files=no"]).is_some_and(|changes| !changes.is_empty());
    if changed { format!("{commit} with changes") } else { commit }
}
